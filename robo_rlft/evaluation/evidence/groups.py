"""The cells of a grid, gathered into groups that differ by their seed alone, and what a group came to.

Knows the axes' names `task`, `method` and `seed`; the others are taken as they come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_rlft.evaluation.cells import Cell, Evaluation, FilledGrid, PlannedCell
from robo_rlft.evaluation.evidence.drawing import line_name, title
from robo_rlft.evaluation.files import ResultFileError
from robo_rlft.evaluation.statistics import Interval, success_interval

TASK, METHOD, SEED = "task", "method", "seed"
INTERVAL = "95 % interval: scenes resampled, jointly over the seeds"


@dataclass(frozen=True, kw_only=True)
class Group:
    """The cells of one combination of values, whatever their seed."""

    axes: dict[str, str]  # without the seed
    description: str
    cells: tuple[Cell, ...]  # that are there
    missing: tuple[PlannedCell, ...]

    @property
    def seeds(self) -> tuple[str, ...]:
        """Of the cells that are there."""
        return tuple(cell.axes.get(SEED, "") for cell in self.cells)

    @property
    def planned(self) -> int:
        """How many cells there should be."""
        return len(self.cells) + len(self.missing)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The success of a group of cells."""

    success: Interval  # mean over seeds and scenes; scenes are resampled, jointly over the seeds
    with_seeds: Interval  # the same mean; for other seeds too
    by_seed: dict[str, float]
    planned: int  # seeds that there should be
    scenes: int
    seedless: bool = False  # nothing was learned, so that every seed came to the same on every scene

    def to_json(self) -> dict[str, Any]:
        return {
            **self.success.to_json(),
            "with_seeds": self.with_seeds.to_json(),
            "by_seed": self.by_seed,
            "seeds_planned": self.planned,
            "scenes": self.scenes,
            "seedless": self.seedless,
        }


def groups_of(filled: FilledGrid, only: Mapping[str, Sequence[str]] | None = None) -> tuple[Group, ...]:
    """Return a grid's groups in the order of its axes' values.

    Args:
        filled: The grid.
        only: Axis -> the values to keep; an axis that is not named keeps all.

    Raises:
        ValueError: `only` names an axis or a value that the grid lacks.
    """
    axes = filled.grid.axes
    for axis, values in (only or {}).items():
        if axis not in axes:
            raise ValueError(f"expected one of the axes {', '.join(axes)}, got '{axis}'")
        for value in values:
            if value not in axes[axis]:
                raise ValueError(f"expected one of {', '.join(axes[axis])} as {axis}, got '{value}'")
    keep = [c for c in filled.grid.cells if all(c.axes[axis] in values for axis, values in (only or {}).items())]
    found: dict[tuple[str, ...], list[PlannedCell]] = {}
    names = [axis for axis in axes if axis != SEED]
    for planned in keep:
        found.setdefault(tuple(planned.axes[axis] for axis in names), []).append(planned)
    there = {tuple(cell.axes.items()): cell for cell in filled.cells}
    rank = {axis: {value: i for i, value in enumerate(axes[axis])} for axis in axes}
    ordered = sorted(found, key=lambda values: [rank[a][v] for a, v in zip(names, values, strict=True)])
    return tuple(
        Group(
            axes=dict(zip(names, values, strict=True)),
            description=found[values][0].description,
            cells=tuple(there[tuple(p.axes.items())] for p in found[values] if tuple(p.axes.items()) in there),
            missing=tuple(p for p in found[values] if tuple(p.axes.items()) not in there),
        )
        for values in ordered
    )


def missing_lines(groups: Sequence[Group]) -> list[str]:
    """Return what is missing, a line a group: "stack_blocks, rl: seeds 1, 2"."""
    lines = []
    for group in groups:
        seeds = [cell.axes[SEED] for cell in group.missing if SEED in cell.axes]
        told = f": seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}" if seeds else ""
        if group.missing:
            lines.append(", ".join(f"{axis} {value}" for axis, value in group.axes.items()) + told)
    return lines


def evaluation_names(groups: Sequence[Group]) -> tuple[str, ...]:
    """Return the names of all evaluations that there are."""
    return tuple(dict.fromkeys(name for group in groups for cell in group.cells for name in cell.evaluations))


def pick_evaluation(groups: Sequence[Group], name: str | None, *, several_tries: bool = False) -> str:
    """Return the evaluation that a figure shows: the named one, or the first of its kind.

    Raises:
        ValueError: There is none.
    """
    tries = {n: e.tries for group in groups for cell in group.cells for n, e in cell.evaluations.items()}
    names = [n for n in evaluation_names(groups) if (tries[n] > 1) == several_tries]
    kind = "with several tries of each scene (tries=N decoding=sampled)" if several_tries else "with one try"
    if name is not None and name not in names:
        raise ValueError(f"expected an evaluation {kind}: {', '.join(names) or 'there is none yet'}; got '{name}'")
    if not names:
        raise ValueError(f"expected cells that hold an evaluation {kind}, found none yet")
    return name or names[0]


def rates(cells: Sequence[Cell], evaluation: str) -> npt.NDArray[np.float64]:
    """Return successes out of tries, (cells, scenes).

    Raises:
        ResultFileError: The cells were evaluated on different scenes.
    """
    found = same_scenes([cell.evaluations[evaluation] for cell in cells], where=evaluation)
    return np.array([np.array(e.successes) / e.tries for e in found])


def same_scenes(evaluations: Sequence[Evaluation], *, where: str) -> Sequence[Evaluation]:
    """Return the evaluations, which must be of the same scenes in the same order."""
    first = evaluations[0]
    for other in evaluations[1:]:
        for name in ("task", "split", "phase", "decoding", "seeds"):
            a, b = getattr(first, name), getattr(other, name)
            if a != b:
                what = f"{len(a)} and {len(b)} scenes" if name == "seeds" else f"{a} and {b}"
                raise ResultFileError(f"{where}: expected cells evaluated alike, got {name}: {what}; fill them anew")
    return evaluations


def estimate(group: Group, evaluation: str) -> Estimate | None:
    """Return a group's success in an evaluation; None where no cell has it."""
    cells = [cell for cell in group.cells if evaluation in cell.evaluations]
    if not cells:
        return None
    values = rates(cells, evaluation)
    seedless = not any(cell.overrides for cell in cells) and len(values) > 1 and bool((values == values[0]).all())
    return Estimate(
        success=success_interval(values, seed=0),
        with_seeds=success_interval(values[:1] if seedless else values, seed=0, seeds_too=True),
        by_seed={cell.axes.get(SEED, ""): float(row.mean()) for cell, row in zip(cells, values, strict=True)},
        planned=group.planned,
        scenes=values.shape[1],
        seedless=seedless,
    )


def varying(groups: Sequence[Group], *, leave_out: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the axes of which the groups have more than one value; `method` comes first."""
    axes = list(dict.fromkeys(axis for group in groups for axis in group.axes if axis not in leave_out))
    several = [axis for axis in axes if len({group.axes.get(axis) for group in groups}) > 1]
    return tuple(sorted(several, key=lambda axis: axis != METHOD))


def label_of(group: Group, axes: Sequence[str]) -> str:
    """Return what tells a group from the others, by the axes that vary: the method's own name where it alone does."""
    values = {axis: group.axes[axis] for axis in axes or (METHOD,) if axis in group.axes}
    return values[METHOD] if set(values) == {METHOD} else line_name(values)


def tasks_of(groups: Sequence[Group]) -> tuple[str, ...]:
    """Return the groups' tasks; one without a name where there is no such axis."""
    return tuple(dict.fromkeys(group.axes.get(TASK, "") for group in groups))


def scenes_note(groups: Sequence[Group], evaluation: str) -> str:
    """Return what a figure's points are of: how many scenes, of which phase, which intervals."""
    shown = [c.evaluations[evaluation] for group in groups for c in group.cells if evaluation in c.evaluations]
    scenes, phases = {e.episodes for e in shown}, sorted({e.phase for e in shown})
    count = f"{min(scenes)} to {max(scenes)}" if len(scenes) > 1 else f"{min(scenes)}"
    return f"{count} {' and '.join(map(title, phases))} scenes; {INTERVAL}; small dots: seeds; hollow: one seed alone"
