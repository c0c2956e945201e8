"""A client of the emulated controller's stage: sets the table, takes pictures, causes faults, reads what was counted.

Only the emulator has a stage; no real arm does. Protocol: one JSON line asks ({"op": NAME, ...arguments}), one answers
({"ok": true, ...} or {"ok": false, "error": TEXT}); arrays are {"dtype", "shape", "data": base64 of the raw bytes}.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robo_rlft.driver import ConnectionLost, DriverError, Pose, View

if TYPE_CHECKING:
    from robo_rlft.records import BodySpec  # brings torch along

PORT = 29000
SECONDS = 5.0
DTYPES = ("|u1", "<f4", "<f8")  # bytes, single and double precision, as numpy writes them
LONGEST = 64 * 1024 * 1024  # bytes of one answer


class StageClient:
    """One connection to a stage; any thread may ask."""

    def __init__(self, host: str, port: int = PORT, *, timeout: float = SECONDS) -> None:
        """Connect to nothing yet.

        Args:
            host: of the emulator, 127.0.0.x.
            port: of its stage.
            timeout: seconds until an answer has come.
        """
        self.host, self.port, self.timeout = host, port, timeout
        self._asking = threading.Lock()
        self._line: socket.socket | None = None
        self._buffer = b""

    def __enter__(self) -> StageClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; safe to call twice, and the next question connects again."""
        line, self._line, self._buffer = self._line, None, b""
        if line is not None:
            line.close()

    def build(self, bodies: Sequence[BodySpec], poses: Sequence[Pose]) -> None:
        """Make the table hold exactly these bodies at these poses, at rest."""
        self.ask(
            "build",
            bodies=[dataclasses.asdict(body) for body in bodies],
            poses=[dataclasses.asdict(pose) for pose in poses],
        )

    def poses(self) -> tuple[Pose, ...]:
        """Return the bodies' poses, body frame in the world frame, in the order in which they were built."""
        return tuple(_pose(pose) for pose in self.ask("poses")["poses"])

    def view(self) -> View:
        """Return a picture of the table; the stamp is the emulator's."""
        answer = self.ask("view")
        return View(
            color=decode(answer["color"]).astype(np.uint8, copy=False),
            depth=decode(answer["depth"]).astype(np.float32, copy=False),
            intrinsics=decode(answer["intrinsics"]).astype(np.float64, copy=False),
            world_from_camera=decode(answer["world_from_camera"]).astype(np.float64, copy=False),
            stamp=float(answer["stamp"]),
        )

    def fault(self, name: str, **arguments: Any) -> None:
        """Cause a fault."""
        self.ask("fault", name=name, **arguments)

    def clear(self) -> None:
        """End every fault that can be ended."""
        self.ask("clear")

    def counts(self, *, reset: bool = False) -> dict[str, Any]:
        """Return what the controller was sent: "motion_messages", "programs", "digital_outputs" and more.

        Beside the counts lie extremes of what was commanded: "max_speed" and "max_acceleration" in metres and seconds,
        "low" and "high" in metres, base frame (None without a motion).

        Args:
            reset: forget the extremes afterwards.
        """
        counts: dict[str, Any] = self.ask("counts", reset=reset)["counts"]
        return counts

    def events(self, *, after: int = 0) -> list[dict[str, Any]]:
        """Return what happened at the controller, the oldest first.

        Each has "n", its number from 1 on, "t" in seconds of `time.monotonic` and "event", its name.

        Args:
            after: only those with higher numbers.
        """
        events: list[dict[str, Any]] = self.ask("events", after=after)["events"]
        return events

    def state(self) -> dict[str, Any]:
        """Return how the emulated arm is."""
        return self.ask("state")

    def quit(self) -> None:
        """End the emulator."""
        self.ask("quit")
        self.close()

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer to one question, without its "ok".

        Raises:
            ConnectionLost: nobody answers in time; the next question connects again.
            DriverError: the stage says that it could not.
        """
        question = json.dumps({"op": op, **arguments}, allow_nan=False).encode() + b"\n"
        with self._asking:
            try:
                if self._line is None:
                    self._line = socket.create_connection((self.host, self.port), self.timeout)
                self._line.settimeout(self.timeout)
                self._line.sendall(question)
                answer = json.loads(self._read(self._line))
            except (OSError, ValueError) as error:
                self.close()
                raise ConnectionLost(
                    f"the stage at {self.host}:{self.port} does not answer {op!r} ({error}); is robo-rlft loopback up?"
                ) from None
            except BaseException:  # interrupted: the answer that is still to come is not the next question's
                self.close()
                raise
        if not answer.pop("ok", False):
            raise DriverError(f"the stage could not {op}: {answer.get('error', 'it does not say why')}")
        read: dict[str, Any] = answer
        return read

    def _read(self, line: socket.socket) -> bytes:
        while b"\n" not in self._buffer:
            heard = line.recv(1 << 20)
            if not heard:
                raise ConnectionError("it hung up")
            self._buffer += heard
            if len(self._buffer) > LONGEST:
                raise ConnectionError("its answer does not end")
        answer, self._buffer = self._buffer.split(b"\n", 1)
        return answer


def decode(array: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return an array that came over the line.

    Raises:
        DriverError: it is none: an unknown type, or a shape that its bytes do not fill.
    """
    dtype, shape = str(array["dtype"]), tuple(int(n) for n in array["shape"])
    data = base64.b64decode(array["data"])
    if dtype not in DTYPES or min(shape, default=0) < 0 or math.prod(shape) * np.dtype(dtype).itemsize != len(data):
        raise DriverError(f"expected an array of {', '.join(DTYPES)}; got {dtype}, shape {shape}, {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape).copy()


def encode(array: npt.NDArray[Any]) -> dict[str, Any]:
    """Return an array as it goes over the line."""
    whole = np.ascontiguousarray(array)
    return {
        "dtype": whole.dtype.str,
        "shape": list(whole.shape),
        "data": base64.b64encode(whole.tobytes()).decode("ascii"),
    }


def _pose(pose: Mapping[str, Any]) -> Pose:
    x, y, z = (float(v) for v in pose["position"])
    qx, qy, qz, qw = (float(v) for v in pose["quaternion"])
    return Pose(position=(x, y, z), quaternion=(qx, qy, qz, qw))
