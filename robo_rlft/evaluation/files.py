"""JSON files that say what they are: written whole or not at all, and refused when foreign or newer.

Knows nothing of what they hold.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


class ResultFileError(ValueError):
    """A file of results that cannot be used; the message says what was expected, what came and how to mend it."""


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write `data` to `path` so that a reader finds either the old file or the whole new one.

    Raises `ValueError` for NaN and infinity, which JSON does not have.
    """
    write_bytes(path, (json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all: beside it, to the disk, then in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp's 0600 would keep the file from its other readers
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_json(path: Path, *, expected: str, version: int) -> dict[str, Any]:
    """Return the object in `path`, whose `format` must be `expected` and `format_version` at most `version`.

    Raises:
        ResultFileError: The file is missing, not JSON, another format, or from a newer version of this package.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultFileError(f"{path}: expected a file of format {expected!r}, found none") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ResultFileError(f"{path}: expected JSON of format {expected!r}, could not read it: {error}") from None
    check_format(data, where=str(path), expected=expected, version=version)
    result: dict[str, Any] = data
    return result


def check_format(data: Any, *, where: str, expected: str, version: int) -> None:
    """Raise `ResultFileError` unless `data` is an object of format `expected`, at most of `version`."""
    found = data.get("format") if isinstance(data, dict) else None
    if found != expected:
        raise ResultFileError(f"{where}: expected format {expected!r}, got {found!r}; is it the right file?")
    number = data.get("format_version")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ResultFileError(f"{where}: expected a whole number above 0 as format_version, got {number!r}")
    if number > version:
        raise ResultFileError(
            f"{where}: {expected} version {number} is newer than version {version}, the newest that this robo_rlft "
            "reads; update robo_rlft"
        )
