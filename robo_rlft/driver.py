"""The contract between this package and anything that can look, move and grip.

Knows nothing of simulators, tasks or learning: standard library and numpy only, so that a driver for a real arm needs
nothing else. Frames: the world frame has its origin at the robot's base, x forward, y left, z up, the table's surface
at z = 0. Units: metres, radians, seconds. Quaternions are (x, y, z, w).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt


class DriverError(Exception):
    """A driver could not do what was asked; the message says what happened and what an operator can do."""


@dataclass(frozen=True, kw_only=True)
class Pose:
    """A rigid pose in the world frame."""

    position: tuple[float, float, float]  # metres
    quaternion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)  # xyzw, unit length


@dataclass(frozen=True, kw_only=True)
class View:
    """One RGB-D picture with all that is needed to place its pixels in the world."""

    color: npt.NDArray[np.uint8]  # (height, width, 3), RGB
    depth: npt.NDArray[np.float32]  # (height, width), metres along the optical axis; 0 where nothing was measured
    intrinsics: npt.NDArray[np.float64]  # (3, 3), pixels
    world_from_camera: npt.NDArray[np.float64]  # (4, 4); camera axes x right, y down, z forward
    stamp: float  # seconds, the driver's own clock


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What a motion came to."""

    reached: Pose
    contact: bool  # the tool touched something before the target


@runtime_checkable
class RobotDriver(Protocol):
    """Anything that can look (RGB-D), move its tool along a line, and grip."""

    def connect(self) -> None:
        """Open the connection; raise `DriverError` when that fails."""

    def close(self) -> None:
        """Release everything; safe to call twice."""

    def observe(self) -> tuple[View, ...]:
        """Return one fresh view per camera."""

    def tool_pose(self) -> Pose:
        """Return the pose of the tool's tip."""

    def move(self, target: Pose, *, speed: float, stop_on_contact: bool = False) -> Motion:
        """Move the tool's tip along a straight line to `target` at `speed` (m/s)."""

    def home(self) -> None:
        """Move the tool out of every camera's sight of the workspace."""

    def grip(self) -> None:
        """Close the gripper or switch suction on."""

    def release(self) -> None:
        """Open the gripper or switch suction off."""

    def is_holding(self) -> bool:
        """Tell whether something is held now."""

    def wait(self) -> None:
        """Wait until the scene is at rest, or the driver's own limit is reached."""
