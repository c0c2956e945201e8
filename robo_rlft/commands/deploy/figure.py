"""One picture of a plan: the scene, where the policy wants to pick and place, and the way through each camera's eyes.

Axes are metres in the world frame, seen from behind the robot: x runs up, y (the robot's left) to the left. What is to
be picked is a circle and where it goes a cross, so that nothing is said by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path
from matplotlib.patheffects import AbstractPathEffect, withStroke

from robo_rlft.driver import View
from robo_rlft.evaluation.figures import COLORS, STYLE
from robo_rlft.evaluation.overlays import heat_overlay, landscape
from robo_rlft.geometry import Workspace
from robo_rlft.robots.acting import Seen
from robo_rlft.robots.plan import Plan, project, turn_in_words

MARK = "#ffffff"
_EDGE: list[AbstractPathEffect] = [
    withStroke(linewidth=4.0, foreground="#000000")
]  # white with a black edge shows on any picture
_PATH = COLORS[5]
# A cross without its middle, which would hide what it marks.
_OPEN_CROSS = Path(
    [(a * r, b * r) for a in (-1, 1) for b in (-1, 1) for r in (0.4, 1.0)], [Path.MOVETO, Path.LINETO] * 4
)
_RING = 0.05  # metres, radius of the arc that shows the turn
_NUMBERED = ("approach", "pick", "travel", "place")  # what is numbered in a camera's picture
_NEAR = 0.03  # of the picture's larger side; points nearer than this share a label


@dataclass(frozen=True, kw_only=True)
class PlanMaps:
    """What the policy makes of the scene."""

    pick: npt.NDArray[np.floating[Any]]  # (H, W), probability
    place: npt.NDArray[np.floating[Any]]  # (H, W), probability at the rotation chosen


def plan_figure(plan: Plan, *, seen: Seen, workspace: Workspace, maps: PlanMaps, confidence: float) -> Figure:
    """Draw a plan.

    Args:
        plan: what is to be done.
        seen: what it was decided on.
        workspace: of the maps.
        maps: what the policy makes of the scene.
        confidence: the policy's, in [0, 1].
    """
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(12.5, 10.9), layout="constrained")
        halves: Any = figure.subfigures(1, 2, width_ratios=(1.15, 1.0))
        left, right = halves
        planned, pick, place = left.subplots(3, 1)
        _scene(planned, seen.color, workspace)
        planned.set_title("planned: pick at the circle, place at the cross")
        _plan_marks(planned, plan)
        for axes, values, title in ((pick, maps.pick, "where to pick"), (place, maps.place, "where to place it")):
            _scene(axes, heat_overlay(seen.color, values), workspace)
            axes.set_title(f"{title}; likeliest pixel {100 * float(values.max()):.0f} %")
            _ends(axes, plan)
        cameras = right.subplots(len(seen.views), 1, squeeze=False)[:, 0]
        for number, (axes, view) in enumerate(zip(cameras, seen.views, strict=True), start=1):
            _camera(axes, view, plan, title=f"camera {number}: the way of the tool's tip")
        turned = f"{turn_in_words(plan.turn)}; confidence {confidence:.2f}"
        figure.suptitle(f"“{plan.sentence}”\n{turned}", fontsize=14, wrap=True)
        return figure


def _scene(axes: Axes, picture: npt.NDArray[np.uint8], workspace: Workspace) -> None:
    extent = (workspace.y_max, workspace.y_min, workspace.x_min, workspace.x_max)
    axes.imshow(landscape(picture), extent=extent, interpolation="nearest", origin="upper", aspect="equal")
    axes.set(xlabel="y, to the robot's left (m)", ylabel="x, ahead of it (m)")
    axes.set(xlim=extent[:2], ylim=extent[2:])


def _ends(axes: Axes, plan: Plan) -> None:
    (px, py), (qx, qy) = plan.pick, plan.place
    for width, color in ((4.2, "#000000"), (1.9, MARK)):
        edge: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": color, "markeredgewidth": width}
        axes.plot([py], [px], linestyle="none", marker="o", markersize=19, **edge)
        axes.plot([qy], [qx], linestyle="none", marker=_OPEN_CROSS, markersize=19, **edge)


def _plan_marks(axes: Axes, plan: Plan) -> None:
    """Draw the way from pick to place, and around the place how far the thing is turned."""
    (px, py), (qx, qy) = plan.pick, plan.place
    if math.dist(plan.pick, plan.place) > 2 * _RING:
        way = FancyArrowPatch(
            (py, px), (qy, qx), arrowstyle="-|>", mutation_scale=16, color=MARK, linewidth=1.8, shrinkA=12, shrinkB=14
        )
        way.set_path_effects(_EDGE)
        axes.add_patch(way)
    _ends(axes, plan)
    if abs(plan.turn) > 1e-6:
        _turn(axes, plan)


def _turn(axes: Axes, plan: Plan) -> None:
    """Draw an arc with an arrow's head from where x points to where it is turned."""
    qx, qy = plan.place
    # In the picture x runs up and y to the left, so a counter-clockwise turn looks counter-clockwise.
    angles = np.linspace(0.0, plan.turn, 60)
    arc = np.stack([qy + _RING * np.sin(angles), qx + _RING * np.cos(angles)], axis=1)
    axes.plot(arc[:-6, 0], arc[:-6, 1], color=_PATH, linewidth=3, path_effects=_EDGE)
    axes.plot([qy, qy], [qx + 0.8 * _RING, qx + 1.2 * _RING], color=_PATH, linewidth=3, path_effects=_EDGE)
    head = FancyArrowPatch(
        (arc[-8, 0], arc[-8, 1]),
        (arc[-1, 0], arc[-1, 1]),
        arrowstyle="-|>",
        mutation_scale=18,
        color=_PATH,
        linewidth=1,
        shrinkA=0,
        shrinkB=0,
    )
    head.set_path_effects(_EDGE)
    axes.add_patch(head)


def _camera(axes: Axes, view: View, plan: Plan, *, title: str) -> None:
    """Draw the way on a camera's own picture: where the tip comes down, and where it travels."""
    rows, columns = view.depth.shape
    axes.imshow(view.color, extent=(0, columns, rows, 0), interpolation="nearest")
    waypoints = {waypoint.name: waypoint.position for waypoint in plan.waypoints}
    points = project(view, [waypoints[name] for name in _NUMBERED])
    axes.plot(points[[1, 0, 2, 3], 0], points[[1, 0, 2, 3], 1], color=_PATH, linewidth=2.5, path_effects=_EDGE)
    axes.plot(points[:, 0], points[:, 1], "o", color=MARK, markeredgecolor="#000000", markersize=6)
    numbers = [str(number) for number in range(1, len(_NUMBERED) + 1)]
    for point, names in _grouped(points, numbers, _NEAR * max(rows, columns)):
        label = axes.annotate(
            ", ".join(names),
            (point[0], point[1]),
            (8, 0),
            textcoords="offset points",
            va="center",
            color=MARK,
            fontweight="bold",
        )
        label.set_path_effects(_EDGE)
    said = ", ".join(f"{number} {name}" for number, name in zip(numbers, _NUMBERED, strict=True))
    axes.set(xlim=(0, columns), ylim=(rows, 0), xlabel="pixels", ylabel="pixels")
    axes.set_title(f"{title}\n{said}")


def _grouped(
    points: npt.NDArray[np.float64], names: Sequence[str], near: float
) -> list[tuple[npt.NDArray[np.float64], list[str]]]:
    """Join the names of points that lie nearly on one another in the picture."""
    groups: list[tuple[npt.NDArray[np.float64], list[str]]] = []
    for point, name in zip(points, names, strict=True):
        if not np.isfinite(point).all():
            continue
        for where, there in groups:
            if float(np.linalg.norm(where - point)) < near:
                there.append(name)
                break
        else:
            groups.append((point, [name]))
    return groups
