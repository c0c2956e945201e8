"""Batches of examples for behaviour cloning, wherever the examples come from.

Which examples a step sees, and how they are moved, is a function of (seed, step) alone, so a resumed run goes on
exactly where it stopped. Knows nothing of files or losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from robo_rlft.data.archive import EpisodeError
from robo_rlft.data.augmentation import Example, augment
from robo_rlft.data.context import TrainContext
from robo_rlft.geometry import Workspace
from robo_rlft.records import Transition


class Examples(Protocol):
    """Examples to draw from."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Example:
        """Return examples by number, (B,)."""


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How examples become batches."""

    seed: int
    batch_size: int
    steps_per_epoch: int  # between two validations
    val_views: int  # how often each held-out example is looked at
    augment: bool

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.steps_per_epoch < 1 or self.val_views < 1:
            raise ValueError(
                "expected batch_size, steps_per_epoch and val_views of at least 1, "
                f"got {self.batch_size}, {self.steps_per_epoch} and {self.val_views}"
            )

    def train(self, pool: Examples, global_step: Callable[[], int]) -> DataLoader[Transition]:
        """Return batches (B,) for the steps of one epoch that are still to come."""
        batches = _TrainBatches(pool, seed=self.seed, batch_size=self.batch_size, augmented=self.augment)
        sampler = StepSampler(global_step, self.steps_per_epoch)
        return DataLoader(batches, sampler=sampler, batch_size=None, collate_fn=_as_is)

    def val(self, held_out: Example | None) -> Iterable[Transition]:
        """Return the held-out examples in batches (B,), as they are and then moved, always alike; none for None."""
        if held_out is None:
            return []
        views = [held_out]
        generator = _generator(self.seed, 0, 1)
        views += [augment(held_out, generator=generator) for _ in range(self.val_views - 1)]
        batches = [as_transitions(chunk) for view in views for chunk in _chunks(view, self.batch_size)]
        return DataLoader(_Listed(batches), batch_size=None, collate_fn=_as_is)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where examples come from, as far as training must check."""

    name: str  # for messages
    split: str
    phase: str
    workspace: Workspace
    rotations: int


def check_source(sources: Sequence[Source], context: TrainContext, *, allow_leak: bool) -> str | None:
    """Refuse what a run may not or cannot learn from; return what else than seen/train is among the sources.

    Raises:
        EpisodeError: one is not seen/train, without `allow_leak`, or of another grid or number of rotations.
    """
    rotations = getattr(context.policy, "rotations", sources[0].rotations)
    leak = None
    for source in sources:
        if (source.split, source.phase) != ("seen", "train"):
            leak = leak or f"{source.split}/{source.phase}"
            if not allow_leak:
                raise EpisodeError(
                    f"{source.name} is {source.split}/{source.phase}, but training may see seen/train only: "
                    "make it with split=seen phase=train, or pass allow_leak=true, which marks the run"
                )
        if source.workspace != context.workspace or source.rotations != rotations:
            raise EpisodeError(
                f"{source.name} has {source.workspace} and {source.rotations} rotations, but the policy has "
                f"{context.workspace} and {rotations}: make it with the same workspace and rotations"
            )
    return leak


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

    def __init__(self, pool: Examples, *, seed: int, batch_size: int, augmented: bool) -> None:
        self._pool = pool
        self._seed = seed
        self._batch_size = batch_size
        self._augmented = augmented

    def __getitem__(self, step: int) -> Transition:
        batch = self._pool[batch_indices(self._seed, step, self._batch_size, len(self._pool))]
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


def as_transitions(batch: Example) -> Transition:
    """Return examples (B,) as transitions whose outcome is not known: all zero, all valid."""
    zero = torch.zeros(len(batch))
    no = zero.bool()
    return Transition(
        observation=batch.observation,
        action=batch.action,
        symmetry=batch.symmetry,
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
    for start in range(0, len(batch), size):
        yield batch[start : start + size]


def _generator(seed: int, step: int, purpose: int) -> torch.Generator:
    """Return a generator that is a function of its arguments; purpose 0 is training, 1 validation."""
    state = np.random.SeedSequence((seed, step, purpose)).generate_state(1, dtype=np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


def _as_is(batch: Any) -> Any:
    return batch
