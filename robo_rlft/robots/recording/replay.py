"""A journal played back: `robot=replay` answers as the recorded robot did, pictures and errors included.

Knows nothing of what the world would do to other commands, and says so when one comes. Nothing moves, nothing waits.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robo_rlft.driver import DriverError, Mode, Motion, Pose, Status, View, Wrench
from robo_rlft.robots.recording.encoding import decode, decode_error, encode
from robo_rlft.robots.recording.journal import Entry, JournalError, read_about, read_journal, read_view
from robo_rlft.robots.safety.limits import Limits

# Programs ask these as often as they like, so they are answered with what was last recorded by then.
FREE = frozenset({"connect", "close", "serial", "status", "force", "stop"})
WITHOUT: dict[str, Any] = {"force": None, "serial": "replay", "status": Status(mode=Mode.OK, detail="a recording")}


class ReplayDriver:
    """A `RobotDriver` that gives the recorded answers to the recorded commands, in their order."""

    def __init__(self, *, journal: Path, tolerance: float = 1e-6, session: int = -1) -> None:
        """Read a journal.

        Args:
            journal: the file; its pictures lie in `views/` beside it.
            tolerance: how far a number may be from the recorded one, in its own unit.
            session: which one of the file, by position; -1 is the newest.

        Raises:
            JournalError: it cannot be read.
        """
        if isinstance(tolerance, bool) or not math.isfinite(tolerance) or tolerance < 0:
            raise ValueError(f"tolerance: expected a number that is not negative, got {tolerance!r}")
        self._path, self._tolerance = Path(journal), tolerance
        entries = read_journal(self._path, session=session)
        self.limits = _limits(read_about(self._path, session=session))
        self._strict = [entry for entry in entries if entry.call not in FREE]
        self._free = {name: [entry for entry in entries if entry.call == name] for name in FREE}
        self._next = 0  # in `_strict`
        self._given = dict.fromkeys(FREE, 0)  # how many of each are behind
        self._lock = threading.RLock()

    @property
    def left(self) -> int:
        """How many recorded commands and looks were not asked for yet."""
        return len(self._strict) - self._next

    def connect(self) -> None:
        """Do as recorded."""
        self._recall("connect")

    def close(self) -> None:
        """Do as recorded."""
        self._recall("close")

    def serial(self) -> str:
        """Return the recorded robot's serial number."""
        return str(self._recall("serial"))

    def status(self) -> Status:
        """Return what was last recorded by now."""
        status: Status = self._recall("status")
        return status

    def force(self) -> Wrench | None:
        """Return what was last recorded by now."""
        wrench: Wrench | None = self._recall("force")
        return wrench

    def stop(self) -> None:
        """Do nothing: nothing moves."""

    def observe(self) -> tuple[View, ...]:
        """Return the recorded views."""
        entry = self._take("observe", {})
        return tuple(read_view(self._path, reference) for reference in entry.views)

    def tool_pose(self) -> Pose:
        """Return the recorded pose."""
        pose: Pose = self._decoded(self._take("tool_pose", {}))
        return pose

    def is_holding(self) -> bool:
        """Return what was recorded."""
        return bool(self._decoded(self._take("is_holding", {})))

    def move(
        self,
        target: Pose,
        *,
        speed: float,
        acceleration: float | None = None,
        stop_on_contact: bool = False,
        deadline: float | None = None,
    ) -> Motion:
        """Return what the recorded motion came to.

        Raises:
            DriverError: the recorded one; or the motion is not the recorded one.
        """
        args = {
            "target": target,
            "speed": speed,
            "acceleration": acceleration,
            "stop_on_contact": stop_on_contact,
            "deadline": deadline,
        }
        motion: Motion = self._decoded(self._take("move", args))
        return motion

    def home(self) -> None:
        """Do as recorded."""
        self._take("home", {})

    def grip(self) -> None:
        """Do as recorded."""
        self._take("grip", {})

    def release(self) -> None:
        """Do as recorded."""
        self._take("release", {})

    def wait(self) -> None:
        """Do as recorded, without waiting."""
        self._take("wait", {})

    def recover(self, *, operator: str) -> None:
        """Do as recorded; who says so may be another person."""
        self._take("recover", None)

    def _take(self, call: str, args: Mapping[str, Any] | None) -> Entry:
        """Return the next recorded command, if it is this one; one that is not stays the next."""
        with self._lock:
            if self._next >= len(self._strict):
                raise DriverError(
                    f"{self._path} ends after {len(self._strict)} commands; '{call}' came after the last: this is "
                    "another program than the recorded one"
                )
            entry = self._strict[self._next]
            came = None if args is None else encode(dict(args))
            if entry.call != call or (came is not None and not _near(entry.args, came, self._tolerance)):
                raise DriverError(
                    f"{self._path}: line {entry.line} recorded {entry.call}({_shown(entry.args)}); what came is "
                    f"{call}({_shown(came or {})}): replay knows only the recorded program"
                )
            self._next += 1
            for name, entries in self._free.items():
                while self._given[name] < len(entries) and entries[self._given[name]].line < entry.line:
                    self._given[name] += 1
            if entry.error is not None:
                raise decode_error(entry.error)
            return entry

    def _recall(self, call: str) -> Any:
        """Return the next recorded answer of a kind, or the last one again where more is asked than was recorded."""
        with self._lock:
            entries, given = self._free[call], self._given[call]
            ahead = self._strict[self._next].line if self._next < len(self._strict) else math.inf
            if given < len(entries) and (entries[given].line < ahead or given == 0):
                entry = entries[given]
                self._given[call] += entries[given].line < ahead
            elif entries:
                entry = entries[given - 1]
            else:
                return WITHOUT.get(call)
            if entry.error is not None:
                raise decode_error(entry.error)
            return self._decoded(entry)

    def _decoded(self, entry: Entry) -> Any:
        try:
            return decode(entry.call, entry.result)
        except (ValueError, TypeError, KeyError) as error:
            raise JournalError(f"{self._path}: line {entry.line} holds no result of {entry.call}: {error}") from error


def _near(recorded: Any, came: Any, tolerance: float) -> bool:
    """Tell whether two encoded values are the same, numbers within a tolerance."""
    if isinstance(recorded, Mapping) and isinstance(came, Mapping):
        return recorded.keys() == came.keys() and all(_near(recorded[k], came[k], tolerance) for k in recorded)
    if isinstance(recorded, list) and isinstance(came, list):
        return len(recorded) == len(came) and all(_near(a, b, tolerance) for a, b in zip(recorded, came, strict=True))
    if _number(recorded) and _number(came):
        return bool(abs(recorded - came) <= tolerance)
    return type(recorded) is type(came) and bool(recorded == came)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(args: Any) -> str:
    return ", ".join(f"{key}={value}" for key, value in dict(args).items())


def _limits(about: Mapping[str, Any]) -> Limits | None:
    """Return the recorded robot's limits, by which speeds are chosen; None for one that had none."""
    try:
        return Limits(**about["limits"])
    except (KeyError, TypeError, ValueError):
        return None
