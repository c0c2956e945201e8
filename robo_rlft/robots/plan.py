"""What a robot is about to do, as data: for people to look at before it is done, and for the record.

Knows points and cameras, nothing of policies, drawing or terminals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_rlft.driver import View
from robo_rlft.geometry import Workspace, bin_to_angle
from robo_rlft.perception import surface_height
from robo_rlft.robots.primitives import APPROACH_HEIGHT, PickAndPlace


@dataclass(frozen=True, kw_only=True)
class PlannedPixels:
    """An action on the grid, as policies and people give it."""

    pick: tuple[int, int]  # pixel (row, column)
    place: tuple[int, int]
    rotation: int = 0  # bin in [0, rotations)
    rotations: int = 1


@dataclass(frozen=True, kw_only=True)
class Waypoint:
    """A point that the tool's tip is to pass."""

    name: str  # "approach", "pick", "lift", "travel", "place", "retract"
    position: tuple[float, float, float]  # metres, world frame


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One pick-and-place before it is done; lengths in metres, world frame."""

    sentence: str
    pick: tuple[float, float]  # (x, y)
    place: tuple[float, float]
    turn: float  # radians, counter-clockwise about +z
    pick_height: float  # where the descent at the pick is expected to meet something
    place_height: float  # the surface under the place
    speed: float  # m/s, on the way
    contact_speed: float  # m/s, downwards until contact
    waypoints: tuple[Waypoint, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def make_plan(
    pixels: PlannedPixels,
    *,
    sentence: str,
    height: npt.NDArray[np.float32],
    workspace: Workspace,
    primitive: PickAndPlace,
) -> Plan:
    """Return what the primitive will do for an action on the grid.

    Args:
        pixels: the action.
        sentence: what was asked.
        height: (H, W), metres above the table, as it was seen.
        workspace: of the grid.
        primitive: what will carry it out.

    Raises:
        ValueError: a pixel or a rotation that is not on the grid.
    """
    if not workspace.contains([pixels.pick, pixels.place]).all():
        raise ValueError(f"expected pixels (row, column) on the grid {workspace.shape}, got {pixels}")
    if not 0 <= pixels.rotation < pixels.rotations:
        raise ValueError(f"expected a rotation bin in [0, {pixels.rotations}), got {pixels.rotation}")
    pick, place = (_xy(workspace, pixel) for pixel in (pixels.pick, pixels.place))
    under = surface_height(height, pixels.pick, workspace)
    onto = surface_height(height, pixels.place, workspace)
    return Plan(
        sentence=sentence,
        pick=pick,
        place=place,
        turn=math.remainder(bin_to_angle(pixels.rotation, pixels.rotations), 2 * math.pi),
        pick_height=under,
        place_height=onto,
        speed=primitive.speed,
        contact_speed=primitive.contact_speed,
        waypoints=_waypoints(pick, place, under, onto, primitive),
    )


def describe(plan: Plan) -> list[str]:
    """Return the plan in words, a line each."""
    (px, py), (qx, qy) = plan.pick, plan.place
    return [
        f"pick up at x {px:.3f} m, y {py:.3f} m; contact expected {plan.pick_height:.3f} m above the table",
        f"put down at x {qx:.3f} m, y {qy:.3f} m; surface expected {plan.place_height:.3f} m above the table",
        f"{turn_in_words(plan.turn)}; {plan.speed:.2f} m/s on the way, {plan.contact_speed:.2f} m/s down until contact",
    ]


def turn_in_words(turn: float) -> str:
    """Return an angle in radians, counter-clockwise, as people say it."""
    degrees = round(math.degrees(turn))
    if degrees == 0:
        return "not turned"
    if abs(degrees) == 180:
        return "turned by 180 degrees"
    return f"turned by {abs(degrees)} degrees {'counter-clockwise' if degrees > 0 else 'clockwise'}, seen from above"


def project(view: View, points: Sequence[tuple[float, float, float]]) -> npt.NDArray[np.float64]:
    """Return where points, metres in the world frame, lie in a camera's picture.

    The pinhole model of `View`, as perception inverts it; a lens's distortion is not in it.

    Returns:
        (N, 2): (x, y) in pixels from the picture's upper left corner, so that the first pixel's centre is (0.5, 0.5).
        NaN for points that do not lie before the camera.
    """
    world = np.concatenate([np.asarray(points, dtype=np.float64).reshape(-1, 3), np.ones((len(points), 1))], axis=1)
    x, y, z = (np.linalg.inv(view.world_from_camera) @ world.T)[:3]
    z = np.where(z > 1e-6, z, np.nan)
    k = view.intrinsics
    return np.stack([k[0, 0] * x / z + k[0, 2], k[1, 1] * y / z + k[1, 2]], axis=1)


def _xy(workspace: Workspace, pixel: tuple[int, int]) -> tuple[float, float]:
    x, y = workspace.pixel_to_xy(pixel)
    return float(x), float(y)


def _waypoints(
    pick: tuple[float, float], place: tuple[float, float], under: float, onto: float, primitive: PickAndPlace
) -> tuple[Waypoint, ...]:
    released = onto + under  # what is held hangs below the tip by about its own height
    to_pick, high = primitive.over(under), primitive.over(released)
    points = {
        "approach": (*pick, to_pick),
        "slow down": (*pick, min(to_pick, under + APPROACH_HEIGHT)),
        "pick": (*pick, under),
        "lift": (*pick, high),
        "travel": (*place, high),
        "place": (*place, min(high, released)),
        "retract": (*place, high),
    }
    return tuple(Waypoint(name=name, position=position) for name, position in points.items())
