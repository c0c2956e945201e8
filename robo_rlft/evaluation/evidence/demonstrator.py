"""Success of what was learned against the success of the demonstrator that it was learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from robo_rlft.evaluation.evidence.drawing import GRAY, Drawn, Look, finish, looks, panels, rate_axis, title
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
from robo_rlft.evaluation.statistics import Interval, wilson

DEMONSTRATOR = "demonstrator"  # the axis, and the method that is the demonstrator itself
APART = 0.06  # of the axis: the least distance of two names


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A demonstrator's own success."""

    success: Interval
    measured: str  # on what: an evaluation's name, or "demonstrations"


@dataclass(frozen=True, kw_only=True)
class Pupil:
    """What was learned from a demonstrator."""

    task: str
    label: str
    name: str  # the demonstrator's
    result: Estimate


def demonstrator(groups: Sequence[Group], *, evaluation: str | None = None) -> Drawn:
    """Draw the success of each method against that of its demonstrator, with the line on which both are equal.

    The demonstrator's own success is that of the method `demonstrator`; where it was not evaluated, that of the
    demonstrations themselves.

    Raises:
        ValueError: The grid has no axis `demonstrator`, or nothing is there to draw.
    """
    if not any(DEMONSTRATOR in group.axes for group in groups):
        raise ValueError("expected a grid with an axis demonstrator (values such as oracle, noisy_8mm), found none")
    name = pick_evaluation(groups, evaluation)
    learned = [g for g in groups if g.axes.get(METHOD) != DEMONSTRATOR]
    varied = varying(learned, leave_out=(TASK, DEMONSTRATOR))
    tasks = tasks_of(groups)
    teachers = {task: _teachers([g for g in groups if g.axes.get(TASK, "") == task], name) for task in tasks}
    pupils = []
    for group in learned:
        result = estimate(group, name)
        task, teacher = group.axes.get(TASK, ""), group.axes[DEMONSTRATOR]
        if result is None or teacher not in teachers[task]:
            continue
        pupils.append(Pupil(task=task, label=label_of(group, varied), name=teacher, result=result))
    if not pupils:
        raise ValueError("expected what was learned from a demonstrator beside its own success, found neither yet")
    look = looks(list(dict.fromkeys(p.label for p in pupils)))
    longest = max(len(name) for row in teachers.values() for name in row)
    figure, axes = panels(tasks, above=0.25 + 0.078 * longest)
    for panel, task in zip(axes, tasks, strict=True):
        _panel(panel, teachers[task], [p for p in pupils if p.task == task], look)
    finish(
        figure,
        axes,
        xlabel="the demonstrator's own success",
        ylabel=f"success, {title(name)}",
        note=scenes_note(groups, name),
    )
    return Drawn(figure=figure, data=_numbers(name, teachers, pupils))


def _teachers(groups: Sequence[Group], evaluation: str) -> dict[str, Teacher]:
    """Return the demonstrators' own success, by their names."""
    found: dict[str, Teacher] = {}
    for group in groups:
        if group.axes.get(METHOD) == DEMONSTRATOR:
            result = estimate(group, evaluation)
            if result is not None:
                found[group.axes[DEMONSTRATOR]] = Teacher(success=result.success, measured=evaluation)
    for group in groups:
        shown = [d for cell in group.cells for d in cell.demonstrations.values()]
        total = sum(d.episodes for d in shown)
        if total and group.axes[DEMONSTRATOR] not in found:
            success = wilson(sum(d.successes for d in shown), total)
            found[group.axes[DEMONSTRATOR]] = Teacher(success=success, measured="demonstrations")
    return found


def _panel(axes: Axes, teachers: Mapping[str, Teacher], pupils: Sequence[Pupil], look: Mapping[str, Look]) -> None:
    rate_axis(axes)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.plot([0, 1], [0, 1], color=GRAY, linestyle="--", linewidth=1.5, label="as good as the teacher")
    for label in dict.fromkeys(p.label for p in pupils):
        style = look[label]
        mine = sorted((p for p in pupils if p.label == label), key=lambda p: teachers[p.name].success.mean)
        x = [teachers[p.name].success for p in mine]
        y = [p.result.success for p in mine]
        axes.vlines([i.mean for i in x], [i.low for i in y], [i.high for i in y], color=style.color, alpha=0.45, lw=2.5)
        axes.hlines([i.mean for i in y], [i.low for i in x], [i.high for i in x], color=style.color, alpha=0.25, lw=1.5)
        axes.plot(
            [i.mean for i in x],
            [i.mean for i in y],
            color=style.color,
            marker=style.marker,
            linestyle=style.linestyle,
            linewidth=1.5,
            markersize=8,
            label=title(label),
        )
        for place, pupil in zip(x, mine, strict=True):
            seeds = list(pupil.result.by_seed.values())
            if len(seeds) > 1:
                axes.plot([place.mean] * len(seeds), seeds, ".", color=style.color, markersize=4)
            else:
                axes.plot(place.mean, seeds, marker=style.marker, color="white", markersize=5)
    _name(axes, {name: teacher.success.mean for name, teacher in teachers.items() if name in {p.name for p in pupils}})


def _name(axes: Axes, places: Mapping[str, float]) -> None:
    """Write the demonstrators' names over the panel, each with a line down to its place; none over another."""
    names = sorted(places, key=lambda name: places[name])
    for name, x in zip(names, spread([places[name] for name in names], APART), strict=True):
        axes.annotate(
            title(name),
            xy=(places[name], 1.0),
            xytext=(x, 1.06),
            xycoords=axes.get_xaxis_transform(),
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=9.5,
            color=GRAY,
            arrowprops={"arrowstyle": "-", "color": GRAY, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
            annotation_clip=False,
        )


def spread(places: Sequence[float], apart: float) -> list[float]:
    """Return places as near as possible to increasing ones, at least `apart` from each other and within [0, 1]."""
    steps = np.arange(len(places)) * apart
    # Places minus steps must not fall: the nearest such series in the least squares sense pools neighbours that do.
    pools: list[list[float]] = []
    for value in np.asarray(places) - steps:
        pools.append([float(value)])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    flat = [float(np.mean(pool)) for pool in pools for _ in pool]
    most = max(0.0, 1.0 - float(steps[-1])) if len(places) else 0.0
    return [float(min(max(v, 0.0), most) + step) for v, step in zip(flat, steps, strict=True)]


def _numbers(evaluation: str, teachers: Mapping[str, Mapping[str, Teacher]], pupils: Sequence[Pupil]) -> dict[str, Any]:
    return {
        "evaluation": evaluation,
        "interval": INTERVAL,
        "demonstrators": [
            {"task": task, "demonstrator": name, "measured": teacher.measured, **teacher.success.to_json()}
            for task, row in teachers.items()
            for name, teacher in row.items()
        ],
        "points": [
            {
                "task": p.task,
                "line": p.label,
                "demonstrator": p.name,
                "demonstrator_success": teachers[p.task][p.name].success.mean,
                **p.result.to_json(),
            }
            for p in pupils
        ],
    }
