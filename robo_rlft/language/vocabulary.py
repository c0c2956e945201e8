"""The words for what lies on the table: colours, shapes and their synonyms.

Knows nothing of sentences. Tasks name objects with these words and captions of renders teach them to CLIP; whatever
reads a user's sentence must not import this module, because what words mean reaches a policy only through CLIP.
"""

from __future__ import annotations

from typing import Final

COLORS: Final[dict[str, tuple[int, int, int]]] = {  # RGB, 0 to 255
    "blue": (50, 90, 205),
    "red": (210, 40, 40),
    "green": (60, 160, 60),
    "yellow": (245, 215, 50),
    "brown": (120, 72, 35),
    "gray": (128, 128, 128),
    "cyan": (60, 205, 215),
    "orange": (242, 122, 20),
    "purple": (130, 55, 175),
    "pink": (250, 150, 195),
    "white": (245, 245, 245),
}

SEEN_COLORS: Final = ("blue", "red", "green", "yellow", "brown", "gray", "cyan")
"""Colours of demonstrations and rollouts."""

UNSEEN_COLORS: Final = ("orange", "purple", "pink", "white")
"""Colours that only CLIP's captions and the `unseen` split may show."""

SHAPES: Final = ("block", "bowl", "puck", "plate", "bar", "ring", "elbow", "fixture")

SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "blue": ("navy",),
    "red": ("crimson", "scarlet"),
    "green": ("emerald",),
    "yellow": ("golden",),
    "brown": ("chocolate",),
    "gray": ("grey", "silver"),
    "cyan": ("turquoise", "aqua"),
    "orange": ("tangerine",),
    "purple": ("violet",),
    "pink": ("rose",),
    "white": ("ivory",),
    "block": ("cube", "brick"),
    "bowl": ("dish", "basin"),
    "puck": ("disc", "disk"),
    "plate": ("platter", "saucer"),
    "bar": ("rod", "stick"),
    "ring": ("hoop", "loop"),
    "elbow": ("angle", "bracket"),
    "fixture": ("mold", "holder"),
}
"""Other words for a colour or a shape, captioned beside it when CLIP is trained; no word has two meanings here."""


def held_out_pair(pick_color: str, place_color: str) -> bool:
    """Tell whether a pair of colours is kept for the split `combinations`: out of captions, demonstrations, rollouts.

    Of the 42 ordered pairs of different seen colours 7 are held out: a colour to pick, and the one that follows it in
    `SEEN_COLORS` (the first follows the last) for the target. So every colour is held out once in either role
    and stays, in both roles, beside five others.

    Args:
        pick_color: The colour of what is picked, a canonical word of `COLORS`.
        place_color: The colour of the target, likewise.

    Raises:
        ValueError: A word is not in `COLORS`.
    """
    for word in (pick_color, place_color):
        if word not in COLORS:
            raise ValueError(f"expected a colour out of {', '.join(COLORS)}; got {word!r}")
    if pick_color not in SEEN_COLORS or place_color not in SEEN_COLORS:
        return False
    following = (SEEN_COLORS.index(pick_color) + 1) % len(SEEN_COLORS)
    return SEEN_COLORS[following] == place_color
