"""A read-out of frozen features without a trunk: what few demonstrations can do by re-weighting what CLIP sees.

Knows nothing of robots, tasks or learning.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from robo_rlft.geometry import Workspace
from robo_rlft.models.streams import PixelStream, pointwise
from robo_rlft.policies.parts import Encoder, Fusion
from robo_rlft.policies.transporter import TransporterPolicy

_MAP_GAIN = 32.0  # its few weights must move as far as a whole trunk's would in as many steps of the same size


class LinearProbePolicy(TransporterPolicy):
    """Scores actions by one 1 x 1 convolution over half-resolution pixels each for picking and for placing.

    Its inputs are the phrases' similarity maps and heights. It starts as the zero-shot policy, the fusion's
    prior, and adapts a few hundred numbers.

    How far to turn is no property of a pixel: no read-out of single pixels can tell it. The correlation of
    `TransporterPolicy` stays for that, with nothing learnt before it: query and keys are 1 x 1 convolutions of the same
    inputs. With `crop_size=0` a single cell is correlated, which looks alike however it is turned: then all turns are
    equally likely, and a greedy decision does not turn.

    Args:
        encoder: image and text features.
        fusion: how the two meet.
        workspace: the grid of pixels.
        rotations: R, bins of the whole turn.
        picture: as in `TransporterPolicy`.
        crop_size: side of the square around a pick that is correlated, metres.
        place_channels: channels of that correlation.
        height_mask: picks are allowed where the height map is above this, metres; anywhere if it is nowhere.
        precision: of the correlation, as in `TransporterPolicy`.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        fusion: Fusion,
        workspace: Workspace,
        rotations: int = 36,
        picture: str = "height",
        crop_size: float = 0.15,
        place_channels: int = 8,
        height_mask: float = 0.005,
        precision: str = "auto",
    ) -> None:
        stream = PixelStream()
        super().__init__(
            encoder=encoder,
            fusion=fusion,
            stream=stream,
            workspace=workspace,
            rotations=rotations,
            picture=picture,
            crop_size=crop_size,
            place_channels=place_channels,
            height_mask=height_mask,
            precision=precision,
        )
        self.pick_head = LinearMap(width=stream.width)  # type: ignore[assignment]  # in place of one with a hidden layer
        self.place_head.bias = LinearMap(width=stream.width)  # type: ignore[assignment]


class LinearMap(nn.Module):
    """One number per full-resolution pixel, linear in the features; 0 everywhere until it is trained."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.output = pointwise(width, 4, zero=True)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, width, h, w) to (B, 2h, 2w)."""
        return _MAP_GAIN * F.pixel_shuffle(self.output(features), 2)[:, 0]
