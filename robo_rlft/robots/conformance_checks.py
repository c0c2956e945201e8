"""What the conformance suite checks, as plain functions: malformed commands, views, poses and lines.

Knows the contract in `robo_rlft/driver.py` and nothing of pytest or of any robot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_rlft.driver import Pose, View
from robo_rlft.geometry import quaternion_yaw

NEAREST, FARTHEST = 0.05, 50.0  # metres; a median depth outside of them is not one in metres
RIGID = 1e-6  # how far a rotation's product with its transpose may be from the identity

_HUGE = 10**400  # a whole number beyond every float


@dataclass(frozen=True, kw_only=True)
class Malformed:
    """A command that no driver may carry out."""

    name: str
    rule: str  # that `Refused` names
    command: Mapping[str, Any]  # the arguments of `move`


def malformed_commands(good: Pose, *, speed: float) -> Iterator[Malformed]:
    """Yield commands that are wrong in one way each.

    Args:
        good: a pose that the robot could reach.
        speed: m/s, that it could move at.
    """
    x, y, z = good.position
    targets: list[tuple[str, str, Any]] = [
        ("no target", "shape", None),
        ("a bare position", "shape", (x, y, z)),
        ("two coordinates", "shape", _pose((x, y))),
        ("four coordinates", "shape", _pose((x, y, z, 0.0))),
        ("text for a coordinate", "shape", _pose((x, y, "low"))),
        ("nothing for a coordinate", "shape", _pose((x, y, None))),
        ("three numbers of a quaternion", "shape", _pose((x, y, z), (0.0, 0.0, 1.0))),
        ("a coordinate that is no number", "finite", _pose((x, math.nan, z))),
        ("an infinite coordinate", "finite", _pose((math.inf, y, z))),
        ("a coordinate beyond every float", "finite", _pose((x, y, _HUGE))),
        ("a quaternion that is no number", "finite", _pose((x, y, z), (0.0, 0.0, math.nan, 1.0))),
        ("a quaternion of zeros", "quaternion", _pose((x, y, z), (0.0, 0.0, 0.0, 0.0))),
        ("a quaternion of length 2", "quaternion", _pose((x, y, z), (0.0, 0.0, 0.0, 2.0))),
    ]
    for name, rule, target in targets:
        yield Malformed(name=name, rule=rule, command={"target": target, "speed": speed})
    for key in ("speed", "acceleration", "deadline"):
        values = [("text", "shape", "fast"), ("true", "shape", True), ("not a number", "finite", math.nan)]
        values += [("infinity", "finite", math.inf), ("zero", key, 0.0), ("below zero", key, -1.0)]
        for name, rule, value in values:
            yield Malformed(name=f"{name} as {key}", rule=rule, command={"target": good, "speed": speed, key: value})


def _pose(position: Any, quaternion: Any = (0.0, 0.0, 0.0, 1.0)) -> Pose:
    return Pose(position=position, quaternion=quaternion)


def view_problems(view: View) -> list[str]:
    """Return what is wrong with one view, in words; nothing where all is as the contract says."""
    color, depth = np.asarray(view.color), np.asarray(view.depth)
    if color.ndim != 3 or color.shape[2] != 3 or color.dtype != np.uint8 or color.size == 0:
        return [f"expected colour (height, width, 3) of uint8, got {color.shape} of {color.dtype}"]
    if depth.shape != color.shape[:2] or depth.dtype != np.float32:
        return [f"expected depth {color.shape[:2]} of float32, got {depth.shape} of {depth.dtype}"]
    problems = []
    if not np.isfinite(depth).all() or (depth < 0).any():
        problems.append("depth holds NaN, infinities or values below 0; 0 stands for 'not measured'")
    measured = depth[depth > 0]
    if not measured.size:
        problems.append("no pixel of the depth image was measured")
    elif not NEAREST <= float(np.median(measured)) <= FARTHEST:
        problems.append(f"half of the depths are beyond {float(np.median(measured))}, which are hardly metres")
    if not isinstance(view.stamp, float | int) or not math.isfinite(view.stamp):
        problems.append(f"expected a finite stamp in seconds, got {view.stamp!r}")
    return [*problems, *_intrinsics_problems(view), *rigid_problems(view.world_from_camera)]


def _intrinsics_problems(view: View) -> list[str]:
    k, (height, width) = np.asarray(view.intrinsics, dtype=np.float64), np.asarray(view.depth).shape
    if k.shape != (3, 3) or not np.isfinite(k).all():
        return [f"expected intrinsics (3, 3) of finite numbers, got {k.tolist()}"]
    problems = []
    if k[0, 0] <= 0 or k[1, 1] <= 0 or k[1, 0] != 0 or not np.array_equal(k[2], (0, 0, 1)):
        problems.append(f"expected intrinsics [[fx, s, cx], [0, fy, cy], [0, 0, 1]] in pixels, got {k.tolist()}")
    if not (0 <= k[0, 2] <= width and 0 <= k[1, 2] <= height):
        problems.append(f"expected an optical axis within {width} x {height} pixels, got {k[0, 2]}, {k[1, 2]}")
    return problems


def rigid_problems(matrix: Any) -> list[str]:
    """Return what keeps a (4, 4) matrix from being a rigid transform: R^T R = I, det R = 1, last row 0 0 0 1."""
    transform = np.asarray(matrix, dtype=np.float64)
    if transform.shape != (4, 4) or not np.isfinite(transform).all():
        return [f"expected world_from_camera (4, 4) of finite numbers, got {transform.tolist()}"]
    rotation = transform[:3, :3]
    problems = []
    if not np.array_equal(transform[3], (0, 0, 0, 1)):
        problems.append(f"expected the last row of world_from_camera to be 0 0 0 1, got {transform[3].tolist()}")
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > RIGID or np.linalg.det(rotation) < 0:
        problems.append(f"expected a right-handed rotation in world_from_camera, got {rotation.tolist()}")
    return problems


def apart(one: Pose, other: Pose) -> tuple[float, float]:
    """Return how far two poses are apart: in metres, and in radians about +z."""
    turn = math.remainder(quaternion_yaw(one.quaternion) - quaternion_yaw(other.quaternion), 2 * math.pi)
    return math.dist(one.position, other.position), abs(turn)


def from_line(point: Pose, start: Pose, end: Pose) -> float:
    """Return a position's distance in metres from the straight line between two others."""
    a, b, p = (np.array(pose.position) for pose in (start, end, point))
    share = float(np.clip(np.dot(p - a, b - a) / np.dot(b - a, b - a), 0.0, 1.0))
    return float(np.linalg.norm(p - a - share * (b - a)))
