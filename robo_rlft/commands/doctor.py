"""`robo-rlft doctor`: what this machine has, what is missing, and whether a folder of demonstrations can be read."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
from rich.console import Console

from robo_rlft.commands.errors import is_user_error
from robo_rlft.commands.provenance import commit
from robo_rlft.config import Composed, ConfigError, UserError, check_arguments


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `doctor` takes."""

    data: Path | None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    good: bool
    text: str


def run(composed: Composed, console: Console) -> None:
    """Print what was found.

    Raises:
        UserError: something that is needed is missing.
    """
    problems = check_arguments(composed.values, Arguments, examples=composed.defaults)
    if problems:
        raise ConfigError("\n  ".join(problems))
    findings = [_python(), _torch(), *_packages(), _robots(), _weights(), _machine(), _disk()]
    if composed.values["data"] is not None:
        findings.append(_data(Path(str(composed.values["data"]))))
    for finding in findings:
        console.print(f"{'ok ' if finding.good else 'BAD'} {finding.name:<12} {finding.text}", markup=False)
    bad = [finding.name for finding in findings if not finding.good]
    if bad:
        raise UserError(f"doctor: {', '.join(bad)} need attention; see above")


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    note = "" if good else "; expected 3.11 or newer"
    if sys.version_info >= (3, 12):
        note = "; no wheels of pybullet: policies and robots work, the simulator does not"
    return Finding(name="python", good=good, text=f"{platform.python_version()} on {platform.platform()}{note}")


def _torch() -> Finding:
    def look() -> str:
        import torch

        from robo_rlft.models.precision import resolve_precision

        precision = str(resolve_precision("auto")).removeprefix("torch.")
        devices = f"{torch.cuda.device_count()} graphics cards" if torch.cuda.is_available() else "no graphics card"
        return f"{torch.__version__}, {torch.get_num_threads()} threads, computes in {precision}, {devices}"

    return _try("torch", look, "pip install torch")


def _packages() -> list[Finding]:
    hints = {
        "cv2": "if libGL is missing: sudo apt-get install libgl1 libglib2.0-0",
        "pybullet": "pip install pybullet (Python 3.11)",
        "open_clip": "pip install open_clip_torch",
        "lightning": "pip install lightning",
        "gymnasium": "pip install gymnasium",
        "av": "pip install av",
    }
    return [_try(name, lambda name=name: _version(name), hint) for name, hint in hints.items()]  # type: ignore[misc]  # a default argument binds the name


def _version(name: str) -> str:
    module = importlib.import_module("robo_rlft.sim.bullet" if name == "pybullet" else name)
    return str(getattr(module, "__version__", "found"))


def _robots() -> Finding:
    """Tell which vendors' clients are there; none is needed for the rest."""
    extras = {"ur_rtde": "ur", "pyrealsense2": "realsense"}
    there = {name: _installed(name) for name in extras}
    told = [
        f"{name} {there[name]}" if there[name] else f"{name} not installed (pip install '.[{extra}]')"
        for name, extra in extras.items()
    ]
    return Finding(name="robots", good=True, text=", ".join(told))


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _weights() -> Finding:
    folder = Path(__file__).resolve().parents[1] / "weights"
    files = sorted(p.name for p in folder.glob("*.safetensors"))
    text = ", ".join(files) if files else f"none in {folder}; reinstall robo_rlft"
    return Finding(name="weights", good=bool(files), text=text)


def _machine() -> Finding:
    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    good = memory.available > 2e9
    text = f"{cores} cores, {memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB memory free; commit {commit()}"
    return Finding(name="machine", good=good, text=text + ("" if good else "; expected 2 GB free"))


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    writable = os.access(Path.cwd(), os.W_OK)
    text = f"{free / 1e9:.1f} GB free in {Path.cwd()}{'' if writable else '; not writable'}"
    return Finding(name="disk", good=free > 1e9 and writable, text=text)


def _data(folder: Path) -> Finding:
    def look() -> str:
        from robo_rlft.data.episodes import iterate_episodes

        count = successes = 0
        for episode in iterate_episodes(folder):
            count, successes = count + 1, successes + episode.success
        return f"{count} episodes in {folder}, {successes} successful"

    return _try("data", look, "")


def _try(name: str, look: Callable[[], str], hint: str) -> Finding:
    try:
        return Finding(name=name, good=True, text=look())
    except Exception as error:  # whatever is wrong with it is what the user wants to know
        told = str(error) if is_user_error(error) else f"{type(error).__name__}: {error}"
        return Finding(name=name, good=False, text=f"{told}; {hint}" if hint else told)
