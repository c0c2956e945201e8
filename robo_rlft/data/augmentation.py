"""Turning and shifting a picture and its action together, in the plane of the table (SE(2)).

Knows the records only. The picture from above turns as the table would, so the action's pixels move with their objects
and its rotation bin, which is relative to the object as it lies, stays. There is no mirroring: some shapes are chiral.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robo_rlft.records import Observation, PickPlace, TensorRecord

TABLE = 0.005  # metres; what is lower counts as the table when the colour of the surroundings is guessed


@dataclass(frozen=True, kw_only=True)
class Example(TensorRecord):
    """B observations with one action each."""

    observation: Observation
    action: PickPlace
    symmetry: Tensor  # int64 (B,), how many turns, equal parts of a whole one apart, come to the same

    def __len__(self) -> int:
        return len(self.symmetry)


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Rigid motions of the pixel grid: about its centre by `angle`, then by `shift`."""

    angle: Tensor  # float32 (...), radians, counter-clockwise about +z (columns turn towards rows)
    shift: Tensor  # float32 (..., 2), pixels (row, column)


def augment(
    example: Example,
    *,
    generator: torch.Generator,
    max_angle: float = math.pi,
    max_shift: float = 0.25,
    margin: int = 2,
) -> Example:
    """Move every example by a random rigid motion that keeps its pick and place on the grid.

    Args:
        example: observations (B,), actions (B,).
        generator: the only source of randomness; on the CPU.
        max_angle: radians; angles are uniform in [-max_angle, max_angle].
        max_shift: largest shift as a share of the grid's rows and columns.
        margin: pixels that pick and place keep from the border.
    """
    motion = sample_motion(
        example.action,
        example.observation.height.shape[-2:],
        generator=generator,
        max_angle=max_angle,
        max_shift=max_shift,
        margin=margin,
    )
    return move(example, motion)


def sample_motion(
    action: PickPlace,
    shape: torch.Size | tuple[int, int],
    *,
    generator: torch.Generator,
    max_angle: float,
    max_shift: float,
    margin: int,
    tries: int = 32,
) -> Motion:
    """Draw motions (B,) that keep the actions (B,) on a grid of `shape` (rows, columns).

    The first of `tries` draws that does is taken; where none does, the picture stays as it is.
    """
    batch = action.pick.shape[0]
    size = torch.tensor(tuple(shape), dtype=torch.float32)
    angle = (2.0 * torch.rand(batch, tries, generator=generator) - 1.0) * max_angle
    shift = (2.0 * torch.rand(batch, tries, 2, generator=generator) - 1.0) * max_shift * size
    angle[:, -1], shift[:, -1] = 0.0, 0.0
    motion = Motion(angle=angle, shift=shift)
    fits = torch.ones(batch, tries, dtype=torch.bool)
    for pixel in (action.pick, action.place):
        moved = move_pixels(pixel[:, None].cpu().float(), motion, shape)
        fits &= ((moved >= margin) & (moved <= size - 1 - margin)).all(dim=-1)
    fits[:, -1] = True
    choice = fits.int().argmax(dim=1)  # the first True
    rows = torch.arange(batch)
    return Motion(angle=angle[rows, choice], shift=shift[rows, choice])


def move_pixels(pixel: Tensor, motion: Motion, shape: torch.Size | tuple[int, int]) -> Tensor:
    """Return where pixels (..., 2) end, float (..., 2), before rounding."""
    center = (torch.tensor(tuple(shape), dtype=torch.float32, device=pixel.device) - 1.0) / 2.0
    offset = pixel - center
    cosine, sine = motion.angle.cos(), motion.angle.sin()
    row = sine * offset[..., 1] + cosine * offset[..., 0]
    column = cosine * offset[..., 1] - sine * offset[..., 0]
    return torch.stack([row, column], dim=-1) + center + motion.shift


def move(example: Example, motion: Motion) -> Example:
    """Move pictures (B,) and actions (B,) by motions (B,); what comes in from outside is bare table.

    Pixels are taken from their nearest source, so colours and heights stay exact.
    """
    observation, action = example.observation, example.action
    rows, columns = observation.height.shape[-2:]
    source, inside = _sources(motion, rows, columns)
    index = source.flatten(1)
    height = observation.height.flatten(1).gather(1, index).view_as(observation.height)
    color = observation.color.flatten(2).gather(2, index[:, None].expand(-1, 3, -1)).view_as(observation.color)
    background = _table_color(observation)[:, :, None, None]
    moved = replace(
        observation,
        color=torch.where(inside[:, None], color, background),
        height=torch.where(inside, height, torch.zeros_like(height)),
    )
    limit = torch.tensor([rows - 1, columns - 1])
    pixels = {}
    for name in ("pick", "place"):
        target = move_pixels(getattr(action, name).float(), motion, (rows, columns)).round().long()
        pixels[name] = torch.minimum(target.clamp(min=0), limit)
    return replace(example, observation=moved, action=replace(action, **pixels))


def _sources(motion: Motion, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return for each pixel of the moved picture the flat index of its source, and whether that lies on the grid."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    center = ((rows - 1) / 2.0, (columns - 1) / 2.0)
    shift = motion.shift[:, :, None, None]
    y, x = row - center[0] - shift[:, 0], column - center[1] - shift[:, 1]  # (B, H, W)
    cosine, sine = motion.angle.cos()[:, None, None], motion.angle.sin()[:, None, None]
    source_row = (cosine * y - sine * x + center[0]).round().long()
    source_column = (sine * y + cosine * x + center[1]).round().long()
    inside = (source_row >= 0) & (source_row < rows) & (source_column >= 0) & (source_column < columns)
    index = source_row.clamp(0, rows - 1) * columns + source_column.clamp(0, columns - 1)
    return index, inside


def _table_color(observation: Observation) -> Tensor:
    """Return the median colour uint8 (B, 3) of what lies at the table's height."""
    color = observation.color.flatten(2).float()
    low = (observation.height < TABLE).flatten(1)[:, None]
    median = torch.where(low, color, torch.full_like(color, math.nan)).nanmedian(dim=2).values
    return median.nan_to_num(128.0).to(torch.uint8)
