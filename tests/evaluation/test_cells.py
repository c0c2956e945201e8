"""Cells and manifests come back as they were written, and damaged ones are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robo_rlft.evaluation.cells import (
    MANIFEST,
    Calibration,
    Cell,
    CellCost,
    Demonstrations,
    Evaluation,
    Grid,
    MeasuredReward,
    PlannedCell,
    Training,
    cell_path,
    missing_cells,
    read_cell,
    read_cells,
    read_grid,
    total_cost,
    write_cell,
    write_grid,
)
from robo_rlft.evaluation.files import ResultFileError

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef"
COST = CellCost(wall_seconds=2.0, cpu_seconds=3.0, peak_rss_mb=500.0)
CELL = Cell(
    experiment="table",
    title="A table",
    key=KEY,
    axes={"method": "rl", "seed": "0"},
    description="BC, then RL",
    command="robo-rlft run experiment=table",
    commit="abc",
    versions={"python": "3.11"},
    overrides={"rl": ("algorithm=rloo", "init={bc}/policy.safetensors")},
    evaluations={
        "seen": Evaluation(
            task="stack_blocks",
            split="seen",
            phase="test",
            decoding="sampled",
            episodes=3,
            seeds=(0, 1, 2),
            successes=(4, 0, 1),
            tries=4,
            returns=(1.0, 0.0, 0.25),
            failures={"no_grasp": 7},
        )
    },
    training={"rl": Training(environment_steps=(8, 16), episodes=(8, 16), success=(0.5, 0.75), returns=(0.5, 0.8))},
    demonstrations={"demonstrations": Demonstrations(episodes=3, successes=2, environment_steps=5)},
    costs={"rl": COST},
    total=COST,
    evaluation_overrides={"seen": ("split=seen",)},
    commits={"rl": "abc"},
    rewards={
        "reward": MeasuredReward(
            accuracy=0.75,
            pairs=4,
            calibration=Calibration(confidence=(0.5, 1.0), accuracy=(0.5, 1.0), pairs=(2, 2)),
        )
    },
)
GRID = Grid(
    experiment="table",
    title="A table",
    command="robo-rlft run experiment=table",
    axes={"method": ("bc", "rl"), "seed": ("0",)},
    cells=(
        PlannedCell(key="f" * 16, axes={"method": "bc", "seed": "0"}, description="cloned"),
        PlannedCell(key=KEY, axes={"method": "rl", "seed": "0"}, description="tuned"),
    ),
)


def rewritten(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_a_cell_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = write_cell(CELL, tmp_path)
    assert path == tmp_path / f"{KEY}.json"
    assert read_cell(path) == CELL


def test_a_cells_file_names_its_fields_as_documented_and_has_a_line_for_all_scenes(tmp_path: Path) -> None:
    text = write_cell(CELL, tmp_path).read_text()
    data = json.loads(text)
    assert (data["format"], data["format_version"]) == ("robo_rlft.cell", 1)
    assert data["training"]["rl"]["return"] == [0.5, 0.8]
    assert any(line.split() == ['"successes":', "[4,", "0,", "1],"] for line in text.splitlines())


def test_a_newer_cell_is_refused_by_name(tmp_path: Path) -> None:
    path = rewritten(write_cell(CELL, tmp_path), format_version=99)
    with pytest.raises(ResultFileError, match="robo_rlft.cell version 99 is newer"):
        read_cell(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": [0, 1]}, "evaluations.seen.seeds: expected 3 entries, got 2"),
        ({"successes": [0, 0, 5]}, "expected successes from 0 to its 4 tries"),
        ({"tries": "many"}, "evaluations.seen.tries"),
    ],
)
def test_a_damaged_cell_is_refused_with_what_is_wrong(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_cell(CELL, tmp_path)
    evaluation = json.loads(path.read_text())["evaluations"]["seen"] | change
    with pytest.raises(ResultFileError, match=message):
        read_cell(rewritten(path, evaluations={"seen": evaluation}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accuracy": 1.01}, "rewards.reward.accuracy: .* less than or equal to 1"),
        ({"accuracy": -0.01}, "rewards.reward.accuracy: .* greater than or equal to 0"),
        ({"accuracy": float("nan")}, "rewards.reward.accuracy: .* finite"),
        ({"pairs": 0}, "rewards.reward.pairs"),
        ({"calibration": {"confidence": [0.5, 1.5], "accuracy": [0, 1], "pairs": [1, 1]}}, "calibration.confidence.1"),
        ({"calibration": {"confidence": [0.5], "accuracy": [0, 1], "pairs": [1, 1]}}, "confidence: expected 2 entries"),
        ({"calibration": {"confidence": [0.5], "accuracy": [], "pairs": [1]}}, "accuracy: expected 1 entries, got 0"),
    ],
)
def test_a_damaged_measurement_of_a_reward_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_cell(CELL, tmp_path)
    reward = json.loads(path.read_text())["rewards"]["reward"] | change
    with pytest.raises(ResultFileError, match=message):
        read_cell(rewritten(path, rewards={"reward": reward}))


def test_the_cells_that_are_there_come_back_as_they_were_read(tmp_path: Path) -> None:
    folders = [path.parent for path in sorted((ROOT / "results").glob(f"*/*/{MANIFEST}"))]
    assert len(folders) > 10
    for folder in folders:
        path = cell_path(folder, read_cells(folder).cells[0].key)  # all are read; one of each grid is written again
        again = write_cell(read_cell(path), tmp_path / folder.name)
        assert read_cell(again) == read_cell(path)


def test_a_cell_of_an_older_version_measured_no_reward(tmp_path: Path) -> None:
    path = write_cell(CELL, tmp_path)
    data = json.loads(path.read_text())
    del data["rewards"]
    path.write_text(json.dumps(data))
    assert read_cell(path) == replace(CELL, rewards={})


def test_a_cell_under_anothers_name_is_refused(tmp_path: Path) -> None:
    path = write_cell(CELL, tmp_path).rename(tmp_path / f"{'a' * 16}.json")
    with pytest.raises(ResultFileError, match="rename the file back"):
        read_cell(path)


def test_a_grid_tells_the_cells_that_are_there_from_those_that_are_missing(tmp_path: Path) -> None:
    write_grid(GRID, tmp_path)
    write_cell(CELL, tmp_path)
    (tmp_path / "stranger.json").write_text("{}")
    filled = read_cells(tmp_path)
    assert filled.grid == GRID
    assert [cell.axes["method"] for cell in filled.cells] == ["rl"]
    assert [cell.axes["method"] for cell in filled.missing] == ["bc"]
    assert missing_cells(GRID, tmp_path) == filled.missing
    assert not filled.complete


def test_cells_that_share_a_file_have_each_the_manifests_axes(tmp_path: Path) -> None:
    twins = tuple(replace(cell, key=KEY) for cell in GRID.cells)
    write_grid(replace(GRID, cells=twins), tmp_path)
    write_cell(CELL, tmp_path)
    filled = read_cells(tmp_path)
    assert [(c.axes["method"], c.description) for c in filled.cells] == [("bc", "cloned"), ("rl", "tuned")]
    assert [c.description for c in filled.select(method="bc", seed="0")] == ["cloned"]
    assert filled.complete


def test_a_manifest_whose_cells_lack_an_axis_is_refused(tmp_path: Path) -> None:
    write_grid(replace(GRID, axes={"method": ("bc", "rl")}), tmp_path)
    with pytest.raises(ResultFileError, match="one value of each axis"):
        read_grid(tmp_path)


def test_an_unchanged_manifest_is_left_alone(tmp_path: Path) -> None:
    path = write_grid(GRID, tmp_path)
    before = path.stat().st_ino
    write_grid(GRID, tmp_path)
    assert path.stat().st_ino == before
    write_grid(replace(GRID, title="Another"), tmp_path)
    assert read_grid(tmp_path).title == "Another"


def test_times_add_up_and_the_greatest_memory_counts() -> None:
    other = CellCost(wall_seconds=1.0, cpu_seconds=1.5, peak_rss_mb=700.0)
    assert total_cost([COST, other]) == CellCost(wall_seconds=3.0, cpu_seconds=4.5, peak_rss_mb=700.0)
