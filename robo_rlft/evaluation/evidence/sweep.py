"""Success against the values of one axis: demonstrations, rotations, crop, resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.transforms import offset_copy

from robo_rlft.evaluation.evidence.drawing import (
    GRAY,
    Drawn,
    Look,
    finish,
    looks,
    panels,
    rate_axis,
    ticks_at,
    title,
)
from robo_rlft.evaluation.evidence.groups import (
    INTERVAL,
    METHOD,
    TASK,
    Estimate,
    Group,
    estimate,
    label_of,
    pick_evaluation,
    scenes_note,
    tasks_of,
    varying,
)

ZERO_SHOT = "zero_shot"  # the method that has no demonstrations: a horizontal line
LOG_FROM = 8.0  # greatest over least value from which the axis is logarithmic
SHIFT = 2.5  # points of the paper between the lines' marks, so that no interval hides another
AXES = {"steps": "gradient steps of cloning", "turns": "turns to choose from", "crop": "side of the crop, m"}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of the axis."""

    value: str
    estimate: Estimate


def demonstrations(groups: Sequence[Group], *, evaluation: str | None = None) -> Drawn:
    """Draw success against the number of demonstrations."""
    return sweep(groups, x="demonstrations", evaluation=evaluation, xlabel="demonstrations")


def sweep(groups: Sequence[Group], *, x: str, evaluation: str | None = None, xlabel: str | None = None) -> Drawn:
    """Draw success against an axis, a panel a task, a line for each combination of the other axes.

    Raises:
        ValueError: The grid lacks the axis, or nothing is there to draw.
    """
    known = list(dict.fromkeys(axis for group in groups for axis in group.axes))
    if x not in known:
        raise ValueError(f"x: expected one of the grid's axes {', '.join(known)}, got '{x}'")
    name = pick_evaluation(groups, evaluation)
    tasks = tasks_of(groups)
    positions = _positions([group.axes[x] for group in groups if group.axes.get(METHOD) != ZERO_SHOT])
    lines = {task: _lines([g for g in groups if g.axes.get(TASK, "") == task], groups, x, name) for task in tasks}
    labels = list(dict.fromkeys(label for task in tasks for label in lines[task] if label != ZERO_SHOT))
    look = looks(labels)
    figure, axes = panels(tasks)
    for panel, task in zip(axes, tasks, strict=True):
        _axis(panel, positions)
        for label, points in lines[task].items():
            if label == ZERO_SHOT:
                _flat(panel, points[0].estimate)
            else:
                beside = SHIFT * (labels.index(label) - (len(labels) - 1) / 2)
                _line(panel, points, positions, look[label], label, shift=beside)
    label = xlabel or AXES.get(x, title(x))
    finish(figure, axes, xlabel=label, ylabel=f"success, {title(name)}", note=scenes_note(groups, name))
    return Drawn(
        figure=figure,
        data={
            "x": x,
            "evaluation": name,
            "interval": INTERVAL,
            "lines": [
                {"task": task, "line": label, "points": [{x: p.value, **p.estimate.to_json()} for p in points]}
                for task in tasks
                for label, points in lines[task].items()
            ],
        },
    )


def _lines(of_task: Sequence[Group], groups: Sequence[Group], x: str, evaluation: str) -> dict[str, list[Point]]:
    """Return the points of every line, by a name that is the method's own where only methods differ."""
    axes = varying(groups, leave_out=(TASK, x))
    found: dict[str, list[Point]] = {}
    for group in of_task:
        result = estimate(group, evaluation)
        if result is None:
            continue
        label = ZERO_SHOT if group.axes.get(METHOD) == ZERO_SHOT else label_of(group, axes)
        found.setdefault(label, []).append(Point(value=group.axes[x], estimate=result))
    return found


def _positions(values: Sequence[str]) -> dict[str, float]:
    """Return where the values lie: at themselves where all are numbers above 0, else one beside the other."""
    names = list(dict.fromkeys(values))
    try:
        numbers = {name: float(name) for name in names}
    except ValueError:
        return {name: float(i) for i, name in enumerate(names)}
    return dict(sorted(numbers.items(), key=lambda item: item[1]))


def _axis(axes: Axes, positions: Mapping[str, float]) -> None:
    rate_axis(axes)
    places = list(positions.values()) or [0.0]
    low, high = min(places), max(places)
    if low > 0 and high / low >= LOG_FROM:
        axes.set_xscale("log")
        pad = (high / low) ** 0.08
        axes.set_xlim(low / pad, high * pad)
    else:
        pad = 0.08 * (high - low) or 0.5
        axes.set_xlim(low - pad, high + pad)
    ticks_at(
        axes,
        list(positions.values()),
        [_tick(n) for n in positions],
    )
    if len(positions) > 3 and max(map(len, positions)) > 5:
        axes.tick_params(axis="x", rotation=30)


def _tick(value: str) -> str:
    return f"{float(value):,g}" if value.replace(".", "", 1).isdigit() else title(value)


def _flat(axes: Axes, value: Estimate) -> None:
    axes.axhspan(value.success.low, value.success.high, color=GRAY, alpha=0.12, linewidth=0)
    axes.axhline(value.success.mean, color=GRAY, linestyle=":", linewidth=2, label=title(ZERO_SHOT))


def _line(
    axes: Axes, points: Sequence[Point], positions: Mapping[str, float], look: Look, label: str, *, shift: float
) -> None:
    """Draw a line with its intervals and its seeds, `shift` points of the paper beside its place."""
    ordered = sorted((p for p in points if p.value in positions), key=lambda p: positions[p.value])
    x = [positions[p.value] for p in ordered]
    figure = axes.get_figure(root=True)
    beside: dict[str, Any] = {"transform": offset_copy(axes.transData, fig=figure, x=shift, units="points")}
    axes.vlines(
        x,
        [p.estimate.success.low for p in ordered],
        [p.estimate.success.high for p in ordered],
        color=look.color,
        linewidth=2.5,
        alpha=0.45,
        **beside,
    )
    for place, point in zip(x, ordered, strict=True):
        seeds = list(point.estimate.by_seed.values())
        if len(seeds) > 1:
            axes.plot([place] * len(seeds), seeds, ".", color=look.color, markersize=4, **beside)
    means = [p.estimate.success.mean for p in ordered]
    axes.plot(
        x,
        means,
        color=look.color,
        marker=look.marker,
        linestyle=look.linestyle,
        linewidth=2,
        markersize=6,
        label=title(label),
        **beside,
    )
    alone = [i for i, p in enumerate(ordered) if len(p.estimate.by_seed) == 1 and not p.estimate.seedless]
    hollow = {"marker": look.marker, "markersize": 4, "color": "white", "linestyle": "", **beside}
    axes.plot([x[i] for i in alone], [means[i] for i in alone], **hollow)
