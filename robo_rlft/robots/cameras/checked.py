"""The guard that every real picture goes through: fresh, whole, finite, of the right size, or an error.

No picture is ever used twice, and none is remembered for later. A failed camera needs nobody's recovery: nothing moves
by it, and its next good picture works again.
"""

from __future__ import annotations

import hashlib
import math
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from robo_rlft.driver import DriverError, Pose, View
from robo_rlft.perception import ViewError, check_view
from robo_rlft.robots.calibration.file import Calibration, CalibrationError, read_calibration
from robo_rlft.robots.calibration.rigid import inverse, vector_from_rotation, world_from_tool
from robo_rlft.robots.cameras.camera import Frame, FrameSource
from robo_rlft.robots.cameras.placing import Placing

STALE = 0.2  # seconds; an older picture shows a scene that may have changed
PATIENCE = 0.9  # seconds that a picture may take, so that a hung camera is an error within 1 s
CONNECT_PATIENCE = 15.0  # seconds; network cameras take many
_AHEAD = 0.05  # seconds that a stamp may lie in the future, for clocks that were mapped onto each other
_STILL = (0.001, 0.003)  # metres and radians that the tool may move while its camera takes a picture
T = TypeVar("T")


class PictureGuard:
    """Checks pictures in the order they come, from one camera.

    Args:
        name: of the camera, for messages.
        size: (width, height) that every picture must have; None takes that of the first.
        noiseless: of a simulated camera, whose pictures may be byte-identical; a real sensor's noise forbids that.
        stale: seconds that a picture may be old at delivery.
        clock: seconds, the clock of the stamps.
    """

    def __init__(
        self,
        *,
        name: str,
        size: tuple[int, int] | None = None,
        noiseless: bool = False,
        stale: float = STALE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._size, self._noiseless, self._stale, self._clock = name, size, noiseless, stale, clock
        self._stamp = -math.inf
        self._digest = b""

    def check(self, color: Any, depth: Any, stamp: float) -> None:
        """Refuse a picture that nothing may be computed from.

        Args:
            color: should be uint8 (height, width, 3).
            depth: should be floating (height, width); None where there is no depth sensor.
            stamp: should be a time in the last `stale` seconds, and later than any before.

        Raises:
            ViewError: it is old, has no new stamp, is the same picture once more or no picture, has another size, or a
                depth that is not finite.
        """
        self._check_arrays(color, depth)
        if not isinstance(stamp, int | float | np.floating) or not math.isfinite(stamp):
            raise ViewError(f"{self._name}: expected a time stamp in seconds, got {stamp!r}; mend the camera's driver")
        age = self._clock() - stamp
        if age < -_AHEAD:
            raise ViewError(
                f"{self._name}: the picture's stamp lies {-age:.2f} s in the future; expected time.monotonic() of the "
                "exposure"
            )
        if age > self._stale:
            raise ViewError(
                f"{self._name}: the picture is {age:.2f} s old, expected at most {self._stale:g} s; the camera or its "
                "cable is too slow: lower its resolution, or use another port"
            )
        if stamp <= self._stamp:
            raise ViewError(
                f"{self._name}: the picture's stamp {stamp:.3f} s is not later than the one before; the camera is "
                "frozen: plug it out and in"
            )
        self._stamp = float(stamp)
        digest = hashlib.blake2b(np.ascontiguousarray(color).data, digest_size=16).digest()
        same, self._digest = digest == self._digest, digest
        if same and not self._noiseless:
            raise ViewError(
                f"{self._name}: two pictures are the same in every byte, which a sensor's noise makes impossible; the "
                "camera is frozen, or its lens is covered"
            )

    def _check_arrays(self, color: Any, depth: Any) -> None:
        if not isinstance(color, np.ndarray) or color.dtype != np.uint8 or color.ndim != 3 or color.shape[2] != 3:
            raise ViewError(f"{self._name}: expected colour uint8 (height, width, 3), got {_shown(color)}")
        size = (color.shape[1], color.shape[0])
        if 0 in size:
            raise ViewError(f"{self._name}: the picture is empty, {size[0]} x {size[1]} pixels")
        if self._size is not None and size != tuple(self._size):
            raise ViewError(
                f"{self._name}: expected {self._size[0]} x {self._size[1]} pixels as calibrated, got {size[0]} x "
                f"{size[1]}; set that resolution, or calibrate at this one"
            )
        if depth is None:
            self._size = size
            return
        if not isinstance(depth, np.ndarray) or depth.dtype not in (np.float32, np.float64):
            raise ViewError(f"{self._name}: expected depth as floating metres (height, width), got {_shown(depth)}")
        if depth.shape != color.shape[:2]:
            raise ViewError(
                f"{self._name}: expected depth of the colour's size {color.shape[:2]}, got {depth.shape}; align depth "
                "to colour"
            )
        bad = int(np.count_nonzero(~np.isfinite(depth)))
        if bad:
            raise ViewError(
                f"{self._name}: {bad} of {depth.size} depths are NaN or infinite; expected metres, with 0 where "
                "nothing was measured"
            )
        if float(depth.min()) < 0:
            raise ViewError(f"{self._name}: a depth is {float(depth.min()):g} m; expected 0 or more")
        self._size = size


class CheckedCamera:
    """A device behind the guard: `Camera`, and what its calibration needs before there is one.

    Reads run in a thread of their own, so that a device that hangs is an error within 1 s; what comes late is thrown
    away.

    Args:
        source: the device.
        name: for messages and files.
        calibration: of `robo-rlft calibrate`; None: `frame` works, `view` does not, unless the device knows its place.
        noiseless: of a simulated camera; see `PictureGuard`.
        stale: seconds that a picture may be old at delivery.
        patience: seconds that a picture may take.
        clock: seconds, the clock of the stamps.
    """

    def __init__(
        self,
        *,
        source: FrameSource,
        name: str,
        calibration: Path | Calibration | None,
        noiseless: bool = False,
        stale: float = STALE,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.calibration = read_calibration(calibration) if isinstance(calibration, Path) else calibration
        size = None if self.calibration is None else self.calibration.size
        self._source, self._patience = source, patience
        self._guard = PictureGuard(name=name, size=size, noiseless=noiseless, stale=stale, clock=clock)
        self._placing = None if self.calibration is None else Placing(self.calibration)
        self._worker: _Worker | None = None
        self._tool_pose: Callable[[], Pose] | None = None

    def connect(self) -> None:
        """Open the camera; safe to call twice."""
        if self._worker is not None:
            return
        worker = _Worker(self.name)
        try:
            worker.call(self._source.connect, CONNECT_PATIENCE)
        except DriverError:
            worker.end(self._source.close)
            raise
        self._worker = worker

    def close(self) -> None:
        """Release the camera; safe to call twice, and without `connect`. One that hangs is left behind."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.end(self._source.close).wait(self._patience)

    def follow(self, tool_pose: Callable[[], Pose]) -> None:
        """Tell a camera that is mounted on the tool how to ask where the tool is."""
        self._tool_pose = tool_pose

    def frame(self) -> Frame:
        """Return a fresh picture as the device gives it.

        Raises:
            ViewError: the camera is gone, hangs or repeats itself, or the picture cannot be used.
        """
        if self._worker is None:
            raise ViewError(f"{self.name} is not connected; call connect() first")
        frame = self._worker.call(self._source.read, self._patience)
        if not isinstance(frame, Frame):
            raise ViewError(f"{self.name}: expected a Frame of the camera's driver, got {type(frame).__name__}")
        self._guard.check(frame.color, frame.depth, frame.stamp)
        return frame

    def view(self) -> View:
        """Return a fresh picture, placed in the world.

        Raises:
            CalibrationError: there is no calibration, or it is not this camera's.
            ViewError: the camera is gone, hangs or repeats itself, or the picture cannot be used.
        """
        mounted = self.calibration is not None and self.calibration.mount == "tool"
        if mounted and self._tool_pose is None:
            raise CalibrationError(
                f"{self.name} is mounted on the tool, and no robot was given to ask for its pose: use it with a robot "
                "that calls camera.follow(robot.tool_pose)"
            )
        before = self._tool_pose() if mounted and self._tool_pose is not None else None
        frame = self.frame()
        tool = None if before is None else self._still(before)
        view = self._placed(frame, tool)
        check_view(view)
        return view

    def _placed(self, frame: Frame, tool: Pose | None) -> View:
        if self._placing is not None:
            return self._placing.view(frame, name=self.name, tool=tool)
        if frame.world_from_camera is None or frame.intrinsics is None or frame.depth is None:
            raise CalibrationError(
                f"{self.name} has no calibration, so that its pixels are nowhere; make one with 'robo-rlft calibrate' "
                "and name it with camera.calibration=FILE"
            )
        return View(
            color=frame.color,
            depth=frame.depth.astype(np.float32, copy=False),
            intrinsics=frame.intrinsics,
            world_from_camera=frame.world_from_camera,
            stamp=frame.stamp,
        )

    def _still(self, before: Pose) -> Pose:
        assert self._tool_pose is not None
        after = self._tool_pose()
        change = inverse(world_from_tool(before)) @ world_from_tool(after)
        way = float(np.linalg.norm(change[:3, 3]))
        turn = float(np.linalg.norm(vector_from_rotation(change[:3, :3])))
        if way > _STILL[0] or turn > _STILL[1]:
            raise ViewError(
                f"{self.name}: the tool moved {1000 * way:.1f} mm and turned {math.degrees(turn):.2f} degrees while "
                "its camera took a picture; let it stand still"
            )
        return after


class _Worker:
    """A thread that makes calls one after the other, and whose caller may stop waiting."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # A daemon: a device that never answers must not keep the process alive.
        threading.Thread(target=self._work, name=f"camera {name}", daemon=True).start()

    def call(self, function: Callable[[], T], patience: float) -> T:
        """Return what `function` returns.

        Raises:
            DriverError: as `function` raised it; any other exception comes as `ViewError`.
            ViewError: it took longer than `patience` seconds; what it returns later is lost.
        """
        job = _Job(function)
        self._jobs.put(job)
        if not job.done.wait(patience):
            job.wanted = False
            raise ViewError(f"{self._name} gave no answer within {patience:g} s; see its cable and its power")
        if job.error is None:
            return job.result  # type: ignore[no-any-return]  # what the function returned
        if isinstance(job.error, DriverError):
            raise job.error
        raise ViewError(
            f"{self._name} dropped out: {type(job.error).__name__}: {job.error}; see its cable and its power"
        ) from job.error

    def end(self, last: Callable[[], None]) -> threading.Event:
        """Let the thread end after what it is at and one last call; return what tells that this was made."""
        job = _Job(last)
        self._jobs.put(job)
        self._jobs.put(None)
        return job.done

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job.wanted:
                job.run()


class _Job:
    def __init__(self, function: Callable[[], Any]) -> None:
        self.done, self.wanted = threading.Event(), True
        self.result: Any = None
        self.error: Exception | None = None
        self._function = function

    def run(self) -> None:
        try:
            self.result = self._function()
        except Exception as error:  # whatever a vendor's client raises
            self.error = error
        self.done.set()


def _shown(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
