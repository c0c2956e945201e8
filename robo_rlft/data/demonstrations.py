"""Batches of demonstrated decisions for behaviour cloning.

Knows episodes on disk, nothing of losses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from robo_rlft.data.archive import EpisodeError
from robo_rlft.data.augmentation import Example
from robo_rlft.data.batches import Batching, Source, check_source
from robo_rlft.data.context import TrainContext
from robo_rlft.data.episodes import read_episodes
from robo_rlft.data.provenance import provenance
from robo_rlft.records import Observation, PickPlace, Transition, stack
from robo_rlft.rollout.episode import Episode


class DemonstrationData(LightningDataModule):
    """Every step of every demonstration as one example, those of several folders together.

    Args:
        context: the run; `context.data_dirs` are the folders of episodes.
        batch_size: examples of a step.
        steps_per_epoch: steps between two validations.
        val_episodes: demonstrations held out to measure the validation loss, of the first folder; 0 trains on all.
            Episodes at the same scenes in the other folders are left out then.
        val_views: how often each held-out example is looked at: as it is, then moved at random, always alike.
        augment: move training examples at random in the plane of the table.
        keep_failures: learn from failed demonstrations too.
        allow_leak: accept demonstrations that are not seen/train.
    """

    several_folders = True

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
        if val_episodes < 0:
            raise ValueError(f"expected val_episodes of at least 0, got {val_episodes}")
        self.context = context
        self.batching = Batching(
            seed=context.seed,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            val_views=val_views,
            augment=augment,
        )
        self.val_episodes = val_episodes
        self.keep_failures = keep_failures
        self.allow_leak = allow_leak
        self.leak: str | None = None  # what else than seen/train there is among the demonstrations
        self.provenance: list[dict[str, Any]] = []  # of the episodes of each folder
        self._train: Example | None = None
        self._val: Example | None = None

    def setup(self, stage: str) -> None:
        """Read, check and split the episodes, once."""
        if self._train is not None:
            return
        folders = self.context.data_dirs
        if not folders:
            raise EpisodeError(
                "expected a folder of demonstrations, got none: pass data=DIR (`robo-rlft collect` makes it)"
            )
        read = [[e for e in read_episodes(folder) if self.keep_failures or e.success] for folder in folders]
        count = len(read[0]) - self.val_episodes
        if count <= 0:
            raise EpisodeError(
                f"expected more than {self.val_episodes} demonstrations in {folders[0]}, since so many are "
                f"held out for validation, got {len(read[0])}: collect more, or set val_episodes=0"
            )
        sources = [source_of(e, folder) for folder, some in zip(folders, read, strict=True) for e in some]
        self.leak = check_source(sources, self.context, allow_leak=self.allow_leak)
        held_out = read[0][count:]
        scenes = {_scene(e) for e in held_out}
        kept = [read[0][:count], *([e for e in some if _scene(e) not in scenes] for some in read[1:])]
        self.provenance = [provenance(folder, some) for folder, some in zip(folders, kept, strict=True)]
        self._train = examples([e for some in kept for e in some])
        self._val = examples(held_out) if held_out else None

    def train_dataloader(self) -> DataLoader[Transition]:
        """Return batches (B,) for the steps of one epoch that are still to come."""
        if self._train is None:
            raise RuntimeError("setup() comes before train_dataloader()")
        return self.batching.train(self._train, self._global_step)

    def val_dataloader(self) -> Iterable[Transition]:
        """Return the held-out examples in batches (B,); none where no demonstration is held out."""
        return self.batching.val(self._val)

    def _global_step(self) -> int:
        return 0 if self.trainer is None else self.trainer.global_step


def _scene(episode: Episode) -> tuple[str, str, str, int]:
    return episode.task, episode.split, episode.phase, episode.seed


def source_of(episode: Episode, folder: Path) -> Source:
    """Return where an episode's examples come from."""
    return Source(
        name=f"the episode of seed {episode.seed} in {folder}",
        split=episode.split,
        phase=episode.phase,
        workspace=episode.workspace,
        rotations=episode.rotations,
    )


def examples(episodes: Sequence[Episode]) -> Example:
    """Return every step of the episodes as one example, in order."""
    rows = [
        Example(
            observation=Observation(
                color=torch.from_numpy(episode.color[t]).permute(2, 0, 1).contiguous(),
                height=torch.from_numpy(episode.height[t]),
                instruction=episode.instructions[t],
            ),
            action=PickPlace(
                pick=torch.from_numpy(episode.pick[t]),
                place=torch.from_numpy(episode.place[t]),
                rotation=torch.tensor(int(episode.rotation[t])),
            ),
            symmetry=torch.tensor(int(episode.symmetry[t])),
        )
        for episode in episodes
        for t in range(episode.steps)
    ]
    return stack(rows)
