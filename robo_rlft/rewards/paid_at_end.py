"""Rewards that were learned from people, as what RL is paid: at the end of an episode, from its pictures alone.

Knows files of learned rewards, nothing of simulators. In an environment's own steps they pay nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from robo_rlft.records import Observation
from robo_rlft.rewards.learned import LearnedReward, RewardFileError, load_reward


class _FromFile:
    """A learned reward in a file, which is read when it is first asked."""

    kind = ""

    def __init__(self, *, model: Path) -> None:
        self.model = Path(model)

    def __call__(
        self, *, before: float, after: float, observation: Observation | None, final: Observation | None
    ) -> dict[str, float]:
        """Pay nothing for a single step."""
        return {}

    @cached_property
    def reward(self) -> LearnedReward:
        """The reward.

        Raises:
            RewardFileError: The file cannot be used, or is of another kind.
        """
        reward = load_reward(self.model)
        if reward.kind != self.kind:
            raise RewardFileError(
                f"expected a reward of kind {self.kind} in {self.model}, got one of kind {reward.kind}; choose "
                f"reward={'preference' if reward.kind == 'preference' else 'success'}"
            )
        return reward

    @torch.no_grad()
    def scores(self, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]) -> Tensor:
        """Return the members' scores (M, N)."""
        return self.reward.score(self.reward.see(first), self.reward.see(last), scripts)


class PreferenceReward(_FromFile):
    """One term, `preference`: the ensemble's mean less `pessimism` times its deviation, within +-`limit`.

    In units of the deviation of the attempts that were labelled, whose mean is 0. Where members disagree nobody was
    asked, and RL would find out what they are wrong about: pessimism keeps it from there.
    """

    kind = "preference"

    def __init__(self, *, model: Path, pessimism: float = 1.0, limit: float = 3.0) -> None:
        """Name the file and the caution.

        Args:
            model: of `robo-rlft train algorithm=reward_model`.
            pessimism: how many deviations of the ensemble are taken off.
            limit: the most that is paid, and the least, negated.
        """
        super().__init__(model=model)
        if pessimism < 0.0 or limit <= 0.0:
            raise ValueError(f"expected pessimism of at least 0 and a limit above 0, got {pessimism} and {limit}")
        self.pessimism, self.limit = pessimism, limit

    def outcomes(
        self, *, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]
    ) -> dict[str, Tensor]:
        """Return the term, (N,)."""
        scores = self.scores(first, last, scripts)
        spread = scores.std(dim=0, correction=0)
        return {"preference": (scores.mean(dim=0) - self.pessimism * spread).clamp(-self.limit, self.limit)}


class SuccessReward(_FromFile):
    """One term, `success`: the probability that all was done, by the least sure of the members."""

    kind = "success"

    def outcomes(
        self, *, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]
    ) -> dict[str, Tensor]:
        """Return the term, (N,), in [0, 1]."""
        return {"success": self.scores(first, last, scripts).sigmoid().amin(dim=0)}
