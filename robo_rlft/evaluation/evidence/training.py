"""Success of the rollouts that RL learned from, against the environment steps that were paid for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_rlft.evaluation.cells import Cell
from robo_rlft.evaluation.curves import Curve
from robo_rlft.evaluation.evidence.drawing import Drawn, finish, looks, panels, rate_axis, title
from robo_rlft.evaluation.evidence.groups import TASK, Group, label_of, tasks_of, varying
from robo_rlft.evaluation.statistics import Interval, wilson


@dataclass(frozen=True, kw_only=True)
class Line:
    """The curves of one group, joined."""

    task: str
    label: str
    curve: Curve  # x: environment steps, those of demonstrations included
    seeds: tuple[str, ...]
    planned: int
    demonstration_steps: float  # mean over seeds; the curve begins after them

    def to_json(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "line": self.label,
            "seeds": self.seeds,
            "seeds_planned": self.planned,
            "demonstration_steps": self.demonstration_steps,
            **self.curve.to_json(),
            "low": self.curve.low,
            "high": self.curve.high,
        }


def training(groups: Sequence[Group]) -> Drawn:
    """Draw learning curves: a panel a task, a line for each combination of the other axes that learned from rollouts.

    Raises:
        ValueError: No cell did.
    """
    learned = [group for group in groups if any(_learned(cell) for cell in group.cells)]
    if not learned:
        raise ValueError("expected cells with curves of RL, found none yet")
    varied = varying(learned, leave_out=(TASK,))
    lines = [_line(group, varied) for group in learned]
    tasks = tasks_of(learned)
    look = looks(list(dict.fromkeys(line.label for line in lines)))
    figure, axes = panels(tasks, share_x=False)
    for panel, task in zip(axes, tasks, strict=True):
        rate_axis(panel)
        for line in (line for line in lines if line.task == task):
            style, curve = look[line.label], line.curve
            panel.fill_between(curve.x, curve.low, curve.high, color=style.color, alpha=0.18, linewidth=0)
            panel.plot(
                curve.x,
                curve.mean,
                color=style.color,
                marker=style.marker,
                markevery=max(1, len(curve.x) // 6),
                linestyle=style.linestyle,
                linewidth=2,
                label=title(line.label),
            )
        panel.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
        panel.locator_params(axis="x", nbins=5)
        panel.set_xlim(0, 1.06 * max(line.curve.x[-1] for line in lines if line.task == task))
    one = all(len(line.seeds) == 1 for line in lines)
    note = "band: 95 % interval of each iteration (one seed)" if one else "line: mean over seeds; band: their range"
    finish(
        figure,
        axes,
        xlabel="environment steps (actions),\ndemonstrations included",
        ylabel="success of sampled rollouts",
        note=f"{note}; sampled: the likeliest decisions of the same policies solve more",
    )
    return Drawn(figure=figure, data={"band": note, "lines": [line.to_json() for line in lines]})


def _line(group: Group, varied: Sequence[str]) -> Line:
    cells = [cell for cell in group.cells if _learned(cell)]
    return Line(
        task=group.axes.get(TASK, ""),
        label=label_of(group, varied),
        curve=joined([_curve(cell) for cell in cells]),
        seeds=tuple(cell.axes.get("seed", "") for cell in cells),
        planned=group.planned,
        demonstration_steps=float(np.mean([_offset(cell) for cell in cells])),
    )


def _learned(cell: Cell) -> bool:
    """Tell whether RL made the cell's checkpoint: what only started from RL's, or from its rollouts, has no curve."""
    return bool(cell.training) and list(cell.overrides)[-1] in cell.training


def _offset(cell: Cell) -> int:
    return sum(d.environment_steps for d in cell.demonstrations.values())


def _curve(cell: Cell) -> Curve:
    """Return a cell's curve, one after the other where several steps learned, with Wilson's interval."""
    begin = float(_offset(cell))
    x: list[float] = []
    mean: list[float] = []
    intervals: list[Interval] = []
    for part in cell.training.values():
        x += [begin + steps for steps in part.environment_steps]
        mean += part.success
        counts = np.diff(part.episodes, prepend=0)
        intervals += [wilson(round(s * int(n)), int(n)) for s, n in zip(part.success, counts, strict=True)]
        begin = x[-1] if x else begin
    low = tuple(min(i.low, m) for i, m in zip(intervals, mean, strict=True))
    high = tuple(max(i.high, m) for i, m in zip(intervals, mean, strict=True))
    return Curve(name="", x=tuple(x), mean=tuple(mean), low=low, high=high)


def joined(curves: Sequence[Curve]) -> Curve:
    """Return the mean of several seeds' curves and their range, at common steps; one curve stays as it is.

    Seeds take different numbers of steps an iteration where episodes have different lengths, so that curves are read
    off between their points, over the steps that all of them have.
    """
    if len(curves) == 1:
        return curves[0]
    begin, end = max(c.x[0] for c in curves), min(c.x[-1] for c in curves)
    common = np.linspace(begin, end, max(2, min(len(c.x) for c in curves)))
    values = np.array([np.interp(common, c.x, c.mean) for c in curves])
    return Curve(
        name="",
        x=tuple(common.tolist()),
        mean=tuple(values.mean(axis=0).tolist()),
        low=tuple(values.min(axis=0).tolist()),
        high=tuple(values.max(axis=0).tolist()),
    )
