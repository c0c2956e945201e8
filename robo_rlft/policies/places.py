"""The place factor without its maps: a few picks at a time, what is asked of their maps is added up and they are gone.

A map holds R times as many numbers as the picture has pixels, and learning asks of each for three: an action's
log-probability, an entropy and a divergence. Their gradients are written by hand, from the correlation that is kept.
Knows nothing of features or language. Axis letters: B scenes, K picks of one scene, G of them at a time, R rotations,
H W rows and columns, h w = ceil(H / 2), ceil(W / 2); P = 4 h w, pixels in the order of the correlation: (row parity,
column parity, row // 2, column // 2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from robo_rlft.models.heads import PlaceParts, convolve, correlate_by_fft, directly
from robo_rlft.records import TensorRecord, concatenate, stack

_NUMBERS = 2**19  # of maps that are there at once, where one map is not larger: what fits into a processor's cache
_SHORT = 16  # runs of numbers below which copies between types, and sums with what is repeated, go in two steps
_LEAST = -60.0  # log of a mass that changes no sum: float32 tells apart what differs by a factor above e^-17
_NOWHERE = -1e9  # the logit of a pixel that pads an odd grid: finite, so that 0 times it is 0


@dataclass(frozen=True, kw_only=True)
class PlaceFactor:
    """log pi_place of a policy at given picks; logits are the correlation plus a map."""

    parts: PlaceParts
    shape: tuple[int, int]  # (H, W)
    bias: Tensor  # (B, P), at least float32

    @classmethod
    def of(cls, parts: PlaceParts, prior: Tensor) -> PlaceFactor:
        """Make one from what the head gives and a map (B, H, W) that is added to every rotation."""
        rows, columns = prior.shape[-2:]
        padding = (0, parts.bias.shape[-1] - columns, 0, parts.bias.shape[-2] - rows)
        bias = F.pixel_unshuffle((parts.bias + F.pad(prior, padding, value=_NOWHERE))[:, None], 2).flatten(1)
        return cls(parts=parts, shape=(rows, columns), bias=bias.to(torch.promote_types(bias.dtype, torch.float32)))

    def scenes(self) -> Iterator[_Scene]:
        """Make the correlations of the scenes, one after the other."""
        # Unbound and not indexed: the gradient of each index would be a whole batch of zeros but for one scene.
        whole = (self.parts.keys, self.parts.queries, self.bias)
        for key, queries, bias in zip(*(part.unbind() for part in whole), strict=True):
            query = queries.flatten(0, 1)
            if directly(key, query.shape[-1]):
                fits = convolve(key, query)
            else:
                fits = F.pixel_unshuffle(correlate_by_fft(key[None], query[None])[0][:, None], 2).transpose(0, 1)
            yield _Scene(fits=fits.permute(0, 2, 3, 1).reshape(-1, *queries.shape[:2]), bias=bias)

    def index(self, pixel: Tensor) -> Tensor:
        """Return where pixels (..., 2) are among the P."""
        row, column = pixel[..., 0], pixel[..., 1]
        h, w = (self.shape[0] + 1) // 2, (self.shape[1] + 1) // 2
        return ((2 * (row % 2) + column % 2) * h + row // 2) * w + column // 2

    def row_major(self, values: Tensor) -> Tensor:
        """Return values (G, P) of pixels as (G, H W)."""
        rows, columns = self.shape
        phases = values.view(-1, 2, 2, (rows + 1) // 2, (columns + 1) // 2)
        return phases.permute(0, 3, 1, 4, 2).flatten(3, 4).flatten(1, 2)[:, :rows, :columns].flatten(1)


@dataclass(frozen=True, kw_only=True)
class _Scene:
    fits: Tensor  # (P, K, R)
    bias: Tensor  # (P,)


@dataclass(frozen=True, kw_only=True)
class PlaceScores:
    """What is asked of the place factor, (B, K); nats."""

    log_prob: Tensor
    entropy: Tensor
    kl: Tensor  # KL(pi || reference), 0 without a reference


def score_places(
    factor: PlaceFactor, place: Tensor, rotation: Tensor, *, reference: PlaceFactor | None = None
) -> PlaceScores:
    """Score places (B, K, 2) turned by rotations (B, K), with gradients for `factor` alone.

    The reference is to be made without gradients.
    """
    theirs = repeat(None) if reference is None else reference.scenes()
    rows = []
    for own, other, cell, turn in zip(factor.scenes(), theirs, factor.index(place), rotation, strict=False):
        other_maps = (None, None) if other is None else (other.fits, other.bias)
        rows.append(_Scores.apply(own.fits, own.bias, cell, turn, *other_maps))
    log_prob, entropy, kl = (torch.stack(column) for column in zip(*rows, strict=True))
    return PlaceScores(log_prob=log_prob, entropy=entropy, kl=kl)


class _Scores(torch.autograd.Function):
    """Log-probability, entropy and KL(p || q), each (K,), of softmaxes of fits (P, K, R) plus a bias (P,)."""

    @staticmethod
    def forward(
        ctx: Any,
        fits: Tensor,
        bias: Tensor,
        cell: Tensor,
        rotation: Tensor,
        their_fits: Tensor | None,
        their_bias: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        columns = []
        for some in _groups(fits):
            own = _Softmax.of(fits[:, some], bias)
            chosen = own.logits[_each(own.logits), cell[some], rotation[some]].double()
            entropy = own.log_sum - own.mean(own.logits)
            their_log_sum = kl = torch.zeros_like(entropy)
            if their_fits is not None and their_bias is not None:
                theirs = _Softmax.of(their_fits[:, some], their_bias)
                their_log_sum = theirs.log_sum
                kl = own.mean(own.logits.sub_(theirs.logits)) - own.log_sum + their_log_sum
            columns.append(torch.stack([chosen - own.log_sum, entropy, kl, own.log_sum, their_log_sum]))
        figures = torch.cat(columns, dim=1)  # (5, K), float64
        ctx.save_for_backward(fits, bias, cell, rotation, their_fits, their_bias, figures)
        log_prob, entropy, kl = figures[:3].to(bias.dtype)
        return log_prob, entropy, kl

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of fits and bias.

        d log p(a) / dL = [a] - p, d entropy / dL = -p (log p + entropy), d KL / dL = p (log p - log q - KL).
        """
        fits, bias, cell, rotation, their_fits, their_bias, figures = ctx.saved_tensors
        nothing = figures.new_zeros(figures.shape[1])
        on_log_prob, on_entropy, on_kl = (nothing if g is None else g.double() for g in gradients)
        _, entropy, kl, log_sum, their_log_sum = figures
        # What p is multiplied by: a part for all entries, and below what differs from entry to entry.
        shared = on_kl * (their_log_sum - log_sum - kl) + on_entropy * (log_sum - entropy) - on_log_prob
        to_fits, to_bias = torch.empty_like(fits), torch.zeros_like(bias)
        for some in _groups(fits):

            def each(values: Tensor, some: slice = some) -> Tensor:
                return values[some, None, None].to(bias.dtype)

            logits = _logits(fits[:, some], bias)
            slope = _exp_(logits - each(log_sum))
            factor = each(shared)
            if gradients[1] is not None:
                factor = factor - logits * each(on_entropy)
            if gradients[2] is not None and their_fits is not None:
                factor = logits.sub_(_logits(their_fits[:, some], their_bias)).mul_(each(on_kl)).add_(factor)
            slope.mul_(factor)
            slope[_each(slope), cell[some], rotation[some]] += on_log_prob[some].to(bias.dtype)
            to_bias += slope.sum(dim=2).sum(dim=0)
            _unspread(slope, to_fits[:, some])
        return to_fits, to_bias, None, None, None, None


@dataclass(frozen=True, kw_only=True)
class _Softmax:
    """G maps."""

    logits: Tensor  # (G, P, R)
    mass: Tensor  # (G, P, R), exp(logits - their largest)
    total: Tensor  # (G,), sum of the mass
    log_sum: Tensor  # (G,), log sum exp of the logits, float64

    @classmethod
    def of(cls, fits: Tensor, bias: Tensor) -> _Softmax:
        logits = _logits(fits, bias)
        top = logits.flatten(1).amax(dim=1)
        mass = _exp_(logits - top[:, None, None])
        total = mass.flatten(1).sum(dim=1)
        return cls(logits=logits, mass=mass, total=total, log_sum=top.double() + total.double().log())

    def mean(self, values: Tensor) -> Tensor:
        """Return the expectations (G,) of values (G, P, R), float64."""
        pairs = zip(self.mass.flatten(1), values.flatten(1), strict=True)
        return torch.stack([torch.dot(mass, value) for mass, value in pairs]).double() / self.total.double()


def _groups(fits: Tensor) -> Iterator[slice]:
    """Cut the picks of fits (P, K, R) into groups that are worked on at once."""
    pixels, count, rotations = fits.shape
    size = max(1, _NUMBERS // (pixels * rotations))
    return (slice(start, start + size) for start in range(0, count, size))


def _each(values: Tensor) -> Tensor:
    return torch.arange(len(values), device=values.device)


def _logits(fits: Tensor, bias: Tensor) -> Tensor:
    """Return logits (G, P, R) of fits (P, G, R) and a bias (P,), in the bias's type."""
    pixels, count, rotations = fits.shape
    logits = torch.empty(count, pixels, rotations, dtype=bias.dtype, device=bias.device)
    if rotations >= _SHORT:
        return logits.copy_(fits.transpose(0, 1)).add_(bias[:, None])
    logits.copy_(fits.to(bias.dtype).transpose(0, 1)).flatten(1).add_(bias.repeat_interleave(rotations))
    return logits


def _exp_(values: Tensor) -> Tensor:
    """Exponentiate values of at most 0 in place; what is next to nothing becomes nothing.

    exp takes thirty times as long where its results are too small for a normal float32.
    """
    return torch.threshold_(values.clamp_(min=_LEAST).exp_(), 2.0 * math.exp(_LEAST), 0.0)


def _unspread(values: Tensor, out: Tensor) -> None:
    """Write values (G, P, R) to where fits (P, G, R) were, of another type."""
    turned = values.transpose(0, 1)
    out.copy_(turned.contiguous() if out.shape[2] < _SHORT else turned)


@dataclass(frozen=True, kw_only=True)
class ChosenPlaces(TensorRecord):
    """Where and how far turned to place, (B, K)."""

    place: Tensor  # int64, row-major index of the pixel
    rotation: Tensor  # int64
    log_prob: Tensor


def choose_places(factor: PlaceFactor, uniform: Tensor, *, greedy: bool) -> ChosenPlaces:
    """Choose by numbers (B, K) in [0, 1), or the likeliest; the order is (rotation, row, column), as of a whole map."""
    scenes = []
    for scene, numbers in zip(factor.scenes(), uniform, strict=True):
        groups = [_choose(factor, scene, some, numbers[some], greedy=greedy) for some in _groups(scene.fits)]
        scenes.append(concatenate(groups))
    return stack(scenes)


def _choose(factor: PlaceFactor, scene: _Scene, some: slice, numbers: Tensor, *, greedy: bool) -> ChosenPlaces:
    whole = _Softmax.of(scene.fits[:, some], scene.bias)
    each = _each(numbers)
    if greedy:
        rotation = whole.logits.amax(dim=1).argmax(dim=1)
        place = factor.row_major(whole.logits[each, :, rotation]).argmax(dim=1)
    else:
        drawn = _invert(whole.mass.sum(dim=1), numbers)
        rotation = drawn.index
        place = _invert(factor.row_major(whole.mass[each, :, rotation]), drawn.rest).index
    columns = factor.shape[1]
    cell = factor.index(torch.stack([place // columns, place % columns], dim=-1))
    log_prob = (whole.logits[each, cell, rotation].double() - whole.log_sum).to(scene.bias.dtype)
    return ChosenPlaces(place=place, rotation=rotation, log_prob=log_prob)


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    index: Tensor  # (G,)
    rest: Tensor  # (G,), where in the entry the number fell, [0, 1]


def _invert(mass: Tensor, number: Tensor) -> _Drawn:
    """Invert the cumulative distributions of masses (G, M) at numbers (G,) in [0, 1]; no mass, never drawn."""
    cumulative = mass.double().cumsum(dim=1)
    target = number.double()[:, None] * cumulative[:, -1:]
    last = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())  # with mass
    index = torch.minimum(torch.searchsorted(cumulative, target, right=True), last)
    share = mass.gather(1, index).double()
    rest = ((target - cumulative.gather(1, index) + share) / share).clamp(0.0, 1.0)
    return _Drawn(index=index[:, 0], rest=rest[:, 0])
