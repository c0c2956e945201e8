"""Small grids whose cells hold what a test says."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from robo_rlft.evaluation.cells import (
    Cell,
    CellCost,
    Demonstrations,
    Evaluation,
    FilledGrid,
    Grid,
    MeasuredReward,
    PlannedCell,
    Training,
    read_cells,
    total_cost,
    write_cell,
    write_grid,
)

Axes = Mapping[str, str]
NOTHING = CellCost(wall_seconds=0.0, cpu_seconds=0.0, peak_rss_mb=0.0)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a test puts into a cell."""

    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    training: dict[str, Training] = field(default_factory=dict)
    demonstrations: dict[str, Demonstrations] = field(default_factory=dict)
    rewards: dict[str, MeasuredReward] = field(default_factory=dict)
    costs: dict[str, CellCost] = field(default_factory=dict)
    cards: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    steps: tuple[str, ...] = ()  # the last made the checkpoint; without any, those that learned from rollouts


def seen(
    *successes: int, tries: int = 1, task: str = "stack", first_seed: int = 0, failures: Mapping[str, int] | None = None
) -> Evaluation:
    """An evaluation with these successes, scene by scene."""
    return Evaluation(
        task=task,
        split="seen",
        phase="test",
        decoding="greedy" if tries == 1 else "sampled",
        episodes=len(successes),
        seeds=tuple(range(first_seed, first_seed + len(successes))),
        successes=successes,
        tries=tries,
        returns=tuple(count / tries for count in successes),
        failures=dict(failures or {}),
    )


def of(evaluation: Evaluation) -> Contents:
    """A cell with one evaluation, `seen`."""
    return Contents(evaluations={"seen": evaluation})


def filled(folder: Path, axes: Mapping[str, Sequence[str]], contents: Callable[[Axes], Contents | None]) -> FilledGrid:
    """Write a grid and read it; cells without contents are missing."""
    planned = []
    for values in itertools.product(*axes.values()):
        named = dict(zip(axes, values, strict=True))
        key = hashlib.sha256(repr(named).encode()).hexdigest()[:16]
        planned.append(PlannedCell(key=key, axes=named, description=f"about {values[0]}"))
        holds = contents(named)
        if holds is not None:
            costs = holds.costs or {"train": NOTHING}
            cell = Cell(
                experiment="tiny",
                title="Tiny",
                key=key,
                axes=named,
                description="",
                command="robo-rlft run experiment=tiny",
                commit="abc",
                versions={},
                overrides=dict.fromkeys(holds.steps or holds.training, ()),
                evaluations=holds.evaluations,
                training=holds.training,
                demonstrations=holds.demonstrations,
                costs=costs,
                total=total_cost(list(costs.values())),
                cards=holds.cards,
                digests=holds.digests,
                weights=holds.weights,
                rewards=holds.rewards,
            )
            write_cell(cell, folder)
    grid = Grid(
        experiment="tiny",
        title="Tiny",
        command="robo-rlft run experiment=tiny",
        axes={axis: tuple(values) for axis, values in axes.items()},
        cells=tuple(planned),
    )
    write_grid(grid, folder)
    return read_cells(folder)
