"""Where a UR arm's numbers meet the world: frames, rotation vectors, and how long a straight line takes.

A UR controller gives poses of the tool (TCP) in the arm's base: metres and a rotation vector (axis times angle), the
tool's z axis pointing out of the flange. The world's tool points down with the identity quaternion, so that
base_from_tcp = base_from_world * world_from_tool * Rx(pi).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from robo_rlft.driver import Pose
from robo_rlft.geometry import Quaternion, rotate_xy, yaw_quaternion

Vector = tuple[float, float, float]

_FLIP: Quaternion = (1.0, 0.0, 0.0, 0.0)  # Rx(pi)
_UNFLIP: Quaternion = (-1.0, 0.0, 0.0, 0.0)


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """Return the quaternion (x, y, z, w) of the rotation b followed by a."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def angle_between(a: Quaternion, b: Quaternion) -> float:
    """Return the angle in radians, in [0, pi], that turns one orientation into the other."""
    x, y, z, w = multiply((-a[0], -a[1], -a[2], a[3]), b)
    return 2.0 * math.atan2(math.hypot(x, y, z), abs(w))


def rotation_vector(quaternion: Quaternion) -> Vector:
    """Return axis times angle (radians, in [0, pi]) of a quaternion (x, y, z, w) of any length above 0."""
    x, y, z, w = quaternion if quaternion[3] >= 0 else tuple(-v for v in quaternion)
    length = math.hypot(x, y, z)
    if length == 0.0:
        return 0.0, 0.0, 0.0
    scale = 2.0 * math.atan2(length, w) / length
    return x * scale, y * scale, z * scale


def vector_quaternion(vector: Vector) -> Quaternion:
    """Return the quaternion (x, y, z, w) of a rotation vector in radians."""
    angle = math.hypot(*vector)
    scale = 0.5 if angle < 1e-12 else math.sin(angle / 2.0) / angle
    return vector[0] * scale, vector[1] * scale, vector[2] * scale, math.cos(angle / 2.0)


@dataclass(frozen=True, kw_only=True)
class BaseFrame:
    """Where the arm's base stands in the world: upright, turned by `yaw` about +z."""

    x: float = 0.0  # metres
    y: float = 0.0
    z: float = 0.0
    yaw: float = 0.0  # radians, counter-clockwise seen from above

    def to_controller(self, pose: Pose) -> list[float]:
        """Return base_from_tcp as the controller wants it: x y z in metres, rotation vector in radians."""
        px, py, pz = pose.position
        bx, by = rotate_xy((px - self.x, py - self.y), -self.yaw)
        turned = multiply(multiply(yaw_quaternion(-self.yaw), pose.quaternion), _FLIP)
        return [bx, by, pz - self.z, *rotation_vector(turned)]

    def to_world(self, pose: list[float]) -> Pose:
        """Return world_from_tool of what the controller says."""
        wx, wy = rotate_xy((pose[0], pose[1]), self.yaw)
        tcp = vector_quaternion((pose[3], pose[4], pose[5]))
        turned = multiply(multiply(yaw_quaternion(self.yaw), tcp), _UNFLIP)
        length = math.hypot(*turned)
        x, y, z, w = (value / length for value in turned)
        sign = 1.0 if w >= 0 else -1.0
        return Pose(
            position=(wx + self.x, wy + self.y, pose[2] + self.z), quaternion=(sign * x, sign * y, sign * z, sign * w)
        )

    def turn(self, vector: list[float]) -> Vector:
        """Return a direction of the arm's base (a force, a speed) in the world's axes."""
        x, y = rotate_xy((vector[0], vector[1]), self.yaw)
        return x, y, vector[2]


def line_seconds(start: Pose, target: Pose, *, speed: float, acceleration: float) -> float:
    """Return how long a straight line takes from rest to rest: a trapezoid of speed over the longer of way and turn.

    Args:
        start: of the line.
        target: likewise.
        speed: m/s; a turn is taken at as many rad/s.
        acceleration: m/s^2, and rad/s^2.
    """
    way = max(math.dist(start.position, target.position), angle_between(start.quaternion, target.quaternion))
    ramps = speed * speed / acceleration  # the way that speeding up and slowing down take together
    if way < ramps:
        return 2.0 * math.sqrt(way / acceleration)
    return speed / acceleration + way / speed
