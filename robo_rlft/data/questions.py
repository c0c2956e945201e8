"""Which attempts are asked about, in which order, and what a simulated person answers.

Knows what attempts came to, not their pictures. All of it follows from a seed, so that a page that was closed asks the
rest of the same questions when it is opened again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robo_rlft.data.labels import FAILURE, LEFT, RIGHT, SAME, SUCCESS, Question
from robo_rlft.rollout.episode import Episode

_SIDES, _ORDER, _REPEATS = 1, 2, 3  # what a random stream is for
_APART = 5  # a question comes again after at least so many others
_EQUAL = 1e-6  # returns that differ by less are the same


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What is known of an attempt without its pictures."""

    name: str  # of its file
    scene: tuple[str, ...]  # equal for attempts at the same scene and sentences
    return_: float
    success: bool

    @classmethod
    def of(cls, name: str, episode: Episode) -> Summary:
        """Return an episode's."""
        scene = (episode.task, episode.split, episode.phase, str(episode.seed), *episode.sentences)
        return cls(name=name, scene=scene, return_=episode.return_, success=episode.success)


Order = Callable[[Sequence[tuple[str, ...]]], Sequence[int]]  # questions' names -> which come first


def pairs(attempts: Sequence[Summary]) -> list[tuple[str, ...]]:
    """Return all pairs of attempts at the same scene and sentences, by their names."""
    scenes: dict[tuple[str, ...], list[str]] = {}
    for attempt in attempts:
        scenes.setdefault(attempt.scene, []).append(attempt.name)
    return [pair for names in scenes.values() for pair in itertools.combinations(names, 2)]


def disputed_first(scores: Mapping[str, npt.NDArray[np.float64]]) -> Order:
    """Return the order in which those questions come first about which the members of an ensemble disagree most.

    Disagreement is the members' standard deviation of the difference of two attempts' scores (Christiano et al. 2017,
    "Deep reinforcement learning from human preferences", 2.2.4), or of a single attempt's.

    Args:
        scores: name of an attempt -> what each member says of it, (M,).
    """
    row = {name: i for i, name in enumerate(scores)}
    table = np.stack(list(scores.values()))

    def order(candidates: Sequence[tuple[str, ...]]) -> Sequence[int]:
        said = table[[row[names[0]] for names in candidates]]
        other = table[[row[names[-1]] for names in candidates]]
        pair = np.array([[len(names) > 1] for names in candidates])
        spread = np.std(said - np.where(pair, other, 0.0), axis=1)
        return [int(index) for index in np.argsort(-spread, kind="stable")]

    return order


def questions(
    candidates: Sequence[tuple[str, ...]],
    *,
    count: int,
    seed: int,
    repeat_every: int = 0,
    order: Order | None = None,
) -> list[Question]:
    """Return the questions to ask, sides drawn at random.

    Args:
        candidates: names of the attempts of each possible question.
        count: of questions that are new; fewer where there are fewer candidates.
        seed: of the order, the sides and the repeats.
        repeat_every: after so many new questions an earlier one is asked again, the other way round; 0 never.
        order: which candidates come first; at random without it.
    """
    chosen = order(candidates) if order else np.random.default_rng((seed, _ORDER)).permutation(len(candidates))
    sides = np.random.default_rng((seed, _SIDES))
    again = np.random.default_rng((seed, _REPEATS))
    new: list[Question] = []
    asked: list[Question] = []
    repeated: set[int] = set()
    for index in chosen[:count]:
        names = candidates[int(index)]
        new.append(Question(episodes=names[::-1] if sides.random() < 0.5 else names))
        asked.append(new[-1])
        ripe = [i for i in range(len(new) - _APART) if i not in repeated]
        if repeat_every and len(new) % repeat_every == 0 and ripe:
            which = int(again.choice(ripe))
            repeated.add(which)
            asked.append(Question(episodes=new[which].episodes[::-1], repeat=1))
    return asked


class SimulatedLabeler:
    """Answers by the attempts' true returns, and errs as often as it is told.

    Of two whose returns differ it calls the worse one better with probability `noise`; of equal ones it says "same", or
    with that probability either side. Asked about success it errs alike. What it answers depends on its seed and the
    question alone.
    """

    def __init__(self, *, noise: float = 0.1) -> None:
        """Make one.

        Raises:
            ValueError: the noise is no probability.
        """
        if not 0.0 <= noise <= 1.0:
            raise ValueError(f"expected noise from 0 to 1, got {noise}")
        self.noise = noise

    def answer(self, question: Question, attempts: Mapping[str, Summary], *, seed: int) -> str:
        """Return an answer of the question's mode."""
        rng = np.random.default_rng([seed, *question.key.encode()])
        errs, left = rng.random() < self.noise, rng.random() < 0.5
        shown = [attempts[name] for name in question.episodes]
        if len(shown) == 1:
            return SUCCESS if shown[0].success != errs else FAILURE
        gap = shown[0].return_ - shown[1].return_
        if abs(gap) < _EQUAL:
            return (LEFT if left else RIGHT) if errs else SAME
        return LEFT if (gap > 0.0) != errs else RIGHT
