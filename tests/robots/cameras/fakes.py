"""Stand-ins for a camera's device, OpenCV's capture and Intel's client, with faults on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from robo_rlft.robots.cameras import Frame

SIZE = (64, 48)


class Clock:
    """A clock that goes on by itself a little at each look, or as it is told."""

    def __init__(self, *, step: float = 0.0) -> None:
        self.now, self._step = 100.0, step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


@dataclass
class FakeSource:
    """A device whose next pictures can be made wrong."""

    clock: Clock
    size: tuple[int, int] = SIZE
    change: Callable[[Frame], Frame] = lambda frame: frame
    hang: threading.Event = field(default_factory=threading.Event)  # set: reads go through
    connected: int = 0
    reads: int = 0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __post_init__(self) -> None:
        self.hang.set()

    def connect(self) -> None:
        self.connected += 1

    def close(self) -> None:
        self.connected = 0

    def read(self) -> Frame:
        self.hang.wait(10)
        self.reads += 1
        self.clock.now += 0.1
        color = noise(self.rng, self.size)
        depth = np.full((self.size[1], self.size[0]), 0.8, dtype=np.float32)
        return self.change(Frame(color=color, depth=depth, stamp=self.clock.now - 0.03))


class FakeCapture:
    """OpenCV's capture: some pictures wait in a buffer, the next one has to be waited for."""

    def __init__(self, clock: Clock, *, opens: bool = True, buffered: int = 3) -> None:
        self.clock, self.opens, self.buffered = clock, opens, buffered
        self.drops = self.released = False
        self.settings: dict[int, float] = {}
        self.grabs = 0
        self.rng = np.random.default_rng(1)

    def isOpened(self) -> bool:
        return self.opens

    def set(self, propId: int, value: float, /) -> bool:
        self.settings[propId] = value
        return True

    def get(self, propId: int, /) -> float:
        return 30.0 if propId == cv2.CAP_PROP_FPS else 0.0

    def grab(self) -> bool:
        self.grabs += 1
        if self.buffered > 0:
            self.buffered -= 1
        else:
            self.clock.now += 1 / 30
        return not self.drops

    def retrieve(self) -> tuple[bool, Any]:
        picture = noise(self.rng, SIZE)
        picture[..., 0], picture[..., 2] = 200, 10  # BGR: blue
        picture[0, 0] = self.rng.integers(0, 255, 3)
        return True, picture

    def release(self) -> None:
        self.released = True


class FakeRealSense:
    """As much of pyrealsense2 as is used: pairs of pictures with the host's wall clock or the device's own."""

    def __init__(self, clock: Clock, *, domain: str = "global_time", queued: int = 0) -> None:
        self.clock, self.domain, self.queued = clock, domain, queued
        self.fails = self.nan = False
        self.units: npt.NDArray[Any] = np.full((SIZE[1], SIZE[0]), 800, dtype=np.uint16)
        self.started = self.stopped = 0
        self.rng = np.random.default_rng(2)
        self.stream = SimpleNamespace(color="color", depth="depth")
        self.format = SimpleNamespace(rgb8="rgb8", z16="z16")
        self.distortion = SimpleNamespace(none="none", brown_conrady="brown")
        self.timestamp_domain = SimpleNamespace(hardware_clock="hardware", global_time="global_time")

    def wall(self) -> float:
        """The host's wall clock, 1e9 s ahead of its monotonic one."""
        return self.clock.now + 1e9

    def config(self) -> Any:
        return SimpleNamespace(enable_device=lambda serial: None, enable_stream=lambda *arguments: None)

    def align(self, stream: str) -> Any:
        return SimpleNamespace(process=lambda frames: frames)

    def pipeline(self) -> Any:
        return SimpleNamespace(start=self._start, stop=self._stop, wait_for_frames=self._wait)

    def _start(self, config: Any) -> Any:
        self.started += 1
        if self.fails:
            raise RuntimeError("No device connected")
        sensor = SimpleNamespace(get_depth_scale=lambda: 0.001)
        return SimpleNamespace(get_device=lambda: SimpleNamespace(first_depth_sensor=lambda: sensor))

    def _stop(self) -> None:
        self.stopped += 1

    def _wait(self, timeout: int) -> Any:
        if self.fails:
            raise RuntimeError("Frame didn't arrive within 400")
        age = 0.02
        if self.queued > 0:
            self.queued -= 1
            age = 3.0  # it waited in the client's queue
        else:
            self.clock.now += 1 / 30
        told = (self.wall() if self.domain == "global_time" else self.clock.now + 5000.0) - age
        lens = SimpleNamespace(fx=60.0, fy=60.0, ppx=31.5, ppy=23.5, coeffs=[0.0] * 5, model="brown")
        profile = SimpleNamespace(as_video_stream_profile=lambda: SimpleNamespace(get_intrinsics=lambda: lens))

        def frame(data: Any) -> Any:
            return SimpleNamespace(
                get_timestamp=lambda: told * 1000.0,
                get_frame_timestamp_domain=lambda: self.domain,
                get_data=lambda: data,
                profile=profile,
            )

        color, depth = frame(noise(self.rng, SIZE)), frame(self.units)
        return SimpleNamespace(get_color_frame=lambda: color, get_depth_frame=lambda: depth)


def noise(rng: np.random.Generator, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A picture as a sensor makes it: never the same twice."""
    return rng.integers(90, 110, (size[1], size[0], 3)).astype(np.uint8)
