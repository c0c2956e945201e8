"""The door for sentences: what may be an instruction at all.

Knows nothing of their meaning; `phrases` reads them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_CHARACTERS: Final = 200

EXAMPLE: Final = "put the red block in the blue bowl"
"""A sentence that works, for error messages."""

_CONTROL_TOKEN: Final = re.compile(r"<\s*(?:start|end)_of_text\s*>|<\|.*?\|>", re.IGNORECASE)
_CONTROL_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class InstructionError(ValueError):
    """An instruction that cannot be used; the message says what was expected, what came and how to mend it."""


def check_instruction(text: object) -> str:
    """Return `text` stripped of outer white space, or refuse it.

    An empty sentence, one that is cut short without a word or one that carries a tokenizer's own marks would be
    accepted silently by text encoders, and mean something else than it says.

    Args:
        text: One sentence in English, at most `MAX_CHARACTERS` long.

    Raises:
        InstructionError: Not a string; empty or blank; over-long; holds a control token or a control character.
    """
    if not isinstance(text, str):
        raise InstructionError(f"expected a sentence (str); got {type(text).__name__}. {_advice()}")
    sentence = text.strip()
    if not any(character.isalnum() for character in sentence):
        raise InstructionError(f"expected a sentence; got {_excerpt(text)}, which has no words. {_advice()}")
    if len(sentence) > MAX_CHARACTERS:
        raise InstructionError(
            f"expected a sentence of at most {MAX_CHARACTERS} characters; got {len(sentence)}: {_excerpt(sentence)}. "
            f"Say only what to pick and where to put it, such as {EXAMPLE!r}."
        )
    token = _CONTROL_TOKEN.search(sentence)
    if token:
        raise InstructionError(
            f"expected plain words; got the text encoder's control token {_excerpt(token.group())}. "
            f"Leave it out. {_advice()}"
        )
    for character in sentence:
        if unicodedata.category(character) in _CONTROL_CATEGORIES:
            raise InstructionError(
                f"expected one line of plain text; got the control character U+{ord(character):04X} "
                f"in {_excerpt(sentence)}. Replace it by a space."
            )
    return sentence


def _advice() -> str:
    return f"Write a sentence such as {EXAMPLE!r}."


def _excerpt(text: str) -> str:
    """Return the text's beginning in quotes, control characters escaped."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")
