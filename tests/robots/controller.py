"""Starts the emulated controller as its own process, on an address of its own, and ends it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from robo_rlft.driver import DriverError
from robo_rlft.robots.stage import StageClient

PORTS = (29000, 29999, 30001, 30002, 30003, 30004)
START_SECONDS = 20.0


@contextmanager
def controller() -> Iterator[tuple[str, StageClient]]:
    """Yield the emulator's address and a client of its stage; afterwards nothing of it is left."""
    host = free_host()
    process = subprocess.Popen(
        [sys.executable, "-m", "robo_rlft.sim.loopback", "--host", host],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    stage = StageClient(host)
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                stage.state()
                break
            except DriverError:
                if process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.05)
        yield host, stage
    finally:
        stage.close()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


def free_host() -> str:
    """Return a loopback address on which nobody has any of the controller's ports.

    It depends on the process, so that test workers beside each other do not race for the same one.
    """
    for attempt in range(200):
        host = f"127.0.0.{20 + (os.getpid() * 7 + attempt * 13) % 230}"
        if all(_free(host, port) for port in PORTS):
            return host
    raise RuntimeError("no loopback address has the controller's ports free")


def _free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
