"""How words meet pictures: dense image features and text features become maps and channels.

Tensors in and out; knows nothing of records, sentences or actions. Axis letters: B batch, D feature size, P phrases,
C channels, H W full-resolution rows and columns, h w those of the dense features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robo_rlft.models.spec import Recorded

WORDS = ("phrases", "sentence")


@dataclass(frozen=True, kw_only=True)
class Fused:
    """What a fusion gives to the stream and to the heads."""

    channels: Tensor  # (B, C, ceil(H / 2), ceil(W / 2)), further inputs of the stream
    pick: Tensor  # (B, H, W), added to the pick logits
    place: Tensor  # (B, H, W), added to the place logits


def similarity(dense: Tensor, phrases: Tensor) -> Tensor:
    """Return cosines (B, P, h, w) of unit-norm features (B, D, h, w) and (B, P, D)."""
    return torch.einsum("bdhw,bpd->bphw", dense, phrases)


def upsample(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """Interpolate maps (B, C, h, w) bilinearly to (B, C, *shape); the cells divide the image evenly, centres align."""
    return F.interpolate(maps, size=shape, mode="bilinear", align_corners=False)


def halve(maps: Tensor) -> Tensor:
    """Average 2 x 2 pixels: (B, C, H, W) to (B, C, ceil(H / 2), ceil(W / 2))."""
    return F.avg_pool2d(maps, 2, ceil_mode=True)


class SimilarityFusion(Recorded, nn.Module):
    """Cosine maps of the two noun phrases, as input channels and as a prior on the logits.

    The first phrase names what to pick and is the prior of picking; the second names where to place. What is learnt on
    top sees where a phrase is, not which words it had: so it carries over to words that it never saw.
    """

    channels = 2

    def __init__(self, *, prior_scale: float = 12.0) -> None:
        super().__init__()
        self.prior_scale = prior_scale

    def connect(self, *, dim: int) -> None:
        """Make the layers, once the encoder's feature size is known: there are none."""

    def forward(self, dense: Tensor, phrases: Tensor, sentence: Tensor, shape: tuple[int, int]) -> Fused:
        """Fuse (B, D, h, w) with (B, 2, D); the sentence (B, D) is not read."""
        maps = upsample(similarity(dense, phrases), shape)
        prior = self.prior_scale * maps
        return Fused(channels=halve(maps), pick=prior[:, 0], place=prior[:, 1])


class TiledFusion(Recorded, nn.Module):
    """No fusion yet: the dense features and the words' features, tiled, as channels for a stream that multiplies them.

    `robo_rlft.models.streams.TwoStream` is such a stream, CLIPort's way. There is no prior.

    Args:
        words: "phrases" gives the features of what to pick and of where to place, which is what `SimilarityFusion`
            reads; "sentence" gives the whole instruction's twice, as CLIPort reads it. An encoder that learned from
            captions of single objects makes little of a sentence.
    """

    def __init__(self, *, words: str = "phrases") -> None:
        super().__init__()
        if words not in WORDS:
            raise ValueError(f"words is one of {', '.join(WORDS)}; got {words!r}")
        self.words = words
        self.channels = 0

    def connect(self, *, dim: int) -> None:
        """Learn the encoder's feature size: D channels of the picture, and twice D of words."""
        self.channels = 3 * dim

    def forward(self, dense: Tensor, phrases: Tensor, sentence: Tensor, shape: tuple[int, int]) -> Fused:
        """Put (B, D, h, w) beside (B, 2, D), or beside the sentence (B, D)."""
        half = (shape[0] + 1) // 2, (shape[1] + 1) // 2
        words = phrases if self.words == "phrases" else sentence[:, None].expand_as(phrases)
        tiled = words.flatten(1)[:, :, None, None].expand(-1, -1, *half)
        nothing = dense.new_zeros(len(dense), *shape)
        return Fused(channels=torch.cat([upsample(dense, half), tiled], dim=1), pick=nothing, place=nothing)
