"""Sentences that only the split `paraphrase` may use: other verbs, order and constructions than the templates'.

They measure how well a sentence is understood that nobody planned for, so nothing may be trained or tuned on them, and
nothing that reads sentences may import this module. The task fills them with synonyms too.
"""

from __future__ import annotations

from typing import Final

PARAPHRASES: Final[dict[str, tuple[str, ...]]] = {
    "put_block_in_bowl": (
        "fill the {place} with the {pick}",
        "into the {place} goes the {pick}",
        "take the {pick} and drop it into the {place}",
        "the {place} is where the {pick} belongs",
        "the {pick} should be inside the {place}",
        "could you transfer the {pick} to the {place}?",
        "in the {place}, deposit the {pick}",
        "the {place} should end up with the {pick} in it",
        "I would like to see the {pick} in the {place}",
        "grab the {pick}, then let go of it over the {place}",
        "the {pick} needs to be dropped into the {place}",
        "let the {place} hold the {pick}",
        "make sure that the {pick} lands in the {place}",
        "use the {place} as a home for the {pick}",
        "find the {place} and toss the {pick} in there",
        "the {place} must receive the {pick}",
    ),
    "stack_blocks": (
        "the {pick} goes on top of the {place}",
        "onto the {place} goes the {pick}",
        "take the {pick} and rest it on the {place}",
        "the {place} is where the {pick} belongs",
        "the {place} should carry the {pick}",
        "cover the {place} with the {pick}",
        "could you balance the {pick} atop the {place}?",
        "on the {place}, lay the {pick}",
        "I would like to see the {pick} on the {place}",
        "use the {place} as a base for the {pick}",
        "let the {pick} sit on the {place}",
        "build a tower: the {place} below, the {pick} above it",
    ),
    "block_insertion": (
        "fill the {place} with the {pick}",
        "into the {place} goes the {pick}",
        "turn the {pick} so that it slips into the {place}",
        "the {place} is made for the {pick}",
        "the {pick} should sit snugly in the {place}",
        "could you slot the {pick} into the {place}?",
        "in the {place}, seat the {pick}",
        "the {place} is where the {pick} belongs",
        "take the {pick}, line it up with the {place} and drop it in",
        "I would like the {pick} to end up inside the {place}",
        "let the {place} hold the {pick}",
        "make sure that the {pick} lies flat in the {place}",
        "the {place} is still empty: give it the {pick}",
        "grab the {pick} and lower it into the {place}",
        "the {pick} has to be fitted into the {place}",
        "close the gap in the {place} with the {pick}",
    ),
}
"""Sentences by task, for one object to pick."""

PLURAL_PARAPHRASES: Final[dict[str, tuple[str, ...]]] = {
    "put_block_in_bowl": (
        "fill the {place} with the {pick}",
        "into the {place} go the {pick}",
        "take the {pick} and drop them into the {place}",
        "the {place} is where the {pick} belong",
        "all {pick} should be inside the {place}",
        "could you transfer the {pick} to the {place}?",
        "in the {place}, deposit all the {pick}",
        "the {place} should end up with the {pick} in it",
        "the {pick} need to be dropped into the {place}",
        "let the {place} hold the {pick}",
        "use the {place} as a home for the {pick}",
        "find the {place} and toss the {pick} in there",
    ),
}
"""Sentences by task, for several objects to pick: `{pick}` stands for a plural such as "red blocks"."""
