from __future__ import annotations

import math

import pytest
import torch

from robo_rlft.policies.random import RandomPolicy, zero_shot_policy
from robo_rlft.records import PickPlace, Policy
from tests.policies.fakes import SQUARE, ColorEncoder, scenes


def test_chance_picks_only_where_something_stands() -> None:
    policy, scene = RandomPolicy(workspace=SQUARE, rotations=3), scenes(SQUARE, 2)
    action = policy.act(scene, samples=200, generator=torch.Generator().manual_seed(0)).action
    for i in range(2):
        assert (scene.height[i, action.pick[i, :, 0], action.pick[i, :, 1]] > 0.005).all()
    assert action.rotation.unique().tolist() == [0, 1, 2]
    assert action.place.amin() == 0
    assert action.place.amax() == 31


@pytest.mark.parametrize("samples", [None, 5])
def test_chance_scores_what_it_does(samples: int | None) -> None:
    policy, scene = RandomPolicy(workspace=SQUARE, rotations=3), scenes(SQUARE, 2)
    decision = policy.act(scene, samples=samples, generator=torch.Generator().manual_seed(0))
    scores = policy.evaluate_actions(scene, decision.action)
    standing = (scene.height > 0.005).flatten(1).sum(dim=1)
    expected = -(standing * 3.0 * 32 * 32).log()
    assert torch.equal(scores.log_prob, decision.log_prob)
    assert torch.allclose(decision.log_prob, expected if samples is None else expected[:, None].expand(2, 5))
    assert torch.allclose(scores.place_entropy, torch.tensor(math.log(3 * 32 * 32)))


def test_chance_gives_a_forbidden_pick_no_probability() -> None:
    policy, scene = RandomPolicy(workspace=SQUARE), scenes(SQUARE, 1)[0]
    pick = (scene.height <= 0.005).nonzero()[0]
    action = PickPlace(pick=pick, place=pick, rotation=torch.tensor(0))
    assert policy.evaluate_actions(scene, action).log_prob.item() == -torch.inf


def test_both_baselines_are_policies() -> None:
    assert isinstance(RandomPolicy(workspace=SQUARE), Policy)
    assert isinstance(zero_shot_policy(encoder=ColorEncoder(), workspace=SQUARE), Policy)
