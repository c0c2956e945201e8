"""The emulated camera: the simulator's view from above with a stamp, and its faults."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from robo_rlft.driver import DriverError, View
from robo_rlft.sim.loopback.arm import Arm

FAULTS = ("camera_drop", "camera_freeze", "camera_frozen_restamped", "camera_nan", "camera_wrong_size")


class Camera:
    """Takes pictures of the arm's world."""

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._last: View | None = None
        self.fault: str | None = None

    def view(self) -> View:
        """Return a picture; the stamp is `time.monotonic()` of its exposure.

        Raises:
            DriverError: the camera has dropped off.
        """
        if self.fault == "camera_drop":
            raise DriverError("the camera does not answer")
        if self._last is None or self.fault not in ("camera_freeze", "camera_frozen_restamped"):
            self._last = replace(self._arm.view(), stamp=time.monotonic())
        view = self._last
        if self.fault == "camera_frozen_restamped":
            return replace(view, stamp=time.monotonic())
        if self.fault == "camera_nan":
            depth = view.depth.copy()
            depth[::7, ::5] = np.nan
            return replace(view, depth=depth)
        if self.fault == "camera_wrong_size":
            return replace(view, color=view.color[:-8, :-8].copy(), depth=view.depth[:-8, :-8].copy())
        return view
