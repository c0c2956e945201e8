"""Cells are gathered by all but their seed, and what is missing is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from robo_rlft.evaluation.evidence.groups import (
    estimate,
    groups_of,
    label_of,
    missing_lines,
    pick_evaluation,
    rates,
    tasks_of,
    varying,
)
from robo_rlft.evaluation.files import ResultFileError
from tests.evaluation.evidence.grids import Axes, Contents, filled, of, seen

AXES = {"task": ["stack", "insert"], "method": ["bc", "rl"], "seed": ["0", "1"]}


def by_seed(axes: Axes) -> Contents | None:
    if axes["task"] == "insert" and axes["method"] == "rl":
        return None if axes["seed"] == "1" else of(seen(1, 1, 1, 1))
    return of(seen(1, 0, 0, 0) if axes["seed"] == "0" else seen(1, 1, 0, 0))


def test_a_group_holds_the_seeds_of_one_combination(tmp_path: Path) -> None:
    groups = groups_of(filled(tmp_path, AXES, by_seed))
    assert [(g.axes["task"], g.axes["method"], g.seeds, g.planned) for g in groups] == [
        ("stack", "bc", ("0", "1"), 2),
        ("stack", "rl", ("0", "1"), 2),
        ("insert", "bc", ("0", "1"), 2),
        ("insert", "rl", ("0",), 2),
    ]
    assert tasks_of(groups) == ("stack", "insert")
    assert missing_lines(groups) == ["task insert, method rl: seed 1"]


def test_a_groups_success_is_the_mean_over_seeds_and_scenes(tmp_path: Path) -> None:
    group = groups_of(filled(tmp_path, AXES, by_seed))[0]
    result = estimate(group, "seen")
    assert result is not None
    # Seeds 1/4 and 2/4.
    assert (result.success.mean, result.with_seeds.mean) == (0.375, 0.375)
    assert result.by_seed == {"0": 0.25, "1": 0.5}
    assert result.with_seeds.low <= result.success.low
    assert estimate(group, "unseen") is None


def test_only_some_values_may_be_kept(tmp_path: Path) -> None:
    grid = filled(tmp_path, AXES, by_seed)
    kept = groups_of(grid, {"method": ["rl"], "task": ["stack", "insert"]})
    assert [g.axes for g in kept] == [{"task": "stack", "method": "rl"}, {"task": "insert", "method": "rl"}]
    with pytest.raises(ValueError, match="expected one of bc, rl as method, got 'ppo'"):
        groups_of(grid, {"method": ["ppo"]})
    with pytest.raises(ValueError, match="one of the axes task, method, seed, got 'color'"):
        groups_of(grid, {"color": ["red"]})


def test_lines_are_named_by_what_varies(tmp_path: Path) -> None:
    axes = {"task": ["stack"], "method": ["bc"], "rotations": ["4", "36"], "seed": ["0"]}
    groups = groups_of(filled(tmp_path, axes, lambda _: of(seen(1))))
    assert varying(groups, leave_out=("task",)) == ("rotations",)
    assert label_of(groups[1], ("rotations",)) == "rotations 36"
    assert label_of(groups[1], ("method", "rotations")) == "BC, rotations 36"
    assert label_of(groups[1], ()) == "bc"  # its own name, by which colours are chosen


def test_an_evaluation_is_chosen_by_its_kind(tmp_path: Path) -> None:
    several = {"many": seen(3, 0, tries=4), "seen": seen(1, 0)}
    groups = groups_of(filled(tmp_path, AXES, lambda _: Contents(evaluations=several)))
    assert pick_evaluation(groups, None) == "seen"
    assert pick_evaluation(groups, None, several_tries=True) == "many"
    with pytest.raises(ValueError, match="with one try: seen; got 'many'"):
        pick_evaluation(groups, "many")


def test_cells_of_different_scenes_are_not_compared(tmp_path: Path) -> None:
    grid = filled(tmp_path, AXES, lambda axes: of(seen(1, 0, first_seed=int(axes["seed"]))))
    with pytest.raises(ResultFileError, match="seeds"):
        rates(grid.cells[:2], "seen")
