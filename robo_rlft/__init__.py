"""Reinforcement learning as fine-tuning, for language-conditioned tabletop manipulation.

Importing this package imports nothing else: the names below load what they need when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robo_rlft.commands.environment import make_env as make_env
    from robo_rlft.policies.io import load_policy as load_policy

__version__ = "0.1.0"
__all__ = ["__version__", "load_policy", "make_env"]

_HOMES = {"load_policy": "robo_rlft.policies.io", "make_env": "robo_rlft.commands.environment"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'robo_rlft' has no attribute '{name}'; it has: {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


# Makes the names for `gymnasium.make` known, without importing gymnasium.
importlib.import_module("robo_rlft.commands.gymnasium_ids").announce()
