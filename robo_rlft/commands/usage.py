"""What a piece of work cost: seconds, CPU-seconds and memory, child processes included."""

from __future__ import annotations

import resource
import threading
import time
from dataclasses import dataclass

import psutil

SAMPLE_EVERY = 0.25  # seconds between looks at the process tree


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What was used so far."""

    wall_seconds: float
    cpu_seconds: float  # of this process and all below it, ended ones as last seen
    peak_rss_mb: float  # of the whole process tree at one moment, 1 MB = 10^6 bytes


class Meter:
    """Measures from its construction to `stop`; with `since_start`, from the process's own start.

    The tree is looked at a few times a second. The operating system's own sum counts only children that were waited
    for, which leaves out workers, as the fork server stands between them and this process.
    """

    def __init__(self, *, since_start: bool = False) -> None:
        self._lock = threading.Lock()
        self._below: dict[tuple[int, float], float] = {}  # (pid, start) -> CPU-seconds when last seen
        self._peak = 0.0
        self._wall, self._own = time.monotonic(), own_cpu_seconds()
        self._look()
        self._before = sum(self._below.values())
        if since_start:
            self._wall -= max(0.0, time.time() - psutil.Process().create_time())
            self._own = self._before = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="usage", daemon=True)
        self._thread.start()

    def usage(self) -> Usage:
        """Return what was used so far."""
        self._look()
        return Usage(
            wall_seconds=time.monotonic() - self._wall,
            cpu_seconds=own_cpu_seconds() - self._own + sum(self._below.values()) - self._before,
            peak_rss_mb=self._peak,
        )

    def stop(self) -> Usage:
        """Stop looking, and return what was used."""
        self._done.set()
        self._thread.join()
        return self.usage()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_EVERY):
            self._look()

    def _look(self) -> None:
        """Note the CPU time of every process below this one, and the memory of the tree."""
        me = psutil.Process()
        with self._lock:
            memory = me.memory_info().rss
            for child in me.children(recursive=True):
                try:
                    times = child.cpu_times()
                    memory += child.memory_info().rss
                    self._below[child.pid, child.create_time()] = times.user + times.system
                except psutil.Error:  # it ended between the listing and the look
                    continue
            self._peak = max(self._peak, memory / 1e6)


def own_cpu_seconds() -> float:
    """Return the CPU-seconds of this process alone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
