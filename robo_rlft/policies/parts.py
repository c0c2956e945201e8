"""What a transporter policy is made of, and the records that it works with.

Knows nothing of how they are put together. Axis letters: B scenes, D feature size, R rotations, H W rows and columns,
h w those of the dense features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from robo_rlft.models.fusion import Fused
from robo_rlft.records import TensorRecord


class Encoder(Protocol):
    """Image and text features in one space; `robo_rlft.models.clip.ClipEncoder` is one. A module that is `Recorded`."""

    dim: int
    frozen: bool

    def dense(self, color: Tensor, *, pixel_size: float | None = None) -> Tensor:
        """Return unit vectors (B, D, h, w) of uint8 (B, 3, H, W); the cells divide the image evenly."""

    def text(self, phrases: Sequence[str]) -> Tensor:
        """Return unit vectors (N, D)."""

    def presence(self, similarity: Tensor) -> Tensor:
        """Return probabilities that something is in the scene from its largest cosines there."""

    def freeze(self) -> None:
        """Stop gradients; what is encoded may be kept from now on."""


class Fusion(Protocol):
    """How words meet pictures, see `robo_rlft.models.fusion`. A module that is `Recorded`."""

    channels: int

    def connect(self, *, dim: int) -> None: ...

    def __call__(self, dense: Tensor, phrases: Tensor, sentence: Tensor, shape: tuple[int, int]) -> Fused: ...


class Stream(Protocol):
    """A trunk at half resolution, see `robo_rlft.models.streams`. A module that is `Recorded`."""

    width: int

    def connect(self, *, image: int, fused: int) -> None: ...

    def __call__(self, inputs: Tensor) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Encoded(TensorRecord):
    """What a policy needs of an observation; with a frozen encoder it is computed once per scene and kept."""

    image: Tensor  # (B, 1, H, W): height in units of 0.1 m; or (B, 4, H, W): red, green, blue in [0, 1], height
    dense: Tensor  # (B, D, h, w), unit vectors
    phrases: Tensor  # (B, 2, D): what to pick, where to place
    sentence: Tensor  # (B, D), the whole instruction
    mask: Tensor  # bool (B, H, W), where a pick is allowed
    confidence: Tensor  # (B,), [0, 1], that both things named are there


@dataclass(frozen=True, kw_only=True)
class PolicyMaps(TensorRecord):
    """What a policy thinks, for pictures."""

    pick: Tensor  # (..., H, W), probability
    place: Tensor  # (..., R, H, W), probability given `chosen`
    chosen: Tensor  # int64 (..., 2), the pick that the place map is for
    similarity: Tensor  # (..., 2, H, W), cosines of the pick phrase and of the place phrase
    confidence: Tensor  # (...), [0, 1]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one pass of the trunk gives."""

    features: Tensor  # (B, width, ceil(H / 2), ceil(W / 2))
    fused: Fused

    def __getitem__(self, rows: slice) -> Seen:
        fused = Fused(**{name: value[rows] for name, value in vars(self.fused).items()})
        return Seen(features=self.features[rows], fused=fused)
