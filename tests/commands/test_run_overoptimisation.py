"""RL on a learned reward and the best of n by it: from the command line to cells and their figure."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from robo_rlft.commands import grid
from robo_rlft.commands.cli import main
from robo_rlft.evaluation.cells import read_cells
from robo_rlft.evaluation.results import read_results
from tests.commands.test_run_grid import Called

EXPERIMENT = """
title: Tiny
overrides: [task.blocks=1, workspace.pixel_size=0.025, rotations=2, threads=1]
steps:
  - {name: demos, command: collect, overrides: [episodes=3]}
  - name: bc
    command: train
    overrides:
      [algorithm=bc, "data={demos}", algorithm.max_steps=2, algorithm.data.steps_per_epoch=2, encoder.pretrained=null,
      policy.stream.width=8, "policy.stream.dilations=[1]", logger=csv]
  - {name: tries, command: collect, overrides: ["checkpoint={bc}/policy.safetensors", episodes=6, tries=2]}
  - {name: answers, command: label, overrides: ["from={tries}", labeler=simulated, questions=6, repeat_every=0]}
  - name: reward
    command: train
    overrides:
      [algorithm=reward_model, "data={answers}", algorithm.max_steps=2, algorithm.data.steps_per_epoch=2, logger=csv,
      encoder.pretrained=null, algorithm.reward.judges.width=4, algorithm.reward.judges.members=2]
  - name: rl
    command: train
    overrides: [algorithm=rloo, "init={bc}/policy.safetensors", algorithm.iterations=3, algorithm.data.scenes=2,
      logger=csv, algorithm.data.credit=episode, reward=preference, "reward.model={reward}/reward.safetensors"]
grid:
  results: results/tiny
  axes:
    comparisons: {4: [reward.algorithm.data.labels=4]}
    method:
      best_of_n: {checkpoint: "{bc}/policy.safetensors"}
      rl_0: {checkpoint: null, steps: [rl], overrides: [rl.algorithm.kl_coef=0.0]}
    seed: {0: [seed=0]}
  evaluate:
    - name: best_of_n
      overrides: [split=seen, episodes=2, decoding=sampled, tries=8, batch_size=4, reward=preference,
        "reward.model={reward}/reward.safetensors"]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "tiny.yaml").write_text(EXPERIMENT)
    monkeypatch.setattr(grid, "start_child", Called())
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_cells_tell_how_far_each_went_and_what_was_true_and_a_figure_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "experiment=tiny", "--config-dir", "mine", "run=tiny"]) == 0
    filled = read_cells(Path("results/tiny"))
    best, rl = filled.select(method="best_of_n")[0], filled.select(method="rl_0")[0]
    found = best.evaluations["best_of_n"].best_of
    assert found is not None
    assert found.n == (1, 2, 4, 8)
    assert all(len(row) == 2 for row in (*found.proxy, *found.success, *found.returns))
    assert all(a <= b for rows in zip(*found.proxy, strict=True) for a, b in itertools.pairwise(rows))
    curve = rl.training["rl"]
    assert len(curve.kl) == len(curve.true_returns) == 3
    assert curve.kl[0] == pytest.approx(0.0, abs=1e-5) and curve.kl[2] > 0.0
    assert curve.scenes == (2, 2, 2)
    assert main(["figure", "name=overoptimisation", "from=results/tiny", "output=drawn/over.png"]) == 0
    lines = json.loads(Path("drawn/over.json").read_text())["lines"]
    assert [line["line"] for line in lines] == ["best of n", "RL, KL coefficient 0"]
    assert Path("drawn/over.svg").exists()

    (folder,) = (path.parent for path in Path("runs/tiny/evaluations").glob("*/results.json"))
    whole = read_results(folder / "results.json")
    told = json.loads((folder / "run.json").read_text())["overrides"]
    told = [word for word in told if not word.startswith("output=")]
    with monkeypatch.context() as patched:
        patched.setattr("robo_rlft.commands.evaluate.ProgressLine.update", killed)
        assert main(["evaluate", *told, "output=again"]) == 130
    assert not Path("again/results.json").exists()
    assert main(["evaluate", *told, "output=again"]) == 0
    assert read_results(Path("again/results.json")) == whole
    assert "the best of 8 by the learned reward: success" in capsys.readouterr().out
    assert main(["evaluate", *told, "checkpoint=oracle", "tries=1", "output=oracle"]) == 2
    assert "reward: a learned one judges what a policy tries" in capsys.readouterr().err


def killed(*_: object) -> None:
    raise KeyboardInterrupt
