"""Whether what the cameras give can be acted on: whole, finite, fresh, and not seen before.

Knows nothing of what is in the pictures.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from robo_rlft.driver import View
from robo_rlft.perception import ViewError, check_view

SIMULATED = "simulated"  # serial number of a robot whose time stands still between actions: its stamps are 0
AHEAD = 0.05  # seconds that a stamp may lie in the future, for clocks that were mapped onto each other


class Seen:
    """Remembers each camera's last time stamp, so that a frozen one is noticed."""

    def __init__(self, *, stale: float, simulated: bool = False) -> None:
        """Make a check.

        Args:
            stale: seconds that a picture may be older than the moment at which it was asked for.
            simulated: stamps are not looked at.
        """
        self._stale, self._simulated = stale, simulated
        self._stamps: dict[int, float] = {}

    def check(self, views: Sequence[View], *, asked: float) -> tuple[View, ...]:
        """Return the views, if all can be used.

        Args:
            views: of all cameras, always in the same order.
            asked: when, on the clock of `time.monotonic`.

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
            self._check_stamp(i, view.stamp, asked)
        return tuple(views)

    def _check_stamp(self, camera: int, stamp: float, asked: float) -> None:
        last = self._stamps.get(camera)
        if not math.isfinite(stamp):
            raise ViewError(f"camera {camera}: expected a finite time stamp in seconds, got {stamp}")
        self._stamps[camera] = stamp
        if self._simulated:
            return
        if last is not None and stamp <= last:
            raise ViewError(
                f"camera {camera}: its picture is of {stamp} s and the last one was of {last} s; the camera is frozen: "
                "connect it again"
            )
        if not asked - self._stale <= stamp <= time.monotonic() + AHEAD:
            raise ViewError(
                f"camera {camera}: its picture is stamped {asked - stamp:.2f} s before it was asked for; expected "
                f"time.monotonic() of the exposure, at most {self._stale:g} s before"
            )


def _rigid(matrix: object, size: int) -> bool:
    return isinstance(matrix, np.ndarray) and matrix.shape == (size, size) and bool(np.isfinite(matrix).all())
