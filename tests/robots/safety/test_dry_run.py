"""A rehearsal: everything is checked and planned, nothing moves."""

from __future__ import annotations

import itertools

import pytest

from robo_rlft.driver import (
    ConnectionLost,
    Motion,
    Pose,
)
from robo_rlft.robots.primitives import PickAndPlace
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from tests.robots.envelopes import OUTSIDE, THERE, rule_of
from tests.robots.fakes import HOME, FakeArm, FakeOperator
from tests.robots.fuzz import EXAMPLE


def test_a_dry_run_is_the_default_and_sends_nothing_for_a_whole_pick_and_place() -> None:
    arm = FakeArm()
    robot = SafetyEnvelope(driver=arm, profile=EXAMPLE)
    robot.connect()
    assert robot.dry_run
    outcome = PickAndPlace.within(robot.limits)(robot, pick=(0.4, -0.2), place=(0.5, 0.2), turn=0.5)
    robot.stop()
    robot.close()
    assert outcome.gripped and outcome.carried
    assert arm.told() == []
    assert {name for name, _ in arm.calls} <= {
        "connect",
        "close",
        "serial",
        "status",
        "observe",
        "tool_pose",
        "force",
        "is_holding",
    }
    assert [one.command for one in robot.planned] == [*["move"] * 3, "grip", *["move"] * 5, "release", "home"]
    for before, after in itertools.pairwise(robot.planned):
        assert after.start == before.target, "the plan is one unbroken way"


def test_a_dry_run_refuses_what_the_robot_would_refuse() -> None:
    arm = FakeArm()
    robot = SafetyEnvelope(driver=arm, profile=EXAMPLE, limits={"step": 0.8})
    robot.connect()
    assert rule_of(lambda: robot.move(OUTSIDE, speed=0.2)) == "box"
    far = Pose(position=(0.4, 0.5, 0.3))
    robot.move(far, speed=0.2)
    # 1 m from where the plan has come to, half of that from where the robot is.
    assert rule_of(lambda: robot.move(Pose(position=(0.4, -0.5, 0.3)), speed=0.2)) == "step"
    assert [one.target for one in robot.planned] == [far]


def test_a_dry_run_follows_its_plan() -> None:
    robot = SafetyEnvelope(driver=FakeArm(), profile=EXAMPLE)
    robot.connect()
    assert (robot.tool_pose(), robot.is_holding()) == (HOME, False)
    assert robot.move(THERE, speed=0.2, stop_on_contact=True) == Motion(reached=THERE, contact=False)
    robot.grip()
    assert (robot.tool_pose(), robot.is_holding()) == (THERE, True)
    robot.release()
    assert not robot.is_holding()
    robot.home()
    assert robot.tool_pose() == HOME


def test_a_dry_run_notices_a_lost_robot() -> None:
    arm = FakeArm()
    robot = SafetyEnvelope(driver=arm, profile=EXAMPLE)
    robot.connect()
    arm.faults.age = 5.0
    with pytest.raises(ConnectionLost):
        robot.move(THERE, speed=0.2)


def test_a_dry_run_asks_nobody() -> None:
    operator = FakeOperator()
    robot = SafetyEnvelope(driver=FakeArm(), profile=EXAMPLE, operator=operator)
    robot.connect()
    with robot.action("put the red block into the bowl"):
        robot.move(THERE, speed=0.2)
    assert operator.questions == []
