"""The last joint never runs into its end, however often and far the tool is turned."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_rlft.driver import Pose
from robo_rlft.geometry import yaw_quaternion
from robo_rlft.robots.ur.frames import BaseFrame, angle_between
from robo_rlft.robots.ur.wrist import END, LONGEST, SMALL, choose_turn, legs

HERE = Pose(position=(0.5, 0.0, 0.3))


def test_a_short_turn_is_taken_the_short_way() -> None:
    assert choose_turn(1.0, wrist=0.0, swing=0.0) == 1.0


def test_a_turn_that_would_run_into_the_end_goes_the_other_way_round() -> None:
    # 5.5 + 1 = 6.5 is past the end at 2 pi - 0.35 = 5.93; the other way round leaves 5.5 + 1 - 2 pi = 0.22.
    assert choose_turn(-1.0, wrist=5.5, swing=0.0) == pytest.approx(2 * math.pi - 1.0)
    assert choose_turn(-1.0, wrist=5.0, swing=1.0) == pytest.approx(2 * math.pi - 1.0)


def test_half_a_turn_unwinds() -> None:
    assert choose_turn(math.pi, wrist=-1.0, swing=0.0) == pytest.approx(-math.pi)
    assert choose_turn(-math.pi, wrist=1.0, swing=0.0) == pytest.approx(math.pi)


@given(st.lists(st.tuples(st.floats(-math.pi, math.pi), st.floats(-1.0, 1.0)), max_size=60))
def test_whatever_the_turns_the_joint_stays_off_its_ends(turns: list[tuple[float, float]]) -> None:
    wrist = -1.84
    for turn, swing in turns:
        way = choose_turn(turn, wrist=wrist, swing=swing)
        wrist += swing - way
        assert abs(wrist) <= END or abs(turn) < SMALL
        wrist = max(-END, min(END, wrist))


@given(st.floats(-math.pi, math.pi), st.floats(-5.5, 5.5))
def test_the_parts_of_a_turn_lie_on_the_way_and_have_one_shorter_way_each(yaw: float, wrist: float) -> None:
    target = Pose(position=(0.6, 0.2, 0.1), quaternion=yaw_quaternion(yaw))
    parts = legs(HERE, target, joints=(0.0, 0.0, 0.0, 0.0, 0.0, wrist), frame=BaseFrame())
    assert parts[-1] == target
    for number, (one, next_one) in enumerate(pairwise([HERE, *parts]), start=1):
        assert angle_between(one.quaternion, next_one.quaternion) <= LONGEST + 1e-9
        share = number / len(parts)
        assert next_one.position == pytest.approx((0.5 + 0.1 * share, 0.2 * share, 0.3 - 0.2 * share))


@pytest.mark.parametrize("wrist", [0.0, 6.1, -6.1])
def test_a_straight_line_without_a_turn_stays_one(wrist: float) -> None:
    target = Pose(position=(0.6, 0.2, 0.1))
    assert legs(HERE, target, joints=(0.0,) * 5 + (wrist,), frame=BaseFrame()) == [target]
