"""Timing of straight ways."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_rlft.sim.way import TURN_SPEED, Way
from robo_rlft.sim.world import TIMESTEP


def test_at_full_speed_each_step_does_the_same() -> None:
    way = Way.of(0.099, 0.0, speed=1.2, acceleration=None)
    # 0.099 m at 1.2 m/s are 0.0825 s, 9.9 steps of 1/120 s.
    assert [way.share(step) for step in range(1, 11)] == pytest.approx([step / 10 for step in range(1, 11)])


def test_a_turn_takes_the_time_that_it_needs() -> None:
    assert Way.of(0.001, math.pi, speed=1.0, acceleration=None).steps == math.ceil(math.pi / TURN_SPEED / TIMESTEP)


def test_a_way_at_no_speed_to_speak_of_never_ends() -> None:
    way = Way.of(1.0, 0.0, speed=5e-324, acceleration=1.0)
    assert math.isinf(way.steps) and way.share(10**6) == 0.0


@given(
    distance=st.floats(1e-4, 3.0),
    turn=st.floats(-math.pi, math.pi),
    speed=st.floats(0.05, 3.0),
    acceleration=st.floats(0.1, 10.0),
)
def test_with_ramps_it_grows_to_the_end_and_keeps_speed_and_acceleration(
    distance: float, turn: float, speed: float, acceleration: float
) -> None:
    way = Way.of(distance, turn, speed=speed, acceleration=acceleration)
    done = [0.0, *(way.share(step) for step in range(1, int(way.steps) + 1))]
    moved = [(b - a) * distance / TIMESTEP for a, b in pairwise(done)]  # m/s
    assert done[-1] == 1.0 and min(moved) >= 0.0
    assert max(moved) <= speed * (1 + 1e-6) + 1e-9
    assert max(abs(b - a) for a, b in pairwise([0.0, *moved[:-1]])) <= acceleration * TIMESTEP * (1 + 1e-6) + 1e-9
