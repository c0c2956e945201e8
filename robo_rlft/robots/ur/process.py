"""The caller's end of `link`: starts the process, asks with a time-out, and kills it when no answer comes.

Knows nothing of what is asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, Any, Protocol

from robo_rlft.driver import ConnectionLost, DriverError

SERVER = "robo_rlft.robots.ur.link"
CONNECT_SECONDS = 2.5  # to start the process and hear the controller's first state
REAP_SECONDS = 0.1


class AskFailed(DriverError):
    """The other process answered that it could not; `kind` as of its `LinkError`."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class Link(Protocol):
    """A line to the controller that answers in time or is dead."""

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""

    def ask(self, op: str, *, timeout: float, **arguments: Any) -> dict[str, Any]:
        """Return the answer to one request.

        Raises:
            AskFailed: the answer is that it could not be done.
            ConnectionLost: no answer came within `timeout` seconds; the line is dead.
        """

    def kill(self) -> None:
        """End it at once, in any state; safe to call twice and from any thread."""


class ProcessLink:
    """A `Link` over a process of its own."""

    def __init__(self, host: str, *, hz: float) -> None:
        self._asking = threading.Lock()
        self._buffer = b""
        self._owed = 1  # answers that are still to come, the greeting first: one a request, in their order
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", SERVER, host, str(hz)],
                stdin=theirs.fileno(),
                stdout=self._said,
                stderr=self._said,
                start_new_session=True,  # what ends our process group leaves it the moment it needs to stop the arm
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        try:
            self._checked(self._read(time.monotonic() + CONNECT_SECONDS))
        except DriverError:
            self.kill()
            raise

    @property
    def alive(self) -> bool:
        return self._process.poll() is None and self._line.fileno() >= 0

    def ask(self, op: str, *, timeout: float, **arguments: Any) -> dict[str, Any]:
        """Return the answer to one request; see `Link`."""
        end = time.monotonic() + timeout
        if not self._asking.acquire(timeout=timeout):
            self.kill()
            raise ConnectionLost(f"the line to the controller was busy for {timeout:g} s; it was given up")
        try:
            request = json.dumps({"op": op, **arguments}, allow_nan=False).encode() + b"\n"
            self._owed += 1  # before it is sent: who is interrupted here leaves an answer behind, or waits in vain
            self._line.sendall(request)
            return self._checked(self._read(end))
        except OSError as error:
            self.kill()
            raise ConnectionLost(f"the line to the controller is gone ({error}){self._words()}") from None
        except ConnectionLost:
            self.kill()
            raise
        finally:
            self._asking.release()

    def kill(self) -> None:
        """End the process and its sockets; see `Link`."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # dying all the same; who asks `alive` next reaps it
            self._process.wait(REAP_SECONDS)
        self._line.close()

    def _read(self, end: float) -> dict[str, Any]:
        """Return the answer to the last request; those to interrupted ones before it are old, and thrown away."""
        while True:
            line = self._read_line(end)
            self._owed -= 1
            if self._owed <= 0:
                read: dict[str, Any] = json.loads(line)
                return read

    def _read_line(self, end: float) -> bytes:
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            if self._line.fileno() < 0:
                raise ConnectionLost("the line to the controller was given up")
            if left <= 0 or not select.select([self._line], [], [], left)[0]:
                raise ConnectionLost(f"the controller does not answer in time{self._words()}")
            heard = self._line.recv(65536)
            if not heard:
                raise ConnectionLost(f"the line to the controller broke{self._words()}")
            self._buffer += heard
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        if not answer.pop("ok"):
            raise AskFailed(f"{answer['error']}{self._words()}", kind=answer["kind"])
        return answer

    def _words(self) -> str:
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - 400))
        said = self._said.read().decode(errors="replace").strip()
        return f"; ur_rtde says: {said}" if said else ""
