"""What a learned reward pays and what is true, against how far a policy is from where it began, by RL and by best of n.

Gao, Schulman and Hilton 2022, "Scaling laws for reward model overoptimization". Horizontally the square root of the KL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robo_rlft.evaluation.evidence.distance import Path, best_of_path, rl_path
from robo_rlft.evaluation.evidence.drawing import GRAY, Drawn, Look, finish, rate_axis, title
from robo_rlft.evaluation.evidence.groups import METHOD, SEED, Group
from robo_rlft.evaluation.figures import COLORS, MARKERS, STYLE

COMPARISONS = "comparisons"  # the axis of the panels
BEST_OF_N = "best_of_n"  # the method
_RL = "rl_"  # a method's name is this and its KL coefficient
INTERVAL = (
    "95 % intervals: seeds resampled, and within each its scenes (best of n) or each point's successes (RL: binomial, "
    "scenes as trials)"
)
NOTE = "line: mean over seeds; band: 95 % interval of seeds and episodes; star: best success, where it falls after it"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One way to optimise one reward."""

    comparisons: str
    label: str
    seeds: tuple[str, ...]
    planned: int
    path: Path

    def to_json(self) -> dict[str, Any]:
        return {
            COMPARISONS: self.comparisons,
            "line": self.label,
            "seeds": self.seeds,
            "seeds_planned": self.planned,
            **self.path.to_json(),
        }


def overoptimisation(groups: Sequence[Group], *, evaluation: str | None = None) -> Drawn:
    """Draw true success and the proxy over the square root of the KL: a column for each number of comparisons.

    Args:
        groups: Of a grid with an axis `comparisons` and methods `rl_COEFFICIENT` and others, whose evaluation judged
            every try by the reward.
        evaluation: Its name; by default the first that did.

    Raises:
        ValueError: Nothing is there to draw.
    """
    lines = [line for group in groups for line in _lines(group, evaluation)]
    if not lines:
        raise ValueError(
            "expected cells of RL on a learned reward, or with an evaluation of several tries that one judged "
            "(decoding=sampled tries=N reward=preference reward.model=FILE), found none yet"
        )
    columns = list(dict.fromkeys(line.comparisons for line in lines))
    look = _looks(list(dict.fromkeys(line.label for line in lines)))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.2 + 4.0 * len(columns), 8.2), layout="constrained")
        grid = figure.subplots(2, len(columns), sharex=True, sharey="row", squeeze=False)
    for column, name in enumerate(columns):
        grid[0][column].set_title(f"{name} comparisons" if name else "")
        for line in (line for line in lines if line.comparisons == name):
            _draw(grid[0][column], grid[1][column], line, look[line.label])
    for panel in grid[0]:
        rate_axis(panel)
    grid[0][0].set_ylabel("true success")
    grid[1][0].set_ylabel("proxy, in deviations\nof the attempts that were labelled")
    finish(figure, list(grid.reshape(-1)), xlabel="square root of the KL from BC, √nats", ylabel="", note=NOTE)
    return Drawn(figure=figure, data={"interval": INTERVAL, "lines": [line.to_json() for line in lines]})


def _lines(group: Group, evaluation: str | None) -> list[Line]:
    method = group.axes.get(METHOD, "")
    found = []
    learned = [
        (c, curve) for c in group.cells for curve in list(c.training.values())[-1:] if curve.kl and curve.true_returns
    ]
    judged = [
        (cell, one.best_of)
        for cell in group.cells
        for name, one in cell.evaluations.items()
        if one.best_of is not None and name == (evaluation or name)
    ]
    if learned:
        label = f"RL, KL coefficient {method.removeprefix(_RL)}" if method.startswith(_RL) else title(method)
        found.append((label, [cell for cell, _ in learned], rl_path([curve for _, curve in learned])))
    if judged:
        found.append((title(method), [cell for cell, _ in judged], best_of_path([best for _, best in judged])))
    return [
        Line(
            comparisons=group.axes.get(COMPARISONS, ""),
            label=label,
            seeds=tuple(cell.axes.get(SEED, "") for cell in cells),
            planned=group.planned,
            path=path,
        )
        for label, cells, path in found
    ]


def _looks(labels: Sequence[str]) -> dict[str, Look]:
    """Return how lines are drawn: best of n black and dashed, RL in colours."""
    others = [label for label in labels if label != title(BEST_OF_N)]
    found = {
        label: Look(color=COLORS[i % 6], marker=MARKERS[i % 6], linestyle=("-", ":")[i // 6 % 2])
        for i, label in enumerate(others)
    }
    return found | {title(BEST_OF_N): Look(color=COLORS[-1], marker=MARKERS[-1], linestyle="--")}


def _draw(above: Axes, below: Axes, line: Line, look: Look) -> None:
    """Draw the truth above and the proxy below."""
    path = line.path
    x = np.sqrt(path.kl)
    style: dict[str, Any] = {
        "color": look.color,
        "marker": look.marker,
        "linestyle": look.linestyle,
        "linewidth": 2,
        "markersize": 5,
        "label": line.label,
    }
    for axes, values in ((above, path.success), (below, path.proxy)):
        axes.fill_between(x, [v.low for v in values], [v.high for v in values], color=look.color, alpha=0.13, lw=0)
        axes.plot(x, [v.mean for v in values], **style)
    if path.peak is not None:
        place = path.peak.kl.mean**0.5, path.peak.success.mean
        above.plot(*place, "*", color=look.color, markersize=15, markeredgecolor=GRAY, zorder=5)
