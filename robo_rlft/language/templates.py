"""The sentences that demonstrations and rollouts are instructed with.

`{pick}` and `{place}` stand for noun phrases such as "red block"; determiners belong to the template. Nothing that
reads sentences may import this module.
"""

from __future__ import annotations

from typing import Final

TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "put_block_in_bowl": (
        "put the {pick} in the {place}",
        "place the {pick} in the {place}",
        "put the {pick} into the {place}",
        "move the {pick} to the {place}",
        "move the {pick} into the {place}",
        "pick up the {pick} and put it in the {place}",
        "pick the {pick} and place it inside the {place}",
        "please put the {pick} in the {place}",
        "set the {pick} inside the {place}",
        "bring the {pick} to the {place}",
    ),
    "stack_blocks": (
        "put the {pick} on the {place}",
        "place the {pick} on the {place}",
        "stack the {pick} on the {place}",
        "put the {pick} on top of the {place}",
        "move the {pick} onto the {place}",
        "pick up the {pick} and put it on the {place}",
        "please stack the {pick} on top of the {place}",
        "set the {pick} on the {place}",
    ),
    "block_insertion": (
        "put the {pick} in the {place}",
        "place the {pick} in the {place}",
        "put the {pick} into the {place}",
        "insert the {pick} into the {place}",
        "fit the {pick} into the {place}",
        "move the {pick} into the {place}",
        "press the {pick} into the {place}",
        "pick up the {pick} and put it in the {place}",
        "please insert the {pick} into the {place}",
        "set the {pick} inside the {place}",
    ),
}
"""Sentences by task, for one object to pick."""

PLURAL_TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "put_block_in_bowl": (
        "put the {pick} in a {place}",
        "put all the {pick} in the {place}",
        "place the {pick} in the {place}",
        "put all of the {pick} into the {place}",
        "move the {pick} to the {place}",
        "move all the {pick} into the {place}",
        "pick up the {pick} and put them in the {place}",
        "please put the {pick} in the {place}",
    ),
}
"""Sentences by task, for several objects to pick: `{pick}` stands for a plural such as "red blocks"."""
