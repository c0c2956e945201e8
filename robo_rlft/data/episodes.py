"""Episodes on disk: one compressed `.npz` file each, with a JSON record of what it holds.

Knows nothing of simulators or learning. Nothing in a file is ever executed: pickles are refused. Colours are stored as
they are, heights as whole tenths of a millimetre above `HEIGHT_MIN`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_rlft.geometry import Workspace
from robo_rlft.rollout.episode import FAILURES, Episode

FORMAT = "robo_rlft.episode"
FORMAT_VERSION = 1
HEIGHT_MIN, HEIGHT_MAX = -0.1, 1.0  # metres above the table
HEIGHT_STEP = 1e-4  # metres
_ARRAYS = {
    "color": "uint8",
    "height": "uint16",
    "pick": "int64",
    "place": "int64",
    "rotation": "int64",
    "rewards": "float32",
}
_WORDS = ("task", "split", "phase", "instruction", "pick_name", "place_name")

Arrays = dict[str, npt.NDArray[Any]]


class EpisodeError(ValueError):
    """An episode, or a file that should hold one, is not what it must be."""


class EpisodeWriter:
    """Writes episodes into a folder, each complete or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, *, task: str, split: str, phase: str, seed: int) -> Path:
        """Return where the episode of this scene belongs; the same scene always has the same name."""
        name = f"{task}-{split}-{phase}-{seed:010d}.npz"
        if not re.fullmatch(r"[A-Za-z0-9_-]+\.npz", name):
            raise EpisodeError(f"task, split and phase must be plain words, got {task!r}, {split!r}, {phase!r}")
        return self.folder / name

    def write(self, episode: Episode) -> Path:
        """Check and write one episode; return its path. An earlier one of the same scene is replaced."""
        path = self.path(task=episode.task, split=episode.split, phase=episode.phase, seed=episode.seed)
        _check(episode, where=f"the episode for {path}")
        arrays = _to_arrays(episode)
        meta: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION, "sha256": _digest(arrays)}
        meta |= {name: getattr(episode, name) for name in (*_WORDS, "seed", "success", "failure", "rotations")}
        meta |= {"workspace": asdict(episode.workspace)}
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype=np.uint8)
        np.savez_compressed(buffer, meta=text, **arrays)  # type: ignore[arg-type]  # the stubs want only allow_pickle
        _write_atomically(path, buffer.getvalue())
        return path


def read_episode(path: Path) -> Episode:
    """Read and check one episode.

    Raises:
        EpisodeError: the file is missing, cut off, changed, foreign, from a newer version or holds impossible values.
    """
    arrays, meta = _load(path)
    try:
        height = (arrays["height"].astype(np.float64) * HEIGHT_STEP + HEIGHT_MIN).astype(np.float32)
        values: dict[str, Any] = {**arrays, "height": height}
        values |= {name: meta[name] for name in (*_WORDS, "seed", "success", "failure", "rotations")}
        episode = Episode(**values, workspace=Workspace(**meta["workspace"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, f"its record lacks or misstates a field ({error})") from error
    _check(episode, where=str(path))
    return episode


def read_episodes(folder: Path) -> list[Episode]:
    """Read every episode of a folder, in the order of their names.

    Raises:
        EpisodeError: there is no such folder, it holds no episode, or one of them cannot be read.
    """
    return list(iterate_episodes(folder))


def iterate_episodes(folder: Path) -> Iterator[Episode]:
    """Read the episodes of a folder one at a time, in the order of their names; errors as in `read_episodes`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise EpisodeError(f"expected a folder of episodes at {folder}, got none; `robo-rlft collect` makes one")
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise EpisodeError(f"expected episodes (*.npz) in {folder}, got none; `robo-rlft collect` makes them")
    for path in paths:
        yield read_episode(path)


def _to_arrays(episode: Episode) -> Arrays:
    height = np.rint((episode.height.astype(np.float64) - HEIGHT_MIN) / HEIGHT_STEP)
    stored = {name: getattr(episode, name) for name in _ARRAYS} | {"height": height}
    return {name: np.ascontiguousarray(stored[name], dtype=dtype) for name, dtype in _ARRAYS.items()}


def _load(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Return a file's arrays and its record, with format, version and hash checked."""
    try:
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile) or "meta" not in file.files:
                raise _broken(path, "it is not one of this package's episodes")
            meta = json.loads(file["meta"].tobytes().decode())
            _check_format(path, meta)
            if set(file.files) != {"meta", *_ARRAYS}:
                raise _broken(path, f"it holds {sorted(file.files)}")
            arrays = {name: file[name] for name in _ARRAYS}
    except FileNotFoundError as error:
        raise EpisodeError(f"expected an episode at {path}, but there is no such file") from error
    except EpisodeError:
        raise
    except Exception as error:  # a broken archive fails in a dozen ways: zlib, zip, header, JSON, memory
        # numpy's own words advise to unpickle it.
        why = "it holds pickled objects, which are never opened" if "pickle" in str(error) else str(error)
        raise _broken(path, f"it cannot be read ({why})") from error
    if {name: str(array.dtype) for name, array in arrays.items()} != _ARRAYS or _digest(arrays) != meta.get("sha256"):
        raise _broken(path, "its contents are not those that were written")
    return arrays, meta


def _check_format(path: Path, meta: Any) -> None:
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise _broken(path, "it is not one of this package's episodes")
    version = meta.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise EpisodeError(
            f"{path} has format_version {version}, newer than the {FORMAT_VERSION} that this robo_rlft reads: "
            "update the package, or collect the episodes again"
        )
    if version != FORMAT_VERSION:
        raise _broken(path, f"its format_version is {version!r}")


def _broken(path: Path, what: str) -> EpisodeError:
    return EpisodeError(
        f"{path}: expected an episode ({FORMAT}, version {FORMAT_VERSION}), but {what}; "
        "delete it and collect it again with the same seed"
    )


def _check(episode: Episode, *, where: str) -> None:
    """Raise `EpisodeError` unless all shapes, types and ranges are right."""
    for fault in _faults(episode):
        raise EpisodeError(f"{where}: {fault}; collect it again, or mend what recorded it")


def _faults(episode: Episode) -> Iterator[str]:
    for name in _WORDS:
        if not isinstance(getattr(episode, name), str) or not getattr(episode, name):
            yield f"expected {name} to be a sentence or word, got {getattr(episode, name)!r}"
    if type(episode.seed) is not int or type(episode.rotations) is not int or episode.rotations < 1:
        yield f"expected a whole seed and at least 1 rotation, got {episode.seed!r} and {episode.rotations!r}"
    known = type(episode.success) is bool and episode.failure in (None, *FAILURES)
    if not known or episode.success == bool(episode.failure):
        yield (
            f"expected success without a failure, or one of {', '.join(FAILURES)}, "
            f"got success {episode.success!r} and failure {episode.failure!r}"
        )
    yield from _shape_faults(episode)
    if not np.isfinite(episode.height).all():
        yield f"expected finite heights, got {int((~np.isfinite(episode.height)).sum())} that are not"
    low, high = float(episode.height.min()), float(episode.height.max())
    # Half a step: the ends of the range must survive rounding.
    if low < HEIGHT_MIN - HEIGHT_STEP / 2 or high > HEIGHT_MAX + HEIGHT_STEP / 2:
        hint = " (are these millimetres?)" if high > 2.0 else ""
        yield f"expected heights in [{HEIGHT_MIN}, {HEIGHT_MAX}] metres, got {low:g} to {high:g}{hint}"
    if not np.isfinite(episode.rewards).all():
        yield "expected finite rewards"
    for name in ("pick", "place"):
        if not episode.workspace.contains(getattr(episode, name)).all():
            yield f"expected {name} pixels on the grid {episode.workspace.shape}, got {getattr(episode, name).tolist()}"
    if ((episode.rotation < 0) | (episode.rotation >= episode.rotations)).any():
        yield f"expected rotation bins in [0, {episode.rotations}), got {episode.rotation.tolist()}"


def _shape_faults(episode: Episode) -> Iterator[str]:
    steps, grid = len(episode.rotation), episode.workspace.shape
    if steps < 1:
        yield "expected at least one action, got none"
    shapes: dict[str, tuple[int, ...]] = {"color": (steps + 1, *grid, 3), "height": (steps + 1, *grid)}
    shapes |= {"pick": (steps, 2), "place": (steps, 2), "rotation": (steps,), "rewards": (steps,)}
    for name, shape in shapes.items():
        if getattr(episode, name).shape != shape:
            yield f"expected {name} of shape {shape}, got {getattr(episode, name).shape}"
    for name in ("pick", "place", "rotation"):
        if getattr(episode, name).dtype.kind not in "iu":
            yield f"expected {name} to be whole numbers, got {getattr(episode, name).dtype}"
    if episode.color.dtype != np.uint8:
        yield f"expected colours as uint8, got {episode.color.dtype}"


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
