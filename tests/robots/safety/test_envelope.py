"""The safety envelope: nobody leaves it, and what it refuses."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from robo_rlft.driver import (
    DriverError,
    Motion,
    Pose,
    Refused,
    RobotDriver,
)
from robo_rlft.perception import ViewError
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from robo_rlft.robots.safety.limits import HARD_CAP
from robo_rlft.robots.safety.profile import ProfileError, read_profile
from tests.robots.envelopes import OUTSIDE, THERE, guarded, rule_of
from tests.robots.fakes import SERIAL, FakeArm
from tests.robots.fuzz import EXAMPLE


def test_it_is_a_driver() -> None:
    assert isinstance(guarded(FakeArm()), RobotDriver)


def test_no_public_attribute_leads_to_the_bare_driver() -> None:
    arm = FakeArm()
    robot = guarded(arm)
    public = [name for name in dir(robot) if not name.startswith("_")]
    assert all(getattr(robot, name) is not arm for name in public)
    assert all(value is not arm for value in vars(robot).values())


def test_what_only_the_bare_driver_has_is_not_forwarded() -> None:
    robot = guarded(FakeArm())
    for name in ("faults", "calls", "home_way", "on_state", "pose"):
        with pytest.raises(AttributeError):
            getattr(robot, name)


@pytest.mark.parametrize("name", ["move", "stop", "observe", "recover", "limits", "dry_run", "action", "__getattr__"])
def test_a_subclass_that_overrides_what_is_guarded_cannot_be_defined(name: str) -> None:
    with pytest.raises(TypeError, match=rf"Sly\.{name} would override SafetyEnvelope\.{name}"):
        type("Sly", (SafetyEnvelope,), {name: lambda self: None})


def test_nor_can_it_inherit_them_from_elsewhere() -> None:
    class Free:
        def move(self, target: Pose, **options: Any) -> Motion:
            raise AssertionError

    with pytest.raises(TypeError, match="move"):
        type("Sly", (Free, SafetyEnvelope), {})


def test_a_subclass_may_have_a_constructor_of_its_own() -> None:
    class Real(SafetyEnvelope):
        def __init__(self, *, host: str) -> None:
            super().__init__(driver=FakeArm(), profile=EXAMPLE)
            self.host = host

    assert Real(host="127.0.0.2").dry_run


def test_a_subclass_that_keeps_the_bare_driver_cannot_be_made() -> None:
    class Leaky(SafetyEnvelope):
        def __init__(self) -> None:
            self.arm = FakeArm()
            super().__init__(driver=self.arm, profile=EXAMPLE)

    with pytest.raises(TypeError, match=r"Leaky\.arm hands out the bare driver"):
        Leaky()


@pytest.mark.parametrize("name", ["limits", "dry_run", "move", "_SafetyEnvelope__guard"])
def test_what_guards_cannot_be_replaced_later(name: str) -> None:
    robot = guarded(FakeArm())
    with pytest.raises(AttributeError):
        setattr(robot, name, None)


def test_without_a_profile_nothing_is_connected() -> None:
    arm = FakeArm()
    robot = SafetyEnvelope(driver=arm, profile=None)
    with pytest.raises(DriverError, match="no profile.*docs/examples/cell.yaml"):
        robot.connect()
    assert arm.calls == []
    assert robot.limits == HARD_CAP


def test_a_profile_that_cannot_be_read_is_an_error_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(ProfileError):
        SafetyEnvelope(driver=FakeArm(), profile=tmp_path / "none.yaml")


def test_another_robot_than_the_profiles_is_not_connected_to() -> None:
    arm = FakeArm(number="99")
    with pytest.raises(DriverError, match=f"'99'.*'{SERIAL}'"):
        guarded(arm)
    assert not arm.connected


def test_the_effective_limit_is_the_strictest_and_a_refusal_says_whose_it_is() -> None:
    wide = dataclasses.replace(read_profile(EXAMPLE), limits=dataclasses.replace(read_profile(EXAMPLE).limits, speed=9))
    for options, speed, setter in (
        ({"limits": {"speed": 0.1}}, 0.1, "config"),
        ({"limits": {"speed": 5.0}}, 0.25, "profile"),
        ({"profile": wide}, 1.0, "hard cap"),
    ):
        robot = guarded(FakeArm(), **options)
        assert robot.limits.speed == speed
        with pytest.raises(Refused, match=rf"speed: .* at most {speed:g} m/s \(set by the {setter}\)"):
            robot.move(THERE, speed=speed + 0.01)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limits": {"speed": math.nan}}, "limits.speed"),
        ({"limits": {"low": [1.0, 0.0, 0.0]}}, "no room along x"),
        ({"stale": 1.0}, "at most 0.2"),
        ({"stale": math.nan}, "stale"),
        ({"confirm": "never"}, "confirm"),
        ({"dry_run": "no"}, "dry_run"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SafetyEnvelope(**{"driver": FakeArm(), "profile": EXAMPLE} | options)


def test_a_motion_within_the_limits_is_sent_as_it_is() -> None:
    arm = FakeArm()
    motion = guarded(arm).move(THERE, speed=0.2, acceleration=0.3, stop_on_contact=True, deadline=5)
    assert motion == Motion(reached=THERE, contact=False)
    assert arm.told() == [
        {"target": THERE, "speed": 0.2, "acceleration": 0.3, "stop_on_contact": True, "deadline": 5.0}
    ]


def test_only_an_acceleration_of_none_is_filled_in() -> None:
    arm = FakeArm()
    guarded(arm, limits={"acceleration": 0.4}).move(THERE, speed=0.2)
    assert arm.told("move")[0]["acceleration"] == 0.4


def test_a_refused_motion_is_not_sent_and_the_next_one_is() -> None:
    arm = FakeArm()
    robot = guarded(arm)
    assert rule_of(lambda: robot.move(OUTSIDE, speed=0.2)) == "box"
    assert arm.told() == []
    robot.move(THERE, speed=0.2)
    assert len(arm.told("move")) == 1


def test_what_is_checked_is_what_is_sent() -> None:
    class Changing:
        """A target that is harmless when first looked at."""

        quaternion = (0.0, 0.0, 0.0, 1.0)
        looks = 0

        @property
        def position(self) -> tuple[float, float, float]:
            Changing.looks += 1
            return THERE.position if Changing.looks < 3 else (5.0, 5.0, 5.0)

    arm = FakeArm()
    guarded(arm).move(Changing(), speed=0.2)  # type: ignore[arg-type]
    assert type(arm.told("move")[0]["target"]) is Pose
    assert arm.told("move")[0]["target"] == THERE


@pytest.mark.parametrize(
    ("home", "rule"),
    [
        (OUTSIDE, "box"),
        (Pose(position=(0.8, 0.5, 0.3)), "reach"),
        (Pose(position=(0.4, 0.0, 0.3), quaternion=(0.1, 0.0, 0.0, math.sqrt(0.99))), "tilt"),
        (Pose(position=(0.4, 0.0, math.nan)), "finite"),
    ],
)
def test_home_outside_of_the_limits_is_refused(home: Pose, rule: str) -> None:
    arm = FakeArm(homing=home)
    robot = guarded(arm)
    assert rule_of(robot.home) == rule
    assert arm.told() == []


def test_an_unknown_home_is_refused_and_says_how_to_make_it_known() -> None:
    arm = FakeArm(homing=None)
    with pytest.raises(Refused, match="home_way"):
        guarded(arm).home()
    assert arm.told() == []


@pytest.mark.parametrize(("fault", "words"), [("nan_depth", "NaN"), ("frozen", "frozen")])
def test_a_view_that_cannot_be_used_is_an_error_and_never_given(fault: str, words: str) -> None:
    arm = FakeArm()
    robot = guarded(arm)
    robot.observe()
    setattr(arm.faults, fault, True)
    with pytest.raises(ViewError, match=words):
        robot.observe()
    setattr(arm.faults, fault, False)
    assert len(robot.observe()) == 1


def test_a_view_less_than_before_is_an_error() -> None:
    arm = FakeArm()
    look = arm.observe
    arm.observe = lambda: look() * 2  # type: ignore[method-assign]
    robot = guarded(arm)
    assert len(robot.observe()) == 2
    arm.observe = look  # type: ignore[method-assign]
    with pytest.raises(ViewError, match="a camera dropped out"):
        robot.observe()


def test_a_way_home_that_leaves_the_limits_before_its_end_is_refused() -> None:
    arm = FakeArm()
    arm.home_way = lambda start: (Pose(position=(0.4, 0.0, 2.0)), Pose(position=(0.3, 0.0, 0.4)))  # type: ignore[method-assign]
    assert rule_of(guarded(arm).home) == "box"
    assert arm.told() == []
