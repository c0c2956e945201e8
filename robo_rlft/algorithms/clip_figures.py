"""What an encoder is worth, from its similarity maps of validation scenes.

Pure functions of tensors; knows no encoder.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from robo_rlft.data.captions import CLASSES, IGNORED
from robo_rlft.language.vocabulary import SHAPES, UNSEEN_COLORS

_NEWTON_STEPS = 25


@dataclass(frozen=True, kw_only=True)
class ClipFigures:
    """Rates in [0, 1]."""

    color_accuracy: float  # of objects' pixels: the best of all captions names the right colour
    shape_accuracy: float
    accuracy: float  # ... the right colour and shape
    hit: float  # of phrases whose object is there: the map's highest pixel lies on such an object
    hit_seen: float  # ... of colours that policies train with
    hit_unseen: float  # ... of the others
    hit_synonyms: float  # ... told in other words
    presence_auc: float  # how well a map's maximum tells present from absent phrases

    def as_dict(self) -> dict[str, float]:
        """Return the figures by name."""
        return asdict(self)


def measure(canonical: Tensor, synonyms: Tensor, label: Tensor) -> ClipFigures:
    """Return the figures of an encoder.

    Args:
        canonical: cosines of cells with the captions of all classes, (N, K, h, w).
        synonyms: likewise, in other words.
        label: what lies at each pixel, uint8 (N, H, W).
    """
    predicted, truth = [], []
    hits: list[Tensor] = []
    other_hits: list[Tensor] = []
    for start in range(0, len(label), 20):  # a few at a time: whole maps are large
        part = slice(start, start + 20)
        maps, others, labels = canonical[part], synonyms[part], label[part]
        upsampled = _upsample(maps, labels)
        on_object = labels < len(CLASSES)
        predicted.append(upsampled.argmax(dim=1)[on_object])
        truth.append(labels[on_object].long())
        hits.append(_hits(upsampled, labels))
        other_hits.append(_hits(_upsample(others, labels), labels))
    guess, fact = torch.cat(predicted), torch.cat(truth)
    present = presence_of(label)
    hit, other = torch.cat(hits), torch.cat(other_hits)
    unseen = torch.tensor([color in UNSEEN_COLORS for color, _ in CLASSES])
    return ClipFigures(
        color_accuracy=_mean(guess // len(SHAPES) == fact // len(SHAPES)),
        shape_accuracy=_mean(guess % len(SHAPES) == fact % len(SHAPES)),
        accuracy=_mean(guess == fact),
        hit=_mean(hit[present]),
        hit_seen=_mean(hit[present & ~unseen]),
        hit_unseen=_mean(hit[present & unseen]),
        hit_synonyms=_mean(other[present]),
        presence_auc=_auc(canonical.amax(dim=(2, 3)), present),
    )


def presence_of(label: Tensor) -> Tensor:
    """Return which classes can be seen in each scene, bool (N, K), for labels (N, H, W)."""
    flat = label.flatten(1).long()
    counts = torch.zeros(len(flat), 256).scatter_add_(1, flat, torch.ones(flat.shape))
    return counts[:, : len(CLASSES)] > 0


def fit_presence(cosine: Tensor, label: Tensor) -> tuple[float, float]:
    """Return scale and bias of the logistic curve that tells present from absent phrases, both kinds weighted alike.

    Newton's method on the weighted logistic loss, with a little ridge.

    Args:
        cosine: cosines of cells with the captions of all classes, (N, K, h, w).
        label: what lies at each pixel, uint8 (N, H, W).
    """
    present = presence_of(label).flatten()
    x = cosine.amax(dim=(2, 3)).flatten().double()
    y = present.double()
    weight = torch.where(present, 0.5 / present.double().mean(), 0.5 / (1.0 - present.double().mean()))
    inputs = torch.stack([x, torch.ones_like(x)], dim=1)
    theta = torch.zeros(2, dtype=torch.float64)
    for _ in range(_NEWTON_STEPS):
        p = torch.sigmoid(inputs @ theta)
        gradient = inputs.T @ (weight * (p - y)) / len(x) + 1e-4 * theta
        curvature = (inputs * (weight * p * (1 - p))[:, None]).T @ inputs / len(x) + 1e-4 * torch.eye(2)
        theta = theta - torch.linalg.solve(curvature, gradient)
    return float(theta[0]), float(theta[1])


def _upsample(maps: Tensor, label: Tensor) -> Tensor:
    """Return maps at the label's size; the holes of rings are out of the running, as they are for a policy's picks."""
    full = F.interpolate(maps, size=label.shape[-2:], mode="bilinear", align_corners=False)
    return full.masked_fill((label == IGNORED)[:, None], -2.0)


def _hits(maps: Tensor, label: Tensor) -> Tensor:
    """Return whether each map's highest pixel shows its own class, bool (N, K)."""
    best = maps.flatten(2).argmax(dim=2)
    found = label.flatten(1).long().gather(1, best)
    return found == torch.arange(len(CLASSES))


def _auc(score: Tensor, present: Tensor) -> float:
    """Return the probability that a present phrase scores above an absent one."""
    order = score.flatten().argsort()
    ranks = torch.empty(len(order), dtype=torch.float64)
    ranks[order] = torch.arange(1, len(order) + 1, dtype=torch.float64)
    yes = present.flatten()
    n, m = int(yes.sum()), int((~yes).sum())
    return float((ranks[yes].sum() - n * (n + 1) / 2) / max(1, n * m))


def _mean(values: Tensor) -> float:
    return float(values.double().mean()) if values.numel() else float("nan")
