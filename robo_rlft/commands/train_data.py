"""The folders that `robo-rlft train data=DIR[,DIR]` learns from, and where what is in them came from.

Knows nothing of how it is learned from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robo_rlft.config import ConfigError, target_class
from robo_rlft.config.nodes import TARGET


def data_folders(value: str | None) -> list[Path]:
    """Return the folders that `data=DIR[,DIR]` names."""
    if value is None:
        return []
    return [Path(value)] if Path(value).exists() else [Path(part.strip()) for part in value.split(",")]


def check_folders(values: Mapping[str, Any], node: Mapping[str, Any] | None, trust: Sequence[str]) -> None:
    """Refuse several folders of data for a data module, given by its node, that learns from one."""
    folders = data_folders(values["data"])
    learner = target_class(str(node[TARGET]), trust=trust) if node else None
    if len(folders) > 1 and not getattr(learner, "several_folders", False):
        raise ConfigError(f"data: this algorithm learns from one folder, got {len(folders)}; leave the others out")


def provenance_of(data: object) -> dict[str, Any]:
    """Return where what was learned from came from, under a key of its own, where the data can tell."""
    told = getattr(data, "provenance", None)
    return {"data": told} if told else {}
