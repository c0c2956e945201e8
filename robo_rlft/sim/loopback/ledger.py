"""What reached the controller and what it did, counted and listed, so that a test can prove what did not happen."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

MOST_EVENTS = 5000

COUNTS = (
    "motion_messages",  # commands that move: moveL, moveJ, speedL, servoJ and the like
    "stop_messages",
    "programs",  # uploaded and started
    "digital_outputs",  # changes that clients asked for
    "dashboard_unlocks",  # unlock, brake release, power, restart safety: what only a person may do
    "refused_commands",
    "connections",
)


class Ledger:
    """Counts, extremes and events since the start."""

    def __init__(self) -> None:
        self._events: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        self._counts = dict.fromkeys(COUNTS, 0)
        self._number = 0
        self._extremes: dict[str, Any] = {}
        self.reset_extremes()

    def event(self, name: str, **details: Any) -> None:
        """Append an event with the time of `time.monotonic()`."""
        self._number += 1
        self._events.append({"n": self._number, "t": time.monotonic(), "event": name, **details})

    def count(self, name: str) -> None:
        """Add one to a count."""
        self._counts[name] += 1

    def motion(self, *, position: Sequence[float] | None, speed: float, acceleration: float) -> None:
        """Count a motion's command and remember how far out it reached, whether it was carried out or not."""
        self.count("motion_messages")
        extremes = self._extremes
        extremes["max_speed"] = _larger(extremes["max_speed"], speed)
        extremes["max_acceleration"] = _larger(extremes["max_acceleration"], acceleration)
        if position is None:
            return
        low, high = extremes["low"] or position, extremes["high"] or position
        extremes["low"] = [_smaller(a, b) for a, b in zip(low, position, strict=True)]
        extremes["high"] = [_larger(a, b) for a, b in zip(high, position, strict=True)]

    def reset_extremes(self) -> None:
        """Forget the extremes; counts and events only grow."""
        self._extremes = {"max_speed": 0.0, "max_acceleration": 0.0, "low": None, "high": None}

    def counts(self) -> dict[str, Any]:
        """Return counts, and the extremes of what was commanded: m/s, m/s^2, metres in the base frame."""
        return {**self._counts, **self._extremes}

    def events(self, *, after: int = 0) -> list[dict[str, Any]]:
        """Return the events numbered above `after`, the oldest first."""
        return [event for event in self._events if event["n"] > after]


def _larger(a: float, b: float) -> float:
    return a if a >= b or math.isnan(a) else b  # NaN stays, so that it shows


def _smaller(a: float, b: float) -> float:
    return a if a <= b or math.isnan(a) else b
