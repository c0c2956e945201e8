"""The spatial stream: a small convolutional trunk at half resolution.

Tensors in and out; knows nothing of language, actions or records. Axis letters: B batch, C channels, H W
full-resolution rows and columns, h w = ceil(H / 2), ceil(W / 2).
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

    def connect(self, *, channels: int) -> None:
        """Make the layers, once the number of input channels is known."""
        self.stem = nn.Conv2d(channels, self.width, 3, padding=1)  # type: ignore[assignment]  # replaces the placeholder
        self.blocks = nn.Sequential(*(ResidualBlock(width=self.width, dilation=d) for d in self.dilations))
        self.to(memory_format=torch.channels_last)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, channels, h, w) to features (B, width, h, w)."""
        features = self.blocks(self.stem(inputs.contiguous(memory_format=torch.channels_last)))
        return F.relu(features)


def pointwise(inputs: int, outputs: int, *, zero: bool = False) -> nn.Conv2d:
    """Return a 1 x 1 convolution; with `zero`, one whose output is 0 until it is trained."""
    layer = nn.Conv2d(inputs, outputs, 1)
    nn.init.normal_(layer.weight, std=0.0 if zero else 1.0 / math.sqrt(inputs))
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # biases are on
    return layer
