"""Where described bodies are, how high, and which lies on which, read from their poses.

Knows nothing of tasks or simulators. Metres, world frame; a pose is that of the centre of a body's underside.
"""

from __future__ import annotations

import math

from robo_rlft.driver import Pose
from robo_rlft.geometry import quaternion_tilt
from robo_rlft.records import BodySpec

UPRIGHT = math.radians(10.0)  # a body that leans farther does not stand


def height(body: BodySpec) -> float:
    """Return how high a body is when it stands."""
    return max(part.center[2] + part.size[2] / 2 for part in body.parts)


def radius(body: BodySpec) -> float:
    """Return the radius of the smallest circle around the middle of its footprint that holds all of it."""
    reach = 0.0
    for part in body.parts:
        half = math.hypot(part.size[0], part.size[1]) / 2 if part.kind == "box" else part.size[0]
        reach = max(reach, math.hypot(part.center[0], part.center[1]) + half)
    return reach


def middle(body: BodySpec, pose: Pose) -> tuple[float, float, float]:
    """Return a body's middle, however it has tumbled."""
    x, y, z, w = pose.quaternion
    up = (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))  # the body's z axis in the world frame
    px, py, pz = (p + u * height(body) / 2 for p, u in zip(pose.position, up, strict=True))
    return px, py, pz


def stands(pose: Pose) -> bool:
    """Tell whether a body is upright."""
    return quaternion_tilt(pose.quaternion) < UPRIGHT
