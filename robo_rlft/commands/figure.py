"""`robo-rlft figure`: one figure of runs, as a picture, as a vector drawing and as the numbers behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from robo_rlft.commands.report import TABLE, rollout_curve, runs_of
from robo_rlft.commands.runs import read_run
from robo_rlft.config import Composed, ConfigError, UserError, check_arguments
from robo_rlft.evaluation.figures import learning_curves, save_figure, success_chart
from robo_rlft.evaluation.tables import read_table


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `figure` takes; `from` is a word of Python's own."""

    name: Literal["learning_curves", "success"]
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
    if name == "success":
        table = read_table(folders[0] / TABLE)
        paths = save_figure(success_chart(table), stem, table)
    else:
        curves = [c for folder in folders for c in (rollout_curve(f) for f in _trained(folder)) if c is not None]
        if not curves:
            raise UserError(f"from: none of {', '.join(map(str, folders))} rolled out a policy; name runs of RL")
        data = {"curves": [curve.to_json() for curve in curves]}
        paths = save_figure(learning_curves(curves, ylabel="success"), stem, data)
    for path in paths:
        console.print(str(path), markup=False)
    return paths[0]


def _trained(folder: Path) -> list[Path]:
    """Return the training runs in a folder: itself, or the steps of an experiment."""
    if read_run(folder)["command"] == "train":
        return [folder]
    return sorted(p.parent for p in folder.glob("*/metrics.csv"))
