"""Colour cameras through OpenCV: a webcam by its index, a network camera by its address.

Tested with a stand-in for `cv2.VideoCapture`; not with a camera. OpenCV tells no time of exposure: the stamp is when
the picture arrived, which is up to two frames later than what it shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Protocol

import cv2
import numpy as np

from robo_rlft.perception import ViewError
from robo_rlft.robots.cameras.camera import Frame
from robo_rlft.robots.cameras.checked import CheckedCamera

_MOST_BUFFERED = 60  # pictures thrown away before giving up; drivers hold 1 to 10, network streams more
_WARM_UP = 10  # pictures that are thrown away at first, until the exposure has settled
_USUAL_RATE = 30.0  # pictures a second, where the driver does not say
_IMPOSSIBLE_RATE = 1000.0  # a driver that says more says nothing


class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool: ...
    def set(self, propId: int, value: float, /) -> bool: ...
    def get(self, propId: int, /) -> float: ...
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


class OpenCvCamera(CheckedCamera):
    """A colour camera; the depth of its views is that of the flat table, computed from the calibration.

    So all heights read 0: a policy's height mask lets every pixel pass, and the contact stop finds how high a thing is.
    See `robo_rlft.robots.cameras.placing.Placing` for what that costs.

    Args:
        calibration: the file of `robo-rlft calibrate`; None: pictures can be taken, to make one.
        source: the camera's index, or the address of a stream.
        size: (width, height) to ask for without a calibration; None takes the camera's own.
        capture: what opens the camera, in place of `cv2.VideoCapture`.
        clock: seconds.
    """

    def __init__(
        self,
        *,
        calibration: Path | None = None,
        source: int | str = 0,
        size: tuple[int, int] | None = None,
        capture: Callable[[int | str], Capture] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        open_capture: Callable[[int | str], Capture] = capture or cv2.VideoCapture  # type: ignore[assignment]  # its `set`
        device = _OpenCvSource(source=source, size=size, capture=open_capture, clock=clock)
        super().__init__(source=device, name=f"camera {source}", calibration=calibration, clock=clock)
        if self.calibration is not None:
            device.size = self.calibration.size


class _OpenCvSource:
    """Reads the newest picture of a capture."""

    def __init__(
        self,
        *,
        source: int | str,
        size: tuple[int, int] | None,
        capture: Callable[[int | str], Capture],
        clock: Callable[[], float],
    ) -> None:
        self.size = size
        self._address, self._open, self._clock = source, capture, clock
        self._capture: Capture | None = None

    def connect(self) -> None:
        if self._capture is not None:
            return
        capture = self._open(self._address)
        if not capture.isOpened():
            capture.release()
            raise ViewError(
                f"camera {self._address} does not open; see that it is plugged in, that no other program uses it, and "
                "that camera.source is its index (0, 1, ...) or its stream's address"
            )
        if self.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self.size[1])
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # many drivers ignore it, hence the draining below
        self._capture = capture
        for _ in range(_WARM_UP):
            capture.grab()

    def close(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def read(self) -> Frame:
        """Return the second of two pictures that had to be waited for: those that come at once were in a buffer.

        Of one wait a busy machine can be the reason, and then the picture is as old as the last look.
        """
        self.connect()  # after a drop-out the camera was released
        capture = self._capture
        assert capture is not None
        rate = capture.get(cv2.CAP_PROP_FPS)
        interval = 1.0 / (rate if 0 < rate < _IMPOSSIBLE_RATE else _USUAL_RATE)
        waits = 0
        for _ in range(_MOST_BUFFERED):
            begin = self._clock()
            if not capture.grab():
                self._drop("gave no picture")
            waits = waits + 1 if self._clock() - begin > 0.5 * interval else 0
            if waits == 2:
                break
        else:
            self._drop(f"gave {_MOST_BUFFERED} pictures at once; a recording is no camera")
        good, picture = capture.retrieve()
        stamp = self._clock()
        if not good or picture is None:
            self._drop("gave a picture that cannot be decoded")
        color = np.asarray(picture)
        if color.ndim == 3 and color.shape[2] == 3 and color.dtype == np.uint8:
            color = cv2.cvtColor(color, cv2.COLOR_BGR2RGB)
        return Frame(color=color, stamp=stamp)

    def _drop(self, what: str) -> NoReturn:
        """Release the camera, so that the next picture opens it anew."""
        self.close()
        raise ViewError(f"camera {self._address} {what}; see its cable and its power")
