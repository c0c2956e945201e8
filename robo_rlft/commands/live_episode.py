"""One episode that is acted through a driver, step by step, until it is a record like any demonstration's."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from robo_rlft.geometry import Workspace
from robo_rlft.robots.acting import Seen
from robo_rlft.robots.plan import PlannedPixels
from robo_rlft.rollout.episode import Episode

# A real table's episodes are there to learn from: they belong to the seen words and to no test's scenes.
REAL_TASK, REAL_SPLIT, REAL_PHASE = "real_table", "seen", "train"


@dataclass(frozen=True, kw_only=True)
class Occasion:
    """What an episode is about."""

    task: str = REAL_TASK
    split: str = REAL_SPLIT
    phase: str = REAL_PHASE
    seed: int
    sentence: str
    pick_name: str
    place_name: str


@dataclass(kw_only=True)
class LiveEpisode:
    """Pictures and actions in their order; the last picture is taken after the last action."""

    workspace: Workspace
    rotations: int
    seen: list[Seen] = field(default_factory=list)
    actions: list[PlannedPixels] = field(default_factory=list)
    progress: list[float | None] = field(default_factory=list)  # before each action, and after the last

    def begin_step(self, seen: Seen, pixels: PlannedPixels, progress: float | None) -> None:
        """Note an action that is about to be done, and what it was decided on."""
        self.seen.append(seen)
        self.actions.append(pixels)
        self.progress.append(progress)

    def finish(
        self, occasion: Occasion, *, seen: Seen, progress: float | None, success: bool, failure: str | None
    ) -> Episode:
        """Return the record.

        Args:
            occasion: what it was about.
            seen: after the last action.
            progress: likewise; None where nothing but a person can tell.
            success: whether it was done in the end.
            failure: one of `FAILURES` where it was not.
        """
        if not self.actions:
            raise ValueError("an episode needs at least one action")
        known = [value for value in (*self.progress, progress) if value is not None]
        rewards = np.zeros(len(self.actions), dtype=np.float32)
        if len(known) == len(self.actions) + 1:
            rewards = np.diff(np.array(known, dtype=np.float32))
        else:
            rewards[-1] = float(success)
        looks = [*self.seen, seen]
        return Episode(
            task=occasion.task,
            split=occasion.split,
            phase=occasion.phase,
            seed=occasion.seed,
            instructions=(occasion.sentence,) * len(self.actions),
            pick_names=(occasion.pick_name,) * len(self.actions),
            place_names=(occasion.place_name,) * len(self.actions),
            color=np.stack([one.color for one in looks]),
            height=np.stack([one.height for one in looks]).astype(np.float32),
            pick=np.array([action.pick for action in self.actions], dtype=np.int64),
            place=np.array([action.place for action in self.actions], dtype=np.int64),
            rotation=np.array([action.rotation for action in self.actions], dtype=np.int64),
            symmetry=np.ones(len(self.actions), dtype=np.int64),
            rewards=rewards,
            success=success,
            failure=None if success else failure,
            rotations=self.rotations,
            workspace=self.workspace,
        )
