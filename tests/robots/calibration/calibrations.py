"""Cameras whose place is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from robo_rlft.robots.calibration.camera_pose import Intrinsics
from robo_rlft.robots.calibration.file import Calibration, Error
from robo_rlft.robots.calibration.rigid import transform

Array = npt.NDArray[np.float64]
LENS = Intrinsics(size=(1280, 720), matrix=np.array([[900.0, 0, 640], [0, 905.0, 362], [0, 0, 1]]))


def down(x: float, y: float, z: float) -> Array:
    """A camera that looks straight down, its picture's right along +x."""
    return np.array([[1, 0, 0, x], [0, -1, 0, y], [0, 0, -1, z], [0, 0, 0, 1]], dtype=np.float64)


def looking(eye: tuple[float, float, float], at: tuple[float, float, float]) -> Array:
    """A camera at `eye` that looks at `at`, upright."""
    z = np.array(at) - np.array(eye)
    z /= np.linalg.norm(z)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    return transform(np.column_stack([x, np.cross(z, x), z]), eye)


def example(**changes: Any) -> Calibration:
    """A calibration of a camera 1 m above the table."""
    size = changes.get("size", (1280, 720))
    values: dict[str, Any] = {
        "camera": "eye",
        "size": size,
        "intrinsics": np.array([[0.9 * size[0], 0, size[0] / 2], [0, 0.9 * size[0], size[1] / 2], [0, 0, 1]]),
        "distortion": (),
        "mount": "world",
        "mount_from_camera": down(0.5, 0.0, 1.0),
        "method": "points",
        "error": Error(mean_px=0.3, max_px=0.5, mean_mm=0.4, max_mm=0.6, left_out_mm=0.9, judged_mm=0.8, points=6),
        "verdict": "good",
        "date": "2025-01-01T00:00:00Z",
    }
    return Calibration(**{**values, **changes})
