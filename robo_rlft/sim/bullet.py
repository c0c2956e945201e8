"""PyBullet, without the line that its import prints on standard error."""

from __future__ import annotations

import os

_errors, _nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
os.dup2(_nowhere, 2)
try:
    import pybullet
finally:
    os.dup2(_errors, 2)
    os.close(_errors)
    os.close(_nowhere)

__all__ = ["pybullet"]
