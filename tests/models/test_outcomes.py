"""What judges see turns with the table, and every member judges for itself."""

from __future__ import annotations

import math

import torch

from robo_rlft.models.outcomes import MAPS, Judges, cosine_maps, outcome_maps, turned


def test_maps_are_cosines_of_both_pictures_and_heights_in_tenths_of_a_metre() -> None:
    first = torch.zeros(1, 2, 4, 2)
    first[:, 0] = 1.0
    last = first.flip(1)  # what was like the first phrase is like the second now
    phrases = torch.eye(2)[None]
    heights = torch.full((1, 2, 8, 4), 0.05)
    maps = outcome_maps(cosine_maps(first, last, phrases), heights)
    assert maps.shape == (1, MAPS, 8, 4)
    torch.testing.assert_close(maps.mean(dim=(0, 2, 3)), torch.tensor([1.0, 0.0, 0.0, 1.0, 0.5, 0.5]))


def spot(row: int, column: int) -> torch.Tensor:
    maps = torch.zeros(1, 1, 16, 8)
    maps[0, 0, row, column] = 1.0
    return maps


def where(maps: torch.Tensor) -> tuple[int, int]:
    index = int(maps.flatten().argmax())
    return index // 8, index % 8


def test_half_a_turn_and_a_shift_move_what_is_there() -> None:
    still, none = torch.zeros(1), torch.zeros(1, 2)
    torch.testing.assert_close(turned(spot(3, 2), still, none), spot(3, 2))
    assert where(turned(spot(3, 2), torch.tensor([math.pi]), none)) == (12, 5)
    # The grid says where a pixel comes from, so a shift of (2, 1) takes from two rows below and a column to the right.
    assert where(turned(spot(5, 4), still, torch.tensor([[2.0, 1.0]]))) == (3, 3)


def test_a_quarter_turn_keeps_distances_although_rows_and_columns_differ() -> None:
    # (7.5, 3.5) is the centre: the spot lies 3.5 rows off it, and 3.5 columns afterwards.
    row, column = where(turned(spot(11, 3), torch.tensor([math.pi / 2]), torch.zeros(1, 2)))
    assert row in (7, 8) and column in (0, 7)


def test_members_differ_and_each_judges_alone() -> None:
    torch.manual_seed(0)
    judges = Judges(members=3, width=4)
    maps = torch.randn(2, MAPS, 16, 8)
    with torch.no_grad():
        found = judges(maps)
    assert found.shape == (3, 2)
    assert len({round(float(value), 4) for value in found[:, 0]}) == 3
    torch.testing.assert_close(judges(maps[1:])[:, 0].detach(), found[:, 1])
