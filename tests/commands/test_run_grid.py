"""`run experiment=NAME` of an experiment with a grid: from the command line to the cells' files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from robo_rlft.commands import grid
from robo_rlft.commands.child import ChildError
from robo_rlft.commands.cli import main
from robo_rlft.commands.runs import lock
from robo_rlft.evaluation.cells import read_cells
from tests.commands.ended import Ended

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
    overrides: [algorithm=rloo, "init={bc}/policy.safetensors", algorithm.iterations=2, algorithm.data.scenes=2,
      algorithm.allow_zero_success=true, logger=csv]
grid:
  results: results/tiny
  axes:
    method: {rl: {checkpoint: "{rl}/policy.safetensors"}, random: {checkpoint: random}}
    seed: {0: [seed=0]}
  evaluate:
    - {name: seen, overrides: [split=seen, episodes=3]}
"""


class Called:
    """Runs commands in this process, as fast as that is, and counts them."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def __call__(
        self, command: str, overrides: Sequence[str], *, config_dirs: Sequence[Path] = (), log: Path | None = None
    ) -> Ended:
        self.commands.append(command)
        if main([command, *overrides, *(text for folder in config_dirs for text in ("--config-dir", str(folder)))]):
            return Ended(ChildError(command))
        return Ended()


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Called:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "tiny.yaml").write_text(EXPERIMENT)
    called = Called()
    monkeypatch.setattr(grid, "start_child", called)
    return called


def run(*overrides: str) -> int:
    return main(["run", "experiment=tiny", "--config-dir", "mine", *overrides])


def test_a_grid_is_filled_once_and_grows(called: Called, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("only=method:rl,seed:0") == 0
    assert called.commands == ["collect", "train", "train", "evaluate"]
    filled = read_cells(tmp_path / "results" / "tiny")
    assert [cell.axes["method"] for cell in filled.missing] == ["random"]
    (cell,) = filled.cells
    assert cell.demonstrations["demos"].episodes == 3
    # 2 scenes, 4 samples of each, one step an episode.
    assert (cell.training["rl"].environment_steps, cell.training["rl"].episodes) == ((8, 16), (8, 16))
    assert cell.total.cpu_seconds > 0.0
    assert cell.command == "robo-rlft run experiment=tiny"

    called.commands.clear()
    grown = tmp_path / "mine" / "experiment" / "grown.yaml"
    grown.write_text(EXPERIMENT.replace("{0: [seed=0]}", "{0: [seed=0], 1: [seed=1]}"))
    for commands in (["evaluate", "evaluate"], []):
        assert run("experiment=grown", "run=tiny", "only=method:random") == 0
        assert called.commands == commands
        assert len(read_cells(tmp_path / "results" / "tiny").cells) == 3
        called.commands.clear()
    torch.set_num_threads(2)


def test_a_fault_in_any_cell_is_told_before_the_first_step_begins(
    called: Called, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine" / "experiment" / "tiny.yaml"
    file.write_text(EXPERIMENT.replace("split=seen", "split=sen"))
    assert run() == 2
    assert "evaluation seen: split: put_block_in_bowl has" in capsys.readouterr().err
    assert called.commands == []
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "results").exists()


def test_overrides_make_other_cells_which_need_another_place(
    called: Called, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bc.algorithm.lr=0.01") == 2
    assert "results=DIR" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
    assert run("bc.algorithm.lr=0.01", "results=trial", "max_minutes=0.0001") == 0
    assert run("workers=1", "seed=3", "max_minutes=0.0001") == 0  # neither changes a cell: the axis sets the seed
    assert called.commands == []
    keys = [{c.key for c in read_cells(tmp_path / place).missing} for place in ("trial", "results/tiny")]
    assert len(keys[0] & keys[1]) == 1  # the method that no training made


def test_a_grid_that_another_process_fills_is_refused(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("runs/tiny")
    folder.mkdir(parents=True)
    with lock(folder):
        assert run() == 2
    assert "is in use by process" in capsys.readouterr().err
    assert called.commands == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("max_minutes=-1", "max_minutes: expected"),
        ("only=methd:rl", "did you mean method"),
        ("overwrite=true", "are not for grids"),
    ],
)
def test_arguments_that_cannot_work_are_refused(
    called: Called, override: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(override) == 2
    assert message in capsys.readouterr().err


def test_an_experiment_without_a_grid_has_no_cells_to_choose(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "experiment=quickstart", "max_minutes=3"]) == 2
    assert "max_minutes: is for experiments with a grid" in capsys.readouterr().err
