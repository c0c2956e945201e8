"""Episodes as plain arrays: what a demonstrator recorded, and what a policy's run came to.

Knows numpy and the workspace, nothing of tensors, files or simulators. T counts actions; there are T + 1 pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robo_rlft.geometry import Workspace

# Why an episode failed; None stands for success.
FAILURES: tuple[str, ...] = (
    "wrong_object",
    "wrong_target",
    "no_grasp",
    "slipped",
    "missed_place",
    "wrong_rotation",
    "disturbed",
    "timed_out",
)

# Who may say whether an episode succeeded: the simulated task; on a table a person, real or simulated, what was
# learned, or nobody.
JUDGES: tuple[str, ...] = ("task", "person", "simulated", "classifier", "nobody")


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Why an attempt joined the demonstrations: a reward ranked it highly."""

    reward: str  # its name: "preference"
    score: float  # what the attempt is worth to it
    reward_sha256: str | None = None  # of its file, where it was learned
    kl: tuple[
        float, ...
    ] = ()  # (T,), nats, KL(policy || reference) at each decision: of the pick, and of the place there
    reference_sha256: str | None = None  # the file of that policy, usually of behaviour cloning


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One recorded episode, with all that training from it needs."""

    task: str
    split: str
    phase: str  # "train", "val" or "test"
    seed: int  # the scene's
    instructions: tuple[str, ...]  # T sentences: what each action was asked by
    pick_names: tuple[str, ...]  # T; what was to be picked, in canonical words: "red block"
    place_names: tuple[str, ...]  # T
    color: npt.NDArray[np.uint8]  # (T + 1, H, W, 3), RGB from above
    height: npt.NDArray[np.float32]  # (T + 1, H, W), metres above the table
    pick: npt.NDArray[np.int64]  # (T, 2), pixel (row, column)
    place: npt.NDArray[np.int64]  # (T, 2), pixel (row, column)
    rotation: npt.NDArray[np.int64]  # (T,), bin in [0, rotations)
    symmetry: npt.NDArray[np.int64]  # (T,), how many turns, equal parts of a whole one apart, come to the same
    rewards: npt.NDArray[np.float32]  # (T,), increase of progress at each action
    success: bool
    failure: str | None  # one of FAILURES
    rotations: int  # number of rotation bins
    workspace: Workspace
    # Of a policy's attempts alone; several of them share a scene.
    attempt: int | None = None  # which of them this is, from 0
    policy_sha256: str | None = None  # the file of the policy that acted
    told_by: str = "task"  # one of JUDGES; where nobody told, success is False and means nothing
    script: tuple[str, ...] = ()  # all that was to be said, in order; those that were not reached too
    chosen: Chosen | None = None  # where it was taken over as a demonstration

    @property
    def steps(self) -> int:
        """Number of actions."""
        return len(self.rotation)

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that was to be said, as far as it is known, each sentence once."""
        return self.script or tuple(dict.fromkeys(self.instructions))

    @property
    def return_(self) -> float:
        """The sum of the rewards."""
        return float(self.rewards.sum())


@dataclass(frozen=True, kw_only=True)
class EpisodeRecord:
    """What one run of a policy came to, without its pictures."""

    seed: int
    instructions: tuple[str, ...]  # all that were to be said, in order
    pick_names: tuple[str, ...]  # of each; none where nobody knows what the sentence means
    place_names: tuple[str, ...]
    success: bool
    return_: float  # sum of rewards; where a reward judged the whole, by how much the task's progress grew
    steps: int
    failure: str | None  # one of FAILURES
    confidence: float  # [0, 1], the policy's at its first decision
    pick: npt.NDArray[np.int64]  # (T, 2), pixel (row, column)
    place: npt.NDArray[np.int64]  # (T, 2), pixel (row, column)
    rotation: npt.NDArray[np.int64]  # (T,), bin
    proxy: float | None = None  # what a reward that judges whole attempts says of it; None where nobody asked one
