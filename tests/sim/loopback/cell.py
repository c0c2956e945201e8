"""An emulated cell for tests: the controller's process on a loopback address of its own, and its stage."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from robo_rlft.driver import Pose
from robo_rlft.records import BodySpec, Part

ACCELERATION = 2.0  # m/s^2
DOWN = [3.141592653589793, 0.0, 0.0]  # rotation vector of a tool that points straight down
BLOCK = BodySpec(
    name="red block",
    parts=(Part(kind="box", size=(0.04, 0.04, 0.04), center=(0.0, 0.0, 0.02), color=(200, 30, 30)),),
    mass=0.05,
)


class Cell:
    """One running emulated controller and a connection to its stage port."""

    def __init__(self, host: str, process: subprocess.Popen[str]) -> None:
        self.host, self.process = host, process
        self._stream = socket.create_connection((host, 29000)).makefile("rw")

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Send one operation; return its answer."""
        self._stream.write(json.dumps({"op": op, **arguments}) + "\n")
        self._stream.flush()
        answer: dict[str, Any] = json.loads(self._stream.readline())
        return answer

    def build(self, bodies: Sequence[BodySpec] = (), poses: Sequence[Pose] = ()) -> None:
        """Clear every fault and set the table."""
        self.ask("clear")
        answer = self.ask("build", bodies=[asdict(body) for body in bodies], poses=[asdict(pose) for pose in poses])
        assert answer["ok"], answer

    def counts(self) -> dict[str, Any]:
        return dict(self.ask("counts")["counts"])

    def events(self, name: str, *, after: int = 0) -> list[dict[str, Any]]:
        return [event for event in self.ask("events", after=after)["events"] if event["event"] == name]

    def last(self) -> int:
        """Return the number of the last event."""
        events = self.ask("events")["events"]
        return int(events[-1]["n"]) if events else 0

    def wait_for(self, name: str, *, after: int, seconds: float = 5.0) -> dict[str, Any]:
        """Return the first event of a name; fail where none comes in time."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = self.events(name, after=after)
            return bool(found)

        assert eventually(look, seconds=seconds), f"no {name}; got {self.ask('events', after=after)['events']}"
        return found[0]


class Client:
    """A process with the real ur_rtde interfaces, connected to a cell."""

    def __init__(self, host: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("client.py")), host],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._out.readline() == "connected\n"

    def control(self, call: str, *arguments: Any) -> Any:
        return self._call("control", call, arguments)

    def receive(self, call: str, *arguments: Any) -> Any:
        return self._call("receive", call, arguments)

    def io(self, call: str, *arguments: Any) -> Any:
        return self._call("io", call, arguments)

    def dashboard(self, call: str, *arguments: Any) -> Any:
        return self._call("dashboard", call, arguments)

    def move(self, x: float, y: float, z: float, *, speed: float = 0.8, wait: bool = True) -> bool:
        """Move the tool, pointing straight down, along a line; tell whether the client says that it got there."""
        return bool(self.control("moveL", [x, y, z, *DOWN], speed, ACCELERATION, not wait))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def _out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def _call(self, interface: str, call: str, arguments: Sequence[Any]) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([interface, call, list(arguments)]) + "\n")
        self.process.stdin.flush()
        return json.loads(self._out.readline())


def eventually(condition: Callable[[], bool], *, seconds: float = 5.0) -> bool:
    """Tell whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def array(value: dict[str, Any]) -> np.ndarray:
    """Return an array as the stage port sends it."""
    return np.frombuffer(base64.b64decode(value["data"]), dtype=value["dtype"]).reshape(value["shape"])


def worker_host(last: int = 1) -> str:
    """Return a loopback address that no other worker of this test run has."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"127.0.{last}.{10 + int(worker)}"


@contextmanager
def running_cell(host: str, *arguments: str) -> Iterator[Cell]:
    """Start an emulated controller, and end it."""
    command = [sys.executable, "-m", "robo_rlft.sim.loopback", "--host", host, "--with-parent", *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"ready {host}\n"
        yield Cell(host, process)
    finally:
        process.terminate()
        process.wait(timeout=30)
