"""A reward that was learned from people: an ensemble that judges attempts by their first and their last picture.

Knows encoders, pictures and sentences; nothing of simulators, labels or how it was trained. Axis letters: N attempts,
M members, S sentences, D feature size, H W rows and columns, h w those of the dense features.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from robo_rlft.geometry import Workspace
from robo_rlft.models.files import ModuleFileError, ModuleKind, tree_of
from robo_rlft.models.outcomes import Judges, cosine_maps, outcome_maps
from robo_rlft.models.spec import Recorded
from robo_rlft.records import Observation, TensorRecord
from robo_rlft.rewards.seeing import SeeingAndReading, read, see

KINDS = ("preference", "success")  # what it learned from: comparisons, or whether all was done
FORMAT: Final = "robo_rlft.reward"
FORMAT_VERSION: Final = 1


class RewardFileError(ModuleFileError):
    """A file of a learned reward cannot be used; the message says what was expected, what came and how to mend it."""


@dataclass(frozen=True, kw_only=True)
class Seen(TensorRecord):
    """Pictures as an encoder sees them."""

    dense: Tensor  # (N, D, h, w), unit vectors
    height: Tensor  # float32 (N, H, W), metres


@dataclass(frozen=True, kw_only=True)
class Judged(TensorRecord):
    """What judges see of N attempts: a row for each sentence of each of them."""

    cosines: Tensor  # (rows, 4, h, w), see `robo_rlft.models.outcomes.cosine_maps`
    heights: Tensor  # float32 (N, 2, H, W), metres, before the first action and after the last
    attempt: Tensor  # int64 (rows,), which of the N a row is of


class LearnedReward(Recorded, nn.Module):
    """Scores attempts at what was asked; each sentence of an attempt's script is judged alone, and their scores add up.

    Args:
        encoder: image and text features; stays as it is.
        judges: the ensemble.
        workspace: the grid of pixels.
        kind: "preference": scores of mean 0 and deviation 1 on the attempts that it was calibrated on; "success": the
            logarithm of the odds that all was done.
    """

    mean: Tensor  # (M,), of the attempts that it was calibrated on
    deviation: Tensor  # (M,)

    def __init__(
        self, *, encoder: SeeingAndReading, judges: Judges, workspace: Workspace, kind: str = "preference"
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}; got {kind!r}")
        self.encoder, self.judges, self.workspace, self.kind = encoder, judges, workspace, kind
        encoder.freeze()
        self.register_buffer("mean", torch.zeros(len(judges.members)))
        self.register_buffer("deviation", torch.ones(len(judges.members)))

    def see(self, observation: Observation) -> Seen:
        """Return what is seen in pictures (N,)."""
        dense = see(self.encoder, observation.color, pixel_size=self.workspace.pixel_size)
        return Seen(dense=dense, height=observation.height.float())

    def judged(self, first: Seen, last: Seen, scripts: Sequence[Sequence[str]]) -> Judged:
        """Return what the judges see of attempts (N,) with a script each.

        Raises:
            InstructionError: A sentence names nothing to pick or no place for it.
        """
        rows = torch.tensor([i for i, script in enumerate(scripts) for _ in script])
        phrases = read(self.encoder, [sentence for script in scripts for sentence in script])
        return Judged(
            cosines=cosine_maps(first.dense[rows], last.dense[rows], phrases),
            heights=torch.stack([first.height, last.height], dim=1),
            attempt=rows,
        )

    def raw(self, judged: Judged) -> Tensor:
        """Return what the members say of attempts, (M, N), before calibration; with gradient for the judges."""
        rows: Tensor = self.judges(outcome_maps(judged.cosines, judged.heights[judged.attempt]))
        total = rows.new_zeros(len(rows), len(judged.heights))
        return total.index_add(1, judged.attempt.to(rows.device), rows)

    def score(self, first: Seen, last: Seen, scripts: Sequence[Sequence[str]]) -> Tensor:
        """Return the members' scores (M, N)."""
        return (self.raw(self.judged(first, last, scripts)) - self.mean[:, None]) / self.deviation[:, None]


_KIND: Final = ModuleKind(
    name="reward",
    format=FORMAT,
    version=FORMAT_VERSION,
    classes=(
        "robo_rlft.geometry.Workspace",
        "robo_rlft.models.clip.ClipEncoder",
        "robo_rlft.models.outcomes.Judges",
        "robo_rlft.rewards.learned.LearnedReward",
    ),
    error=RewardFileError,
    make="learn one: robo-rlft train algorithm=reward_model",
    mend="write reward files with robo_rlft.rewards.learned.save_reward or `robo-rlft train`",
    trust="load_reward(path, trust=[{name!r}])",
)


def save_reward(reward: LearnedReward, path: Path | str, *, metadata: Mapping[str, Any]) -> None:
    """Write a reward with all its weights, its encoder's included, whole or not at all.

    Args:
        reward: is left as it is.
        path: the file; its folder is made.
        metadata: plain values about its training to keep with it.
    """
    header = {"kind": reward.kind, "metadata": dict(metadata)}
    _KIND.write(Path(path), reward, tree_of(reward, reward.encoder), header)


def load_reward(path: Path | str, *, trust: Collection[str] = ()) -> LearnedReward:
    """Return the reward of a file, for judging alone.

    Raises:
        RewardFileError: There is no such file, it is something else, newer than this program, damaged, or it names a
            class that is neither known nor trusted.
    """
    reward = _KIND.read(Path(path), trust=trust)
    if not isinstance(reward, LearnedReward):
        raise RewardFileError(f"expected a LearnedReward in {path}, got a {type(reward).__name__}; {_KIND.mend}")
    return reward.requires_grad_(False).eval()


def read_reward_header(path: Path | str) -> dict[str, Any]:
    """Return what a reward file says about itself; raises as `load_reward` does."""
    return _KIND.read_header(Path(path))
