"""How tasks say their goals: in templates, or in held-out ones with synonyms in the split `paraphrase`.

Knows names of tasks and of bodies, nothing of scenes.
"""

from __future__ import annotations

import numpy as np

from robo_rlft.language.paraphrases import PARAPHRASES
from robo_rlft.language.templates import TEMPLATES
from robo_rlft.language.vocabulary import SYNONYMS
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
