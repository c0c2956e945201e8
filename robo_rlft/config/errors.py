"""What is the user's to mend: a message of what was expected, what came and how to mend it, never a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something that the user can mend; the message says how."""


class ConfigError(UserError):
    """A config or an override that cannot work."""


def nearest(name: str, choices: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the choices that look most like `name`, best first."""
    return difflib.get_close_matches(name, list(choices), n=most, cutoff=0.5)


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return the end of a sentence: '; did you mean A or B?', or a full stop where no choice is near."""
    found = nearest(name, choices)
    return f"; did you mean {' or '.join(found)}?" if found else "."
