"""An append-only log of all that a driver was asked, what it answered and when.

JSON lines: a header a session, then one line a call, and lines for what was sent, for states and for what people
answered. Views lie in `views/` beside the file. Nothing written is ever changed, and a second run is appended. What is
written survives the process; errors and the end of a session are also forced onto the disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from robo_rlft.driver import DriverError, Refused, View
from robo_rlft.robots.recording.encoding import encode, encode_error

FORMAT = "robo_rlft.journal"
FORMAT_VERSION = 1
VIEWS = "views"  # the folder of the pictures, beside the journal
PARTS = ("color", "depth", "intrinsics", "world_from_camera", "stamp")

T = TypeVar("T")


class JournalError(DriverError):
    """A journal that cannot be written or read; the message names the file and the line."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One call of a driver, as it was written down."""

    line: int  # in the file, from 1
    call: str
    args: Mapping[str, Any]  # encoded
    result: Any = None  # encoded
    error: Mapping[str, Any] | None = None  # encoded; None where the call succeeded
    views: tuple[Mapping[str, Any], ...] = ()  # {"file", "sha256"} each
    t: float = 0.0  # seconds since 1970, of the call
    took: float = 0.0  # seconds


class Journal:
    """Writes one session; opened at the first line that is written. Safe to use from several threads."""

    def __init__(self, *, path: Path | str, about: Mapping[str, Any] | None = None) -> None:
        """Write nothing yet.

        Args:
            path: of the journal; made, with its folder, where there is none.
            about: goes into the header.
        """
        self.path = Path(path)
        self.session = secrets.token_hex(6)
        self.about: dict[str, Any] = dict(about or {})
        self._lock = threading.RLock()
        self._file: int | None = None
        self._n = 0

    def call(self, name: str, args: Mapping[str, Any], function: Callable[[], T]) -> T:
        """Call `function` and write down what came of it, an error included.

        Raises:
            JournalError: it cannot be written.
        """
        t, clock = time.time(), time.monotonic()
        try:
            result = function()
        except BaseException as error:
            took = time.monotonic() - clock
            self._line({"t": t, "took": took, "call": name, "args": encode(args), "error": encode_error(error)})
            if not isinstance(error, Refused):  # nothing happened then, and a disk takes its time
                self.sync()
            raise
        line = {"t": t, "took": time.monotonic() - clock, "call": name, "args": encode(args)}
        views = result if name == "observe" and isinstance(result, tuple) else None
        self._line(line | ({"result": encode(result)} if views is None else {"views": self._save(views)}))
        return result

    def event(self, kind: str, /, **values: Any) -> None:
        """Write down what is no call: "sent", "state", "operator", "latched".

        Raises:
            JournalError: it cannot be written.
        """
        self._line({"t": time.time(), "event": kind, **{key: encode(value) for key, value in values.items()}})

    def sync(self) -> None:
        """Force what was written onto the disk."""
        with self._lock:
            if self._file is not None:
                os.fsync(self._file)

    def close(self) -> None:
        """End the session."""
        with self._lock:
            if self._file is not None:
                self.sync()
                os.close(self._file)
                self._file = None

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            os.close(file)

    def _line(self, values: Mapping[str, Any]) -> None:
        with self._lock:
            try:
                if self._file is None:
                    self._file = self._open()
                self._n += 1
                _write(self._file, {"n": self._n, "session": self.session, **values})
            except OSError as error:
                raise JournalError(f"{self.path}: cannot be written: {error}; nothing is sent unlogged") from error

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size > 0:
            _check_start(self.path)
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        size = os.fstat(file).st_size
        if size > 0 and os.pread(file, 1, size - 1) != b"\n":
            os.write(file, b"\n")  # a killed run's torn line stays a line of its own
        header = {"format": FORMAT, "format_version": FORMAT_VERSION, "session": self.session, "t": time.time()}
        _write(file, header | {"about": encode(self.about)})
        return file

    def _save(self, views: Sequence[object]) -> list[dict[str, Any]]:
        saved = []
        for i, view in enumerate(views):
            if not isinstance(view, View):
                raise JournalError(f"{self.path}: expected a View, got {type(view).__name__}")
            buffer = io.BytesIO()
            arrays: dict[str, Any] = {part: np.asarray(getattr(view, part)) for part in PARTS}
            np.savez_compressed(buffer, **arrays)
            content = buffer.getvalue()
            name = f"{self.session}-{self._n + 1:06d}-{i}-{secrets.token_hex(2)}.npz"
            try:
                (self.path.parent / VIEWS).mkdir(parents=True, exist_ok=True)
                with (self.path.parent / VIEWS / name).open("xb") as file:
                    file.write(content)
            except OSError as error:
                raise JournalError(f"{self.path}: a view cannot be written: {error}") from error
            saved.append({"file": name, "sha256": hashlib.sha256(content).hexdigest()})
        return saved


def read_journal(path: Path | str, *, session: int = -1) -> list[Entry]:
    """Return the calls of one session, in order.

    Args:
        path: of the journal.
        session: which one, by position in the file; -1 is the newest.

    Raises:
        JournalError: not a journal, of a newer version, without such a session, or damaged elsewhere than at a
            session's torn end.
    """
    path = Path(path)
    lines = _lines(path)
    name = _header(path, lines, session)["session"]
    chosen = [(i, line) for i, line in lines if line["session"] == name and "call" in line]
    return [_entry(path, i, line) for i, line in chosen]


def read_about(path: Path | str, *, session: int = -1) -> dict[str, Any]:
    """Return what a session's header says of the robot, such as its limits, as plain values.

    Raises:
        JournalError: as `read_journal`.
    """
    about = _header(Path(path), _lines(Path(path)), session).get("about")
    return about if isinstance(about, dict) else {}


def read_view(path: Path | str, reference: Mapping[str, Any]) -> View:
    """Return a view that a journal refers to.

    Raises:
        JournalError: it is missing, or is not what was written.
    """
    try:
        name, digest = str(reference["file"]), reference["sha256"]
    except (KeyError, TypeError) as error:
        raise JournalError(f"{path}: {reference!r} names no view") from error
    file = Path(path).parent / VIEWS / name
    if Path(name).name != name:
        raise JournalError(f"{path}: refers to the view {name!r} outside its folder {VIEWS}/")
    try:
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise JournalError(f"{file}: is not the view that {path} was written with; restore it from a copy")
        with np.load(io.BytesIO(content), allow_pickle=False) as parts:
            arrays = {part: parts[part] for part in PARTS}
        stamp = float(arrays.pop("stamp"))
        return View(**arrays, stamp=stamp)
    except JournalError:
        raise
    except Exception as error:  # whatever numpy and zip say of a file that was tampered with
        raise JournalError(f"{file}: cannot be read: {error}") from error


def _header(path: Path, lines: Sequence[tuple[int, dict[str, Any]]], session: int) -> dict[str, Any]:
    headers = [line for _, line in lines if "format" in line]
    try:
        return headers[session]
    except IndexError as error:
        raise JournalError(f"{path}: has {len(headers)} sessions; there is none at position {session}") from error


def _entry(path: Path, number: int, line: Mapping[str, Any]) -> Entry:
    try:
        return Entry(
            line=number,
            call=str(line["call"]),
            args=dict(line["args"]),
            result=line.get("result"),
            error=line.get("error"),
            views=tuple(line.get("views", ())),
            t=float(line["t"]),
            took=float(line["took"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(f"{path}: line {number} is not a call as this version writes it: {error!r}") from error


def _lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return the lines that can be read with their numbers; a line may be torn where a session ends."""
    try:
        raw = path.read_bytes().split(b"\n")
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error}") from error
    if raw[-1] == b"":
        raw.pop()
    parsed = [_parsed(line) for line in raw]
    if not parsed or parsed[0] is None:
        raise JournalError(f"{path}: expected a first line with format '{FORMAT}'; this is not a journal")
    for i, line in enumerate(parsed, start=1):
        if line is None:
            ends = i == len(parsed) or (parsed[i] is not None and "format" in (parsed[i] or {}))
            if not ends:
                raise JournalError(f"{path}: line {i} is damaged: {raw[i - 1][:80]!r}; restore the file from a copy")
        elif i == 1 or "format" in line:
            _check_header(path, line)
        elif not isinstance(line.get("session"), str):
            raise JournalError(f"{path}: line {i} names no session; it was not written by this package")
    return [(i, line) for i, line in enumerate(parsed, start=1) if line is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _check_start(path: Path) -> None:
    with path.open("rb") as file:
        first = _parsed(file.readline())
    if first is None:
        raise JournalError(f"{path}: is there already and is not a journal; choose another name")
    _check_header(path, first)


def _check_header(path: Path, header: Mapping[str, Any]) -> None:
    if header.get("format") != FORMAT or not isinstance(header.get("session"), str):
        raise JournalError(f"{path}: expected format '{FORMAT}', got {header.get('format')!r}")
    version = header.get("format_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise JournalError(f"{path}: format_version: expected {FORMAT_VERSION}, got {version!r}")
    if version > FORMAT_VERSION:
        raise JournalError(
            f"{path}: format_version {version} is newer than this robo_rlft knows ({FORMAT_VERSION}); install a newer "
            "robo_rlft"
        )


def _write(file: int, values: Mapping[str, Any]) -> None:
    content = (json.dumps(values, allow_nan=False) + "\n").encode()
    while content:  # one write as a rule; a full disk may take a part
        content = content[os.write(file, content) :]
