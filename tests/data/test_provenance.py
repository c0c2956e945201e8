"""Folders of episodes say whose they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from robo_rlft.data.provenance import provenance
from robo_rlft.rollout.episode import Chosen
from tests.data.test_episodes import make_episode


def test_demonstrations_are_nobodys_but_a_demonstrators() -> None:
    told = provenance(Path("demos"), [make_episode(steps=1), make_episode(steps=2)])
    assert told == {"folder": "demos", "episodes": 2, "steps": 3}


def test_chosen_attempts_say_by_whom_why_and_how_far_from_where() -> None:
    episodes = [
        replace(
            make_episode(steps=1),
            policy_sha256=policy,
            chosen=Chosen(reward="preference", reward_sha256="r", score=score, kl=(kl,), reference_sha256="b"),
        )
        for policy, score, kl in (("p", 1.0, 0.25), ("q", 2.0, 0.75))
    ]
    assert provenance(Path("distilled"), [*episodes, replace(make_episode(steps=2), policy_sha256="p")]) == {
        "folder": "distilled",
        "episodes": 3,
        "steps": 4,
        "policy_sha256": ["p", "q"],
        "chosen": 2,
        "reward": ["preference"],
        "reward_sha256": ["r"],
        "score": {"mean": 1.5, "least": 1.0, "most": 2.0},
        "kl": {"mean": 0.5, "least": 0.25, "most": 0.75},
        "reference_sha256": ["b"],
    }
