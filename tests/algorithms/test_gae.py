"""Advantages from a critic, against hand-derived numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robo_rlft.algorithms.gae import explained_variance, generalized_advantage, normalised, value_loss


def steps(*values: float) -> Tensor:
    """Return one episode, (T, 1)."""
    return torch.tensor(values)[:, None]


NEVER = torch.zeros(3, 1, dtype=torch.bool)
LAST = torch.tensor([False, False, True])[:, None]
REWARD, VALUE, NEXT = steps(1.0, 0.0, 2.0), steps(0.5, 1.0, 1.5), steps(1.0, 1.5, 4.0)


def estimate(
    reward: Tensor = REWARD, *, terminated: Tensor, truncated: Tensor, gamma: float = 0.5, gae_lambda: float = 0.5
) -> list[float]:
    found = generalized_advantage(
        reward, VALUE, NEXT, terminated=terminated, truncated=truncated, gamma=gamma, gae_lambda=gae_lambda
    )
    return found[:, 0].tolist()


def test_advantages_by_hand_where_an_episode_terminates() -> None:
    # delta: 1 + 0.5 * 1 - 0.5 = 1; 0 + 0.5 * 1.5 - 1 = -0.25; 2 - 1.5 = 0.5, as nothing comes after.
    # A, with gamma lambda = 0.25: 0.5; -0.25 + 0.25 * 0.5 = -0.125; 1 + 0.25 * -0.125 = 0.96875.
    assert estimate(terminated=LAST, truncated=NEVER) == pytest.approx([0.96875, -0.125, 0.5])


def test_what_an_episode_that_was_cut_would_still_be_worth_counts() -> None:
    # The last delta becomes 2 + 0.5 * 4 - 1.5 = 2.5; then -0.25 + 0.25 * 2.5 = 0.375 and 1 + 0.25 * 0.375 = 1.09375.
    assert estimate(terminated=NEVER, truncated=LAST) == pytest.approx([1.09375, 0.375, 2.5])


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_nothing_is_credited_across_an_episodes_end(end: str) -> None:
    ends = {"terminated": NEVER, "truncated": NEVER, end: torch.tensor([False, True, False])[:, None]}
    rich = steps(1.0, 0.0, 100.0)
    assert estimate(**ends)[:2] == estimate(rich, **ends)[:2]
    assert estimate(terminated=NEVER, truncated=NEVER)[:2] != estimate(rich, terminated=NEVER, truncated=NEVER)[:2]


def test_lambda_one_gives_the_return_less_the_value_and_lambda_zero_one_steps_error() -> None:
    # Undiscounted sums of what is still paid: 3, 2, 2; less the values 0.5, 1, 1.5.
    assert estimate(terminated=LAST, truncated=NEVER, gamma=1.0, gae_lambda=1.0) == pytest.approx([2.5, 1.0, 0.5])
    assert estimate(terminated=LAST, truncated=NEVER, gae_lambda=0.0) == pytest.approx([1.0, -0.25, 0.5])


def test_episodes_beside_each_other_do_not_touch() -> None:
    def two(values: Tensor) -> Tensor:
        return torch.cat([values, values.flip(0)], dim=1)

    both = generalized_advantage(
        two(REWARD), two(VALUE), two(NEXT), terminated=two(LAST), truncated=two(NEVER), gamma=0.5, gae_lambda=0.5
    )
    assert both[:, 0].tolist() == estimate(terminated=LAST, truncated=NEVER)


def test_normalised_advantages_have_mean_zero_and_deviation_one() -> None:
    # Mean 2, deviation sqrt((1 + 1 + 4 + 4) / 4) = sqrt(2.5).
    found = normalised(torch.tensor([1.0, 3.0, 4.0, 0.0]))
    torch.testing.assert_close(found, torch.tensor([-1.0, 1.0, 2.0, -2.0]) / 2.5**0.5)
    assert normalised(torch.full((3,), 0.7)).abs().max() < 1e-6


def test_value_loss_and_explained_variance_by_hand() -> None:
    returns, value = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 0.5, 1.0, 0.5])
    # Errors 0, -0.5, 0, 0.5: squares 0.5 in all, 0.125 in the mean, half of it.
    assert value_loss(value, returns).item() == pytest.approx(0.0625)
    # Var[R - V] = 0.125, Var[R] = 0.25.
    assert explained_variance(value, returns).item() == pytest.approx(0.5)
    assert explained_variance(torch.full((4,), 0.3), returns).item() == pytest.approx(0.0)
    assert explained_variance(value, torch.ones(4)).isnan()
