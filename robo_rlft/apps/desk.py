"""What the server of a page needs of the desk behind it, where a program and a person meet; nothing of HTTP."""

from __future__ import annotations

from typing import Any, Protocol


class NotAsked(ValueError):
    """What the page sent is no answer to what is asked; the message says why."""


class Desk(Protocol):
    """What a page is served from; safe between threads."""

    def state(self) -> dict[str, Any]:
        """Return what the page shows, as JSON."""
        ...
