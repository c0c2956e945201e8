"""The words of a goal: its colours, and how tasks say it, in templates or, in the split `paraphrase`, held-out ones.

Knows names of tasks and of bodies, nothing of scenes.
"""

from __future__ import annotations

import numpy as np

from robo_rlft.language.paraphrases import PARAPHRASES
from robo_rlft.language.templates import TEMPLATES
from robo_rlft.language.vocabulary import SEEN_COLORS, SYNONYMS, UNSEEN_COLORS, held_out_pair
from robo_rlft.tasks.task import Goal


def say(task: str, goal: Goal, *, split: str, rng: np.random.Generator) -> str:
    """Say a goal of one body to pick and one to place it at.

    Args:
        task: whose sentences to draw from.
        goal: in canonical words.
        split: which of them; only `paraphrase` differs from the others.
        rng: of the sentence and of the synonyms.
    """
    if split != "paraphrase":
        return str(rng.choice(TEMPLATES[task])).format(pick=goal.pick, place=goal.place)
    pick, place = with_synonyms(goal.pick, rng=rng), with_synonyms(goal.place, rng=rng)
    return str(rng.choice(PARAPHRASES[task])).format(pick=pick, place=place)


def with_synonyms(phrase: str, *, rng: np.random.Generator) -> str:
    """Replace each word by itself or one of its synonyms, all equally likely."""
    words = [str(rng.choice((word, *SYNONYMS[word]))) if word in SYNONYMS else word for word in phrase.split()]
    return " ".join(words)


def color_pair(split: str, *, rng: np.random.Generator) -> tuple[str, str]:
    """Draw the colour of what is picked and that of its target; the pairs of `combinations` are in no other split."""
    words = UNSEEN_COLORS if split == "unseen" else SEEN_COLORS
    pairs = [(a, b) for a in words for b in words if a != b]
    if split != "unseen":
        pairs = [pair for pair in pairs if held_out_pair(*pair) == (split == "combinations")]
    return pairs[int(rng.integers(len(pairs)))]
