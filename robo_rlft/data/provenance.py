"""Where the episodes of a folder come from: a demonstrator, or a policy whose attempts a reward ranked highly.

Knows episodes, not how they are learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from robo_rlft.rollout.episode import Chosen, Episode


def provenance(folder: Path, episodes: Sequence[Episode]) -> dict[str, Any]:
    """Return plain values about those episodes of a folder that are learned from."""
    told: dict[str, Any] = {
        "folder": str(folder),
        "episodes": len(episodes),
        "steps": sum(episode.steps for episode in episodes),
    }
    policies = sorted({episode.policy_sha256 for episode in episodes if episode.policy_sha256 is not None})
    chosen = [episode.chosen for episode in episodes if episode.chosen is not None]
    return told | ({"policy_sha256": policies} if policies else {}) | (_chosen(chosen) if chosen else {})


def _chosen(chosen: Sequence[Chosen]) -> dict[str, Any]:
    scores, kl = [one.score for one in chosen], [nats for one in chosen for nats in one.kl]
    told: dict[str, Any] = {
        "chosen": len(chosen),
        "reward": _different(chosen, lambda one: one.reward),
        "reward_sha256": _different(chosen, lambda one: one.reward_sha256),
        "score": _spread(scores),
    }
    return told | (
        {"kl": _spread(kl), "reference_sha256": _different(chosen, lambda one: one.reference_sha256)} if kl else {}
    )


def _different(chosen: Sequence[Chosen], what: Callable[[Chosen], str | None]) -> list[str]:
    return sorted({value for one in chosen if (value := what(one)) is not None})


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": sum(values) / len(values), "least": min(values), "most": max(values)}
