"""Rewards from few comparisons and more: from the command line to cells and their figure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from robo_rlft.commands import grid
from robo_rlft.commands.cli import main
from robo_rlft.commands.policies import shipped_policy
from robo_rlft.evaluation.cells import read_cells
from tests.commands.test_run_grid import Called

EXPERIMENT = """
title: Tiny
overrides: [task.blocks=1, threads=1]
steps:
  - {name: tries, command: collect, overrides: ["checkpoint=SHIPPED", episodes=12, tries=2]}
  - {name: other_tries, command: collect, overrides: ["checkpoint=SHIPPED", phase=val, episodes=10, tries=4]}
  - {name: answers, command: label, overrides: ["from={tries}", labeler=simulated, questions=12, repeat_every=0]}
  - name: reward
    command: train
    overrides:
      [algorithm=reward_model, "data={answers}", algorithm.max_steps=2, algorithm.data.steps_per_epoch=2, logger=csv,
      encoder.pretrained=null, algorithm.reward.judges.width=4, algorithm.reward.judges.members=2,
      "algorithm.data.test={other_tries}"]
grid:
  results: results/tiny
  axes:
    comparisons:
      6: {checkpoint: null, steps: [reward], overrides: [reward.algorithm.data.labels=6]}
      12: {checkpoint: null, steps: [reward], overrides: [reward.algorithm.data.labels=12]}
    seed: {0: [seed=0]}
"""


@pytest.fixture(autouse=True)
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Called]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "tiny.yaml").write_text(EXPERIMENT.replace("SHIPPED", str(shipped_policy())))
    called = Called()
    monkeypatch.setattr(grid, "start_child", called)
    threads = torch.get_num_threads()
    yield called
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_cells_tell_how_well_each_reward_orders_and_a_figure_shows_it(called: Called) -> None:
    assert main(["run", "experiment=tiny", "--config-dir", "mine", "run=tiny"]) == 0
    assert sorted(called.commands) == ["collect", "collect", "label", "train", "train"]  # all but the reward is shared
    cells = read_cells(Path("results/tiny")).cells
    made = [json.loads(path.read_text())["measured"] for path in Path("runs/tiny/steps").glob("reward-*/results.json")]
    told = [cell.rewards["reward"] for cell in cells]
    assert sorted(one.accuracy for one in told) == pytest.approx(sorted(one["test/accuracy"] for one in made), abs=1e-6)
    assert all(one.pairs == sum(one.calibration.pairs) > 0 for one in told)
    assert main(["figure", "name=comparisons", "from=results/tiny", "output=drawn/comparisons.png"]) == 0
    data = json.loads(Path("drawn/comparisons.json").read_text())
    assert [point["comparisons"] for point in data["lines"][0]["points"]] == [6, 12]
    assert (data["calibration"]["comparisons"], data["missing_cells"]) == (12, 0)
    assert Path("drawn/comparisons.png").exists()
    assert Path("drawn/comparisons.svg").exists()
