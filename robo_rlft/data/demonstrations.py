"""Batches of demonstrated decisions for behaviour cloning.

Knows episodes on disk and augmentation, nothing of losses. Which examples a step sees, and how they are moved, is a
function of (seed, step) alone, so a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from robo_rlft.data.augmentation import Example, augment
from robo_rlft.data.context import TrainContext
from robo_rlft.data.episodes import EpisodeError, read_episodes
from robo_rlft.records import Observation, PickPlace, Transition, stack
from robo_rlft.rollout.episode import Episode


class DemonstrationData(LightningDataModule):
    """Every step of every demonstration as one example.

    Args:
        context: the run; `context.data_dir` is the folder of episodes.
        batch_size: examples of a step.
        steps_per_epoch: steps between two validations.
        val_episodes: demonstrations held out to measure the validation loss; 0 trains on all.
        val_views: how often each held-out example is looked at: as it is, then moved at random, always alike.
        augment: move training examples at random in the plane of the table.
        keep_failures: learn from failed demonstrations too.
        allow_leak: accept demonstrations that are not seen/train.
    """

    def __init__(
        self,
        *,
        context: TrainContext,
        batch_size: int = 8,
        steps_per_epoch: int = 25,
        val_episodes: int = 2,
        val_views: int = 4,
        augment: bool = True,
        keep_failures: bool = True,
        allow_leak: bool = False,
    ) -> None:
        super().__init__()
        if batch_size < 1 or steps_per_epoch < 1 or val_views < 1 or val_episodes < 0:
            raise ValueError(
                "expected batch_size, steps_per_epoch and val_views of at least 1 and val_episodes of at least 0, "
                f"got {batch_size}, {steps_per_epoch}, {val_views} and {val_episodes}"
            )
        self.context = context
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.val_episodes = val_episodes
        self.val_views = val_views
        self.augment = augment
        self.keep_failures = keep_failures
        self.allow_leak = allow_leak
        self.leak: str | None = None  # what else than seen/train there is among the demonstrations
        self._train: Example | None = None
        self._val: Example | None = None

    def setup(self, stage: str) -> None:
        """Read, check and split the episodes, once."""
        if self._train is not None:
            return
        if self.context.data_dir is None:
            raise EpisodeError(
                "expected a folder of demonstrations, got none: pass data=DIR (`robo-rlft collect` makes it)"
            )
        episodes = [e for e in read_episodes(self.context.data_dir) if self.keep_failures or e.success]
        self._check(episodes)
        count = len(episodes) - self.val_episodes
        self.leak = next((f"{e.split}/{e.phase}" for e in episodes if (e.split, e.phase) != ("seen", "train")), None)
        self._train = examples(episodes[:count])
        self._val = examples(episodes[count:]) if self.val_episodes else None

    def train_dataloader(self) -> DataLoader[Transition]:
        """Return batches (B,) for the steps of one epoch that are still to come."""
        if self._train is None:
            raise RuntimeError("setup() comes before train_dataloader()")
        batches = _TrainBatches(self._train, seed=self.context.seed, batch_size=self.batch_size, augmented=self.augment)
        sampler = StepSampler(self._global_step, self.steps_per_epoch)
        return DataLoader(batches, sampler=sampler, batch_size=None, collate_fn=_as_is)

    def val_dataloader(self) -> Iterable[Transition]:
        """Return the held-out examples in batches (B,); none where no demonstration is held out."""
        if self._val is None:
            return []
        views = [self._val]
        generator = _generator(self.context.seed, 0, 1)
        views += [augment(self._val, generator=generator) for _ in range(self.val_views - 1)]
        batches = [as_transitions(chunk) for view in views for chunk in _chunks(view, self.batch_size)]
        return DataLoader(_Listed(batches), batch_size=None, collate_fn=_as_is)

    def _global_step(self) -> int:
        return 0 if self.trainer is None else self.trainer.global_step

    def _check(self, episodes: Sequence[Episode]) -> None:
        if len(episodes) <= self.val_episodes:
            raise EpisodeError(
                f"expected more than {self.val_episodes} demonstrations in {self.context.data_dir}, since so many are "
                f"held out for validation, got {len(episodes)}: collect more, or set val_episodes=0"
            )
        rotations = getattr(self.context.policy, "rotations", episodes[0].rotations)
        for episode in episodes:
            name = f"the episode of seed {episode.seed} in {self.context.data_dir}"
            if (episode.split, episode.phase) != ("seen", "train") and not self.allow_leak:
                raise EpisodeError(
                    f"{name} is {episode.split}/{episode.phase}, but training may see seen/train only: "
                    "collect with split=seen phase=train, or pass allow_leak=true, which marks the run"
                )
            if episode.workspace != self.context.workspace or episode.rotations != rotations:
                raise EpisodeError(
                    f"{name} has {episode.workspace} and {episode.rotations} rotations, but the policy has "
                    f"{self.context.workspace} and {rotations}: collect with the same workspace and rotations"
                )


class StepSampler(Sampler[int]):
    """Yields global steps, from the present one to the end of its epoch.

    Lightning's own resume starts a loader anew in the middle of an epoch; the step tells where to go on.
    """

    def __init__(self, global_step: Callable[[], int], steps_per_epoch: int) -> None:
        self._global_step = global_step
        self._steps_per_epoch = steps_per_epoch

    def __iter__(self) -> Iterator[int]:
        step = self._global_step()
        yield from range(step, (step // self._steps_per_epoch + 1) * self._steps_per_epoch)

    def __len__(self) -> int:
        return self._steps_per_epoch


class _TrainBatches(Dataset[Transition]):
    """The batch of each step, a function of (seed, step)."""

    def __init__(self, pool: Example, *, seed: int, batch_size: int, augmented: bool) -> None:
        self._pool = pool
        self._seed = seed
        self._batch_size = batch_size
        self._augmented = augmented

    def __getitem__(self, step: int) -> Transition:
        batch = self._pool[batch_indices(self._seed, step, self._batch_size, len(self._pool.action.rotation))]
        if self._augmented:
            batch = augment(batch, generator=_generator(self._seed, step, 0))
        return as_transitions(batch)


class _Listed(Dataset[Transition]):
    """Batches that are there already."""

    def __init__(self, batches: Sequence[Transition]) -> None:
        self._batches = batches

    def __getitem__(self, index: int) -> Transition:
        return self._batches[index]

    def __len__(self) -> int:
        return len(self._batches)


def batch_indices(seed: int, step: int, batch_size: int, count: int) -> Tensor:
    """Return which of `count` examples a step sees, (batch_size,).

    The steps read one endless sequence of shuffled passes, so each example comes once before any comes again.
    """
    positions = range(step * batch_size, (step + 1) * batch_size)
    passes = {p // count: np.random.default_rng((seed, p // count)).permutation(count) for p in positions}
    return torch.tensor([int(passes[p // count][p % count]) for p in positions])


def examples(episodes: Sequence[Episode]) -> Example:
    """Return every step of the episodes as one example, in order."""
    rows = [
        Example(
            observation=Observation(
                color=torch.from_numpy(episode.color[t]).permute(2, 0, 1).contiguous(),
                height=torch.from_numpy(episode.height[t]),
                instruction=episode.instruction,
            ),
            action=PickPlace(
                pick=torch.from_numpy(episode.pick[t]),
                place=torch.from_numpy(episode.place[t]),
                rotation=torch.tensor(int(episode.rotation[t])),
            ),
        )
        for episode in episodes
        for t in range(episode.steps)
    ]
    return stack(rows)


def as_transitions(batch: Example) -> Transition:
    """Return examples (B,) as transitions whose outcome is not known: all zero, all valid."""
    zero = torch.zeros(len(batch.action.rotation))
    no = zero.bool()
    return Transition(
        observation=batch.observation,
        action=batch.action,
        pick_log_prob=zero,
        place_log_prob=zero,
        reward=zero,
        terminated=no,
        truncated=no,
        valid=~no,
        group=torch.arange(len(zero)),
        advantage=zero,
    )


def _chunks(batch: Example, size: int) -> Iterator[Example]:
    for start in range(0, len(batch.action.rotation), size):
        yield batch[start : start + size]


def _generator(seed: int, step: int, purpose: int) -> torch.Generator:
    """Return a generator that is a function of its arguments; purpose 0 is training, 1 validation."""
    state = np.random.SeedSequence((seed, step, purpose)).generate_state(1, dtype=np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


def _as_is(batch: Any) -> Any:
    return batch
