"""A weighted sum pays steps and attempts, and tells every term by its name before weighting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from robo_rlft.geometry import Workspace
from robo_rlft.records import Observation, OutcomeReward, Reward
from robo_rlft.rewards.progress import ProgressReward
from robo_rlft.rewards.total import TotalReward, parts, payment
from tests.policies.fakes import SQUARE, scenes


class Ends:
    """Pays attempts in two terms, and nothing for steps."""

    def __call__(
        self, *, before: float, after: float, observation: Observation | None, final: Observation | None
    ) -> dict[str, float]:
        return {}

    def outcomes(
        self, *, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]
    ) -> dict[str, Tensor]:
        return {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([0.0, 3.0])}


STEP: dict[str, Any] = {"before": 0.25, "after": 0.75, "observation": None, "final": None}
PICTURES = scenes(SQUARE, 2)


def outcomes(reward: OutcomeReward) -> dict[str, list[float]]:
    told = reward.outcomes(first=PICTURES, last=PICTURES, scripts=[("",), ("",)])
    return {name: value.tolist() for name, value in told.items()}


def make() -> TotalReward:
    return TotalReward(terms={"done": ProgressReward(), "liked": Ends()}, weights={"done": 2.0, "liked": -0.5})


def test_steps_and_attempts_are_paid_apart_and_told_before_weighting() -> None:
    reward = make()
    assert isinstance(reward, Reward) and isinstance(reward, OutcomeReward)
    assert reward(**STEP) == {"done": 0.5}
    assert outcomes(reward) == {"liked": [1.0, 5.0]}  # the sum of what it tells itself


def test_payment_is_the_weighted_sum_and_the_plain_one_of_other_rewards() -> None:
    reward = make()
    assert payment(reward, reward(**STEP)) == 1.0
    liked = payment(reward, reward.outcomes(first=PICTURES, last=PICTURES, scripts=[("",), ("",)]))
    assert torch.equal(torch.as_tensor(liked), torch.tensor([-0.5, -2.5]))
    assert payment(ProgressReward(), {"progress": 0.5, "else": 0.25}) == 0.75
    assert payment(reward, {}) == 0.0


def test_a_weight_of_nothing_leaves_a_term_told_and_unpaid() -> None:
    reward = TotalReward(terms={"done": ProgressReward()}, weights={"done": 0.0})
    assert (reward(**STEP), payment(reward, reward(**STEP))) == ({"done": 0.5}, 0.0)


def test_a_sum_of_sums_counts_each_weight() -> None:
    reward = TotalReward(terms={"inner": make()}, weights={"inner": 10.0})
    assert payment(reward, reward(**STEP)) == 10.0
    assert outcomes(reward) == {"inner": [-0.5, -2.5]}
    assert [type(part) for part in parts(reward)] == [ProgressReward, Ends]


def test_a_reward_that_is_no_sum_is_its_only_part() -> None:
    reward = ProgressReward()
    assert parts(reward) == (reward,)


@pytest.mark.parametrize(
    ("terms", "weights", "message"),
    [
        ({}, {}, r"at least one term; add \+reward@reward.terms.NAME=OPTION"),
        ({"a": ProgressReward()}, {}, r"got none for a; add weights.a=1.0"),
        ({"a": ProgressReward()}, {"a": 1.0, "b": 1.0}, "expected weights of a, which are the terms; got one of b"),
        ({"a": ProgressReward()}, {"a": math.nan}, r"finite number as weights.a, got nan"),
        ({"a": ProgressReward()}, {"a": math.inf}, r"finite number as weights.a, got inf"),
        ({"a": Workspace()}, {"a": 1.0}, r"expected a reward as terms.a, got a Workspace"),
        ({"a": 3}, {"a": 1.0}, r"expected a reward as terms.a, got a int"),
    ],
)
def test_what_is_no_sum_is_refused(terms: dict[str, Any], weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TotalReward(terms=terms, weights=weights)
