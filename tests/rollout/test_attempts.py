"""A policy's attempts are whole episodes, several of a scene, bit-equal for the same seeds."""

from __future__ import annotations

import itertools
from dataclasses import fields

import numpy as np
import pytest
import torch

from robo_rlft.geometry import Workspace
from robo_rlft.records import Decision, Observation, PickPlace, stack
from robo_rlft.rollout.attempts import Actor, Sharpened, record_attempts
from robo_rlft.rollout.episode import Episode
from robo_rlft.rollout.pool import EnvPool
from tests.rollout.test_collect import HighestPixelPolicy
from tests.simulated import env_factory

SEEDS = [3, 4]


@pytest.fixture(scope="module")
def pool():
    with EnvPool(make_env=env_factory(blocks=2)) as made:
        yield made


def attempts(pool: EnvPool, seed: int = 0, *, greedy: bool = False) -> list[Episode]:
    actor = Actor(policy=HighestPixelPolicy(), workspace=Workspace(), rotations=4, sha256="ab")
    return record_attempts(
        pool,
        actor,
        SEEDS,
        task="put_block_in_bowl",
        tries=3,
        greedy=greedy,
        generator=torch.Generator().manual_seed(seed),
    )


def test_the_attempts_at_a_scene_are_adjacent_and_begin_alike(pool: EnvPool) -> None:
    made = attempts(pool)
    assert [(e.seed, e.attempt) for e in made] == [(3, 0), (3, 1), (3, 2), (4, 0), (4, 1), (4, 2)]
    for a, b in itertools.pairwise(made[:3]):
        np.testing.assert_array_equal(a.color[0], b.color[0])
    assert any((made[0].pick[0] != e.pick[0]).any() for e in made[1:3])
    assert {(e.policy_sha256, e.phase, e.rotations) for e in made} == {("ab", "train", 4)}


def test_an_attempt_holds_what_was_seen_after_every_action_and_all_that_was_to_be_said(pool: EnvPool) -> None:
    for episode in attempts(pool):
        assert len(episode.color) == len(episode.height) == episode.steps + 1
        assert set(episode.instructions) <= set(episode.script) == set(episode.sentences)
        assert episode.success == (episode.failure is None) == (episode.return_ > 0.99)


def test_the_same_generator_gives_the_same_attempts_and_greedy_ones_are_all_alike(pool: EnvPool) -> None:
    for one, other in zip(attempts(pool), attempts(pool), strict=True):
        for field in fields(Episode):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
    made = attempts(pool, greedy=True)
    assert all((made[0].pick == e.pick).all() for e in made[1:3])


class Ranked:
    """Samples whose log-probabilities are their order, so that the best of each part is its last."""

    def act(
        self,
        observation: Observation,
        *,
        greedy: bool = False,
        samples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Decision:
        shape = (len(observation.height), samples or 1)
        number = torch.arange(shape[1]).expand(shape)
        pixel = torch.stack([number, number], dim=-1)
        return Decision(
            action=PickPlace(pick=pixel, place=pixel, rotation=number),
            log_prob=number.float(),
            confidence=torch.ones(shape),
        )


def test_the_likeliest_of_a_few_samples_is_tried() -> None:
    seen = stack([observation_of_a_scene()] * 2)
    sharpened = Sharpened(Ranked(), among=4)  # type: ignore[arg-type]
    one = sharpened.act(seen)
    assert one.action.pick.tolist() == [[3, 3], [3, 3]]
    assert one.log_prob.tolist() == [3.0, 3.0]
    several = sharpened.act(seen, samples=2)  # of samples 0 to 3 and 4 to 7
    assert several.action.rotation.tolist() == [[3, 7], [3, 7]]
    assert several.log_prob.shape == several.confidence.shape == (2, 2)


def observation_of_a_scene() -> Observation:
    return Observation(color=torch.zeros(3, 4, 4, dtype=torch.uint8), height=torch.zeros(4, 4), instruction="do it")
