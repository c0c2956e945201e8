"""Streams: small convolutional trunks at half resolution.

Tensors in and out; knows nothing of sentences, actions or records. Axis letters: B batch, C channels, D the encoder's
feature size, H W full-resolution rows and columns, h w = ceil(H / 2), ceil(W / 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robo_rlft.models.precision import resolve_precision
from robo_rlft.models.spec import Recorded

_resolve = lru_cache(resolve_precision)  # it asks the operating system, and is needed in every pass


def compute_dtype(precision: str, parameter: Tensor) -> torch.dtype:
    """Return the type in which convolutions run; parameters that are not float32 keep theirs: float64 stays exact."""
    dtype = _resolve(precision, parameter.device)
    return dtype if parameter.dtype is torch.float32 else parameter.dtype


def space_to_depth(image: Tensor) -> Tensor:
    """Fold 2 x 2 pixels into channels, (B, C, H, W) to (B, 4 C, h, w); odd sizes get zeros below and at the right."""
    rows, columns = image.shape[-2:]
    return F.pixel_unshuffle(F.pad(image, (0, columns % 2, 0, rows % 2)), 2)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input is added."""

    def __init__(self, *, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.zeros_(self.first.bias)  # type: ignore[arg-type]  # biases are on
        nn.init.kaiming_normal_(self.second.weight, nonlinearity="relu")
        with torch.no_grad():
            self.second.weight.mul_(0.5)  # sums of blocks stay of order 1 without normalisation
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        hidden: Tensor = self.second(F.relu(self.first(F.relu(features))))
        return features + hidden


class ConvStream(Recorded, nn.Module):
    """A stem and residual blocks of 3 x 3 convolutions, without normalisation over the batch and without dropout.

    What it computes for one scene does not depend on the others in the batch, and is the same in training and in
    evaluation, as exact probability ratios need.
    """

    def __init__(self, *, width: int = 32, dilations: Sequence[int] = (1, 2, 4, 1, 2, 4)) -> None:
        super().__init__()
        self.width = width
        self.dilations = tuple(dilations)
        self.stem = nn.Identity()
        self.blocks = nn.Sequential()

    def connect(self, *, image: int, fused: int) -> None:
        """Make the layers, once the numbers of input channels are known: of the image, and after it of the fusion."""
        self.stem = nn.Conv2d(image + fused, self.width, 3, padding=1)  # type: ignore[assignment]  # replaces the placeholder
        self.blocks = nn.Sequential(*(ResidualBlock(width=self.width, dilation=d) for d in self.dilations))
        self.to(memory_format=torch.channels_last)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, channels, h, w) to features (B, width, h, w)."""
        features = self.blocks(self.stem(inputs.contiguous(memory_format=torch.channels_last)))
        return F.relu(features)


class PixelStream(Recorded, nn.Module):
    """No trunk: the inputs as they are, each pixel for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 0

    def connect(self, *, image: int, fused: int) -> None:
        """Learn the number of input channels; there are no layers."""
        self.width = image + fused

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs (B, channels, h, w)."""
        return inputs


class TwoStream(Recorded, nn.Module):
    """CLIPort's networks in small: a semantic and a spatial stream each for the pick, the query and the key.

    Shridhar et al. 2021, "CLIPort: what and where pathways for robotic manipulation": a spatial stream sees the
    picture (colours and heights with `picture=rgbd`, as there); a semantic stream starts from frozen CLIP features, and
    at each of its levels is multiplied by a projection of the words' features and takes in the spatial stream's
    features of that level (lateral connections).
    The pick, the query around it and the keys of placing have a pair of streams each, which share nothing.

    What differs: everything is at half resolution, as in `ConvStream`, three levels deep and without normalisation over
    the batch; the semantic stream sees the product of picture and words in CLIP's own space beside the picture's
    features; the outputs are put side by side and the policy's heads, 1 x 1 convolutions, read all of them. It is at
    least as able as CLIPort's read-out, in which each head sees its own pair of streams only.

    Args:
        width: channels of each stream.
        dilations: one level for each, in both streams.
    """

    def __init__(self, *, width: int = 16, dilations: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        self.stream_width = width
        self.dilations = tuple(dilations)
        self.width = 3 * width
        self.image = self.dim = 0
        self.networks = nn.ModuleList()

    def connect(self, *, image: int, fused: int) -> None:
        """Make the layers, once the numbers of input channels are known.

        Raises:
            ValueError: for inputs that are not those of `robo_rlft.models.fusion.TiledFusion`.
        """
        self.image, (self.dim, rest) = image, divmod(fused, 3)
        if self.dim < 1 or rest:
            raise ValueError(
                f"TwoStream reads three times as many channels from the fusion as the encoder's features have, got "
                f"{fused} in all: choose fusion._target_=robo_rlft.models.fusion.TiledFusion"
            )
        for _ in range(3):
            pair = _StreamPair(image=image, dim=self.dim, width=self.stream_width, dilations=self.dilations)
            self.networks.append(pair)
        self.to(memory_format=torch.channels_last)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, image + 3 D, h, w) to features (B, 3 * width, h, w): of the pick, the query and the key.

        The pick and the query, which are about what is taken, read the first D of words; the key reads the second.
        """
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        image, dense, tiled = torch.split(inputs, [self.image, self.dim, 2 * self.dim], dim=1)
        taken, target = tiled[:, :, 0, 0].chunk(2, dim=1)
        pick, query, key = self.networks
        return torch.cat([pick(image, dense, taken), query(image, dense, taken), key(image, dense, target)], dim=1)


class _StreamPair(nn.Module):
    """A semantic and a spatial stream with lateral connections from the second to the first."""

    def __init__(self, *, image: int, dim: int, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.scale = math.sqrt(dim)  # entries of unit vectors are about 1 / sqrt(D) in size
        self.spatial_stem = nn.Conv2d(image, width, 3, padding=1)
        self.semantic_stem = pointwise(2 * dim, width)
        self.spatial = nn.ModuleList(ResidualBlock(width=width, dilation=d) for d in dilations)
        self.semantic = nn.ModuleList(ResidualBlock(width=width, dilation=d) for d in dilations)
        self.words = nn.ModuleList(nn.Linear(dim, width) for _ in dilations)
        self.lateral = nn.ModuleList(pointwise(2 * width, width) for _ in dilations)

    def forward(self, image: Tensor, dense: Tensor, words: Tensor) -> Tensor:
        """Map (B, image, h, w), (B, D, h, w) and words (B, D) to (B, width, h, w)."""
        words, dense = words * self.scale, dense * self.scale
        spatial = self.spatial_stem(image)
        semantic = self.semantic_stem(torch.cat([dense, dense * words[:, :, None, None]], dim=1))
        for deeper, level, project, join in zip(self.spatial, self.semantic, self.words, self.lateral, strict=True):
            spatial = deeper(spatial)
            semantic = level(semantic * project(words)[:, :, None, None])
            semantic = join(torch.cat([semantic, spatial], dim=1))
        return F.relu(semantic)


def pointwise(inputs: int, outputs: int, *, zero: bool = False) -> nn.Conv2d:
    """Return a 1 x 1 convolution; with `zero`, one whose output is 0 until it is trained."""
    layer = nn.Conv2d(inputs, outputs, 1)
    nn.init.normal_(layer.weight, std=0.0 if zero else 1.0 / math.sqrt(inputs))
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # biases are on
    return layer
