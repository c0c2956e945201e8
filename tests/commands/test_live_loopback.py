"""`collect` and `train` on a real arm's own driver, against the emulated controller: no scene is laid but by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from robo_rlft.commands import live
from robo_rlft.commands.cli import main
from robo_rlft.commands.deploy.prompts import ConsoleOperator
from robo_rlft.data.episodes import read_episodes
from robo_rlft.robots.stage import StageClient
from robo_rlft.tasks.put_block_in_bowl import PutBlockInBowl
from tests.commands.test_live import POLICY, TUNE
from tests.commands.test_train import BC, TINY
from tests.robots.controller import controller

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "cell.yaml"
SCENE = PutBlockInBowl().scene(split="seen", phase="train", seed=3)


@pytest.fixture(scope="module")
def emulator() -> Iterator[tuple[str, StageClient]]:
    with controller() as running:
        yield running


def test_a_person_lays_judges_and_approves_and_the_arm_learns(
    emulator: tuple[str, StageClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, stage = emulator
    asked: list[str] = []

    def person(question: str) -> str:
        asked.append(question)
        if question.startswith("Lay the table"):
            stage.clear()
            stage.build(SCENE.bodies, SCENE.poses)
            return ""
        return "yes"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(live, "ConsoleOperator", lambda name: ConsoleOperator(name="ada", ask=person))
    Path("sentences.txt").write_text(f"{SCENE.instruction}\n")
    threads = torch.get_num_threads()
    assert main(["collect", "episodes=4", "output=demos", "rotations=2", "threads=1", TINY[0]]) == 0
    assert main(["train", *BC, "data=demos", "output=bc"]) == 0
    arm = ["robot=real_ur", f"robot.host={host}", f"robot.profile={EXAMPLE}", "camera=loopback", f"camera.host={host}"]
    arm += ["robot.home=[0.5,0,0.62,0]", "robot.dry_run=false", "instructions=sentences.txt", "reward.ask=keyboard"]
    told = [part for part in TUNE if part not in ("driver_only=true", "reward.ask=simulated")]
    fewer = ["algorithm.data.episodes=2", "algorithm.data.episodes_per_iteration=2"]
    assert main(["train", *told, *fewer, *arm, "output=tuned"]) == 0
    torch.set_num_threads(threads)
    episodes = read_episodes(Path("tuned/episodes"))
    assert {(e.task, e.told_by, e.success) for e in episodes} == {("real_table", "person", True)}
    assert len(episodes) == 2 and len({e.seed for e in episodes}) == 2
    assert sum(question.startswith("Lay the table") for question in asked) == 2
    assert sum("was it done" in question for question in asked) == 2
    assert sum("pick" in question or "from (" in question for question in asked) >= 2  # each motion was approved
    assert Path(POLICY).exists() and Path("tuned/journal.jsonl").stat().st_size > 1000
