"""The process that holds ur_rtde, and what it answers.

It runs by itself because ur_rtde cannot be trusted with the caller's: constructors hold the interpreter's lock until
the controller speaks, calls wait up to 301 s for a dead one, and after a cut the control interface reconnects and sends
its last command again. A process can be killed, and takes its sockets with it. One JSON line asks, one answers; the
caller's end is `process`. Standard library and ur_rtde only.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from robo_rlft.robots.ur.arm import ArmLink, LinkError, UrRtde

ALARM = {"control": 25.0, "output": 4.0}  # seconds until the kernel ends this process in a call that hangs
ANY_ALARM = 2.5
LEAVE_ALARM = 0.5


def serve(line: socket.socket, make: Callable[[], ArmLink]) -> ArmLink | None:
    """Answer requests until the caller is gone; then stop the arm.

    Args:
        line: to the caller.
        make: connects to the controller.

    Returns:
        What holds the interfaces, so that they outlive this: their destructors take long, and can hang.
    """
    _alarm(ANY_ALARM)
    try:
        link = make()
    except Exception as error:
        _answer(line, {"ok": False, "kind": "failed", "error": str(error)})
        return None
    _alarm(0.0)
    with contextlib.suppress(OSError):  # the line is broken: the caller is gone
        _converse(line, link)
    _alarm(LEAVE_ALARM)
    link.abandon()
    return link


def _converse(line: socket.socket, link: ArmLink) -> None:
    _answer(line, {"ok": True, **link.state()})
    buffer = b""
    wait = 0.0
    while True:
        if select.select([line], [], [], wait)[0]:
            heard = line.recv(65536)
            if not heard:
                return
            buffer += heard
        while b"\n" in buffer:
            request, buffer = buffer.split(b"\n", 1)
            _answer(line, _reply(link, json.loads(request)))
        _alarm(ANY_ALARM)
        wait = link.idle()
        _alarm(0.0)


def _reply(link: ArmLink, request: dict[str, Any]) -> dict[str, Any]:
    _alarm(ALARM.get(request["op"], ANY_ALARM))
    try:
        return {"ok": True, **link.ask(**request)}
    except LinkError as error:
        return {"ok": False, "kind": error.kind, "error": str(error)}
    except Exception as error:
        return {"ok": False, "kind": "failed", "error": f"{type(error).__name__}: {error}"}
    finally:
        _alarm(0.0)


def _answer(line: socket.socket, answer: dict[str, Any]) -> None:
    line.sendall(json.dumps(answer).encode() + b"\n")


def _alarm(seconds: float) -> None:
    # The signal's default action: no Python is needed, so it works while ur_rtde holds the interpreter's lock.
    signal.setitimer(signal.ITIMER_REAL, seconds)


def main(host: str, hz: float) -> None:
    """Serve the socket on file descriptor 0."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is the caller's to handle
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    line = socket.socket(fileno=os.dup(0))
    kept = None
    try:
        kept = serve(line, lambda: ArmLink(UrRtde(host=host, hz=hz)))
    finally:
        os._exit(0 if kept is not None else 1)  # without ur_rtde's destructors


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
