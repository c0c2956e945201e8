"""The two factors of a transporter's distribution over actions, as exact log-probabilities.

log pi(a|s) = log pi_pick(p|s) + log pi_place(q, theta|s, p). Knows nothing of how logits are made. Axis letters:
B scenes, K picks of one scene, R rotations, H W rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robo_rlft.records import ActionScores, Decision, PickPlace, TensorRecord

_CHUNK = 2**22  # numbers drawn from at once, a bound on memory


@dataclass(frozen=True, kw_only=True)
class Factors(TensorRecord):
    """Log-probabilities in at least float32; -inf where the action mask forbids."""

    pick: Tensor  # (B, H, W), sums to 1 in probability over H W
    place: Tensor  # (B, K, R, H, W), given the pick; sums to 1 over R H W

    def scores(self, action: PickPlace) -> ActionScores:
        """Score actions (B, K) whose picks are those the place factor was computed for.

        Raises:
            ValueError: A pixel or a rotation lies outside the maps.
        """
        count, rotations, *shape = self.place.shape[1:]
        pick = flat_pixel(action.pick, (shape[0], shape[1]))
        place = flat_pixel(action.place, (shape[0], shape[1]))
        check_index(action.rotation, rotations, "rotation")
        index = action.rotation * (shape[0] * shape[1]) + place
        return ActionScores(
            pick_log_prob=self.pick.flatten(1).gather(1, pick),
            place_log_prob=self.place.flatten(2).gather(2, index[..., None])[..., 0],
            pick_entropy=entropy(self.pick.flatten(1))[:, None].expand(-1, count),
            place_entropy=entropy(self.place.flatten(2)),
        )

    def kl(self, reference: Factors) -> tuple[Tensor, Tensor]:
        """Return KL(self || reference) of the pick (B,) and of the place at each pick (B, K): exact sums, in nats."""
        pick = kl_divergence(self.pick.flatten(1), reference.pick.flatten(1))
        return pick, kl_divergence(self.place.flatten(2), reference.place.flatten(2))


@dataclass(frozen=True, kw_only=True)
class FactoredDecision(Decision):
    """A decision that tells the two factors of its log-probability, so that nobody need evaluate it again."""

    pick_log_prob: Tensor  # (...)
    place_log_prob: Tensor  # (...), given the pick


@dataclass(frozen=True, kw_only=True)
class Comparison(TensorRecord):
    """Actions (B, K) scored, and how far the factors are from those of a reference, with gradients."""

    scores: ActionScores
    pick_kl: Tensor  # (B,), KL(pi || reference) of the pick, exact
    place_kl: Tensor  # (B, K), of the place at each pick, exact


def log_softmax(logits: Tensor, dims: int) -> Tensor:
    """Normalise over the last `dims` dimensions together, in at least float32."""
    flat = logits.flatten(-dims)
    return flat.to(torch.promote_types(flat.dtype, torch.float32)).log_softmax(dim=-1).view_as(logits)


def entropy(log_prob: Tensor) -> Tensor:
    """Return the entropy in nats over the last dimension; what is impossible adds nothing."""
    return -_expected_log_ratio(log_prob, None)


def kl_divergence(log_prob: Tensor, reference: Tensor) -> Tensor:
    """Return KL(p || q) in nats over the last dimension, an exact sum, with a gradient for p alone."""
    return _expected_log_ratio(log_prob, reference.detach())


def _expected_log_ratio(log_prob: Tensor, reference: Tensor | None) -> Tensor:
    result: Tensor = _ExpectedLogRatio.apply(log_prob, reference)
    return result


class _ExpectedLogRatio(torch.autograd.Function):
    """sum p (log p - log q) over the last dimension, q = 1 if there is none.

    By hand, since maps have tens of millions of entries: autograd would keep four more of their size, and yields NaN
    for 0 log 0.
    """

    @staticmethod
    def forward(ctx: Any, log_prob: Tensor, reference: Tensor | None) -> Tensor:
        ctx.save_for_backward(log_prob, reference)
        return _log_ratio(log_prob, reference).mul_(log_prob.exp()).sum(dim=-1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        log_prob, reference = ctx.saved_tensors
        # d/d(log p) of p (log p - log q) = p (log p - log q + 1)
        slope = _log_ratio(log_prob, reference).add_(1.0).mul_(log_prob.exp())
        return slope.mul_(gradients[0][..., None]), None


def _log_ratio(log_prob: Tensor, reference: Tensor | None) -> Tensor:
    """Return log p - log q, and 0 where p is 0."""
    ratio = log_prob.clone() if reference is None else log_prob - reference
    return ratio.masked_fill_(log_prob == -torch.inf, 0.0)


def draw(log_prob: Tensor, uniform: Tensor) -> Tensor:
    """Invert the cumulative distribution: indices (N, S) from log-probabilities (N, M) and numbers (N, S) in [0, 1).

    In float64, since float32 sums over a hundred thousand entries drift. An entry of probability 0 is never drawn.
    """
    rows = max(1, _CHUNK // log_prob.shape[1])
    drawn = []
    for start in range(0, len(log_prob), rows):
        cumulative = log_prob[start : start + rows].double().exp().cumsum(dim=1)
        number = uniform[start : start + rows].double() * cumulative[:, -1:]
        drawn.append(torch.searchsorted(cumulative, number.contiguous(), right=True))
    return torch.cat(drawn).clamp_(max=log_prob.shape[1] - 1)


def flat_pixel(pixel: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return row-major indices (...) of pixels (..., 2).

    Raises:
        ValueError: A pixel lies outside the grid.
    """
    check_index(pixel[..., 0], shape[0], "row")
    check_index(pixel[..., 1], shape[1], "column")
    return pixel[..., 0] * shape[1] + pixel[..., 1]


def unflatten_pixel(index: Tensor, columns: int) -> Tensor:
    """Return pixels (..., 2) of row-major indices (...)."""
    return torch.stack([index // columns, index % columns], dim=-1)


def check_index(index: Tensor, size: int, what: str) -> None:
    """Raise `ValueError` unless every index (...) is in [0, size)."""
    if index.numel() and not bool(((index >= 0) & (index < size)).all()):
        raise ValueError(f"expected a {what} from 0 to {size - 1}, got {int(index.min())} to {int(index.max())}")
