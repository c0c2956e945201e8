"""Bradley-Terry with ties by numbers derived by hand, and what an ensemble pays."""

from __future__ import annotations

import math

import pytest
import torch

from robo_rlft.algorithms.preferences import (
    BETTER,
    SAME,
    WORSE,
    accuracy,
    calibration,
    comparison_log_probs,
    comparison_loss,
    normalised,
)


def test_probabilities_are_davidsons() -> None:
    # Worths 4 and 1, so a gap of ln 4, and nu = 1: weights 4, 1 and sqrt(4) = 2, of 7.
    found = comparison_log_probs(torch.tensor(math.log(4.0)), torch.tensor(0.0)).exp()
    torch.testing.assert_close(found, torch.tensor([4.0, 1.0, 2.0]) / 7.0)


def test_without_ties_it_is_bradley_terry() -> None:
    gap = torch.linspace(-3.0, 3.0, 7)
    found = comparison_log_probs(gap, torch.tensor(-40.0))
    torch.testing.assert_close(found[:, BETTER], torch.nn.functional.logsigmoid(gap))


def test_changing_the_sides_changes_the_answers_alone() -> None:
    gap, tie = torch.tensor([1.3, -0.2]), torch.tensor(0.4)
    there, back = comparison_log_probs(gap, tie), comparison_log_probs(-gap, tie)
    torch.testing.assert_close(there[:, [WORSE, BETTER, SAME]], back)


def test_the_loss_is_that_of_what_was_said_and_a_tie_pulls_rewards_together() -> None:
    gap = torch.tensor([math.log(4.0)] * 3, requires_grad=True)
    loss = comparison_loss(gap, torch.tensor(0.0), torch.tensor([BETTER, WORSE, SAME]))
    assert float(loss.detach()) == pytest.approx((math.log(7 / 4) + math.log(7) + math.log(7 / 2)) / 3)
    loss.backward()
    assert gap.grad is not None
    assert gap.grad[0] < 0 < gap.grad[2] < gap.grad[1]  # grows where it was right, shrinks for a tie, more where wrong


def test_accuracy_counts_pairs_that_differ_and_half_for_no_opinion() -> None:
    gap = torch.tensor([0.3, -0.1, 0.0, 5.0])
    assert float(accuracy(gap, torch.tensor([1.0, 1.0, -1.0, 0.0]))) == pytest.approx((1 + 0 + 0.5) / 3)


def test_each_member_is_brought_to_mean_zero_and_deviation_one() -> None:
    rewards = torch.tensor([[1.0, 3.0, 5.0], [7.0, 7.0, 7.0]])
    mean, deviation = normalised(rewards)
    scaled = (rewards - mean[:, None]) / deviation[:, None]
    torch.testing.assert_close(scaled.mean(dim=1), torch.zeros(2))
    torch.testing.assert_close(scaled.std(dim=1, correction=0), torch.tensor([1.0, 0.0]))


def test_calibration_goes_from_the_smallest_margins_to_the_largest() -> None:
    gap = torch.tensor([3.0, -0.2, 0.1, -2.0, 9.0])
    found = calibration(gap, torch.tensor([1.0, 1.0, 1.0, -1.0, 0.0]), shares=2)  # the last pair is equal
    # Margins 0.1 (right) and 0.2 (wrong), then 2 and 3 (both right).
    assert (found.accuracy, found.pairs) == ((0.5, 1.0), (2, 2))
    half = [torch.tensor(pair).sigmoid().mean().item() for pair in ([0.1, 0.2], [2.0, 3.0])]
    assert found.confidence == pytest.approx(half)
