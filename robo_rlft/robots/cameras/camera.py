"""What a camera is to a robot's driver, and what a camera's vendor's client is to this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from robo_rlft.driver import View


@runtime_checkable
class Camera(Protocol):
    """Something that gives a fresh RGB-D picture whose pixels can be placed in the world.

    Depth is in metres along the optical axis, 0 where nothing was measured. The camera's frame has x right, y down, z
    forward; `world_from_camera` takes its points to the world frame. Intrinsics are in pixels, the first pixel's centre
    at (0.5, 0.5): vendors and OpenCV put it at (0, 0), so that their principal point is half a pixel less. The stamp
    is `time.monotonic()` of the exposure.
    """

    def connect(self) -> None:
        """Open the camera; safe to call twice."""

    def close(self) -> None:
        """Release the camera; safe to call twice, and without `connect`."""

    def view(self) -> View:
        """Return a picture that was taken after the call.

        Raises:
            ViewError: the camera is gone, hangs or repeats itself, or the picture cannot be used.
        """


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A picture as a device gives it, before a calibration places it."""

    color: npt.NDArray[np.uint8]  # (height, width, 3), RGB
    stamp: float  # `time.monotonic()` of the exposure, as near as the device tells
    depth: npt.NDArray[np.float32] | None = (
        None  # (height, width), metres, 0 where nothing was measured; None: no sensor
    )
    intrinsics: npt.NDArray[np.float64] | None = None  # (3, 3), as in `View`; None: the device does not know
    distortion: tuple[float, ...] = ()  # OpenCV's coefficients, as far as the device knows them
    world_from_camera: npt.NDArray[np.float64] | None = None  # (4, 4); known to simulated cameras only


class FrameSource(Protocol):
    """A device's client, unguarded: methods may hang, raise anything, or give yesterday's picture."""

    def connect(self) -> None: ...

    def close(self) -> None: ...

    def read(self) -> Frame:
        """Return the newest picture."""
