"""The camera over the loopback controller's simulated table: the picture of `sim_floating`, over a socket.

Its faults are made on demand by the controller: see `robo_rlft.robots.stage.StageClient.fault`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from robo_rlft.driver import DriverError, View
from robo_rlft.perception import ViewError
from robo_rlft.robots.cameras.camera import Frame
from robo_rlft.robots.cameras.checked import CheckedCamera
from robo_rlft.robots.stage import StageClient


class Stage(Protocol):
    """What is used of `StageClient`."""

    def view(self) -> View: ...
    def close(self) -> None: ...


class LoopbackCamera(CheckedCamera):
    """The simulated camera, which knows where it is; its pictures have no noise, so that two may be the same.

    Args:
        host: of the loopback controller.
        port: of its stage.
        noiseless: its pictures may repeat themselves, as nothing moves in a simulator at rest; false refuses that, as
            of a real sensor, to try out a picture that is frozen under new stamps.
        calibration: in place of what the simulated camera knows, to try one out; None takes its word.
        stage: what opens the connection, in place of `StageClient`.
        clock: seconds.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.2",
        port: int = 29000,
        noiseless: bool = True,
        calibration: Path | None = None,
        stage: Callable[[str, int], Stage] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        source = _LoopbackSource(host, port, stage or StageClient)
        super().__init__(
            source=source, name=f"camera of {host}", calibration=calibration, noiseless=noiseless, clock=clock
        )


class _LoopbackSource:
    def __init__(self, host: str, port: int, stage: Callable[[str, int], Stage]) -> None:
        self._host, self._port, self._open = host, port, stage
        self._stage: Stage | None = None

    def connect(self) -> None:
        if self._stage is None:
            self._stage = self._open(self._host, self._port)

    def close(self) -> None:
        stage, self._stage = self._stage, None
        if stage is not None:
            stage.close()

    def read(self) -> Frame:
        self.connect()
        assert self._stage is not None
        try:
            view = self._stage.view()
        except DriverError as error:
            self.close()  # so that the next picture connects anew
            raise ViewError(f"camera of {self._host}: {error}") from error
        # The simulated camera's axis goes through its picture's middle.
        size = tuple(round(2 * float(center)) for center in view.intrinsics[:2, 2])
        if view.color.shape[1::-1] != size:
            raise ViewError(
                f"camera of {self._host}: expected {size[0]} x {size[1]} pixels, as its intrinsics say; got "
                f"{view.color.shape[1]} x {view.color.shape[0]}"
            )
        return Frame(
            color=view.color,
            depth=view.depth,
            intrinsics=view.intrinsics,
            world_from_camera=view.world_from_camera,
            stamp=view.stamp,
        )
