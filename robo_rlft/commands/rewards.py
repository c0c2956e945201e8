"""Rewards from configs, ready to judge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robo_rlft.config import Composed, build
from robo_rlft.geometry import Workspace
from robo_rlft.records import OutcomeReward
from robo_rlft.rewards.paid_at_end import FromFile
from robo_rlft.rewards.total import parts


def build_reward(composed: Composed, *, workspace: Workspace, rotations: int, policy: Any = None) -> Any:
    """Return the reward of a checked config, what it learned read from its files.

    Args:
        composed: a command's config.
        workspace: of the pictures that are going to be judged.
        rotations: of the policy that acts.
        policy: what judges with an encoder and has none of its own sees with this one's.

    Raises:
        RewardFileError: a file cannot be used.
    """
    provided = {"workspace": workspace, "rotations": rotations, "encoder": getattr(policy, "encoder", None)}
    reward = build(composed.values["reward"], trust=composed.trust, path="reward", **provided)
    for part in parts(reward):
        if isinstance(part, FromFile):
            part.load(workspace=workspace, trust=composed.trust)
    return reward


def pays_at_the_end(reward: object) -> bool:
    """Tell whether a reward, or a part of its sum, judges whole attempts."""
    return any(isinstance(part, OutcomeReward) for part in parts(reward))


def reward_files(node: Mapping[str, Any]) -> list[Path]:
    """Return the files that a reward's node names, those of a sum's terms too."""
    own = [] if node.get("model") is None else [Path(str(node["model"]))]
    return own + [file for term in node.get("terms", {}).values() for file in reward_files(term)]
