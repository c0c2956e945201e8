"""`robo-rlft figure`: one figure of runs or of a grid's cells, as a picture, a vector drawing and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from robo_rlft.commands.report import TABLE, rollout_curve, runs_of
from robo_rlft.commands.runs import read_run
from robo_rlft.config import Composed, ConfigError, UserError, check_arguments
from robo_rlft.evaluation.cells import MANIFEST, Grid, read_cells
from robo_rlft.evaluation.evidence.comparisons import comparisons
from robo_rlft.evaluation.evidence.demonstrator import demonstrator
from robo_rlft.evaluation.evidence.drawing import Drawn
from robo_rlft.evaluation.evidence.groups import Group, groups_of, missing_lines
from robo_rlft.evaluation.evidence.overoptimisation import overoptimisation
from robo_rlft.evaluation.evidence.pass_at_k import pass_at_k
from robo_rlft.evaluation.evidence.sweep import demonstrations, sweep
from robo_rlft.evaluation.evidence.table_output import table
from robo_rlft.evaluation.evidence.training import training
from robo_rlft.evaluation.figures import learning_curves, save_figure, success_chart
from robo_rlft.evaluation.files import write_bytes
from robo_rlft.evaluation.tables import Pair, read_table

OF_RUNS = ("learning_curves", "success")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `figure` takes; `from` is a word of Python's own."""

    name: Literal[
        "learning_curves",
        "success",
        "training",
        "demonstrations",
        "demonstrator",
        "pass_at_k",
        "overoptimisation",
        "comparisons",
        "sweep",
        "table",
    ]
    x: str | None
    evaluation: str | None
    output: Path | None


def run(composed: Composed, console: Console) -> Path:
    """Draw a figure; return the picture's path."""
    values = composed.values
    problems = check_arguments(values, Arguments, examples=composed.defaults)
    if problems:
        raise ConfigError("\n  ".join(problems))
    folders = runs_of(values["from"])
    name = str(values["name"])
    stem = folders[0] / name if values["output"] is None else Path(str(values["output"])).with_suffix("")
    paths = _of_runs(name, folders, stem) if name in OF_RUNS else _of_cells(values, folders, stem, console)
    for path in paths:
        console.print(str(path), markup=False)
    return paths[0]


def _of_runs(name: str, folders: Sequence[Path], stem: Path) -> Sequence[Path]:
    """Draw what the folders of runs hold."""
    cells = [folder for folder in folders if (folder / MANIFEST).exists()]
    if cells:
        raise UserError(f"from: {cells[0]} holds a grid's cells, which {name} does not draw; try name=table")
    if name == "success":
        data = read_table(folders[0] / TABLE)
        return save_figure(success_chart(data), stem, data)
    curves = [c for folder in folders for c in (rollout_curve(f) for f in _trained(folder)) if c is not None]
    if not curves:
        raise UserError(f"from: none of {', '.join(map(str, folders))} rolled out a policy; name runs of RL")
    return save_figure(
        learning_curves(curves, ylabel="success"), stem, {"curves": [curve.to_json() for curve in curves]}
    )


def _trained(folder: Path) -> list[Path]:
    """Return the training runs in a folder: itself, or the steps of an experiment."""
    if read_run(folder)["command"] == "train":
        return [folder]
    return sorted(p.parent for p in folder.glob("*/metrics.csv"))


def _of_cells(values: dict[str, Any], folders: Sequence[Path], stem: Path, console: Console) -> Sequence[Path]:
    """Draw the cells of a grid that are there, and tell which are missing."""
    name = str(values["name"])
    if len(folders) != 1 or not (folders[0] / MANIFEST).exists():
        told = ", ".join(map(str, folders))
        raise UserError(f"from: {name} draws one folder of a grid's cells, with its {MANIFEST}; got {told}")
    filled = read_cells(folders[0])
    try:
        groups = groups_of(filled, _only(values["only"]))
        for line in missing_lines(groups):
            console.print(f"missing: {line}", markup=False)
        drawn = _draw(name, groups, values)
    except ValueError as error:
        raise UserError(f"{folders[0]}: {error}") from error
    lacking = sum(len(group.missing) for group in groups)
    data = {**_source(filled.grid, groups), "missing_cells": lacking, **drawn.data}
    paths = [*save_figure(drawn.figure, stem, data)]
    for ending, text in drawn.texts.items():
        paths.append(stem.parent / f"{stem.name}.{ending}")
        write_bytes(paths[-1], text.encode())
    console.print(f"{sum(len(g.cells) for g in groups)} cells there, {lacking} missing", markup=False)
    return paths


def _draw(name: str, groups: Sequence[Group], values: dict[str, Any]) -> Drawn:
    evaluation = values["evaluation"]
    if name == "training":
        return training(groups)
    if name == "demonstrations":
        return demonstrations(groups, evaluation=evaluation)
    if name == "demonstrator":
        return demonstrator(groups, evaluation=evaluation)
    if name == "pass_at_k":
        return pass_at_k(groups, evaluation=evaluation)
    if name == "overoptimisation":
        return overoptimisation(groups, evaluation=evaluation)
    if name == "comparisons":
        return comparisons(groups)
    if name == "table":
        return table(groups, pairs=_pairs(values["pairs"]))
    if values["x"] is None:
        raise ValueError("x: expected the axis that the sweep is over, e.g. x=rotations; got none")
    return sweep(groups, x=values["x"], evaluation=evaluation)


def _source(grid: Grid, groups: Sequence[Group]) -> dict[str, Any]:
    """Return where a figure's numbers come from."""
    cells = [cell for group in groups for cell in group.cells]
    return {
        "experiment": grid.experiment,
        "title": grid.title,
        "command": grid.command,
        "commits": sorted({str(cell.commit) for cell in cells}),
        "cells": list(dict.fromkeys(cell.key for cell in cells)),
    }


def _only(value: Any) -> dict[str, list[str]]:
    """Read `axis:value` pairs; several values of one axis are all kept."""
    found: dict[str, list[str]] = {}
    for axis, kept in _colons("only", value, "axis:value, e.g. only=[method:bc,method:rl]"):
        found.setdefault(axis, []).append(kept)
    return found


def _pairs(value: Any) -> list[Pair] | None:
    """Read `better:base` pairs; None where none were named."""
    told = _colons("pairs", value, "better:base, e.g. pairs=[rl:bc,rl:scratch]")
    return [Pair(better=better, base=base) for better, base in told] or None


def _colons(name: str, value: Any, expected: str) -> list[tuple[str, str]]:
    told = value if isinstance(value, list) else [] if value is None else str(value).split(",")
    found = []
    for item in map(str, told):
        first, colon, second = (part.strip() for part in item.partition(":"))
        if not (first and colon and second):
            raise ValueError(f"{name}: expected {expected}; got '{item}'")
        found.append((first, second))
    return found
