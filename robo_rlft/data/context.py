"""What a data module needs of the run that it is part of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robo_rlft.geometry import Workspace
from robo_rlft.records import LearningPolicy, OutcomeReward

if TYPE_CHECKING:
    from robo_rlft.rollout.jobs import Env


@dataclass(frozen=True, kw_only=True)
class TrainContext:
    """The values of a training run that do not belong to one algorithm's config."""

    policy: LearningPolicy  # the one that is being trained
    workspace: Workspace
    make_env: Callable[[], Env] | None  # picklable, but for a robot's; None where there is none
    data_dir: Path | None  # a folder of episodes
    run_dir: Path
    seed: int
    workers: int  # processes that step environments; 0 steps them in this one
    reward: OutcomeReward | None = None  # pays at the end of an episode, on top of what the environments pay
    more_data: tuple[Path, ...] = ()  # further folders beside `data_dir`

    @property
    def data_dirs(self) -> tuple[Path, ...]:
        """All folders that are learned from, in the order in which they were named."""
        return () if self.data_dir is None else (self.data_dir, *self.more_data)
