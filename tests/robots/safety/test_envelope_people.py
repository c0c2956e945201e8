"""Whom the safety envelope asks, and when."""

from __future__ import annotations

import threading

import pytest

from robo_rlft.driver import (
    Mode,
    Refused,
    RobotStopped,
)
from robo_rlft.robots.safety.operator import NoOperator
from tests.robots.envelopes import THERE, guarded, rule_of
from tests.robots.fakes import SERIAL, FakeArm, FakeOperator


@pytest.mark.parametrize("operator", [None, NoOperator()])
@pytest.mark.parametrize("confirm", ["each", "run"])
def test_without_an_operator_nothing_moves(operator: NoOperator | None, confirm: str) -> None:
    arm = FakeArm()
    robot = guarded(arm, operator=operator, confirm=confirm)
    for command in (lambda: robot.move(THERE, speed=0.2), robot.home, robot.grip, robot.release):
        with pytest.raises(Refused, match="nobody is there to confirm it"):
            command()
    assert arm.told() == []


def test_a_no_is_a_refusal_and_nothing_is_sent() -> None:
    arm = FakeArm()
    robot = guarded(arm, operator=FakeOperator(yes=False))
    assert rule_of(lambda: robot.move(THERE, speed=0.2)) == "operator"
    assert arm.told() == []


def test_each_motion_is_asked_about_outside_of_an_action() -> None:
    operator = FakeOperator()
    robot = guarded(FakeArm(), operator=operator)
    robot.move(THERE, speed=0.2)
    robot.grip()
    assert len(operator.questions) == 2
    assert SERIAL in operator.questions[0] and "x 0.500, y 0.100, z 0.300 m at 0.2 m/s" in operator.questions[0]


def test_an_action_is_asked_about_once_and_so_is_one_within_it() -> None:
    operator = FakeOperator()
    robot = guarded(FakeArm(), operator=operator)
    with robot.action("put the red block into the bowl"), robot.action("pick it"):
        robot.move(THERE, speed=0.2)
        robot.grip()
    assert len(operator.questions) == 1 and "put the red block into the bowl" in operator.questions[0]
    robot.release()
    assert len(operator.questions) == 2


def test_an_action_covers_no_other_thread() -> None:
    operator = FakeOperator()
    robot = guarded(FakeArm(), operator=operator)
    with robot.action("put the red block into the bowl"):
        other = threading.Thread(target=lambda: robot.move(THERE, speed=0.2))
        other.start()
        other.join()
    assert len(operator.questions) == 2


def test_an_action_that_is_not_approved_does_not_begin() -> None:
    robot = guarded(FakeArm(), operator=FakeOperator(yes=False))
    with pytest.raises(Refused), robot.action("put the red block into the bowl"):
        raise AssertionError("it began")


def test_a_run_is_confirmed_once_by_typing_the_serial_number() -> None:
    operator = FakeOperator(serials=["wrong", f" {SERIAL} "])
    arm = FakeArm()
    robot = guarded(arm, confirm="run", operator=operator)
    robot.move(THERE, speed=0.2)
    robot.home()
    with robot.action("another"):
        robot.grip()
    assert len(operator.questions) == 2, "one wrong answer, one right one, and nothing more"
    assert len(arm.told()) == 3


def test_three_wrong_serial_numbers_are_a_refusal() -> None:
    operator = FakeOperator(serials=[""])
    arm = FakeArm()
    robot = guarded(arm, confirm="run", operator=operator)
    assert rule_of(lambda: robot.move(THERE, speed=0.2)) == "operator"
    assert len(operator.questions) == 3
    assert arm.told() == []


def test_a_new_connection_asks_for_a_runs_confirmation_anew() -> None:
    operator = FakeOperator()
    robot = guarded(FakeArm(), confirm="run", operator=operator)
    robot.grip()
    robot.close()
    robot.connect()
    robot.grip()
    assert len(operator.questions) == 2


def test_the_world_is_looked_at_again_after_the_question() -> None:
    arm = FakeArm()

    class Slow(FakeOperator):
        def approve(self, question: str) -> bool:
            arm.faults.mode = Mode.EMERGENCY_STOP  # pressed while the question stood
            return True

    robot = guarded(arm, operator=Slow())
    with pytest.raises(RobotStopped):
        robot.move(THERE, speed=0.2)
    assert arm.told() == []
