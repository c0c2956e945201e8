"""A journal played back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_rlft.config import build
from robo_rlft.driver import (
    ConnectionLost,
    DeadlineExceeded,
    DriverError,
    Mode,
    OperatorNeeded,
    Pose,
    Refused,
    RobotDriver,
    RobotStopped,
)
from robo_rlft.perception import ViewError
from robo_rlft.robots.primitives import PickAndPlace
from robo_rlft.robots.recording.journal import JournalError
from robo_rlft.robots.recording.recorder import record
from robo_rlft.robots.recording.replay import ReplayDriver
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from tests.robots.fakes import SERIAL, FakeArm, FakeOperator
from tests.robots.fuzz import EXAMPLE, commands

HERE = Pose(position=(0.4, 0.1, 0.3))
THERE = Pose(position=(0.5, 0.1, 0.3))


def program(robot: RobotDriver, primitive: PickAndPlace) -> list[Any]:
    """Look, pick, place and look again; return all that was seen and said."""
    robot.connect()
    before = robot.observe()
    outcome = primitive(robot, pick=(0.4, -0.2), place=(0.5, 0.2), turn=0.5)
    seen = [outcome, robot.tool_pose(), robot.is_holding(), robot.status(), robot.force(), robot.serial()]
    views = [*before, *robot.observe()]
    robot.close()
    return [*seen, *(view.stamp for view in views), *(int(view.color.sum()) for view in views)]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_journal_of_an_envelope_is_played_back(tmp_path: Path, dry_run: bool) -> None:
    path = tmp_path / "journal.jsonl"
    arm = FakeArm()
    arm.faults.contact_at = 0.04
    robot = SafetyEnvelope(
        driver=arm, profile=EXAMPLE, dry_run=dry_run, confirm="run", operator=FakeOperator(), journal=path
    )
    primitive = PickAndPlace.within(robot.limits)
    recorded = program(robot, primitive)
    replayed = ReplayDriver(journal=path)
    assert program(replayed, primitive) == recorded
    assert replayed.left == 0


def test_a_journal_of_a_driver_without_an_envelope_is_played_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    arm = record(FakeArm(clock=lambda: 1.0), path)
    assert isinstance(arm, RobotDriver)
    primitive = PickAndPlace()
    assert program(ReplayDriver(journal=written(path, arm, primitive)), primitive) == program(
        FakeArm(clock=lambda: 1.0), primitive
    )


def written(path: Path, arm: RobotDriver, primitive: PickAndPlace) -> Path:
    program(arm, primitive)
    return path


def test_it_is_a_driver() -> None:
    assert issubclass(ReplayDriver, RobotDriver)


def test_views_come_back_bit_by_bit(tmp_path: Path) -> None:
    arm = record(FakeArm(), tmp_path / "journal.jsonl")
    arm.connect()
    (seen,) = arm.observe()
    (again,) = ReplayDriver(journal=tmp_path / "journal.jsonl").observe()
    for part in ("color", "depth", "intrinsics", "world_from_camera"):
        assert np.array_equal(getattr(seen, part), getattr(again, part))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionLost("a"),
        RobotStopped("b"),
        DeadlineExceeded("c"),
        OperatorNeeded("d"),
        Refused("e", rule="box"),
        ViewError("f"),
        DriverError("g"),
    ],
)
def test_a_recorded_error_is_raised_again_as_the_same_class(tmp_path: Path, error: DriverError) -> None:
    bare = FakeArm()
    arm = record(bare, tmp_path / "journal.jsonl")
    arm.connect()
    bare.faults.raises = error
    with pytest.raises(type(error)):
        arm.grip()
    with pytest.raises(type(error)) as caught:
        ReplayDriver(journal=tmp_path / "journal.jsonl").grip()
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)
    assert getattr(caught.value, "rule", None) == getattr(error, "rule", None)


def test_an_error_that_only_the_vendor_knows_comes_as_a_driver_error_by_its_name(tmp_path: Path) -> None:
    bare = FakeArm()
    arm = record(bare, tmp_path / "journal.jsonl")
    arm.connect()
    bare.faults.raises = ZeroDivisionError("in the vendor's client")
    with pytest.raises(ZeroDivisionError):
        arm.grip()
    with pytest.raises(DriverError, match="ZeroDivisionError: in the vendor's client"):
        ReplayDriver(journal=tmp_path / "journal.jsonl").grip()


def two_motions(path: Path) -> ReplayDriver:
    """Record HERE, THERE and play it back."""
    arm = record(FakeArm(), path)
    arm.connect()
    arm.move(HERE, speed=0.2)
    arm.move(THERE, speed=0.2)
    return ReplayDriver(journal=path)


def test_another_command_is_refused_with_both_and_the_recorded_one_stays_next(tmp_path: Path) -> None:
    replay = two_motions(tmp_path / "journal.jsonl")
    with pytest.raises(DriverError, match=r"line 3 recorded move\(target=.*what came is grip\(\)"):
        replay.grip()
    with pytest.raises(DriverError, match=r"speed=0\.2.*what came is move\(.*speed=0\.1"):
        replay.move(HERE, speed=0.1)
    with pytest.raises(DriverError, match="what came is move"):
        replay.move(THERE, speed=0.2)
    assert replay.move(HERE, speed=0.2).reached == HERE


def test_numbers_may_differ_within_the_tolerance(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    two_motions(path)
    x, y, z = HERE.position
    near, far = (Pose(position=(x + by, y, z)) for by in (0.9e-3, 1.1e-3))
    assert ReplayDriver(journal=path, tolerance=1e-3).move(near, speed=0.2).reached == HERE
    with pytest.raises(DriverError):
        ReplayDriver(journal=path, tolerance=1e-3).move(far, speed=0.2)


def test_after_the_last_command_comes_none(tmp_path: Path) -> None:
    replay = two_motions(tmp_path / "journal.jsonl")
    replay.move(HERE, speed=0.2)
    replay.move(THERE, speed=0.2)
    with pytest.raises(DriverError, match="ends after 2 commands"):
        replay.home()


def test_status_and_force_may_be_asked_as_often_as_one_likes(tmp_path: Path) -> None:
    bare = FakeArm()
    arm = record(bare, tmp_path / "journal.jsonl")
    arm.connect()
    arm.status()
    arm.grip()
    bare.faults.mode = Mode.PROTECTIVE_STOP
    bare.faults.force = (0.0, 0.0, 7.0)
    arm.status()
    arm.force()
    arm.tool_pose()
    replay = ReplayDriver(journal=tmp_path / "journal.jsonl")
    replay.connect()
    replay.connect()
    assert [replay.status().mode for _ in range(5)] == [Mode.OK] * 5
    replay.grip()
    assert [replay.status().mode for _ in range(5)] == [Mode.PROTECTIVE_STOP] * 5
    hurried = ReplayDriver(journal=tmp_path / "journal.jsonl")
    hurried.grip()
    assert hurried.status().mode is Mode.PROTECTIVE_STOP, "what was recorded before the grip is behind"
    replay.stop()
    replay.tool_pose()
    wrench = replay.force()
    assert wrench is not None and wrench.force == (0.0, 0.0, 7.0)


def test_what_was_never_recorded_has_a_plain_answer(tmp_path: Path) -> None:
    replay = two_motions(tmp_path / "journal.jsonl")
    assert (replay.status().mode, replay.force(), replay.serial()) == (Mode.OK, None, "replay")


def test_recorded_nonsense_is_refused_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    robot = SafetyEnvelope(driver=FakeArm(), profile=EXAMPLE, journal=path)

    def told(driver: RobotDriver) -> list[str]:
        rules = []
        for command in commands(1, 300):
            try:
                driver.move(**command.args)
                rules.append("accepted")
            except Refused as refusal:
                rules.append(refusal.rule)
        return rules

    robot.connect()
    recorded = told(robot)
    assert told(ReplayDriver(journal=path)) == recorded


def test_it_is_built_from_its_option(tmp_path: Path) -> None:
    two_motions(tmp_path / "journal.jsonl")
    node = {"_target_": "robo_rlft.robots.recording.replay.ReplayDriver", "journal": str(tmp_path / "journal.jsonl")}
    replay = build(node)
    assert isinstance(replay, ReplayDriver) and replay.left == 2


def test_a_journal_that_is_not_there_is_a_driver_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"none\.jsonl: cannot be read"):
        ReplayDriver(journal=tmp_path / "none.jsonl")


def test_the_serial_number_is_the_recorded_robots(tmp_path: Path) -> None:
    robot = SafetyEnvelope(driver=FakeArm(), profile=EXAMPLE, journal=tmp_path / "journal.jsonl")
    robot.connect()
    robot.serial()
    assert ReplayDriver(journal=tmp_path / "journal.jsonl").serial() == SERIAL
