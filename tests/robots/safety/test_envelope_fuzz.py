"""10,000 commands, nearly all of them nonsense: none that leaves the limits reaches the arm."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robo_rlft.driver import Pose, Refused
from robo_rlft.robots.recording.journal import read_journal
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from robo_rlft.robots.safety.limits import RULES
from tests.robots import fuzz
from tests.robots.fakes import FakeArm, FakeOperator

COUNT = 10_000
LEGAL = Pose(position=fuzz.CENTER)


def inside(sent: Mapping[str, Any], start: Pose) -> bool:
    """Tell whether a motion is within the example's limits, in arithmetic of its own and plain numbers only."""
    (x, y, z), (i, j, k, w) = sent["target"].position, sent["target"].quaternion
    numbers = [x, y, z, i, j, k, w, sent["speed"], sent["acceleration"], sent["deadline"] or 1.0]
    if not all(type(number) is float and math.isfinite(number) for number in numbers):
        return False
    return (
        0.2 <= x <= 0.8
        and -0.55 <= y <= 0.55
        and -0.005 <= z <= 0.7
        and x * x + y * y >= 0.18**2
        and x * x + y * y + z * z <= 0.85**2
        and math.dist((x, y, z), start.position) <= 0.3
        and abs(i * i + j * j + k * k + w * w - 1) < 0.01
        and 1 - 2 * (i * i + j * j) >= math.cos(0.05)  # the tool's axis, against straight down
        and 0 < sent["speed"] <= 0.25
        and 0 < sent["acceleration"] <= 0.8
        and numbers[-1] > 0
    )


def test_ten_thousand_commands_break_every_rule_and_none_reaches_the_arm(tmp_path: Path) -> None:
    arm = FakeArm(start=LEGAL)
    journal = tmp_path / "journal.jsonl"
    robot = SafetyEnvelope(
        driver=arm,
        profile=fuzz.EXAMPLE,
        limits=fuzz.NARROWED,
        dry_run=False,
        confirm="run",
        operator=FakeOperator(),
        journal=journal,
    )
    robot.connect()
    assert robot.limits == fuzz.limits()
    refused: Counter[str] = Counter()
    accepted = 0
    for n, command in enumerate(fuzz.commands(0, COUNT)):
        start = arm.pose
        arm.calls.clear()
        try:
            robot.move(**command.args)
            accepted += 1
            assert [inside(sent, start) for sent in arm.told()] == [True], command
        except Refused as refusal:
            refused[refusal.rule] += 1
            assert arm.told() == [] and arm.pose == start, command
        if n % 100 == 99:
            robot.move(LEGAL, speed=0.25)
            assert arm.pose == LEGAL
    assert set(refused) == set(RULES) - {"force"}, "no command presses; that rule is about what is felt"
    assert min(refused.values()) >= 50, refused
    assert accepted + refused.total() == COUNT
    assert accepted == sum(command.aim == "legal" for command in fuzz.commands(0, COUNT)) > 100
    moves = [entry for entry in read_journal(journal) if entry.call == "move"]
    assert len(moves) == COUNT + COUNT // 100, "every command is written down, however odd"


def test_the_commands_are_the_same_for_a_seed_and_others_for_another() -> None:
    def shown(seed: int) -> list[str]:
        return [f"{command.aim} {command.args.get('deadline')}" for command in fuzz.commands(seed, 200)]

    assert shown(3) == shown(3)
    assert shown(3) != shown(4)
