"""Motions keep their profile of speed, and brake at the rate asked for."""

from __future__ import annotations

import numpy as np
import pytest

from robo_rlft.sim.loopback.arm import HOME_JOINTS
from robo_rlft.sim.loopback.motion import JointMove, Line, Motion

STEP = 1 / 120  # seconds


def line(length: float) -> Line:
    end = np.eye(4)
    end[0, 3] = length
    return Line(np.eye(4), end, np.eye(4))


def test_speed_rises_and_falls_within_its_limits() -> None:
    motion = Motion(line(0.5), speed=0.4, acceleration=1.0)
    speeds = [0.0]
    while not motion.done:
        motion.advance(STEP)
        speeds.append(motion.speed)
    assert max(speeds) == pytest.approx(0.4)
    assert max(np.diff(speeds)) <= 1.0 * STEP + 1e-9
    assert len(speeds) * STEP == pytest.approx(0.5 / 0.4 + 0.4, abs=0.1)  # seconds of a trapezoid


def test_a_motion_ends_exactly_at_its_target() -> None:
    motion = Motion(line(0.1), speed=0.4, acceleration=1.0)
    flange = np.eye(4)
    while not motion.done:
        flange = motion.advance(STEP)
    assert flange[0, 3] == pytest.approx(0.1, abs=1e-12)


def test_braking_takes_the_way_that_its_rate_asks_for() -> None:
    motion = Motion(line(1.0), speed=0.5, acceleration=5.0)
    for _ in range(60):
        motion.advance(STEP)
    before = motion.travelled
    motion.brake(2.0)
    while not motion.done:
        motion.advance(STEP)
    assert motion.travelled - before == pytest.approx(0.5**2 / (2 * 2.0), abs=0.003)


def test_a_slower_speed_slider_slows_the_motion() -> None:
    motion = Motion(line(1.0), speed=0.5, acceleration=5.0)
    for _ in range(60):
        motion.advance(STEP, scale=0.1)
    assert motion.speed == pytest.approx(0.05)


def test_all_joints_arrive_together() -> None:
    move = JointMove(HOME_JOINTS, HOME_JOINTS + np.array([0.4, 0.2, 0, 0, 0, 0]))
    assert move.length == pytest.approx(0.4)
    assert np.allclose(move.at(0.4), move.at(9.0))
