"""The limits, their intersection, and the check of one motion."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_rlft.driver import Pose, Refused
from robo_rlft.geometry import quaternion_tilt, yaw_quaternion
from robo_rlft.robots.safety.limits import (
    HARD_CAP,
    HIGHER_IS_STRICTER,
    LOWER_IS_STRICTER,
    RULES,
    Limits,
    axis_distance,
    check_move,
    narrowed,
    sources,
    strictest,
)

LIMITS = Limits(
    low=(-0.8, -0.8, -0.05),
    high=(0.8, 0.8, 0.7),
    table=-0.005,
    reach_min=0.2,
    reach_max=0.9,
    step=1.0,
    tilt=0.05,
    speed=0.25,
    acceleration=0.8,
    force=40.0,
)
START = Pose(position=(0.5, 0.0, 0.2))


def check(target: Any, *, start: Pose | None = START, **values: Any) -> None:
    command = {"speed": 0.1, "acceleration": None, "deadline": None} | values
    check_move(LIMITS, start=start, target=target, **command)


def rule_of(target: Any, **values: Any) -> str:
    with pytest.raises(Refused) as caught:
        check(target, **values)
    return caught.value.rule


def leaning(radians: float) -> tuple[float, float, float, float]:
    return (math.sin(radians / 2), 0.0, 0.0, math.cos(radians / 2))


@pytest.mark.parametrize(
    ("rule", "target", "values"),
    [
        ("shape", (0.5, 0.0, 0.2), {}),
        ("finite", Pose(position=(math.nan, 0.0, 0.2)), {}),
        ("finite", Pose(position=(10**400, 0.0, 0.2)), {}),
        ("quaternion", Pose(position=(0.5, 0.0, 0.2), quaternion=(0.0, 0.0, 0.0, 0.0)), {}),
        ("speed", START, {"speed": 0.0}),
        ("acceleration", START, {"acceleration": -1.0}),
        ("deadline", START, {"deadline": 0.0}),
        ("box", Pose(position=(0.81, 0.0, 0.2)), {}),
        ("box", Pose(position=(0.5, -0.81, 0.2)), {}),
        ("box", Pose(position=(1e300, 0.0, 0.2)), {}),
        ("table", Pose(position=(0.5, 0.0, -0.006)), {}),
        ("reach", Pose(position=(0.7, 0.7, 0.2)), {}),  # 1.01 m away, in a corner of the box
        ("reach", Pose(position=(0.1, 0.1, 0.2)), {}),  # 0.14 m from the axis
        ("reach", Pose(position=(-0.5, 0.0, 0.2)), {}),  # both ends are 0.5 m from the axis, the way leads through it
        ("step", Pose(position=(-0.5, 0.5, 0.2)), {"start": Pose(position=(0.5, 0.55, 0.2))}),
        ("tilt", Pose(position=(0.5, 0.0, 0.2), quaternion=leaning(0.051)), {}),
        ("speed", START, {"speed": 0.2501}),
        ("acceleration", START, {"acceleration": 0.81}),
    ],
)
def test_each_rule_is_told_by_its_name(rule: str, target: Any, values: Any) -> None:
    assert rule_of(target, **values) == rule
    assert rule in RULES


def test_what_lies_on_every_limit_is_allowed() -> None:
    check(Pose(position=(0.8, 0.0, -0.005), quaternion=leaning(0.05)), speed=0.25, acceleration=0.8, deadline=1.0)


def test_a_turn_about_z_is_no_lean() -> None:
    check(Pose(position=(0.5, 0.0, 0.2), quaternion=yaw_quaternion(3.0)))


def test_a_way_around_the_base_is_allowed_where_the_straight_one_is_not() -> None:
    beside, behind = Pose(position=(0.0, 0.5, 0.2)), Pose(position=(-0.5, 0.0, 0.2))
    check(beside)
    check(behind, start=beside)


def test_a_base_elsewhere_moves_the_reach_with_it() -> None:
    near = Pose(position=(0.1, 0.1, 0.2))
    command: dict[str, Any] = {"start": None, "target": near, "speed": 0.1, "acceleration": None, "deadline": None}
    check_move(LIMITS, base=(-0.3, 0.0, 0.0), **command)
    with pytest.raises(Refused, match="reach"):
        check_move(LIMITS, base=(0.0, 0.0, 0.0), **command)


def test_a_refusal_names_rule_value_limit_who_set_it_and_how_to_mend_it() -> None:
    with pytest.raises(Refused) as caught:
        check_move(
            LIMITS,
            start=START,
            target=Pose(position=(0.9, 0.0, 0.2)),
            speed=0.1,
            acceleration=None,
            deadline=None,
            whose={"high.x": "profile"},
        )
    text = str(caught.value)
    assert all(part in text for part in ("box", "0.9 m", "at most 0.8 m", "set by the profile", "inside it"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("speed", math.nan),
        ("speed", math.inf),
        ("speed", -0.1),
        ("speed", 0.0),
        ("speed", "fast"),
        ("speed", True),
        ("speed", 10**400),
        ("table", math.nan),
        ("table", 0.7),  # not below the box's top
        ("low", (0.0, 0.0)),
        ("low", (0.9, 0.0, 0.0)),  # beyond high
        ("high", (0.8, 0.8, math.inf)),
        ("reach_min", 0.9),
        ("force", None),
    ],
)
def test_limits_that_cannot_be_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError):
        dataclasses.replace(LIMITS, **{name: value})


def test_a_config_names_only_what_it_narrows() -> None:
    limits = strictest(HARD_CAP, LIMITS, narrowed({"speed": 0.1, "low": [0.0, -0.8, 0.0]}))
    assert limits.speed == 0.1
    assert limits.low == (0.0, -0.8, 0.0)
    assert limits.force == LIMITS.force


def test_a_config_that_is_wider_has_no_effect() -> None:
    assert strictest(HARD_CAP, LIMITS, narrowed({"speed": 50.0, "force": 1e6})) == LIMITS


def test_an_unknown_limit_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown velocity; choose from low, high"):
        narrowed({"velocity": 0.1})


def test_boxes_that_do_not_overlap_leave_nothing() -> None:
    with pytest.raises(ValueError, match="no room along x"):
        strictest(HARD_CAP, LIMITS, narrowed({"low": [0.85, -1.0, 0.0]}))


def test_the_one_who_set_a_limit_is_known() -> None:
    whose = sources({"hard cap": HARD_CAP, "config": narrowed({"speed": 0.1}), "profile": LIMITS})
    assert (whose["speed"], whose["force"], whose["high.x"]) == ("config", "profile", "profile")


@st.composite
def limits_sets(draw: st.DrawFn) -> Limits:
    """Limits that overlap with all others of this kind."""
    positive = st.floats(0.01, 10.0)
    return Limits(
        low=tuple(draw(st.floats(-2.0, -0.1)) for _ in range(3)),  # type: ignore[arg-type]
        high=tuple(draw(st.floats(0.2, 2.0)) for _ in range(3)),  # type: ignore[arg-type]
        table=draw(st.floats(-0.1, 0.1)),
        reach_min=draw(st.floats(0.0, 0.3)),
        reach_max=draw(st.floats(0.4, 3.0)),
        step=draw(positive),
        tilt=draw(st.floats(0.0, 3.0)),
        speed=draw(positive),
        acceleration=draw(positive),
        force=draw(positive),
    )


@given(st.lists(limits_sets(), min_size=1, max_size=4))
def test_the_strictest_is_wider_than_none_and_set_by_one_of_them(all_of_them: list[Limits]) -> None:
    found = strictest(*all_of_them)
    for one in all_of_them:
        assert all(getattr(found, name) <= getattr(one, name) for name in LOWER_IS_STRICTER)
        assert all(getattr(found, name) >= getattr(one, name) for name in HIGHER_IS_STRICTER)
        assert all(found.low[i] >= one.low[i] and found.high[i] <= one.high[i] for i in range(3))
    for name in (*LOWER_IS_STRICTER, *HIGHER_IS_STRICTER):
        assert getattr(found, name) in [getattr(one, name) for one in all_of_them]


@given(limits_sets(), limits_sets(), st.tuples(*[st.floats(-2.5, 2.5)] * 3), st.floats(0.01, 12.0))
def test_what_the_strictest_allows_each_of_them_allows(
    one: Limits, other: Limits, position: tuple[float, float, float], speed: float
) -> None:
    command: dict[str, Any] = {"start": None, "target": Pose(position=position), "speed": speed}
    command |= {"acceleration": None, "deadline": None}
    allowed = []
    for limits in (strictest(one, other), one, other):
        try:
            check_move(limits, **command)
            allowed.append(True)
        except Refused:
            allowed.append(False)
    assert allowed[0] == (allowed[1] and allowed[2])


coordinate = st.floats(-2.0, 2.0)
point = st.tuples(coordinate, coordinate, coordinate)


@given(point, point, st.integers(1, 400))
def test_no_point_of_a_way_is_nearer_to_the_axis_than_its_distance(
    start: tuple[float, float, float], end: tuple[float, float, float], count: int
) -> None:
    nearest = axis_distance(start, end)
    sampled = []
    for i in range(count + 1):
        x, y = (a + (b - a) * i / count for a, b in zip(start[:2], end[:2], strict=True))
        sampled.append(math.hypot(x, y))
    assert nearest <= min(sampled) + 1e-9
    # Between two samples the distance falls by no more than half of what lies between them.
    assert min(sampled) <= nearest + math.dist(start[:2], end[:2]) / (2 * count) + 1e-9


@given(point, point, st.floats(-3.1, 3.1))
def test_the_distance_from_the_axis_is_the_same_both_ways_and_after_a_turn(
    start: tuple[float, float, float], end: tuple[float, float, float], angle: float
) -> None:
    def turned(p: tuple[float, float, float]) -> tuple[float, float, float]:
        c, s = math.cos(angle), math.sin(angle)
        return (c * p[0] - s * p[1], s * p[0] + c * p[1], p[2])

    expected = axis_distance(start, end)
    assert axis_distance(end, start) == pytest.approx(expected, abs=1e-9)
    assert axis_distance(turned(start), turned(end)) == pytest.approx(expected, abs=1e-9)


def test_a_way_past_the_base_is_as_near_as_its_foot() -> None:
    # From above: from (1, -1) to (1, 3), the foot of the perpendicular is (1, 0); from (1, 1) on, the start is nearest.
    assert axis_distance((1.0, -1.0, 0.0), (1.0, 3.0, 0.5)) == pytest.approx(1.0)
    assert axis_distance((1.0, 1.0, 0.0), (1.0, 3.0, 0.5)) == pytest.approx(math.sqrt(2))
    assert axis_distance((0.3, 0.4, 0.0), (0.3, 0.4, 0.9)) == pytest.approx(0.5)


@given(st.floats(0.0, 1.5), st.floats(-3.1, 3.1))
def test_a_lean_is_measured_whatever_the_turn(lean: float, turn: float) -> None:
    # Turn about z first, then lean about x: quaternion product q_lean * q_turn.
    a, b = lean / 2, turn / 2
    product = (
        math.sin(a) * math.cos(b),
        -math.sin(a) * math.sin(b),
        math.cos(a) * math.sin(b),
        math.cos(a) * math.cos(b),
    )
    assert quaternion_tilt(product) == pytest.approx(lean, abs=1e-9)
