"""Fresh rollouts as training data: the one seam between acting and learning.

Every epoch asks for a new loader; making it rolls out the present policy on fresh scenes, turns returns into
advantages and cuts minibatches. What an iteration rolls out is a function of (seed, iteration) and the policy's
weights, so a run that is resumed at the start of an iteration goes on as if it had never stopped.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from robo_rlft.algorithms.credit import Credit
from robo_rlft.algorithms.groups import (
    GroupBatch,
    Stats,
    episodic_kl,
    fold,
    joined,
    mixed_groups,
    rewards,
    summarise,
)
from robo_rlft.algorithms.paying import paid_at_the_end
from robo_rlft.data.context import TrainContext
from robo_rlft.data.decisions import FOLDER, paid_decisions, write_decisions
from robo_rlft.rollout.collect import Rollout, collect
from robo_rlft.rollout.pool import EnvPool

SCENES, ACTIONS, SHUFFLE, BRANCH = 0, 1, 2, 3  # what a random stream is for


class FreshData(LightningDataModule, ABC):
    """Minibatches of fresh rollouts for every epoch; how they are rolled out and credited is a subclass's to say.

    Args:
        context: the run; `context.policy` is the one that acts.
        record: keep the decisions that were paid for, in the run's folder `decisions`; `algorithm=filtered_bc` learns
            from them.
    """

    def __init__(self, *, context: TrainContext, record: bool) -> None:
        super().__init__()
        self.context = context
        self.record = record
        self.stats: Stats | None = None  # of the present iteration
        # KL from the start's policy at each decision (B, K); the algorithm sets it, where it has such a policy.
        self.divergence: Callable[[GroupBatch], Tensor] | None = None
        self._pool: EnvPool | None = None
        self._iteration = -1
        self._cuts: list[Cut] = []

    @abstractmethod
    def make_cuts(self, iteration: int) -> list[Cut]:
        """Roll out the present policy and return the iteration's minibatches, at least one; leave its `stats`."""

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
            self._cuts = []  # what is left of the last iteration is not kept beside the next
            self._cuts = self.make_cuts(iteration)
            self._iteration = iteration
        return DataLoader(_Minibatches(self._cuts), batch_size=None, collate_fn=_as_is)

    def roll_out(
        self,
        seeds: Sequence[int],
        *,
        samples: int,
        generator: torch.Generator,
        branch: np.random.Generator | None = None,
        final_pictures: bool = False,
    ) -> Rollout:
        """Roll out the present policy, see `collect`; a reward that is paid at the end sees the ends in any case."""
        if self._pool is None:
            raise RuntimeError("setup() comes before train_dataloader()")
        policy = self.context.policy
        if isinstance(policy, nn.Module):
            policy.eval()  # no layer may behave otherwise here than in the update
        return collect(
            self._pool,
            policy,
            seeds,
            samples=samples,
            generator=generator,
            branch=branch,
            final_pictures=final_pictures or self.context.reward is not None,
        )

    def keep_decisions(self, rollouts: Sequence[Rollout], iteration: int) -> None:
        """Write down the decisions that were paid for, if that was asked for."""
        if self.record:
            rotations = int(self.context.policy.rotations)  # type: ignore[attr-defined]  # not of the Protocol
            paid = paid_decisions(rollouts, workspace=self.context.workspace, rotations=rotations, iteration=iteration)
            write_decisions(self.context.run_dir / FOLDER, iteration, paid)


class RolloutData(FreshData):
    """Groups of rollouts of the same scene, or of decisions in the same state, fresh ones for every epoch.

    Args:
        context: the run; `context.policy` is the one that acts.
        scenes: scenes of an iteration.
        samples: K, rollouts of each scene, or decisions tried in each state.
        credit: what a decision is worth, see `algorithms.credit`: "episode" (its episode's return), "to_go" (the
            rewards from its step on) or "state" (its own reward, among K decisions tried in the same state; the scene
            then goes on from one of their outcomes). Equal budgets are equal `charts/environment_steps`.
        minibatch_scenes: scenes of a gradient step, at most, with all the steps of their episodes: cut smaller, long
            tasks take more and noisier steps, and drift from the start's policy faster than they learn.
        update_epochs: passes over an iteration's rollouts.
        max_resample: how often, at most, fresh scenes replace those whose rollouts all came to the same.
        skip_equal_groups: leave out groups whose K values are equal: they say nothing about the reward.
        record: keep the decisions that were paid for, in the run's folder `decisions`; `algorithm=filtered_bc` learns
            from them.
    """

    def __init__(
        self,
        *,
        context: TrainContext,
        scenes: int = 32,
        samples: int = 4,
        credit: Credit = "state",
        minibatch_scenes: int = 16,
        update_epochs: int = 1,
        max_resample: int = 0,
        skip_equal_groups: bool = True,
        record: bool = False,
    ) -> None:
        super().__init__(context=context, record=record)
        if scenes < 1 or samples < 2 or minibatch_scenes < 1 or update_epochs < 1 or max_resample < 0:
            raise ValueError(
                "expected scenes, minibatch_scenes and update_epochs of at least 1, samples of at least 2 and "
                f"max_resample of at least 0, got {scenes}, {minibatch_scenes}, {update_epochs}, {samples} and "
                f"{max_resample}"
            )
        if context.reward is not None and credit == "state":
            raise ValueError(
                "credit: a reward that is paid at the end of an episode says nothing of single decisions; expected "
                "algorithm.data.credit=episode or to_go, got state"
            )
        self.scenes = scenes
        self.samples = samples
        self.credit = credit
        self.minibatch_scenes = minibatch_scenes
        self.update_epochs = update_epochs
        self.max_resample = max_resample
        self.skip_equal_groups = skip_equal_groups

    def make_cuts(self, iteration: int) -> list[Cut]:
        """Roll out groups and cut those that differ into minibatches."""
        rollouts = self._roll_out(iteration)
        self.stats = summarise(rollouts, self.credit)
        if self.context.reward is not None:
            episodes = [paid_at_the_end(rollout, self.context.reward) for rollout in rollouts]
            rollouts = [one.rollout for one in episodes]
            ends = {name: torch.cat([one.terms[name] for one in episodes]).mean().item() for name in episodes[0].terms}
            # Success is the task's to say, where it can; the rest is as it was paid.
            as_paid = summarise(rollouts, self.credit)
            self.stats = replace(
                as_paid,
                success=self.stats.success,
                terms=as_paid.terms | {name: as_paid.terms.get(name, 0.0) + value for name, value in ends.items()},
            )
        self.keep_decisions(rollouts, iteration)
        folded = [fold(rollout, self.credit) for rollout in rollouts]
        if self.divergence is not None:
            self.stats = replace(self.stats, kl=episodic_kl(rollouts, folded, self.credit, self.divergence))
        groups = [part for parts in folded for part in parts]
        kept = [part.mixed if self.skip_equal_groups else torch.ones_like(part.mixed) for part in groups]
        if not any(keep.any() for keep in kept):
            # Lightning stops at an epoch without batches; these have no advantage, so only the KL pulls.
            kept[0][: self.minibatch_scenes] = True
        rng = np.random.default_rng((self.context.seed, iteration, SHUFFLE))
        parts = joined(groups, kept)
        steps = max(len(rollout.encoded) for rollout in rollouts)
        order: list[Cut] = []
        for _ in range(self.update_epochs):
            cuts = [cut for part in parts for cut in self._cut(part, steps, rng)]
            order += [cuts[int(i)] for i in rng.permutation(len(cuts))]
        return order

    def _roll_out(self, iteration: int) -> list[Rollout]:
        """Return the iteration's rollouts, one for each round of resampling."""
        rollouts: list[Rollout] = []
        wanted, start = self.scenes, 0
        for attempt in range(1 + self.max_resample):
            seeds = [scene_seed(self.context.seed, iteration, index) for index in range(start, start + wanted)]
            generator = torch.Generator().manual_seed(draw(self.context.seed, iteration, attempt, ACTIONS))
            branch = np.random.default_rng((self.context.seed, iteration, attempt, BRANCH))
            shared = branch if self.credit == "state" else None
            rollouts.append(self.roll_out(seeds, samples=self.samples, generator=generator, branch=shared))
            start += wanted
            wanted = int((~mixed_groups(rewards(rollouts[-1]), self.credit).any(dim=0)).sum())
            if wanted == 0 or self.context.reward is not None:  # such a reward seldom says twice the same
                break
        return rollouts

    def _cut(self, part: GroupBatch, steps: int, rng: np.random.Generator) -> list[Cut]:
        samples = part.advantage.shape[1]
        return cut(part, self.minibatch_scenes * steps * self.samples // samples, rng)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A minibatch that is not yet taken out of its part."""

    part: GroupBatch
    rows: Tensor  # int64 (B,)


def cut(part: GroupBatch, limit: int, rng: np.random.Generator) -> list[Cut]:
    """Return shuffled minibatches of nearly equal size, each of at most `limit` rows."""
    rows = len(part.advantage)
    shares = np.array_split(rng.permutation(rows), math.ceil(rows / limit))
    return [Cut(part=part, rows=torch.from_numpy(share)) for share in shares]


class _Minibatches(Dataset[GroupBatch]):
    """Each is made when it is asked for, so that no picture is in memory twice for long."""

    def __init__(self, cuts: Sequence[Cut]) -> None:
        self._cuts = cuts

    def __getitem__(self, index: int) -> GroupBatch:
        return self._cuts[index].part[self._cuts[index].rows]

    def __len__(self) -> int:
        return len(self._cuts)


def iterations_done(trainer: Trainer) -> int:
    """Return how many epochs of training are over."""
    # Unlike `trainer.current_epoch`, this is already right when Lightning asks for data first after a resume.
    return int(trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]  # a subclass has it


def scene_seed(seed: int, iteration: int, index: int) -> int:
    """Return the seed of one scene of an iteration, in [0, 2^31)."""
    return draw(seed, iteration, index, SCENES)


def draw(*entropy: int) -> int:
    """Return a random number of its own for a purpose, in [0, 2^31)."""
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)


def _as_is(batch: Any) -> Any:
    return batch
