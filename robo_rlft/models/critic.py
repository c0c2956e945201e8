"""A critic: what an episode is still worth, from what a frozen encoder gives; maps in, one number out.

Tensors in and out; knows nothing of sentences, rewards or records. Axis letters: B scenes, D feature size, H W rows
and columns, h w those of the dense features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robo_rlft.models.fusion import similarity, upsample
from robo_rlft.models.outcomes import Judge
from robo_rlft.models.streams import space_to_depth

MAPS = 3  # at full resolution: the cosines with both phrases, and the height


def critic_maps(dense: Tensor, phrases: Tensor, height: Tensor) -> Tensor:
    """Return what a critic sees, (B, MAPS, H, W).

    Colours reach it through the cosines alone, as they reach the policy.

    Args:
        dense: (B, D, h, w), unit vectors.
        phrases: (B, 2, D), what to pick and where to place it.
        height: (B, H, W), in units of 0.1 m.
    """
    shape = (height.shape[-2], height.shape[-1])
    return torch.cat([upsample(similarity(dense, phrases), shape), height[:, None]], dim=1)


class Critic(nn.Module):
    """A small convolutional network of its own, in float32; it says 0 until it is trained.

    Args:
        width: channels.
    """

    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        self.judge = Judge(width, maps=MAPS)
        for parameter in self.judge.read[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, MAPS, H, W) to values (B,)."""
        folded = space_to_depth(maps).contiguous(memory_format=torch.channels_last)
        value: Tensor = self.judge(folded)
        return value
