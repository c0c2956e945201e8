"""Heads of the transporter: a map for picking, and the correlation of a rotated crop for placing.

Tensors in and out; knows nothing of language or records. Axis letters: B batch, K picks of one scene, R rotations,
C channels, h w the half-resolution rows and columns of the features, 2h 2w the full-resolution ones. Pixels are (row,
column); rows run along y and columns along x of the world, so that counter-clockwise about +z turns +column to +row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robo_rlft.models.streams import pointwise

# oneDNN computes the weight gradient of larger float32 kernels by a reference loop, a hundred times slower.
LARGEST_DIRECT_KERNEL = 13

# A map must move by several units to outweigh a prior; a step of Adam moves this head as fast as a correlation so.
_MAP_GAIN = 4.0


class MapHead(nn.Module):
    """One number per full-resolution pixel; 0 everywhere until it is trained."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.hidden = pointwise(width, width)
        self.output = pointwise(width, 4, zero=True)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, width, h, w) to (B, 2h, 2w)."""
        return _MAP_GAIN * F.pixel_shuffle(self.output(F.relu(self.hidden(features), inplace=True)), 2)[:, 0]


@dataclass(frozen=True, kw_only=True)
class PlaceParts:
    """What the logits of placing are made of: keys correlated with queries, and a map that is added to all of them."""

    keys: Tensor  # (B, 4, C, h, w), the four phases of the full-resolution pixels
    queries: Tensor  # (B, K, R, C, k, k)
    bias: Tensor  # (B, 2h, 2w)


class PlaceHead(nn.Module):
    """Scores where, and how far turned, the surroundings of a pick fit best.

    Keys are a `channels`-dimensional feature per full-resolution pixel (four phases at half resolution); the query is
    a square crop of a feature map around the pick, turned by each rotation, and correlated with the keys. The key layer
    starts at zero and the query layer does not: an untrained head adds nothing, yet has a gradient.
    """

    def __init__(self, *, width: int, channels: int, cells: int, rotations: int) -> None:
        """Make the layers.

        Args:
            width: channels of the features.
            channels: channels of keys and query.
            cells: side of the crop in half-resolution cells; odd, so that the pick is its centre at every rotation.
            rotations: number of equal rotation bins of the whole turn.
        """
        super().__init__()
        if cells % 2 == 0 or rotations < 1:
            raise ValueError(f"a crop needs an odd side, and a turn at least one bin; got {cells} and {rotations}")
        self.channels, self.cells, self.rotations = channels, cells, rotations
        self.key = pointwise(width, 4 * channels, zero=True)
        self.query = pointwise(width, channels)
        self.bias = MapHead(width=width)

    def forward(self, features: Tensor, picks: Tensor, dtype: torch.dtype) -> Tensor:
        """Return logits (B, K, R, 2h, 2w), correlated in `dtype`.

        Args:
            features: (B, width, h, w).
            picks: int64 (B, K, 2), full-resolution pixels.
            dtype: type of the correlation's factors.
        """
        parts = self.parts(features, picks, dtype)
        batch, count, rotations = parts.queries.shape[:3]
        fits = correlate(parts.keys, parts.queries.flatten(1, 2))
        return fits.view(batch, count, rotations, *fits.shape[-2:]).to(features.dtype) + parts.bias[:, None, None]

    def parts(self, features: Tensor, picks: Tensor, dtype: torch.dtype) -> PlaceParts:
        """Return what `forward` correlates and adds, from the same arguments; keys and queries are of `dtype`."""
        crops = rotated_crops(self.query(features), picks, cells=self.cells, rotations=self.rotations)
        crops = crops / math.sqrt(self.channels * self.cells**2)
        batch, _, h, w = features.shape
        keys = self.key(features).view(batch, self.channels, 4, h, w).transpose(1, 2)
        return PlaceParts(keys=keys.to(dtype), queries=crops.to(dtype), bias=self.bias(features))


def rotated_crops(features: Tensor, picks: Tensor, *, cells: int, rotations: int) -> Tensor:
    """Return crops (B, K, R, C, cells, cells) of features (B, C, h, w) around picks (B, K, 2), turned by each rotation.

    In crop r the surroundings of the pick appear turned by 2 pi r / R counter-clockwise about +z in the world: the
    value at offset o = (x, y) from the centre is that of the scene at pick + R(-angle) o.
    """
    rows, columns = features.shape[-2:]
    kind = {"dtype": features.dtype, "device": features.device}
    offset = torch.arange(cells, **kind) - (cells - 1) / 2  # type: ignore[call-overload]
    dy, dx = torch.meshgrid(offset, offset, indexing="ij")
    angle = torch.arange(rotations, **kind)[:, None, None] * (2.0 * math.pi / rotations)  # type: ignore[call-overload]
    from_x = torch.cos(angle) * dx + torch.sin(angle) * dy  # (R, cells, cells)
    from_y = -torch.sin(angle) * dx + torch.cos(angle) * dy
    # The centre of full-resolution pixel i lies at (i + 0.5) / 2 from the border, in half-resolution cells.
    center = (picks.to(features.dtype) + 0.5)[..., None, None, None] / 2.0  # (B, K, 2, 1, 1, 1)
    x = (center[:, :, 1] + from_x) * (2.0 / columns) - 1.0  # grid_sample's units: -1 and 1 are the borders
    y = (center[:, :, 0] + from_y) * (2.0 / rows) - 1.0
    grid = torch.stack([x, y], dim=-1)  # (B, K, R, cells, cells, 2)
    flat = F.grid_sample(features, grid.flatten(1, 3), mode="bilinear", padding_mode="zeros", align_corners=False)
    batch, count = picks.shape[:2]
    return flat.view(batch, features.shape[1], count, rotations, cells, cells).movedim(1, 3)


def correlate(keys: Tensor, queries: Tensor) -> Tensor:
    """Correlate each scene's queries with its keys; the faster of two ways.

    Args:
        keys: (B, 4, C, h, w), the four phases of the full-resolution pixels.
        queries: (B, Q, C, k, k), k odd.

    Returns:
        (B, Q, 2h, 2w), in the type of the factors or in float32.
    """
    if directly(keys, queries.shape[-1]):
        return correlate_directly(keys, queries)
    return correlate_by_fft(keys, queries)


def directly(keys: Tensor, cells: int) -> bool:
    """Tell whether convolutions are the faster way for queries of so many cells a side."""
    return cells <= LARGEST_DIRECT_KERNEL or _large_kernels_are_fast(keys)


def _large_kernels_are_fast(keys: Tensor) -> bool:
    return keys.is_cuda or (keys.dtype is torch.bfloat16 and torch.cpu._is_amx_tile_supported())


def correlate_directly(keys: Tensor, queries: Tensor) -> Tensor:
    """Correlate as convolutions, a scene at a time: faster than one grouped convolution over the batch."""
    fits = [convolve(key, query) for key, query in zip(keys, queries, strict=True)]
    return _shuffle(torch.stack(fits).transpose(1, 2))


def convolve(key: Tensor, query: Tensor) -> Tensor:
    """Correlate one scene's queries (Q, C, k, k) with its keys (4, C, h, w): (4, Q, h, w), channels last in memory."""
    key, query = (factor.contiguous(memory_format=torch.channels_last) for factor in (key, query))
    return F.conv2d(key, query, padding=query.shape[-1] // 2)


def correlate_by_fft(keys: Tensor, queries: Tensor) -> Tensor:
    """Correlate by Fourier transforms; the cost hardly depends on the size of the queries."""
    h, w = keys.shape[-2:]
    k = queries.shape[-1]
    size = h + k - 1, w + k - 1  # enough zeros that nothing wraps around
    kind = torch.promote_types(keys.dtype, torch.float32)
    key = torch.fft.rfft2(keys.to(kind), s=size)
    query = torch.fft.rfft2(queries.to(kind), s=size).conj()
    fits = torch.fft.irfft2(torch.einsum("bpcxy,bqcxy->bqpxy", key, query), s=size)
    fits = torch.roll(fits, (k // 2, k // 2), (-2, -1))[..., :h, :w]  # offset 0 to the query's centre
    return _shuffle(fits)


def _shuffle(fits: Tensor) -> Tensor:
    """Interleave four phases: (B, Q, 4, h, w) to (B, Q, 2h, 2w)."""
    batch, count, _, h, w = fits.shape
    return fits.view(batch, count, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(batch, count, 2 * h, 2 * w)
