"""Poses and the workspace: the only place where metres become pixels.

Knows nothing of cameras or robots. Grids are rows x columns; rows run along y, columns along x, both in the world
frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Quaternion = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """The table rectangle and its pixel grid.

    Pixel (row, column) covers the half-open square [row, row + 1) x [column, column + 1) in units of `pixel_size` from
    (y_min, x_min); it stands for its centre. There is one rounding rule, the floor.
    """

    x_min: float = 0.25  # metres, world frame
    x_max: float = 0.75
    y_min: float = -0.5
    y_max: float = 0.5
    pixel_size: float = 0.00625  # metres

    def __post_init__(self) -> None:
        values = (self.x_min, self.x_max, self.y_min, self.y_max, self.pixel_size)
        if not all(math.isfinite(v) for v in values) or self.pixel_size <= 0:
            raise ValueError(f"a workspace needs finite limits and a positive pixel size in metres, got {values}")
        for low, high in ((self.x_min, self.x_max), (self.y_min, self.y_max)):
            count = (high - low) / self.pixel_size
            if count < 1 or abs(count - round(count)) > 1e-6:
                raise ValueError(f"{low} to {high} m is not a whole number of pixels of {self.pixel_size} m")

    @property
    def rows(self) -> int:
        return round((self.y_max - self.y_min) / self.pixel_size)

    @property
    def columns(self) -> int:
        return round((self.x_max - self.x_min) / self.pixel_size)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows, self.columns

    def pixel_to_xy(self, pixel: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the centres (x, y) in metres of pixels (row, column); any leading dimensions."""
        rc = np.asarray(pixel, dtype=np.float64)
        x = self.x_min + (rc[..., 1] + 0.5) * self.pixel_size
        y = self.y_min + (rc[..., 0] + 0.5) * self.pixel_size
        return np.stack([x, y], axis=-1)

    def xy_to_pixel(self, xy: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the pixels (row, column) that hold the points (x, y) in metres; they may lie outside the grid."""
        p = np.asarray(xy, dtype=np.float64)
        # 1e-9: a centre computed in another order of operations must not fall to its neighbour.
        row = np.floor((p[..., 1] - self.y_min) / self.pixel_size + 1e-9)
        column = np.floor((p[..., 0] - self.x_min) / self.pixel_size + 1e-9)
        return np.stack([row, column], axis=-1).astype(np.int64)

    def contains(self, pixel: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Tell which pixels (row, column) lie on the grid."""
        rc = np.asarray(pixel)
        inside: npt.NDArray[np.bool_] = np.all((rc >= 0) & (rc < np.array(self.shape)), axis=-1)
        return inside

    def clip_pixel(self, pixel: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the nearest pixels (row, column) on the grid."""
        return np.clip(np.asarray(pixel, dtype=np.int64), 0, np.array(self.shape) - 1)


def bin_to_angle(rotation: int, rotations: int) -> float:
    """Return the angle in radians, counter-clockwise about +z in the world frame, of a rotation bin."""
    return 2.0 * math.pi * (rotation % rotations) / rotations


def angle_to_bin(angle: float, rotations: int) -> int:
    """Return the bin nearest to an angle in radians."""
    return math.floor(angle * rotations / (2.0 * math.pi) + 0.5) % rotations


def yaw_quaternion(yaw: float) -> Quaternion:
    """Return the quaternion (x, y, z, w) of a rotation by `yaw` radians about +z."""
    return 0.0, 0.0, math.sin(yaw / 2.0), math.cos(yaw / 2.0)


def quaternion_yaw(quaternion: Quaternion) -> float:
    """Return the rotation about +z in radians, in (-pi, pi], of a quaternion (x, y, z, w)."""
    x, y, z, w = quaternion
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def quaternion_tilt(quaternion: Quaternion) -> float:
    """Return the angle in radians, in [0, pi], by which a quaternion (x, y, z, w) of any length leans from +z."""
    x, y, z, w = quaternion
    return 2.0 * math.atan2(math.hypot(x, y), math.hypot(z, w))


def rotate_xy(xy: tuple[float, float], angle: float) -> tuple[float, float]:
    """Return the point (x, y) turned by `angle` radians counter-clockwise about the origin."""
    c, s = math.cos(angle), math.sin(angle)
    return c * xy[0] - s * xy[1], s * xy[0] + c * xy[1]
