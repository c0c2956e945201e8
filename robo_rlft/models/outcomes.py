"""What came of an attempt, judged from its first and its last picture: maps in, one number a member out.

Tensors in and out; knows nothing of sentences, comparisons or records. Axis letters: B attempts at sentences, M
members, D feature size, H W rows and columns, h w those of the dense features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robo_rlft.models.fusion import similarity, upsample
from robo_rlft.models.spec import Recorded
from robo_rlft.models.streams import ResidualBlock, space_to_depth

HEIGHT_SCALE = 0.1  # metres; heights of a table scene become of order 1
MAPS = 6  # at full resolution: of each picture the cosines with both phrases, and the height


def cosine_maps(first: Tensor, last: Tensor, phrases: Tensor) -> Tensor:
    """Return the cosines of both phrases in the first picture, then in the last, (B, 4, h, w).

    Args:
        first: (B, D, h, w), the dense features of the picture before the first action.
        last: (B, D, h, w), of the one after the last.
        phrases: (B, 2, D), what to pick and where to place it.
    """
    return torch.cat([similarity(first, phrases), similarity(last, phrases)], dim=1)


def outcome_maps(cosines: Tensor, heights: Tensor) -> Tensor:
    """Return what a judge sees, (B, MAPS, H, W).

    Colours reach it through the cosines alone, so that what it learns in some colours holds in others.

    Args:
        cosines: (B, 4, h, w), of `cosine_maps`.
        heights: (B, 2, H, W), metres, of both pictures.
    """
    shape = (heights.shape[-2], heights.shape[-1])
    return torch.cat([upsample(cosines, shape), heights / HEIGHT_SCALE], dim=1)


def turned(maps: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    """Return maps (B, C, H, W) turned by angles (B,), radians, and shifted by pixels (B, 2), row and column.

    What comes in from outside is as the border is.
    """
    rows, columns = maps.shape[-2:]
    cosine, sine = angle.cos(), angle.sin()
    # affine_grid's x and y run from -1 to 1 over columns and rows, which differ in number.
    ratio = rows / columns
    x = torch.stack([cosine, -sine * ratio, 2.0 * shift[:, 1] / columns], dim=1)
    y = torch.stack([sine / ratio, cosine, 2.0 * shift[:, 0] / rows], dim=1)
    grid = F.affine_grid(torch.stack([x, y], dim=1), list(maps.shape), align_corners=False)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)


class Judges(Recorded, nn.Module):
    """An ensemble of small convolutional networks that differ by their initial weights alone.

    Args:
        members: M.
        width: channels of each.
    """

    def __init__(self, *, members: int = 5, width: int = 16) -> None:
        super().__init__()
        if members < 1:
            raise ValueError(f"expected at least one member, got {members}")
        self.members = nn.ModuleList(Judge(width, maps=MAPS) for _ in range(members))

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, MAPS, H, W) to (M, B)."""
        folded = space_to_depth(maps).contiguous(memory_format=torch.channels_last)
        return torch.stack([member(folded) for member in self.members])


class Judge(nn.Module):
    """A small convolutional network from maps, folded to half resolution, to one number."""

    def __init__(self, width: int, *, maps: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4 * maps, width, 3, padding=1)
        self.near = ResidualBlock(width=width, dilation=1)
        self.down = nn.Conv2d(width, 2 * width, 3, padding=1, stride=2)
        self.far = ResidualBlock(width=2 * width, dilation=2)
        self.read = nn.Sequential(nn.Linear(4 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, 1))
        self.to(memory_format=torch.channels_last)

    def forward(self, folded: Tensor) -> Tensor:
        """Map (B, 4 maps, ceil(H / 2), ceil(W / 2)) to (B,)."""
        features = F.relu(self.far(F.relu(self.down(F.relu(self.near(self.stem(folded)))))))
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        value: Tensor = self.read(pooled)
        return value[:, 0]
