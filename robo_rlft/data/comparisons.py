"""What people said of attempts, with the attempts' first and last pictures, as batches to learn a reward from.

Knows labels and episodes on disk, nothing of losses or networks. Axis letters: A attempts, B labels of a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from robo_rlft.data.answers import read_answers
from robo_rlft.data.batches import StepSampler
from robo_rlft.data.context import TrainContext
from robo_rlft.data.episodes import iterate_episodes, read_episode
from robo_rlft.data.labels import FAILURE, LEFT, RIGHT, SAME, SUCCESS, Label, LabelError
from robo_rlft.records import Observation, TensorRecord, stack
from robo_rlft.rollout.episode import Episode

SAID = {LEFT: 0, RIGHT: 1, SAME: 2, FAILURE: 0, SUCCESS: 1}  # answers as numbers, of either mode
_SPLIT, _BATCH = 1, 2  # what a random stream is for


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """What there is to judge of A attempts."""

    first: Observation  # (A,), before the first action
    last: Observation  # (A,), after the last
    scripts: tuple[tuple[str, ...], ...]  # A; all that was to be said

    @classmethod
    def of(cls, episodes: Sequence[Episode]) -> Attempts:
        """Return those of episodes."""
        return cls(
            first=stack([picture(episode, 0) for episode in episodes]),
            last=stack([picture(episode, -1) for episode in episodes]),
            scripts=tuple(episode.sentences for episode in episodes),
        )


@dataclass(frozen=True, kw_only=True)
class LabelBatch(TensorRecord):
    """B labels; of single attempts both sides are the same."""

    left: Tensor  # int64 (B,), attempts
    right: Tensor  # int64 (B,)
    said: Tensor  # int64 (B,), of SAID
    number: Tensor  # int64 (B,), which of all labels


def picture(episode: Episode, time: int) -> Observation:
    """Return what was seen at a time of an episode; its sentence is the script's first."""
    return Observation(
        color=torch.from_numpy(episode.color[time]).permute(2, 0, 1).contiguous(),
        height=torch.from_numpy(episode.height[time]),
        instruction=episode.sentences[0],
    )


@dataclass(frozen=True, kw_only=True)
class TruePairs:
    """Attempts that nobody labelled, and pairs of them whose true returns differ."""

    attempts: Attempts
    left: Tensor  # int64 (P,)
    right: Tensor  # int64 (P,)
    gap: Tensor  # float64 (P,), the left one's return less the right one's


class ComparisonData(LightningDataModule):
    """Labels of one run of `robo-rlft label`, or of several; "can't tell" is left out.

    Args:
        context: the run; `context.data_dirs` are the folders of labels.
        batch_size: labels of a step.
        steps_per_epoch: steps between two validations.
        val_share: share of the labels that is held out to choose the weights by; those of a scene go together.
        labels: how many to use, the first ones; None uses all.
        test: a run of other attempts, whose true returns tell how often the reward puts two of a scene in order.
        test_pairs: so many pairs of differing return at most, of scenes in turn.
        allow_leak: accept attempts at scenes that are not seen/train.
    """

    several_folders = True

    def __init__(
        self,
        *,
        context: TrainContext,
        batch_size: int = 16,
        steps_per_epoch: int = 25,
        val_share: float = 0.1,
        labels: int | None = None,
        test: Path | None = None,
        test_pairs: int = 500,
        allow_leak: bool = False,
    ) -> None:
        super().__init__()
        if batch_size < 1 or steps_per_epoch < 1 or not 0.0 <= val_share < 1.0 or (labels is not None and labels < 2):
            raise ValueError(
                "expected batch_size and steps_per_epoch of at least 1, val_share from 0 to below 1 and at least 2 "
                f"labels, got {batch_size}, {steps_per_epoch}, {val_share} and {labels}"
            )
        self.context = context
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch
        self.val_share, self.count = val_share, labels
        self.test_dir, self.test_pairs = test, test_pairs
        self.test: TruePairs | None = None
        self.allow_leak = allow_leak
        self.leak: str | None = None  # what else than seen/train the attempts are of
        self.mode = ""
        self.attempts: Attempts | None = None
        self._train: LabelBatch | None = None
        self._val: LabelBatch | None = None

    def setup(self, stage: str) -> None:
        """Read the labels and the attempts that they are of, once."""
        if self.attempts is not None:
            return
        if self.context.data_dir is None:
            raise LabelError("expected a folder of labels, got none: pass data=DIR (`robo-rlft label` makes it)")
        found = read_answers(self.context.data_dirs)
        known = found.labels[: self.count]
        if len(known) < 2:
            where = ", ".join(map(str, self.context.data_dirs))
            raise LabelError(f"expected at least 2 answers in {where}, found {len(known)}: label more")
        names = sorted({name for label in known for name in label.question.episodes})
        episodes = [read_episode(found.files[name]) for name in names]
        for name, episode in zip(names, episodes, strict=True):
            if episode.workspace != self.context.workspace:
                raise LabelError(
                    f"{found.files[name]}: expected pictures of {self.context.workspace}, found {episode.workspace}; "
                    "choose workspace= as it was when they were taken"
                )
        other = sorted({f"{e.split}/{e.phase}" for e in episodes} - {"seen/train"})
        if other and not self.allow_leak:
            raise LabelError(
                f"{', '.join(map(str, self.context.data_dirs))}: training may see attempts at seen/train scenes only, "
                f"found {', '.join(other)}; allow_leak=true permits it and marks the run"
            )
        self.leak = ", ".join(other) or None
        self.mode, self.attempts = found.mode, Attempts.of(episodes)
        held = held_out(known, episodes, names, share=self.val_share, seed=self.context.seed)
        self._train = _batch(known, names, ~held)
        self._val = _batch(known, names, held) if held.any() else None
        if self.test_dir is not None:
            self.test = read_true_pairs(Path(self.test_dir), most=self.test_pairs, apart_from=scenes_of(episodes))

    @property
    def size(self) -> int:
        """How many labels are learned from."""
        return 0 if self._train is None else len(self._train.said)

    def train_dataloader(self) -> DataLoader[LabelBatch]:
        """Return batches (B,) for the steps of one epoch that are still to come."""
        if self._train is None:
            raise RuntimeError("setup() comes before train_dataloader()")
        batches = _Batches(self._train, seed=self.context.seed, size=self.batch_size)
        sampler = StepSampler(lambda: 0 if self.trainer is None else self.trainer.global_step, self.steps_per_epoch)
        return DataLoader(batches, sampler=sampler, batch_size=None, collate_fn=_as_is)

    def val_dataloader(self) -> Iterable[LabelBatch]:
        """Return the labels that are held out, in batches; none where none is."""
        if self._val is None:
            return []
        starts = range(0, len(self._val.said), self.batch_size)
        batches: Any = [self._val[start : start + self.batch_size] for start in starts]
        return DataLoader(batches, batch_size=None, collate_fn=_as_is)


def scenes_of(episodes: Sequence[Episode]) -> set[tuple[str, str, str, int]]:
    """Return which scenes the episodes are of."""
    return {(e.task, e.split, e.phase, e.seed) for e in episodes}


def read_true_pairs(folder: Path, *, most: int, apart_from: Collection[tuple[str, str, str, int]]) -> TruePairs:
    """Return pairs of attempts at the same scene whose returns differ, one of each scene before a second of any.

    Raises:
        LabelError: there is none, or a scene of it was learned from.
    """
    episodes = list(iterate_episodes(folder))
    if not scenes_of(episodes).isdisjoint(apart_from):
        raise LabelError(
            f"{folder}: expected other scenes than those that are learned from; collect with another seed="
        )
    of: dict[tuple[str, str, str, int], list[int]] = {}
    for i, e in enumerate(episodes):
        of.setdefault((e.task, e.split, e.phase, e.seed), []).append(i)
    differing = [
        [pair for pair in itertools.combinations(some, 2) if _gap(episodes, pair) != 0.0] for some in of.values()
    ]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*differing))
    pairs = [pair for pair in turns if pair is not None][:most]
    if not pairs:
        raise LabelError(f"{folder}: expected attempts at the same scene whose returns differ, found none")
    return TruePairs(
        attempts=Attempts.of(episodes),
        left=torch.tensor([pair[0] for pair in pairs]),
        right=torch.tensor([pair[1] for pair in pairs]),
        gap=torch.tensor([_gap(episodes, pair) for pair in pairs], dtype=torch.float64),
    )


def _gap(episodes: Sequence[Episode], pair: tuple[int, int]) -> float:
    return round(episodes[pair[0]].return_ - episodes[pair[1]].return_, 6)


def held_out(
    labels: Sequence[Label], episodes: Sequence[Episode], names: Sequence[str], *, share: float, seed: int
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which labels are held out, (len(labels),): about a share of them, in whole scenes."""
    scene = {name: episode.seed for name, episode in zip(names, episodes, strict=True)}
    of = np.array([scene[label.question.episodes[0]] for label in labels])
    held = np.zeros(len(labels), dtype=bool)
    for one in np.random.default_rng((seed, _SPLIT)).permutation(np.unique(of)):
        if held.sum() >= round(share * len(labels)) or (held | (of == one)).all():
            break
        held |= of == one
    return held


def _batch(labels: Sequence[Label], names: Sequence[str], chosen: np.ndarray[Any, np.dtype[np.bool_]]) -> LabelBatch:
    place = {name: i for i, name in enumerate(names)}
    kept = [label for label, keep in zip(labels, chosen, strict=True) if keep]
    return LabelBatch(
        left=torch.tensor([place[label.question.episodes[0]] for label in kept]),
        right=torch.tensor([place[label.question.episodes[-1]] for label in kept]),
        said=torch.tensor([SAID[label.answer] for label in kept]),
        number=torch.arange(len(kept)),
    )


class _Batches(Dataset[LabelBatch]):
    """The batch of each step, a function of (seed, step): passes over all labels, each in an order of its own."""

    def __init__(self, labels: LabelBatch, *, seed: int, size: int) -> None:
        self._labels, self._seed, self._size = labels, seed, size

    def __getitem__(self, step: int) -> LabelBatch:
        count = len(self._labels.said)
        places = np.arange(step * self._size, (step + 1) * self._size)
        orders = {
            int(turn): np.random.default_rng((self._seed, int(turn), _BATCH)).permutation(count)
            for turn in np.unique(places // count)
        }
        return self._labels[torch.tensor([int(orders[int(p // count)][p % count]) for p in places])]


def _as_is(batch: Any) -> Any:
    return batch
