"""Intel RealSense depth cameras, through Intel's client pyrealsense2 (`pip install '.[realsense]'` in a checkout).

Tested with a stand-in for pyrealsense2; not with a camera.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from robo_rlft.driver import DriverError
from robo_rlft.perception import ViewError
from robo_rlft.robots.cameras.camera import Frame
from robo_rlft.robots.cameras.checked import CheckedCamera

_TIMEOUT = 400  # milliseconds for one pair of pictures
_WARM_UP = 15  # pairs that are thrown away at first, until the exposure has settled
_MOST_OLD = 30  # pairs taken before the call that are thrown away


class RealSense(CheckedCamera):
    """A RealSense: colour, with depth in metres aligned to it, intrinsics from the device.

    Args:
        calibration: the file of `robo-rlft calibrate`, which says where the camera is; its intrinsics must be within
            1 % of the device's. None: pictures can be taken, to make one.
        serial: of the device; None takes the only one.
        size: (width, height) of colour and depth; a calibration's own goes before.
        rate: pictures a second.
        client: in place of the module pyrealsense2.
        clock: seconds.
        wall: seconds since 1970, the clock of the device's mapped time stamps.
    """

    def __init__(
        self,
        *,
        calibration: Path | None = None,
        serial: str | None = None,
        size: tuple[int, int] = (1280, 720),
        rate: int = 30,
        client: Any = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        device = _RealSenseSource(serial=serial, size=size, rate=rate, client=client, clock=clock, wall=wall)
        name = f"RealSense {serial or ''}".strip()
        super().__init__(source=device, name=name, calibration=calibration, clock=clock)
        if self.calibration is not None:
            device.size = self.calibration.size


class _RealSenseSource:
    """Reads pairs of aligned pictures."""

    def __init__(
        self,
        *,
        serial: str | None,
        size: tuple[int, int],
        rate: int,
        client: Any,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.size = size
        self._serial, self._rate, self._client, self._clock, self._wall = serial, rate, client, clock, wall
        self._pipeline: Any = None
        self._align: Any = None
        self._scale = 0.0  # metres per unit of depth
        self._offset = np.inf  # seconds between our clock and the device's, where it tells its own time only

    def connect(self) -> None:
        if self._pipeline is not None:
            return
        rs = self._client = self._client or _client()
        config, pipeline = rs.config(), rs.pipeline()
        if self._serial is not None:
            config.enable_device(self._serial)
        config.enable_stream(rs.stream.color, *self.size, rs.format.rgb8, self._rate)
        config.enable_stream(rs.stream.depth, *self.size, rs.format.z16, self._rate)
        try:
            profile = pipeline.start(config)
        except RuntimeError as error:
            raise ViewError(
                f"no RealSense answers at {self.size[0]} x {self.size[1]} pixels, {self._rate} a second ({error}); see "
                "that it is on a USB 3 port, that no other program uses it, and that it has this mode"
            ) from error
        self._scale = float(profile.get_device().first_depth_sensor().get_depth_scale())
        self._align, self._pipeline, self._offset = rs.align(rs.stream.color), pipeline, np.inf
        for _ in range(_WARM_UP):
            self._stamp(self._pair().get_color_frame())

    def close(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.stop()

    def read(self) -> Frame:
        """Return the first pair that was exposed after the call."""
        self.connect()  # after a drop-out the camera was released
        asked = self._clock()
        for _ in range(_MOST_OLD):
            frames = self._pair()
            color, depth = frames.get_color_frame(), frames.get_depth_frame()
            if not color or not depth:
                continue
            stamp = min(self._stamp(color), self._stamp(depth))
            if stamp >= asked:
                return self._frame(self._align.process(frames), stamp)
        return self._drop(f"the last {_MOST_OLD} pictures were all taken before they were asked for")

    def _pair(self) -> Any:
        try:
            return self._pipeline.wait_for_frames(_TIMEOUT)
        except RuntimeError as error:
            return self._drop(str(error))

    def _frame(self, aligned: Any, stamp: float) -> Frame:
        color, depth = aligned.get_color_frame(), aligned.get_depth_frame()
        if not color or not depth:
            self._drop("a picture came without its depth")
        # Copies: the client writes its next pictures into the same memory.
        units = np.array(depth.get_data())
        lens = color.profile.as_video_stream_profile().get_intrinsics()
        return Frame(
            color=np.array(color.get_data()),
            depth=(units * self._scale).astype(np.float32),
            # The client counts pixels from the first one's centre.
            intrinsics=np.array([[lens.fx, 0, lens.ppx + 0.5], [0, lens.fy, lens.ppy + 0.5], [0, 0, 1]], dtype=float),
            distortion=self._distortion(lens),
            stamp=stamp,
        )

    def _distortion(self, lens: Any) -> tuple[float, ...]:
        """Return the coefficients where they mean what OpenCV's do; others stay in, and show in the error."""
        models = self._client.distortion
        coefficients = tuple(float(v) for v in lens.coeffs)
        if not any(coefficients) or lens.model == models.none:
            return ()
        return coefficients if lens.model == models.brown_conrady else ()

    def _stamp(self, frame: Any) -> float:
        """Return when a picture was exposed, by our clock.

        The device's global time is the host's wall clock. Where it tells its own time only, the quickest picture so
        far is taken to have come without delay: stamps are then late by that picture's way here, some 30 ms.
        """
        told, now = float(frame.get_timestamp()) / 1000.0, self._clock()
        if frame.get_frame_timestamp_domain() == self._client.timestamp_domain.hardware_clock:
            self._offset = min(self._offset, now - told)
            return told + self._offset
        return now - (self._wall() - told)

    def _drop(self, what: str) -> NoReturn:
        """Release the camera, so that the next picture opens it anew."""
        try:
            self.close()
        except RuntimeError:
            self._pipeline = None
        raise ViewError(f"the RealSense dropped out: {what}; see its cable, a USB 3 port, and its power")


def _client() -> Any:
    try:
        return importlib.import_module("pyrealsense2")
    except ImportError as error:
        raise DriverError(
            "camera=realsense needs Intel's client, which is not installed: pip install '.[realsense]' in a checkout "
            f"({error})"
        ) from error
