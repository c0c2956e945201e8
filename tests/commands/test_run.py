"""An experiment runs its steps in one process, resumes, and ends in a table and a report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from robo_rlft.commands import train
from robo_rlft.commands.cli import main

EXPERIMENT = """
title: Tiny
overrides: [workspace.pixel_size=0.025, rotations=2, threads=1]
steps:
  - {name: demos, command: collect, overrides: [episodes=3]}
  - name: bc
    command: train
    overrides:
      [algorithm=bc, "data={demos}", algorithm.max_steps=2, algorithm.data.steps_per_epoch=2, encoder.pretrained=null,
      policy.stream.width=8, "policy.stream.dilations=[1]", logger=csv]
  - name: rl
    command: train
    overrides: [algorithm=rloo, "init={bc}/policy.safetensors", algorithm.iterations=1, algorithm.data.scenes=2,
      algorithm.allow_zero_success=true, logger=csv]
table:
  methods:
    bc: {checkpoint: "{bc}/policy.safetensors", description: cloned}
    rl: {checkpoint: "{rl}/policy.safetensors", description: tuned}
  splits: [seen, unseen]
  overrides: [episodes=4]
  compare: {before: bc, after: rl}
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "tiny.yaml").write_text(EXPERIMENT)
    return ["run", "experiment=tiny", "--config-dir", "mine"]


def test_an_experiment_goes_on_after_a_failure_and_ends_in_a_table_and_a_report(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / "tiny-seed5"
    fit = train.Trainer.fit
    fits: list[int] = []

    def fail_second(self: train.Trainer, *arguments: object, **options: object) -> None:
        fits.append(1)
        if len(fits) == 2:
            raise RuntimeError("power cut")
        fit(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(train.Trainer, "fit", fail_second)
    with pytest.raises(RuntimeError, match="power cut"):
        main([*command, "seed=5"])
    assert (folder / "bc" / "policy.safetensors").exists()
    assert not (folder / "table.json").exists()
    assert main([*command, "seed=5"]) == 0
    assert len(fits) == 3  # bc, rl that failed, rl again: what was finished was left alone

    table = json.loads((folder / "table.json").read_text())
    assert {"format", "format_version", "wall_seconds", "cpu_seconds", "peak_rss_mb", "table", "paired"} <= set(table)
    assert list(table["table"]) == ["bc", "rl"]
    cell = table["table"]["rl"]["unseen"]
    assert (cell["episodes"], cell["decoding"]) == (4, "greedy")
    assert set(cell["success"]) == {"mean", "low", "high"}
    assert set(table["paired"]["rl_minus_bc"]) == {"seen", "unseen"}
    assert table["cpu_seconds"] > 0.5
    assert "<html" in (folder / "report.html").read_text()[:200]

    capsys.readouterr()
    assert main([*command, "seed=5"]) == 0
    again = capsys.readouterr().out
    assert "finished already" in again
    assert "report.html" in again
    assert main(["report", "from=tiny-seed5", "output=again.html"]) == 0
    assert (tmp_path / "again.html").exists()
    assert main(["figure", "name=success", "from=tiny-seed5"]) == 0
    assert (folder / "success.png").exists()
    assert main(["figure", "name=learning_curves", "from=tiny-seed5", "output=curve.png"]) == 0
    assert (tmp_path / "curve.svg").exists()
    torch.set_num_threads(2)


def test_a_fault_in_the_last_step_is_told_before_the_first_runs(command: list[str], tmp_path: Path) -> None:
    assert main([*command, "evaluate.decoding=loud"]) == 2
    assert not (tmp_path / "runs").exists()
