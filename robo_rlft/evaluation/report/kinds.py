"""The kinds of failure in words for people."""

from __future__ import annotations

from typing import Final

EXPLANATIONS: Final[dict[str, str]] = {
    "wrong_object": "something else was picked than the sentence names.",
    "wrong_target": "the right object was brought to another target.",
    "no_grasp": "the gripper held nothing after the lift: it closed beside an object, or over none.",
    "slipped": "the right object was lifted, then lost on the way.",
    "missed_place": "the right object was carried and let go, but does not lie where it should.",
    "wrong_rotation": "it was put down at the right place, but turned by too much from how it should lie.",
    "disturbed": "something that should have stayed was pushed away.",
    "timed_out": "no single action went wrong, but the steps ran out before all was done.",
    "unknown": "the results do not say what went wrong.",
}


def spoken(kind: str) -> str:
    """Return a kind as it is written for people: "no grasp"."""
    return kind.replace("_", " ")
