"""The user's own sentences: JSON lines {"scene_seed", "sentence", "pick", "place"}.

`pick` and `place` name the goal in canonical words ("red block", "blue bowl"). A line without them is run, but its
success is unknown. Knows nothing of tasks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_rlft.language.instruction import InstructionError, check_instruction

EXAMPLE = (
    '{"scene_seed": 3, "sentence": "put the red block in the blue bowl", "pick": "red block", "place": "blue bowl"}'
)
KEYS = ("scene_seed", "sentence", "pick", "place")


@dataclass(frozen=True, kw_only=True)
class InstructionLine:
    """One sentence for one scene."""

    scene_seed: int
    sentence: str
    pick: str | None  # what is to be picked; None where the goal is unknown
    place: str | None

    @property
    def has_goal(self) -> bool:
        return self.pick is not None


def read_instructions(path: Path) -> tuple[InstructionLine, ...]:
    """Read a file of instructions; blank lines are skipped.

    Raises:
        InstructionError: The file cannot be read or is empty, or a line is not what is expected; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InstructionError(f"{path}: could not read the instructions: {error}") from None
    lines = []
    # Not splitlines(): it also breaks at characters that JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                lines.append(_parse(line))
            except InstructionError as error:
                raise InstructionError(f"{path}, line {number}: {error}") from None
    if not lines:
        raise InstructionError(f"{path}: expected at least one line such as {EXAMPLE}, found none")
    return tuple(lines)


def _parse(line: str) -> InstructionLine:
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise InstructionError(f"expected JSON such as {EXAMPLE}; {error.msg} at column {error.colno}") from None
    if not isinstance(data, dict):
        raise InstructionError(f"expected an object such as {EXAMPLE}, got {type(data).__name__}")
    unknown = sorted(set(data) - set(KEYS))
    if unknown:
        raise InstructionError(f"expected the keys {', '.join(KEYS)}, got {', '.join(map(repr, unknown))} too")
    seed = data.get("scene_seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InstructionError(f"expected a whole number from 0 on as scene_seed, got {seed!r}")
    pick, place = _name(data, "pick"), _name(data, "place")
    if (pick is None) != (place is None):
        raise InstructionError(f"expected pick and place both, or neither, got pick {pick!r} and place {place!r}")
    return InstructionLine(scene_seed=seed, sentence=check_instruction(data.get("sentence")), pick=pick, place=place)


def _name(data: dict[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise InstructionError(f'expected a name such as "red block" or null as {key}, got {value!r}')
    return value.strip()
