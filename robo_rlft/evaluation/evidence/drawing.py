"""What the evidence's figures share: a panel a task, lines with names, colours and markers, one legend below.

Knows nothing of cells.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from robo_rlft.evaluation.figures import COLORS, MARKERS, STYLE

# Methods keep their colours from figure to figure.
FIXED = ("bc", "rl", "scratch")
WORDS = {"bc": "BC", "rl": "RL", "cliport": "CLIPort"}
NAMES = {
    "rl": "BC + RL",
    "scratch": "RL without demonstrations",
    "filtered_bc": "BC, then BC on RL's rollouts",
    "bc_more": "BC, more demonstrations",
    "bc_random_encoder": "BC, untrained encoder",
    "rl_random_encoder": "BC + RL, untrained encoder",
    "scratch_random_encoder": "RL without demonstrations, untrained encoder",
    "bc_cliport": "BC, CLIPort's fusion of the sentence",
    "bc_cliport_phrases": "BC, CLIPort's fusion of phrases",
    "rl_cliport_phrases": "BC + RL, CLIPort's fusion of phrases",
    "bc_no_prior": "BC, similarity not as a prior",
    "bc_more_successes": "BC, more demonstrations, successes alone",
    "zero_shot": "CLIP alone",
    "k_shot": "a linear read-out",
}
PHASES = {"train": "training", "val": "validation"}
UNIT = re.compile(r"(\d)(mm|cm|deg)\b")  # a value such as noisy_8mm
GRAY = "#555555"
PANEL = 3.4  # inches
PER_ROW = 3  # panels
NARROWEST = 5.0  # inches


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a line is drawn."""

    color: str
    marker: str
    linestyle: str


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure and the numbers that it shows."""

    figure: Figure
    data: dict[str, Any]
    texts: Mapping[str, str] = field(default_factory=dict)  # further files: ending -> contents


def title(name: str) -> str:
    """Return a task's or method's name as people write it."""
    words = " ".join(WORDS.get(word, word) for word in name.split("_"))
    return NAMES.get(name) or PHASES.get(name) or UNIT.sub(r"\1 \2", words)


def line_name(values: Mapping[str, str]) -> str:
    """Return what a legend says for some axes' values: "BC + RL, rotations 36"."""
    parts = [
        title(v) if axis == "method" or not v[:1].isdigit() else f"{title(axis)} {v}" for axis, v in values.items()
    ]
    return ", ".join(parts)


def color_of(method: str) -> str:
    """Return the colour of a method that every figure has, grey for any other."""
    return COLORS[FIXED.index(method)] if method in FIXED else GRAY


def looks(keys: Sequence[str]) -> dict[str, Look]:
    """Return how lines are drawn, by their names; the methods that every figure has look the same in all."""
    free = [i for i in range(len(COLORS)) if i >= len(FIXED) or FIXED[i] not in keys]
    # The free ones are taken from the end of what the fixed ones use.
    free = [i for i in free if i >= len(FIXED)] + [i for i in free if i < len(FIXED)]
    found: dict[str, Look] = {}
    others = 0
    for key in keys:
        if key in FIXED:
            index, turn = FIXED.index(key), 0
        else:
            index, turn = free[others % len(free)], others // len(free)
            others += 1
        found[key] = Look(color=COLORS[index], marker=MARKERS[index], linestyle=("-", "--", ":")[min(turn, 2)])
    return found


def panels(names: Sequence[str], *, share_x: bool = True, above: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each name, at most three beside each other.

    Args:
        names: Of the panels.
        share_x: Whether all have one scale.
        above: Inches between a panel and its title.
    """
    rows = -(-len(names) // PER_ROW)
    columns = -(-len(names) // rows)  # as even as can be: four are two by two
    with matplotlib.rc_context(STYLE):
        width = max(NARROWEST, 0.9 + PANEL * columns)
        figure = Figure(figsize=(width, 1.5 + (2.9 + above) * rows), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=share_x, sharey=True, squeeze=False)
        axes: list[Axes] = list(grid.reshape(-1))
        for panel, name in zip(axes, names, strict=False):
            panel.set_title(title(name), pad=6.0 + 72.0 * above)
        for panel in axes[len(names) :]:
            panel.set_axis_off()
        return figure, axes[: len(names)]


def rate_axis(axes: Axes) -> None:
    """Let the vertical axis show rates from 0 to 1."""
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])


def ticks_at(axes: Axes, values: Sequence[float], names: Sequence[str]) -> None:
    """Put ticks of the horizontal axis at values, and nowhere else."""
    axes.set_xticks(list(values), list(names))
    axes.xaxis.set_minor_locator(NullLocator())


def finish(figure: Figure, axes: Sequence[Axes], *, xlabel: str, ylabel: str, note: str) -> None:
    """Write what the axes mean, what the intervals are, and the legend of all panels' lines."""
    width = float(figure.get_size_inches()[0])
    with matplotlib.rc_context(STYLE):
        handles = {str(line.get_label()): line for panel in axes for line in panel.get_legend_handles_labels()[0]}
        for i, panel in enumerate(axes):
            grid = panel.get_gridspec()
            if grid is None or i + grid.ncols >= len(axes):  # nothing is below it
                panel.set_xlabel(xlabel)
                panel.tick_params(labelbottom=True)
        figure.supylabel(ylabel, fontsize=12)
        figure.suptitle(textwrap.fill(note, int(width / 0.078)), fontsize=9.5, color=GRAY)
        if handles:
            widest = max(len(name) for name in handles)
            columns = max(1, min(len(handles), int(width / (0.6 + 0.085 * widest))))
            figure.legend(
                handles.values(), handles.keys(), loc="outside lower center", ncols=columns, fontsize=11, frameon=False
            )
