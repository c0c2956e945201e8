"""The table of a grid: methods by evaluations, for each task, with paired differences, costs and failures.

Which methods are compared is an argument; nothing is left out for being unfavourable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_rlft.evaluation.cells import Cell
from robo_rlft.evaluation.evidence.drawing import title
from robo_rlft.evaluation.evidence.groups import (
    METHOD,
    SEED,
    TASK,
    Estimate,
    Group,
    estimate,
    evaluation_names,
    label_of,
    rates,
    tasks_of,
    varying,
)
from robo_rlft.evaluation.statistics import Interval, difference_interval
from robo_rlft.evaluation.tables import RL_MINUS_BC, Pair

OPEN = Interval(mean=0.5, low=0.1, high=0.9)  # a base between these leaves room to be better


@dataclass(frozen=True, kw_only=True)
class RowCost:
    """What a row took, made from nothing; steps that rows share are counted in each."""

    seeds: int  # that the cost is of
    training_cpu_seconds: float  # mean over seeds: demonstrations and training
    evaluation_cpu_seconds: float  # mean over seeds
    peak_rss_mb: float  # greatest, of training and evaluating
    cards: tuple[str, ...] = ()  # graphics cards that took part of the work; none where a cell did without


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method on a task."""

    task: str
    label: str
    group: Group
    results: dict[str, Estimate]  # evaluation -> success
    failures: dict[str, dict[str, float]]  # evaluation -> kind -> share of all episodes, the most frequent first
    cost: RowCost | None  # None where no cell is there

    def to_json(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "row": self.label,
            "axes": self.group.axes,
            "description": self.group.description,
            "seeds": self.group.seeds,
            "seeds_planned": self.group.planned,
            "evaluations": {
                name: {**result.to_json(), "failures": self.failures[name]} for name, result in self.results.items()
            },
            "cost": None if self.cost is None else vars(self.cost),
        }


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Two rows of a task on the same scenes with the same seeds: `better` minus `base`."""

    task: str
    evaluation: str
    pair: Pair
    better: str  # the rows' labels
    base: str
    difference: Interval  # scenes resampled, jointly over the seeds
    with_seeds: Interval  # for other seeds too
    base_success: float
    seeds: tuple[str, ...]
    apart: tuple[str, ...] = ()  # seeds of which a step that both share was trained twice, to other weights

    def to_json(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "evaluation": self.evaluation,
            "better": self.better,
            "base": self.base,
            **self.difference.to_json(),
            "with_seeds": self.with_seeds.to_json(),
            "base_success": self.base_success,
            "seeds": self.seeds,
            "apart": self.apart,
        }


@dataclass(frozen=True, kw_only=True)
class EvidenceTable:
    """The whole table."""

    tasks: tuple[str, ...]
    evaluations: tuple[str, ...]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    def of(self, task: str) -> tuple[Row, ...]:
        """Return a task's rows."""
        return tuple(row for row in self.rows if row.task == task)


def evidence_table(groups: Sequence[Group], *, pairs: Sequence[Pair] | None = None) -> EvidenceTable:
    """Return the table of a grid's groups.

    Args:
        groups: Of the grid.
        pairs: Values of one axis to compare; by default `rl` and `bc`, where the grid has both.

    Raises:
        ValueError: A pair names values that no axis has, or no cell is there.
        ResultFileError: Cells were evaluated on different scenes.
    """
    names = evaluation_names(groups)
    if not names:
        raise ValueError("expected cells with evaluations, found none yet")
    varied = varying(groups, leave_out=(TASK,))
    rows = tuple(_row(group, label_of(group, varied), names) for group in groups)
    known = {value for group in groups for value in group.axes.values()}
    if pairs is None:
        pairs = [RL_MINUS_BC] if {RL_MINUS_BC.better, RL_MINUS_BC.base} <= known else []
    differences = tuple(d for pair in pairs for d in _differences(rows, pair, names))
    return EvidenceTable(
        tasks=tasks_of(groups),
        evaluations=names,
        rows=rows,
        differences=differences,
        notes=(*_lost(differences), *_open(differences), *_apart(differences), *_incomplete(rows), *_on_cards(rows)),
    )


def _row(group: Group, label: str, names: Sequence[str]) -> Row:
    results = {name: result for name in names if (result := estimate(group, name)) is not None}
    return Row(
        task=group.axes.get(TASK, ""),
        label=label,
        group=group,
        results=results,
        failures={name: _failures(group, name) for name in results},
        cost=_cost(group) if group.cells else None,
    )


def _failures(group: Group, evaluation: str) -> dict[str, float]:
    found = [cell.evaluations[evaluation] for cell in group.cells if evaluation in cell.evaluations]
    total = sum(e.episodes * e.tries for e in found)
    counts: dict[str, int] = {}
    for e in found:
        for kind, count in e.failures.items():
            counts[kind] = counts.get(kind, 0) + count
    return {kind: counts[kind] / total for kind in sorted(counts, key=lambda kind: (-counts[kind], kind))}


def _cost(group: Group) -> RowCost:
    """Return the cost of the cells that no graphics card worked for; of all, where there is no such cell."""
    cells = [cell for cell in group.cells if not cell.cards] or group.cells
    evaluating = [c.costs["evaluate"].cpu_seconds if "evaluate" in c.costs else 0.0 for c in cells]
    totals = [cell.total.cpu_seconds for cell in cells]
    return RowCost(
        seeds=len(cells),
        training_cpu_seconds=float(np.mean(totals) - np.mean(evaluating)),
        evaluation_cpu_seconds=float(np.mean(evaluating)),
        peak_rss_mb=max(map(_peak, cells)),
        cards=tuple(dict.fromkeys(card for cell in cells for card in cell.cards.values())),
    )


def _peak(cell: Cell) -> float:
    """Return the greatest memory of what learns and judges; a demonstrator needs less than either."""
    costs = [cost for name, cost in cell.costs.items() if name not in cell.demonstrations]
    return max((cost.peak_rss_mb for cost in costs), default=cell.total.peak_rss_mb)


def _differences(rows: Sequence[Row], pair: Pair, names: Sequence[str]) -> list[Difference]:
    axes = dict.fromkeys(axis for row in rows for axis in row.group.axes)
    values = {axis: {row.group.axes.get(axis) for row in rows} for axis in axes}
    axis = next((a for a in axes if {pair.better, pair.base} <= values[a]), None)
    if axis is None or pair.better == pair.base:
        known = ", ".join(sorted(str(v) for v in values.get(METHOD, {v for a in axes for v in values[a]})))
        raise ValueError(f"pairs: expected two values of one axis, such as {known}; got {pair.better}:{pair.base}")
    found = []
    for row in rows:
        if row.group.axes.get(axis) != pair.better:
            continue
        twin = {**row.group.axes, axis: pair.base}
        base = next((other for other in rows if other.group.axes == twin), None)
        if base is not None:
            found += [d for name in names if (d := _difference(row, base, pair, name)) is not None]
    return found


def _difference(better: Row, base: Row, pair: Pair, evaluation: str) -> Difference | None:
    """Return the difference on the seeds that both rows have."""
    cells = [
        {cell.axes.get(SEED, ""): cell for cell in row.group.cells if evaluation in cell.evaluations}
        for row in (better, base)
    ]
    seeds = [seed for seed in cells[0] if seed in cells[1]]
    if not seeds:
        return None
    # One call for both, so that scenes are compared between the rows too.
    values = rates([cells[0][seed] for seed in seeds] + [cells[1][seed] for seed in seeds], evaluation)
    a, b = values[: len(seeds)], values[len(seeds) :]
    return Difference(
        task=better.task,
        evaluation=evaluation,
        pair=pair,
        better=better.label,
        base=base.label,
        difference=difference_interval(a, b, seed=0),
        with_seeds=difference_interval(a, b, seed=0, seeds_too=True),
        base_success=float(b.mean()),
        seeds=tuple(seeds),
        apart=tuple(seed for seed in seeds if trained_apart(cells[0][seed], cells[1][seed])),
    )


def trained_apart(a: Cell, b: Cell) -> bool:
    """Tell whether a training step that two cells share was done twice and may have come to different weights.

    Cells that share a run tell the same of its cost, to a tenth of a second; where weights are known they decide.
    """
    shared = [step for step, digest in a.digests.items() if b.digests.get(step) == digest]
    trained = [step for step in shared if step not in a.demonstrations]
    known = [step for step in trained if step in a.weights and step in b.weights]
    if any(a.weights[step] != b.weights[step] for step in known):
        return True
    return any(a.costs[step] != b.costs[step] for step in trained if step not in known)


def _lost(differences: Sequence[Difference]) -> list[str]:
    """Tell where a pair's first is worse than its second; and of each pair that it is so nowhere.

    By scenes alone, the narrower interval: harm is told of sooner than a gain.
    """
    notes = [f"Worse: {_told(d)}" for d in differences if d.difference.high < 0]
    for pair in dict.fromkeys(d.pair for d in differences):
        of_pair = [d for d in differences if d.pair == pair]
        if all(d.difference.high >= 0 for d in of_pair):
            count = f"{len(of_pair)} comparison{'s' if len(of_pair) > 1 else ''}"
            notes.append(
                f"In none of {count} is {title(pair.better)} worse than {title(pair.base)} beyond the interval."
            )
    return notes


def _open(differences: Sequence[Difference]) -> list[str]:
    """Tell where neither a gain nor a loss is shown although there was room for a gain; other seeds counted in."""
    return [
        f"Not shown to differ: {_told(d)} [{d.with_seeds.low:+.2f} to {d.with_seeds.high:+.2f}]"
        for d in differences
        if OPEN.low <= d.base_success <= OPEN.high
        and d.with_seeds.low <= 0 <= d.with_seeds.high
        and d.difference.high >= 0
    ]


def _apart(differences: Sequence[Difference]) -> list[str]:
    """Tell of which seeds a row began from other weights than those of the row that it is compared with."""
    told = {}
    for d in differences:
        if d.apart:
            seeds = f"seed{'s' if len(d.apart) > 1 else ''} {', '.join(d.apart)}"
            told[d.task, d.better, d.base] = (
                f"Trained twice: {title(d.task)}, {title(d.better)} and {title(d.base)}, {seeds}: a step that both "
                "share was made for each, on other processors, so its weights may differ."
            )
    return list(told.values())


def _incomplete(rows: Sequence[Row]) -> list[str]:
    """Tell which rows lack seeds."""
    return [
        f"Incomplete: {title(row.task)}, {title(row.label)}: {counted(row)} seeds" for row in rows if row.group.missing
    ]


def _on_cards(rows: Sequence[Row]) -> list[str]:
    """Tell which costs are a graphics card's."""
    cards = dict.fromkeys(card for row in rows if row.cost is not None for card in row.cost.cards)
    return [f"Costs with * are of a machine with a graphics card, which trained: {', '.join(cards)}."] if cards else []


def _told(d: Difference) -> str:
    return f"{title(d.task)}, {title(d.evaluation)}: {title(d.better)} minus {title(d.base)} is {signed(d.difference)}"


def signed(interval: Interval) -> str:
    """Return "+0.10 (+0.05 to +0.15)"."""
    return f"{interval.mean:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"


def counted(row: Row) -> str:
    """Return how many seeds a row has: "3", "2 of 3" where some are missing, "any" where nothing depends on it."""
    there = len(row.group.cells)
    if row.results and all(result.seedless for result in row.results.values()):
        return "any"
    return str(there) if not row.group.missing else f"{there} of {row.group.planned}"


def shares(failures: Mapping[str, float], most: int = 4) -> str:
    """Return failures as text: "no grasp 12 %, missed place 8 %"."""
    told = [
        f"{kind.replace('_', ' ')} {'< 1' if share < 0.01 else f'{100 * share:.0f}'} %"
        for kind, share in failures.items()
    ]
    return ", ".join(told[:most]) + (", ..." if len(told) > most else "")
