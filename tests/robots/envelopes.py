"""Envelopes around fake arms, which several tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from robo_rlft.driver import Pose, Refused
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from tests.robots.fakes import FakeArm, FakeOperator
from tests.robots.fuzz import EXAMPLE

HERE = Pose(position=(0.4, 0.1, 0.3))
THERE = Pose(position=(0.5, 0.1, 0.3))
OUTSIDE = Pose(position=(0.81, 0.0, 0.3))


def guarded(arm: FakeArm, **options: Any) -> SafetyEnvelope:
    """Return a connected envelope around the arm that may move."""
    robot = SafetyEnvelope(
        **{"driver": arm, "profile": EXAMPLE, "dry_run": False, "operator": FakeOperator()} | options
    )
    robot.connect()
    return robot


def rule_of(command: Callable[[], object]) -> str:
    """Return the rule by which a command is refused."""
    with pytest.raises(Refused) as caught:
        command()
    return caught.value.rule
