"""Fresh rollouts as training data: the one seam between acting and learning.

Every epoch asks for a new loader; making it rolls out the present policy on fresh scenes, turns returns into
advantages and cuts minibatches. What an iteration rolls out is a function of (seed, iteration) and the policy's
weights, so a run that is resumed at the start of an iteration goes on as if it had never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from robo_rlft.algorithms.losses import leave_one_out_advantage
from robo_rlft.data.context import TrainContext
from robo_rlft.records import Observation, PickPlace, TensorRecord, Transition, concatenate
from robo_rlft.rollout.collect import collect
from robo_rlft.rollout.pool import EnvPool

_SCENES, _ACTIONS, _SHUFFLE = 0, 1, 2  # what a random stream is for


@dataclass(frozen=True, kw_only=True)
class GroupBatch(TensorRecord):
    """K decisions for each of B observations; one forward pass of the picture serves all K."""

    observation: Observation  # (B,)
    action: PickPlace  # (B, K)
    pick_log_prob: Tensor  # float32 (B, K), under the policy that acted
    place_log_prob: Tensor  # float32 (B, K), under the policy that acted
    advantage: Tensor  # float32 (B, K)


@dataclass(frozen=True, kw_only=True)
class RolloutStats:
    """What an iteration's rollouts came to."""

    rollouts: int
    decisions: int
    episodic_return: float  # mean
    success: float  # share of episodes that the task itself ended
    mixed_groups: float  # share of groups whose returns are not all equal
    groups: int  # groups rolled out, resampled ones included


class RolloutData(LightningDataModule):
    """Groups of rollouts of the same scene, fresh ones for every epoch.

    Args:
        context: the run; `context.policy` is the one that acts.
        scenes: scenes of an iteration.
        samples: K, rollouts of each scene.
        minibatch_scenes: scenes of a gradient step, at most.
        update_epochs: passes over an iteration's rollouts.
        max_resample: how often, at most, fresh scenes replace the groups whose rollouts all came to the same.
        skip_equal_groups: leave out those groups, which say nothing about the reward.
    """

    def __init__(
        self,
        *,
        context: TrainContext,
        scenes: int = 32,
        samples: int = 4,
        minibatch_scenes: int = 16,
        update_epochs: int = 1,
        max_resample: int = 0,
        skip_equal_groups: bool = True,
    ) -> None:
        super().__init__()
        if scenes < 1 or samples < 2 or minibatch_scenes < 1 or update_epochs < 1 or max_resample < 0:
            raise ValueError(
                "expected scenes, minibatch_scenes and update_epochs of at least 1, samples of at least 2 and "
                f"max_resample of at least 0, got {scenes}, {minibatch_scenes}, {update_epochs}, {samples} and "
                f"{max_resample}"
            )
        self.context = context
        self.scenes = scenes
        self.samples = samples
        self.minibatch_scenes = minibatch_scenes
        self.update_epochs = update_epochs
        self.max_resample = max_resample
        self.skip_equal_groups = skip_equal_groups
        self.stats: RolloutStats | None = None
        self._pool: EnvPool | None = None
        self._iteration = -1
        self._batches: list[GroupBatch] = []

    def setup(self, stage: str) -> None:
        """Start the environments."""
        if self._pool is None:
            if self.context.make_env is None:
                raise ValueError("expected a simulator for rollouts, got none: RL needs a task with an environment")
            self._pool = EnvPool(make_env=self.context.make_env, workers=self.context.workers)

    def teardown(self, stage: str) -> None:
        """Stop the environments."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def train_dataloader(self) -> DataLoader[GroupBatch]:
        """Roll out the present policy on fresh scenes and return this iteration's minibatches, always at least one."""
        iteration = 0 if self.trainer is None else iterations_done(self.trainer)
        if iteration != self._iteration:
            self._batches = self._make_batches(iteration)
            self._iteration = iteration
        return DataLoader(_Listed(self._batches), batch_size=None, collate_fn=_as_is)

    def _make_batches(self, iteration: int) -> list[GroupBatch]:
        rollouts = self._roll_out(iteration)
        returns = [group_returns(rollout, self.samples) for rollout in rollouts]
        self.stats = summarise(rollouts, torch.cat(returns))
        kept = [mixed(r) if self.skip_equal_groups else torch.ones(len(r), dtype=torch.bool) for r in returns]
        total, count = sum(map(len, kept)), int(sum(k.sum() for k in kept))
        if count == 0:  # Lightning stops at an epoch without batches; these have no advantage, so only the KL pulls
            kept[0][: self.minibatch_scenes] = True
        parts = [part for triple in zip(rollouts, returns, kept, strict=True) for part in fold(*triple)]
        # What is skipped counts as zero, so skipping saves time and leaves the gradient's expectation as it was.
        parts = [replace(part, advantage=part.advantage * (count / total)) for part in parts]
        rng = np.random.default_rng((self.context.seed, iteration, _SHUFFLE))
        batches: list[GroupBatch] = []
        for _ in range(self.update_epochs):
            cuts = [cut for part in _joined(parts) for cut in self._cut(part, rng)]
            batches += [cuts[int(i)] for i in rng.permutation(len(cuts))]
        return batches

    def _roll_out(self, iteration: int) -> list[Transition]:
        """Return the iteration's rollouts (T, N), one for each round of resampling."""
        if self._pool is None:
            raise RuntimeError("setup() comes before train_dataloader()")
        policy = self.context.policy
        if isinstance(policy, nn.Module):
            policy.eval()  # no layer may behave otherwise here than in the update
        rollouts: list[Transition] = []
        wanted, start = self.scenes, 0
        for attempt in range(1 + self.max_resample):
            seeds = [scene_seed(self.context.seed, iteration, index) for index in range(start, start + wanted)]
            generator = torch.Generator().manual_seed(_draw(self.context.seed, iteration, attempt, _ACTIONS))
            with torch.no_grad():
                rollouts.append(collect(self._pool, policy, seeds, samples=self.samples, generator=generator))
            start += wanted
            wanted = int((~mixed(group_returns(rollouts[-1], self.samples))).sum())
            if wanted == 0:
                break
        return rollouts

    def _cut(self, part: GroupBatch, rng: np.random.Generator) -> list[GroupBatch]:
        """Return shuffled minibatches of nearly equal size, each of at most `minibatch_scenes` groups' decisions."""
        rows, samples = part.advantage.shape
        limit = self.minibatch_scenes * self.samples // samples
        order = rng.permutation(rows)
        return [part[torch.from_numpy(rows)] for rows in np.array_split(order, math.ceil(rows / limit))]


class _Listed(Dataset[GroupBatch]):
    """Batches that are there already."""

    def __init__(self, batches: Sequence[GroupBatch]) -> None:
        self._batches = batches

    def __getitem__(self, index: int) -> GroupBatch:
        return self._batches[index]

    def __len__(self) -> int:
        return len(self._batches)


def iterations_done(trainer: Trainer) -> int:
    """Return how many epochs of training are over."""
    # Unlike `trainer.current_epoch`, this is already right when Lightning asks for data first after a resume.
    return int(trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]  # a subclass has it


def group_returns(rollout: Transition, samples: int) -> Tensor:
    """Return the episodes' returns (G, K): the sums of their rewards."""
    return (rollout.reward * rollout.valid).sum(dim=0).view(-1, samples)


def mixed(returns: Tensor) -> Tensor:
    """Tell which groups (G,) have returns (G, K) that are not all equal."""
    return returns.amax(dim=1) - returns.amin(dim=1) > 1e-6


def summarise(rollouts: Sequence[Transition], returns: Tensor) -> RolloutStats:
    """Return the figures of an iteration from its rollouts (T, N) and all their returns (G, K)."""
    ended = torch.cat([(rollout.terminated & rollout.valid).any(dim=0) for rollout in rollouts])
    return RolloutStats(
        rollouts=returns.numel(),
        decisions=int(sum(rollout.valid.sum() for rollout in rollouts)),
        episodic_return=returns.mean().item(),
        success=ended.float().mean().item(),
        mixed_groups=mixed(returns).float().mean().item(),
        groups=len(returns),
    )


def fold(rollout: Transition, returns: Tensor, kept: Tensor) -> list[GroupBatch]:
    """Fold a rollout (T, N), the rows of a group adjacent, into batches of decisions.

    The first decisions of a group share their observation: they become one row of K. Later ones have each their own:
    they become rows of 1. Every decision of an episode has the episode's advantage.

    Args:
        rollout: (T, N), N = G K.
        returns: (G, K).
        kept: bool (G,), the groups to fold.
    """
    samples = returns.shape[1]
    advantage = leave_one_out_advantage(returns)
    first = _grouped(rollout[0], advantage.flatten(), samples)
    parts = [first[kept]]
    for t in range(1, len(rollout.reward)):
        rows = rollout.valid[t] & kept.repeat_interleave(samples)
        if rows.any():
            parts.append(_grouped(rollout[t], advantage.flatten(), 1)[rows])
    return parts


def _grouped(step: Transition, advantage: Tensor, samples: int) -> GroupBatch:
    """Return decisions (N,) as (N / samples, samples), one observation for each row."""
    return GroupBatch(
        observation=step.observation[::samples],
        action=PickPlace(
            pick=step.action.pick.view(-1, samples, 2),
            place=step.action.place.view(-1, samples, 2),
            rotation=step.action.rotation.view(-1, samples),
        ),
        pick_log_prob=step.pick_log_prob.view(-1, samples),
        place_log_prob=step.place_log_prob.view(-1, samples),
        advantage=advantage.view(-1, samples),
    )


def _joined(parts: Sequence[GroupBatch]) -> list[GroupBatch]:
    """Join the parts that have the same number of decisions for each observation."""
    sizes = dict.fromkeys(part.advantage.shape[1] for part in parts)
    return [concatenate([part for part in parts if part.advantage.shape[1] == size]) for size in sizes]


def scene_seed(seed: int, iteration: int, index: int) -> int:
    """Return the seed of one scene of an iteration, in [0, 2^31)."""
    return _draw(seed, iteration, index, _SCENES)


def _draw(*entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)


def _as_is(batch: Any) -> Any:
    return batch
