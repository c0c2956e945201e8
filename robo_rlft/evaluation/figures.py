"""Figures for papers, READMEs and the report: PNG, SVG, and the numbers that they show as JSON.

Colours are Okabe and Ito's, which people without full colour vision tell apart; what matters is also said by position
or marker. Knows nothing of runs and files of results.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robo_rlft.evaluation.curves import Curve
from robo_rlft.evaluation.files import write_bytes, write_json
from robo_rlft.evaluation.overlays import heat_overlay, landscape, landscape_point

# Okabe & Ito 2008, "Color universal design"; the yellow is left out, being too faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: dict[Any, Any] = {
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "svg.hashsalt": "robo_rlft",  # equal figures give equal files
}
FORMAT = "robo_rlft.figure"


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """One picture of the workspace with a map of probability and the action taken."""

    title: str
    color: npt.NDArray[np.uint8]  # (H, W, 3), RGB, rows along y
    probability: npt.NDArray[np.floating[Any]]  # (H, W)
    pick: tuple[int, int] | None = None  # pixel (row, column): a circle
    place: tuple[int, int] | None = None  # pixel (row, column): a cross


def learning_curves(
    curves: Sequence[Curve],
    *,
    ylabel: str = "success rate",
    xlabel: str = "environment steps",
    note: str = "band: 95 % interval",
    limits: tuple[float, float] | None = (0.0, 1.0),
) -> Figure:
    """Draw curves with their intervals as bands."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.0, 3.8), layout="constrained")
        axes = figure.subplots()
        for i, curve in enumerate(curves):
            color = COLORS[i % len(COLORS)]
            every = max(1, len(curve.x) // 8)
            marker = MARKERS[i % len(MARKERS)]
            axes.plot(curve.x, curve.mean, color=color, marker=marker, markevery=every, label=curve.name, linewidth=2)
            if curve.low:
                axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.18, linewidth=0)
        if limits is not None:
            axes.set_ylim(limits[0] - 0.02, limits[1] + 0.02)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.locator_params(axis="x", nbins=6)
        if len(curves) > 1:
            axes.legend()
        if any(curve.low for curve in curves):
            axes.set_title(note, loc="right", fontsize=10, color="#555555")
        return figure


def success_chart(table: Mapping[str, Any]) -> Figure:
    """Draw the success rates of a table, a panel a split and a line a method, with their 95 % intervals."""
    methods = list(table["table"])
    splits = list(dict.fromkeys(s for row in table["table"].values() for s in row))
    with matplotlib.rc_context(STYLE):
        size = (1.6 + 2.4 * len(splits), 1.3 + 0.42 * len(methods))
        figure = Figure(figsize=size, layout="constrained")
        panels: Sequence[Axes] = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
        for axes, split in zip(panels, splits, strict=True):
            for i, method in enumerate(methods):
                success = table["table"][method].get(split, {}).get("success")
                if success is None:
                    continue
                mean, color = success["mean"], COLORS[i % len(COLORS)]
                axes.plot([success["low"], success["high"]], [i, i], color=color, linewidth=2.5)
                axes.plot([mean], [i], marker=MARKERS[i % len(MARKERS)], color=color, markersize=8)
            axes.set(title=split, xlim=(-0.03, 1.03), ylim=(len(methods) - 0.5, -0.5))
            axes.set_yticks(range(len(methods)), methods)
            axes.grid(visible=False, axis="y")
        figure.supxlabel("success rate, 95 % interval", fontsize=12)
        return figure


def heat_maps(maps: Sequence[HeatMap], *, columns: int = 2) -> Figure:
    """Draw maps of probability over pictures of the workspace, as seen from behind the robot."""
    rows = -(-len(maps) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * columns, 2.6 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
        for axes in panels[len(maps) :]:
            axes.set_axis_off()
        for axes, heat in zip(panels, maps, strict=False):
            shape = heat.probability.shape
            picture = landscape(heat_overlay(heat.color, heat.probability))
            # Edges at whole numbers, so that a marker's coordinates are those of `landscape_point`.
            axes.imshow(picture, interpolation="nearest", extent=(0, shape[0], shape[1], 0))
            for pixel, marker, face in ((heat.pick, "o", "none"), (heat.place, "x", COLORS[5])):
                if pixel is not None:
                    x, y = landscape_point(pixel, (shape[0], shape[1]))
                    axes.plot([x], [y], marker, color=COLORS[5], markerfacecolor=face, markersize=11, markeredgewidth=2)
            axes.set_title(heat.title, wrap=True)
            axes.set_axis_off()
        return figure


def save_figure(figure: Figure, stem: Path, data: Mapping[str, Any]) -> tuple[Path, Path, Path]:
    """Write STEM.png, STEM.svg and STEM.json, each whole or not at all.

    Args:
        figure: What to draw.
        stem: The path without an ending.
        data: The numbers that the figure shows, for the JSON file.

    Returns:
        The three paths.
    """
    # Not with_suffix(): a stem such as "lr0.1" has no ending to replace.
    image, vector, numbers = (stem.parent / f"{stem.name}.{ending}" for ending in ("png", "svg", "json"))
    write_bytes(image, render(figure, "png"))
    write_bytes(vector, render(figure, "svg"))
    write_json(numbers, {"format": FORMAT, "format_version": 1, **json.loads(json.dumps(data))})
    return image, vector, numbers


def render(figure: Figure, kind: str) -> bytes:
    """Return a figure as the bytes of a file; `kind` is "png" or "svg"."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()
