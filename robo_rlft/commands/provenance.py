"""What a result was made with: the code's commit, the packages' versions, the machine.

Knows nothing of runs.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from robo_rlft import __version__

_VERSIONS = ("torch", "torchvision", "lightning", "open_clip_torch", "pybullet", "numpy", "gymnasium", "opencv-python")


def machine(config: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what a run computes on: the processor, and the graphics card where its trainer takes one."""
    import torch

    trainer = config.get("trainer")
    wanted = trainer.get("accelerator", "cpu") if isinstance(trainer, Mapping) else "cpu"
    card = None
    if wanted != "cpu" and torch.cuda.is_available():
        card = str(torch.cuda.get_device_name())
    elif wanted not in ("cpu", "auto"):
        card = str(wanted)
    return {"processor": f"{_processor()}, {os.cpu_count()} cores", "graphics_card": card}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version(), "robo_rlft": __version__}
    return found | {name: _version(name) for name in _VERSIONS}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def commit() -> str | None:
    """Return the commit of the checkout that this package runs from, with '+' where files differ; None elsewhere.

    What a run writes, results and figures, is no difference.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        written = (":!results", ":!docs/evidence")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *written)
        return f"{head}+" if changed else head
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True, timeout=10
    ).stdout.strip()
