"""Arrays on disk: one compressed `.npz` file with a JSON record, whole or not at all, its contents hashed.

Knows numpy and files, not what the arrays mean. Nothing in a file is ever executed: pickles are refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HEIGHT_MIN, HEIGHT_MAX = -0.1, 1.0  # metres above the table
HEIGHT_STEP = 1e-4  # metres

Arrays = dict[str, npt.NDArray[Any]]


class EpisodeError(ValueError):
    """An episode, or a file that should hold one or its decisions, is not what it must be."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a file holds."""

    arrays: Arrays
    meta: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file."""

    name: str  # "an episode"
    format: str  # "robo_rlft.episode"
    version: int
    types: Mapping[str, str]  # of the arrays by name
    again: str  # what to do about a broken one

    def write(self, path: Path, arrays: Arrays, meta: Mapping[str, Any]) -> None:
        """Write a file; `meta` are plain values."""
        stored = {name: np.ascontiguousarray(arrays[name], dtype=dtype) for name, dtype in self.types.items()}
        whole = {"format": self.format, "format_version": self.version, "sha256": _digest(stored), **meta}
        text = np.frombuffer(json.dumps(whole, sort_keys=True).encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, meta=text, **stored)  # type: ignore[arg-type]  # the stubs want only allow_pickle
        _write_atomically(path, buffer.getvalue())

    def read(self, path: Path) -> Contents:
        """Return a file's contents, with format, version, types and hash checked.

        Raises:
            EpisodeError: the file is missing, cut off, changed, foreign or from a newer version.
        """
        try:
            with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file:
                if not isinstance(file, np.lib.npyio.NpzFile) or "meta" not in file.files:
                    raise self.broken(path, "it is not one of this package's")
                meta = json.loads(file["meta"].tobytes().decode())
                self._check_format(path, meta)
                if set(file.files) != {"meta", *self.types}:
                    raise self.broken(path, f"it holds {sorted(file.files)}")
                arrays = {name: file[name] for name in self.types}
        except FileNotFoundError as error:
            raise EpisodeError(f"expected {self.name} at {path}, but there is no such file") from error
        except EpisodeError:
            raise
        except Exception as error:  # a broken archive fails in a dozen ways: zlib, zip, header, JSON, memory
            # numpy's own words advise to unpickle it.
            why = "it holds pickled objects, which are never opened" if "pickle" in str(error) else str(error)
            raise self.broken(path, f"it cannot be read ({why})") from error
        types = {name: str(array.dtype) for name, array in arrays.items()}
        if types != dict(self.types) or _digest(arrays) != meta.get("sha256"):
            raise self.broken(path, "its contents are not those that were written")
        return Contents(arrays=arrays, meta=meta)

    def broken(self, path: Path, what: str) -> EpisodeError:
        """Return the error for a file that is not what it must be."""
        return EpisodeError(
            f"{path}: expected {self.name} ({self.format}, version {self.version}), but {what}; {self.again}"
        )

    def _check_format(self, path: Path, meta: Any) -> None:
        if not isinstance(meta, dict) or meta.get("format") != self.format:
            raise self.broken(path, "it is not one of this package's")
        version = meta.get("format_version")
        if isinstance(version, int) and version > self.version:
            raise EpisodeError(
                f"{path} has format_version {version}, newer than the {self.version} that this robo_rlft reads: "
                "update the package, or make the file again"
            )
        if version != self.version:
            raise self.broken(path, f"its format_version is {version!r}")


def stored_height(height: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint16]:
    """Return heights in metres as whole tenths of a millimetre above `HEIGHT_MIN`."""
    return np.rint((height.astype(np.float64) - HEIGHT_MIN) / HEIGHT_STEP).astype(np.uint16)


def metres(stored: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Return stored heights in metres."""
    return (stored.astype(np.float64) * HEIGHT_STEP + HEIGHT_MIN).astype(np.float32)


def _digest(arrays: Arrays) -> str:
    """Return the SHA-256 of all arrays: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
