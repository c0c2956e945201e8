"""Run folders: named, locked, resumable, finished once, never silently overwritten.

A run is a folder with `config.yaml` (the resolved config), `run.json` (what was run, with what, at what cost, and its
status) and whatever the command writes. Knows nothing of what commands do.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from robo_rlft.commands.provenance import commit, machine, versions
from robo_rlft.commands.usage import Meter, Usage
from robo_rlft.config.errors import UserError
from robo_rlft.evaluation.files import ResultFileError, read_json, write_bytes, write_json

FORMAT = "robo_rlft.run"
FORMAT_VERSION = 1
RUN_FILE, CONFIG_FILE, LOCK_FILE = "run.json", "config.yaml", "lock"
# Where a run lies is not part of what it is.
LOCATION = ("run", "output", "overwrite")
_OF_TABLES: Mapping[str, Any] = {"driver_only": False, "resets": "ask", "operator": None}
# Command -> its arguments that came after the first runs -> the value with which it does what it did without them.
LATER: Mapping[str, Mapping[str, Any]] = {
    "collect": {"checkpoint": None, "decoding": "sampled", "tries": 1, **_OF_TABLES, "instructions": None},
    "evaluate": {"first_scene": 0, "camera": {}, **_OF_TABLES},
    "label": {"order": "random", "reward_model": None, "earlier": None},
    "train": {"camera": {}, **_OF_TABLES, "instructions": None},
}
# Nor is what it computes on: a run that was begun on a graphics card may be taken up without one.
_ACCELERATOR = "trainer.accelerator: "


class RunError(UserError):
    """A run folder that cannot be used; the message says what to do about it."""


@dataclass(kw_only=True)
class Run:
    """An open run folder."""

    path: Path
    command: str
    resumed: bool  # an earlier process began it
    finished: bool  # nothing is left to do
    notes: dict[str, Any] = field(default_factory=dict)  # what the command adds to run.json
    usage: Callable[[], Usage] = field(repr=False)  # so far, earlier processes included

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"


def folder_for(values: Mapping[str, Any], default_name: str) -> Path:
    """Return the folder of a run: `output=DIR`, or `runs/NAME` with `run=NAME` or the default name."""
    if values.get("output") is not None:
        return Path(str(values["output"])).expanduser()
    name = str(values["run"]) if values.get("run") is not None else default_name
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise RunError(f"run: expected a name such as 'my_run', got '{name}'; use output=DIR for another place")
    return Path("runs") / name


@contextmanager
def open_run(
    folder: Path,
    *,
    command: str,
    config: Mapping[str, Any],
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    whole_process: bool = False,
) -> Iterator[Run]:
    """Open a run folder for work: new, taken up again, or finished already.

    Args:
        folder: Where it is or shall be.
        command: The command that works in it.
        config: The resolved config; a folder with another one is refused.
        overrides: What the user wrote, for the record.
        overwrite: Move an earlier run aside first.
        whole_process: Count what the process used before, too.

    Raises:
        RunError: another process works in it, it holds another config, or it is not a run.
    """
    plain = {key: value for key, value in json.loads(json.dumps(config)).items() if key not in LOCATION}
    new = not folder.exists()
    if not new and not folder.is_dir():
        raise RunError(f"{folder}: expected a folder for the run, found a file; choose run=NAME or output=DIR")
    if not new:
        _refuse_living_owner(folder)
    if not new and overwrite and any(folder.iterdir()):
        _move_aside(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot make this folder: {error.strerror}; choose another output=DIR") from error
    with lock(folder):
        record = _earlier(folder, command, plain)
        status = record.get("status") if record else None
        meter = Meter(since_start=whole_process)
        run = Run(
            path=folder,
            command=command,
            resumed=status == "unfinished",
            finished=status == "finished",
            usage=lambda: _total(record or {}, meter.usage()),
        )
        if run.finished:
            meter.stop()
            yield run
            return
        if record is None:
            write_bytes(folder / CONFIG_FILE, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).encode())
        record = {**_description(command, overrides), **(record or {}), "status": "unfinished"}
        record |= _provenance(record, plain)
        run.notes = dict(record.get("notes", {}))
        write_json(folder / RUN_FILE, record)
        status = "unfinished"
        try:
            yield run
            status = "finished"
        finally:
            cost = asdict(_total(record, meter.stop()))
            _close(run, {**record, **cost, "notes": run.notes, "status": status})


def _provenance(record: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that a run was made by and computed on, where it was taken up later or elsewhere."""
    found: dict[str, Any] = {
        name: _joined(record.get(name), now) for name, now in {**machine(config), "commit": commit()}.items()
    }
    before = record.get("versions", {})
    return found | {"versions": {name: _joined(before.get(name), now) for name, now in versions().items()}}


def _joined(before: str | None, now: str | None) -> str | None:
    """Return "before; now", each once."""
    return "; ".join(dict.fromkeys(filter(None, [*str(before or "").split("; "), now]))) or None


def read_run(folder: Path) -> dict[str, Any]:
    """Return the record of a run.

    Raises:
        RunError: the folder is not a run, or one from a newer version.
    """
    try:
        return read_json(folder / RUN_FILE, expected=FORMAT, version=FORMAT_VERSION)
    except ResultFileError as error:
        raise RunError(f"{folder} is not a run that can be read: {error}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """Return the resolved config of a run, as plain values."""
    try:
        values = yaml.safe_load((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RunError(f"{folder}: its {CONFIG_FILE} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise RunError(f"{folder}: its {CONFIG_FILE} is not a mapping")
    return values


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return one line for every key whose values differ: "algorithm.lr: 0.0005 -> 0.001"."""
    lines = []
    for key in sorted({*old, *new}, key=str):
        before, after, name = old.get(key), new.get(key), f"{prefix}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, prefix=f"{name}.")
        elif key not in old or key not in new or before != after:
            absent = "(absent)"
            lines.append(f"{name}: {before if key in old else absent} -> {after if key in new else absent}")
    return lines


def _earlier(folder: Path, command: str, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record of the run that is there, None where there is none; refuse what this command may not touch."""
    if not (folder / RUN_FILE).exists():
        strangers = sorted(p.name for p in folder.iterdir() if p.name not in (LOCK_FILE, CONFIG_FILE))
        if strangers:
            raise RunError(
                f"{folder} is not empty and not a run (it holds {', '.join(strangers[:3])}); choose another with "
                "run=NAME or output=DIR, or overwrite=true to move it aside"
            )
        return None
    record = read_run(folder)
    ways = "run=NAME makes another run, overwrite=true moves this one aside"
    if record.get("command") != command:
        raise RunError(f"{folder} was made by '{record.get('command')}', not by '{command}'; {ways}")
    later = {key: value for key, value in LATER.get(command, {}).items() if key in config}
    before = {**later, **read_config(folder)}
    different = [line for line in differences(before, config) if not line.startswith(_ACCELERATOR)]
    if different:
        lines = "\n  ".join(different)
        raise RunError(f"{folder} holds a run with another config; {ways}. The difference (there -> now):\n  {lines}")
    return record


def _move_aside(folder: Path) -> Path:
    """Rename an earlier run to the first free name."""
    for number in range(1, 10_000):
        target = folder.with_name(f"{folder.name}.old{number}")
        if not target.exists():
            folder.rename(target)
            return target
    raise RunError(f"{folder}: ten thousand earlier runs lie beside it; remove some of {folder.name}.old*")


def _owner(text: str) -> dict[str, Any] | None:
    """Return the living process that a lock file names, None where it is gone."""
    try:
        owner = json.loads(text)
        process = psutil.Process(int(owner["pid"]))
        same = abs(process.create_time() - float(owner["started"])) < 1.0
        return owner if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (ValueError, KeyError, TypeError, psutil.Error):
        return None


def _close(run: Run, record: Mapping[str, Any]) -> None:
    """Write a run's record, unless it failed before it did anything: the mended command must not meet its config."""
    if record["status"] == "unfinished" and not run.resumed and _is_empty(run.path):
        (run.path / RUN_FILE).unlink()
        (run.path / CONFIG_FILE).unlink()
    else:
        write_json(run.path / RUN_FILE, dict(record))


def _is_empty(folder: Path) -> bool:
    """Tell whether a run holds nothing but what this module writes."""
    return {p.name for p in folder.iterdir()} <= {RUN_FILE, CONFIG_FILE, LOCK_FILE}


def _refuse(folder: Path, owner: Mapping[str, Any]) -> RunError:
    return RunError(
        f"{folder} is in use by process {owner['pid']} on this machine; wait until it ends, or choose run=NAME"
    )


def _refuse_living_owner(folder: Path) -> None:
    try:
        owner = _owner((folder / LOCK_FILE).read_text(encoding="utf-8"))
    except OSError:
        return
    if owner is not None:
        raise _refuse(folder, owner)


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Own a folder that exists: by a file with the process's id and start time. A dead owner's is taken over.

    Raises:
        RunError: another process owns it.
    """
    path = folder / LOCK_FILE
    me = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    while not _claim(path, me):
        pass
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()


def _claim(path: Path, me: Mapping[str, Any]) -> bool:
    """Write `me` into the lock file; False where the file was removed in the meantime."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        # Held for the moment of reading and writing only, so that two processes cannot both take over a dead one's.
        fcntl.flock(file, fcntl.LOCK_EX)
        if not path.exists() or path.stat().st_ino != os.fstat(descriptor).st_ino:
            return False
        owner = _owner(file.read())
        if owner is not None:
            raise _refuse(path.parent, owner)
        _rewrite(descriptor, json.dumps(me))
        return True


def _rewrite(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
    os.fsync(descriptor)


def _total(record: Mapping[str, Any], now: Usage) -> Usage:
    """Return this process's cost with that of the earlier ones."""
    return Usage(
        wall_seconds=record.get("wall_seconds", 0.0) + now.wall_seconds,
        cpu_seconds=record.get("cpu_seconds", 0.0) + now.cpu_seconds,
        peak_rss_mb=max(record.get("peak_rss_mb", 0.0), now.peak_rss_mb),
    )


def _description(command: str, overrides: Sequence[str]) -> dict[str, Any]:
    import torch

    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "command": command,
        "overrides": list(overrides),
        "threads": torch.get_num_threads(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
