"""What the safety envelope does after an error, and how it is stopped."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from robo_rlft.driver import (
    ConnectionLost,
    DeadlineExceeded,
    DriverError,
    Mode,
    OperatorNeeded,
    RobotStopped,
)
from tests.robots.envelopes import HERE, THERE, guarded, rule_of
from tests.robots.fakes import HOME, FakeArm, FakeOperator


def broken(name: str) -> tuple[FakeArm, type[DriverError]]:
    """Return an arm with one fault, and what the next motion comes to."""
    arm = FakeArm()
    errors: dict[str, type[DriverError]] = {
        "stale": ConnectionLost,
        "age is no number": ConnectionLost,
        "silent": ConnectionLost,
        "protective stop": RobotStopped,
        "emergency stop": RobotStopped,
        "force afterwards": RobotStopped,
        "late": DeadlineExceeded,
        "driver's own": DriverError,
        "driver's mistake": DriverError,
    }
    faults: dict[str, dict[str, Any]] = {
        "stale": {"age": 0.21},
        "age is no number": {"age": math.nan},
        "silent": {"silent": True},
        "protective stop": {"mode": Mode.PROTECTIVE_STOP},
        "emergency stop": {"mode": Mode.EMERGENCY_STOP},
        "force afterwards": {"force_after": (0.0, 0.0, 41.0)},
        "late": {"raises": DeadlineExceeded("too late")},
        "driver's own": {"raises": DriverError("the gripper's valve is stuck")},
        "driver's mistake": {"raises": ZeroDivisionError("in the vendor's client")},
    }
    for key, value in faults[name].items():
        setattr(arm.faults, key, value)
    return arm, errors[name]


FAULTS = [
    "stale",
    "age is no number",
    "silent",
    "protective stop",
    "emergency stop",
    "force afterwards",
    "late",
    "driver's own",
    "driver's mistake",
]


@pytest.mark.parametrize("name", FAULTS)
def test_after_an_error_nothing_is_sent_until_a_person_has_looked(name: str) -> None:
    arm = FakeArm()
    robot = guarded(arm)
    faulty, error = broken(name)
    arm.faults = faulty.faults
    with pytest.raises(error):
        robot.move(THERE, speed=0.2)
    arm.faults = FakeArm().faults  # all is well again, by itself
    arm.calls.clear()
    for command in (lambda: robot.move(HERE, speed=0.2), robot.home, robot.grip, robot.release):
        with pytest.raises(OperatorNeeded, match="recover"):
            command()
    assert arm.told() == []
    robot.recover(operator="Ada")
    robot.move(HERE, speed=0.2)
    assert arm.pose == HERE


def test_the_cause_of_a_drivers_mistake_is_kept() -> None:
    arm, _ = broken("driver's mistake")
    with pytest.raises(DriverError, match="ZeroDivisionError: in the vendor's client") as caught:
        guarded(arm).move(THERE, speed=0.2)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert len(arm.told("stop")) == 1, "nobody knows what the arm is doing"


def test_an_interrupt_stops_the_arm_and_latches() -> None:
    arm = FakeArm()
    arm.faults.raises = KeyboardInterrupt()
    robot = guarded(arm)
    with pytest.raises(KeyboardInterrupt):
        robot.move(THERE, speed=0.2)
    assert len(arm.told("stop")) == 1
    with pytest.raises(OperatorNeeded):
        robot.grip()


def test_what_pushes_before_a_motion_is_a_refusal_by_the_rule_force() -> None:
    arm = FakeArm()
    arm.faults.force = (0.0, 30.0, -30.0)  # 42 N
    robot = guarded(arm)
    assert rule_of(lambda: robot.move(THERE, speed=0.2)) == "force"
    arm.faults.force = (0.0, 0.0, math.nan)
    assert rule_of(lambda: robot.move(THERE, speed=0.2)) == "force"
    assert arm.told() == []
    arm.faults.force = None
    robot.move(THERE, speed=0.2)


def test_a_force_in_mid_motion_stops_the_arm_at_once() -> None:
    arm = FakeArm()

    def presses() -> None:
        """Say while moving that something pushes, as a driver's supervisor does."""
        arm.moving.wait(2.0)
        arm.on_state({"force": (0.0, 0.0, 60.0), "mode": "ok"})

    arm.faults.hold = threading.Event()
    robot = guarded(arm)
    supervisor = threading.Thread(target=presses)
    supervisor.start()
    with pytest.raises(RobotStopped, match="60 N push at the tool, allowed are 40 N"):
        robot.move(THERE, speed=0.2)
    supervisor.join()
    assert len(arm.told("stop")) == 1


def test_reading_goes_on_after_an_error() -> None:
    arm, error = broken("protective stop")
    robot = guarded(arm)
    with pytest.raises(error):
        robot.move(THERE, speed=0.2)
    assert robot.status().mode is Mode.PROTECTIVE_STOP
    assert robot.tool_pose() == HOME
    assert len(robot.observe()) == 1


@pytest.mark.parametrize("name", ["tool_pose", "force", "is_holding", "observe"])
def test_nothing_is_read_from_a_robot_whose_last_word_is_old(name: str) -> None:
    arm = FakeArm()
    robot = guarded(arm)
    arm.faults.age = 0.3
    with pytest.raises(ConnectionLost, match=r"0\.3 s old, allowed are 0\.2 s"):
        getattr(robot, name)()
    arm.faults.age = 0.0
    with pytest.raises(OperatorNeeded):
        robot.grip()


def test_recovery_needs_a_person_who_says_yes() -> None:
    for operator in (None, FakeOperator(yes=False)):
        arm, error = broken("protective stop")
        robot = guarded(arm, operator=operator)
        with pytest.raises(error):
            robot.move(THERE, speed=0.2)
        arm.faults.mode = Mode.OK
        assert rule_of(lambda robot=robot: robot.recover(operator="a script")) == "operator"  # type: ignore[misc]
        with pytest.raises(OperatorNeeded):
            robot.grip()
        assert arm.told() == []


def test_recovery_unlocks_nothing() -> None:
    arm, error = broken("emergency stop")
    robot = guarded(arm)
    with pytest.raises(error):
        robot.move(THERE, speed=0.2)
    with pytest.raises(DriverError, match="unlock it by hand"):
        robot.recover(operator="Ada")
    with pytest.raises(OperatorNeeded):
        robot.grip()


def test_another_robot_at_the_same_address_is_not_recovered() -> None:
    arm, error = broken("protective stop")
    robot = guarded(arm)
    with pytest.raises(error):
        robot.grip()
    arm.faults.mode, arm.number = Mode.OK, "20260000002"
    with pytest.raises(DriverError, match="20260000002"):
        robot.recover(operator="Ada")
    with pytest.raises(OperatorNeeded):
        robot.grip()
    assert not arm.connected


def test_a_new_connection_is_no_recovery() -> None:
    arm, error = broken("stale")
    robot = guarded(arm)
    with pytest.raises(error):
        robot.move(THERE, speed=0.2)
    arm.faults.age = 0.0
    robot.close()
    robot.connect()
    with pytest.raises(OperatorNeeded):
        robot.grip()


def test_stop_ends_a_motion_from_another_thread_and_latches() -> None:
    arm = FakeArm()
    arm.faults.hold = threading.Event()
    robot = guarded(arm)
    caught: list[BaseException] = []

    def moving() -> None:
        try:
            robot.move(THERE, speed=0.2)
        except DriverError as error:
            caught.append(error)

    mover = threading.Thread(target=moving)
    mover.start()
    assert arm.moving.wait(2.0)
    robot.stop()
    mover.join(2.0)
    assert not mover.is_alive()
    assert isinstance(caught[0], RobotStopped)
    with pytest.raises(OperatorNeeded):
        robot.grip()


def test_stop_within_an_action_ends_the_action() -> None:
    arm = FakeArm()
    robot = guarded(arm)
    with robot.action("put the red block into the bowl"):
        robot.move(THERE, speed=0.2)
        robot.stop()
        with pytest.raises(OperatorNeeded):
            robot.move(HERE, speed=0.2)
    assert arm.pose == THERE


def test_a_stop_that_comes_just_before_the_driver_begins_is_not_lost() -> None:
    arm = FakeArm()
    robot = guarded(arm)
    act = arm._act

    def stopped_first() -> None:  # a driver forgets what came before its motion
        robot.stop()
        act()

    arm._act = stopped_first  # type: ignore[method-assign]
    with pytest.raises(RobotStopped, match="stop was called"):
        robot.move(THERE, speed=0.2)
    assert len(arm.told("stop")) == 2, "again, now that it moves"


def test_stop_during_the_question_about_an_action_keeps_it_from_beginning() -> None:
    arm = FakeArm()
    operator = FakeOperator()
    robot = guarded(arm, operator=operator)
    operator.approve = lambda question: robot.stop() is None  # type: ignore[method-assign]
    with pytest.raises(RobotStopped, match="before 'put it there'"), robot.action("put it there"):
        robot.move(THERE, speed=0.2)
    assert arm.told("move") == []


def test_stop_when_nothing_moves_changes_nothing() -> None:
    robot = guarded(FakeArm())
    robot.stop()
    assert robot.move(THERE, speed=0.2).reached == THERE


def test_stop_always_passes() -> None:
    arm, error = broken("protective stop")
    robot = guarded(arm, operator=None)
    with pytest.raises(error):
        robot.grip()
    robot.stop()
    assert len(arm.told("stop")) == 1


def test_close_stops_what_moves() -> None:
    arm = FakeArm()
    arm.faults.hold = threading.Event()
    robot = guarded(arm)

    def moving() -> None:
        with pytest.raises(RobotStopped):
            robot.move(THERE, speed=0.2)

    mover = threading.Thread(target=moving)
    mover.start()
    assert arm.moving.wait(2.0)
    robot.close()
    mover.join(2.0)
    assert not mover.is_alive() and not arm.connected


@pytest.mark.parametrize("name", ["move", "home", "grip", "release", "tool_pose", "observe", "is_holding", "recover"])
def test_without_a_connection_a_command_is_a_driver_error(name: str) -> None:
    robot = guarded(FakeArm())
    robot.close()
    options: dict[str, Any] = {"move": {"target": THERE, "speed": 0.2}, "recover": {"operator": "Ada"}}.get(name, {})
    with pytest.raises(DriverError, match="connect"):
        getattr(robot, name)(**options)
