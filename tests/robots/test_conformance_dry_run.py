"""A dry run is a driver as the contract says, and moves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from robo_rlft.driver import Motion, Pose
from robo_rlft.robots.conformance import DriverConformance, Thing
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from robo_rlft.robots.safety.limits import HARD_CAP
from robo_rlft.robots.safety.profile import Profile
from robo_rlft.sim.floating import FloatingGripper
from tests.robots.test_conformance_sim import BLOCK, gripper_with_a_block


class Yes:
    """An operator who agrees to everything."""

    name = "the test"

    def approve(self, question: str) -> bool:
        return True

    def type_serial(self, question: str) -> str:
        return "simulated"


class Bolted:
    """The gripper with its motions taken away: whatever would move fails the test."""

    def __init__(self, gripper: FloatingGripper) -> None:
        self._gripper = gripper
        for name in ("connect", "close", "serial", "status", "observe", "tool_pose", "force", "is_holding"):
            setattr(self, name, getattr(gripper, name))

    def home_way(self, start: Pose) -> tuple[Pose, ...]:
        return (Pose(position=(0.5, 0.0, 0.6)),)

    def move(self, target: Pose, **told: object) -> Motion:
        raise AssertionError("a dry run moved the robot")

    def home(self) -> None:
        raise AssertionError("a dry run sent the robot home")

    def grip(self) -> None:
        raise AssertionError("a dry run gripped")

    def release(self) -> None:
        raise AssertionError("a dry run released")

    def stop(self) -> None:
        raise AssertionError("a dry run stopped a robot that it never moved")

    def wait(self) -> None:
        raise AssertionError("a dry run waited for the robot")

    def recover(self, *, operator: str) -> None:
        raise AssertionError("a dry run took the robot back into use")


def profile(serial: str = "simulated") -> Profile:
    return Profile(robot="a test's", serial=serial, limits=HARD_CAP)


class TestDryRun(DriverConformance):
    moves = False

    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[SafetyEnvelope]:
        gripper = gripper_with_a_block()
        yield SafetyEnvelope(
            driver=Bolted(gripper), profile=profile(), operator=Yes(), journal=tmp_path / "journal.jsonl"
        )
        gripper.close()

    @pytest.fixture
    def thing(self) -> Thing:
        return BLOCK
