"""Rewards that were learned from people, as what RL is paid: at the end of an episode, from its pictures alone.

Knows files of learned rewards, nothing of simulators. In an environment's own steps they pay nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from torch import Tensor

from robo_rlft.geometry import Workspace
from robo_rlft.records import Observation
from robo_rlft.rewards.learned import LearnedReward, RewardFileError, Seen, load_reward


class FromFile:
    """A learned reward in a file, which `load` reads before it is asked."""

    kind = ""

    def __init__(self, *, model: Path) -> None:
        self.model = Path(model)
        self._reward: LearnedReward | None = None

    def __call__(
        self, *, before: float, after: float, observation: Observation | None, final: Observation | None
    ) -> dict[str, float]:
        """Pay nothing for a single step."""
        return {}

    def load(self, *, workspace: Workspace, trust: Collection[str] = ()) -> None:
        """Read the file.

        Args:
            workspace: of the pictures that are going to be judged.
            trust: exact paths of further classes that may be built.

        Raises:
            RewardFileError: The file cannot be used, or is of another kind or workspace.
        """
        reward = load_reward(self.model, trust=trust)
        if reward.kind != self.kind:
            raise RewardFileError(
                f"expected a reward of kind {self.kind} in {self.model}, got one of kind {reward.kind}; choose "
                f"reward={reward.kind}"
            )
        if reward.workspace != workspace:
            raise RewardFileError(
                f"expected a reward that learned from pictures of {workspace} in {self.model}, got one of "
                f"{reward.workspace}; learn one from attempts of this policy"
            )
        self._reward = reward

    @torch.no_grad()
    def scores(self, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]) -> Tensor:
        """Return the members' scores (M, N)."""
        if self._reward is None:
            raise RuntimeError("load() comes before the first attempt is judged")
        return self._reward.score(_seen_once(self._reward, first), self._reward.see(last), scripts)


def _seen_once(reward: LearnedReward, pictures: Observation) -> Seen:
    """Return what is seen in pictures (N,), looking once where adjacent ones are equal, as at a scene's first."""
    same = [(part[1:] == part[:-1]).flatten(1).all(dim=1) for part in (pictures.color, pictures.height)]
    new = torch.cat([torch.ones(1, dtype=torch.bool), ~(same[0] & same[1])])
    return reward.see(pictures[new])[new.long().cumsum(dim=0) - 1]


class PreferenceReward(FromFile):
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


class SuccessReward(FromFile):
    """One term, `success`: the probability that all was done, by the least sure of the members."""

    kind = "success"

    def __init__(self, *, model: Path, threshold: float = 0.5) -> None:
        """Name the file.

        Args:
            model: of `robo-rlft train algorithm=reward_model algorithm.reward.kind=success`.
            threshold: where only yes or no will do, as at a robot's table, a probability above it is a yes. Members
                learn from few and noisy labels: the least sure of them seldom says more than a half.
        """
        super().__init__(model=model)
        if not 0.0 < threshold < 1.0:
            raise ValueError(f"expected a threshold between 0 and 1, got {threshold}")
        self.threshold = threshold

    def outcomes(
        self, *, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]
    ) -> dict[str, Tensor]:
        """Return the term, (N,), in [0, 1]."""
        return {"success": self.scores(first, last, scripts).sigmoid().amin(dim=0)}
