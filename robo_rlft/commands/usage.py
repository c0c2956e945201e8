"""What a piece of work cost: seconds, CPU-seconds and memory, child processes included."""

from __future__ import annotations

import resource
import threading
import time
from dataclasses import dataclass

import psutil

SAMPLE_EVERY = 0.25  # seconds between looks at the memory of the process tree


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What was used so far."""

    wall_seconds: float
    cpu_seconds: float  # of this process and the children it has waited for
    peak_rss_mb: float  # of the whole process tree at one moment, 1 MB = 10^6 bytes


def cpu_seconds() -> float:
    """Return the CPU-seconds of this process and of the children that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def tree_rss_mb() -> float:
    """Return the resident memory of this process and its children, in MB."""
    process = psutil.Process()
    total = 0
    for member in (process, *process.children(recursive=True)):
        try:
            total += member.memory_info().rss
        except psutil.Error:  # it ended between the listing and the look
            continue
    return total / 1e6


class Meter:
    """Measures from its construction to `stop`; with `since_start`, from the process's own start."""

    def __init__(self, *, since_start: bool = False) -> None:
        self._wall, self._cpu = time.monotonic(), cpu_seconds()
        if since_start:
            self._wall -= max(0.0, time.time() - psutil.Process().create_time())
            self._cpu = 0.0
        self._peak = tree_rss_mb()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self._thread.start()

    def usage(self) -> Usage:
        """Return what was used so far."""
        self._peak = max(self._peak, tree_rss_mb())
        return Usage(
            wall_seconds=time.monotonic() - self._wall,
            cpu_seconds=cpu_seconds() - self._cpu,
            peak_rss_mb=self._peak,
        )

    def stop(self) -> Usage:
        """Stop looking, and return what was used."""
        self._done.set()
        self._thread.join()
        return self.usage()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_EVERY):
            self._peak = max(self._peak, tree_rss_mb())
