"""`deploy robot=real_ur` against the emulated controller: dry runs send nothing, bad pictures decide nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robo_rlft.commands import cli
from robo_rlft.robots.stage import StageClient
from robo_rlft.tasks.put_block_in_bowl import PutBlockInBowl
from tests.robots.controller import controller

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "cell.yaml"
SCENE = PutBlockInBowl().scene(split="seen", phase="val", seed=3)
SENT = ("motion_messages", "programs", "digital_outputs", "stop_messages")


@pytest.fixture(scope="module")
def emulator() -> Iterator[tuple[str, StageClient]]:
    with controller() as running:
        yield running


def deployed(emulator: tuple[str, StageClient], folder: Path) -> tuple[int, dict[str, Any], dict[str, int]]:
    """Return the exit code of a dry run, what it wrote, and what the controller was sent meanwhile."""
    host, stage = emulator
    before = stage.counts()
    words = ["deploy", "robot=real_ur", f"robot.host={host}", f"robot.profile={EXAMPLE}", "camera=loopback"]
    words += [f"camera.host={host}", "robot.home=[0.5,0,0.62,0]", f"instruction='{SCENE.instruction}'", "threads=1"]
    code = cli.main([*words, f"output={folder}"])
    after = stage.counts()
    results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return code, results["sentences"][0], {name: after[name] - before[name] for name in SENT}


def test_a_dry_run_draws_its_plan_and_sends_nothing(emulator: tuple[str, StageClient], tmp_path: Path) -> None:
    emulator[1].clear()
    emulator[1].build(SCENE.bodies, SCENE.poses)
    code, course, sent = deployed(emulator, tmp_path / "run")
    assert code == 0 and course["outcome"] == "dry run"
    assert set(sent.values()) == {0}
    assert (tmp_path / "run" / course["attempts"][0]["picture"]).stat().st_size > 10_000
    entries = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    kinds = {entry.get("event") for entry in entries}
    assert "planned" in kinds and "sent" not in kinds


@pytest.mark.parametrize("fault", ["camera_drop", "camera_freeze", "camera_nan", "camera_wrong_size"])
def test_a_bad_picture_decides_nothing(emulator: tuple[str, StageClient], tmp_path: Path, fault: str) -> None:
    emulator[1].clear()
    emulator[1].build(SCENE.bodies, SCENE.poses)
    emulator[1].fault(fault)
    try:
        _, course, sent = deployed(emulator, tmp_path / "run")
    finally:
        emulator[1].clear()
    assert course["outcome"] == "no picture" and course["attempts"] == []
    assert set(sent.values()) == {0} and not list((tmp_path / "run").glob("plan-*.png"))
