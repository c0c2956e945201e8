"""What a person says of two attempts, as probabilities of their rewards: Bradley-Terry with ties.

Pure functions of tensors. Davidson 1970, "On extending the Bradley-Terry model to accommodate ties in paired comparison
experiments": of attempts with worth e^a and e^b the first is called better with a weight of e^a, the second with e^b,
and neither with nu sqrt(e^a e^b). Divided by sqrt(e^a e^b), with the gap d = a - b, these are e^(d/2), e^(-d/2) and nu.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BETTER, WORSE, SAME = 0, 1, 2  # the first is better, the second is, neither is


def comparison_log_probs(gap: Tensor, log_tie: Tensor) -> Tensor:
    """Return the log-probabilities (..., 3) of BETTER, WORSE and SAME.

    Args:
        gap: (...), the first attempt's reward less the second's.
        log_tie: (), the logarithm of nu.
    """
    return torch.stack([gap / 2.0, -gap / 2.0, log_tie.expand_as(gap)], dim=-1).log_softmax(dim=-1)


def comparison_loss(gap: Tensor, log_tie: Tensor, said: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of what was said, int64 (...) of BETTER, WORSE and SAME."""
    return -comparison_log_probs(gap, log_tie).gather(-1, said[..., None]).mean()


def accuracy(gap: Tensor, true_gap: Tensor) -> Tensor:
    """Return the share of the pairs (N,) whose true gap is not 0 that are put in the right order; half for equal ones.

    A pair that the rewards call equal counts as half right.
    """
    told = true_gap != 0
    right = (gap[told].sign() == true_gap[told].sign()).double()
    return torch.where(gap[told] == 0, 0.5, right).mean()


def normalised(rewards: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the deviation (M,) of rewards (M, N) of M members, to bring them to 0 and 1.

    A member that calls all alike has the deviation 1, so that its rewards stay 0.
    """
    deviation = rewards.std(dim=1, correction=0)
    return rewards.mean(dim=1), torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How sure a reward is of its order, and how often it is right, in equal shares of the pairs."""

    confidence: tuple[float, ...]  # the mean probability of the order that it tells, ties left out
    accuracy: tuple[float, ...]
    pairs: tuple[int, ...]


def calibration(gap: Tensor, true_gap: Tensor, *, shares: int = 5) -> Calibration:
    """Compare what the rewards' gaps (N,) promise with the true order, from the smallest margins to the largest."""
    told = true_gap != 0
    margin, order = gap[told].abs().sort()
    right = (gap[told].sign() == true_gap[told].sign()).double()[order]
    parts = [(m, r) for m, r in zip(margin.tensor_split(shares), right.tensor_split(shares), strict=True) if len(m)]
    return Calibration(
        confidence=tuple(float(m.sigmoid().mean()) for m, _ in parts),
        accuracy=tuple(float(r.mean()) for _, r in parts),
        pairs=tuple(len(m) for m, _ in parts),
    )
