"""Whether what the cameras give can be acted on: whole, finite, and not seen before.

Knows nothing of what is in the pictures. How old a picture is only its camera can tell; see `robots/cameras`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robo_rlft.driver import View
from robo_rlft.perception import ViewError, check_view


class Seen:
    """Remembers each camera's last time stamp, so that a frozen one is noticed."""

    def __init__(self) -> None:
        self._stamps: dict[int, float] = {}

    def check(self, views: Sequence[View]) -> tuple[View, ...]:
        """Return the views, if all can be used.

        Raises:
            ViewError: saying which camera's view cannot, and why.
        """
        if len(views) < len(self._stamps):
            raise ViewError(f"{len(views)} views came, {len(self._stamps)} before: a camera dropped out; see its cable")
        for i, view in enumerate(views):
            if not isinstance(view, View):
                raise ViewError(f"camera {i}: expected a View, got {type(view).__name__}")
            check_view(view)
            if not _rigid(view.intrinsics, 3) or not _rigid(view.world_from_camera, 4):
                raise ViewError(
                    f"camera {i}: expected finite intrinsics (3, 3) and world_from_camera (4, 4), got "
                    f"{np.shape(view.intrinsics)} and {np.shape(view.world_from_camera)}: calibrate the camera anew"
                )
            self._check_stamp(i, view.stamp)
        return tuple(views)

    def _check_stamp(self, camera: int, stamp: float) -> None:
        last = self._stamps.get(camera)
        if not math.isfinite(stamp):
            raise ViewError(f"camera {camera}: expected a finite time stamp in seconds, got {stamp}")
        # Simulated time stands still between actions, and its stamp is always 0.
        if last is not None and stamp <= last and stamp != 0.0:
            raise ViewError(
                f"camera {camera}: its picture is of {stamp} s and the last one was of {last} s; the camera is frozen: "
                "connect it again"
            )
        self._stamps[camera] = stamp


def _rigid(matrix: object, size: int) -> bool:
    return isinstance(matrix, np.ndarray) and matrix.shape == (size, size) and bool(np.isfinite(matrix).all())
