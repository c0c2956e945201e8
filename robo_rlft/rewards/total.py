"""Weighted sums of rewards, each by a name of its own, whether it pays steps, whole attempts, or both.

Knows the Protocols of rewards alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from robo_rlft.records import Observation, OutcomeReward, Reward

Value = TypeVar("Value", float, Tensor)


class TotalReward:
    """The weighted sum of rewards, each of them one term by the name that it has here, told before weighting.

    What a term pays for single steps, as the simulator's progress does, is paid there; what it pays for a whole
    attempt is paid at the episode's end, on top.
    """

    def __init__(self, *, terms: Mapping[str, Reward | OutcomeReward], weights: Mapping[str, float]) -> None:
        """Name the terms and their weights.

        Args:
            terms: name -> reward.
            weights: name -> how often it counts, of every term; may be negative.

        Raises:
            ValueError: there is no term, one has no weight or one that is not finite, a weight has no term, or a term
                is no reward.
        """
        if not terms:
            raise ValueError(
                "a sum has at least one term; add +reward@reward.terms.NAME=OPTION and reward.weights.NAME=NUMBER"
            )
        for name, term in terms.items():
            if not isinstance(term, Reward | OutcomeReward):
                raise ValueError(f"expected a reward as terms.{name}, got a {type(term).__name__}")
            if name not in weights:
                raise ValueError(f"expected a weight for each term, got none for {name}; add weights.{name}=1.0")
        for name, weight in weights.items():
            if name not in terms:
                raise ValueError(f"expected weights of {', '.join(terms)}, which are the terms; got one of {name}")
            if not math.isfinite(weight):
                raise ValueError(f"expected a finite number as weights.{name}, got {weight}")
        self.terms, self.weights = dict(terms), dict(weights)

    def __call__(
        self, *, before: float, after: float, observation: Observation | None, final: Observation | None
    ) -> dict[str, float]:
        """Return the terms that pay for a step, before weighting."""
        told = {
            name: term(before=before, after=after, observation=observation, final=final)
            for name, term in self.terms.items()
            if isinstance(term, Reward)
        }
        return {name: payment(self.terms[name], terms) for name, terms in told.items() if terms}

    def outcomes(
        self, *, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]
    ) -> dict[str, Tensor]:
        """Return the terms that pay for whole attempts, (N,) each, before weighting."""
        told = {
            name: term.outcomes(first=first, last=last, scripts=scripts)
            for name, term in self.terms.items()
            if isinstance(term, OutcomeReward)
        }
        return {name: torch.as_tensor(payment(self.terms[name], terms)) for name, terms in told.items() if terms}


def payment(reward: object, terms: Mapping[str, Value]) -> Value | float:
    """Return what the terms of a reward come to: their sum, of a `TotalReward` the weighted one."""
    weights = reward.weights if isinstance(reward, TotalReward) else {}
    return sum((weights.get(name, 1.0) * value for name, value in terms.items()), start=0.0)


def parts(reward: object) -> tuple[object, ...]:
    """Return the rewards that a sum is made of; the reward itself where it is none."""
    if not isinstance(reward, TotalReward):
        return (reward,)
    return tuple(part for term in reward.terms.values() for part in parts(term))


def pays_for_steps(reward: object) -> bool:
    """Tell whether a reward, or a part of its sum, pays for single steps alone."""
    return any(not isinstance(part, OutcomeReward) for part in parts(reward))
