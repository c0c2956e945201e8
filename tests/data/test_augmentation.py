"""Moving pictures and actions together."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_rlft.data.augmentation import Example, Motion, augment, move
from robo_rlft.records import Observation, PickPlace

ROWS, COLUMNS = 32, 20
RED, BLUE, GRAY = (255, 0, 0), (0, 0, 255), (90, 100, 110)


def scene(pick: tuple[int, int], place: tuple[int, int]) -> Example:
    """A gray table with a red 3 x 3 block, 4 cm high, at `pick` and a blue 3 x 3 bowl, 2 cm high, at `place`."""
    color = torch.tensor(GRAY, dtype=torch.uint8)[:, None, None].repeat(1, ROWS, COLUMNS)
    height = torch.zeros(ROWS, COLUMNS)
    for (row, column), paint, top in ((place, BLUE, 0.02), (pick, RED, 0.04)):
        block = (slice(row - 1, row + 2), slice(column - 1, column + 2))
        color[:, block[0], block[1]] = torch.tensor(paint, dtype=torch.uint8)[:, None, None]
        height[block] = top
    return Example(
        observation=Observation(color=color[None], height=height[None], instruction=("put it there",)),
        action=PickPlace(pick=torch.tensor([pick]), place=torch.tensor([place]), rotation=torch.tensor([5])),
        symmetry=torch.tensor([1]),
    )


pixels = st.tuples(st.integers(3, ROWS - 4), st.integers(3, COLUMNS - 4))


@settings(max_examples=200, deadline=None)
@given(pick=pixels, place=pixels, seed=st.integers(0, 2**31))
def test_the_action_goes_with_the_objects_that_it_names(
    pick: tuple[int, int], place: tuple[int, int], seed: int
) -> None:
    if max(abs(pick[0] - place[0]), abs(pick[1] - place[1])) < 4:
        return  # one would hide the other
    moved = augment(scene(pick, place), generator=torch.Generator().manual_seed(seed))
    for pixel, paint, top in ((moved.action.pick, RED, 0.04), (moved.action.place, BLUE, 0.02)):
        row, column = pixel[0].tolist()
        assert 2 <= row < ROWS - 2
        assert 2 <= column < COLUMNS - 2
        assert tuple(moved.observation.color[0, :, row, column].tolist()) == paint
        assert moved.observation.height[0, row, column].item() == pytest.approx(top)
    assert moved.action.rotation.tolist() == [5]  # relative to the object, which turned too
    assert moved.observation.instruction == ("put it there",)


def motion(angle: float, row: float, column: float) -> Motion:
    return Motion(angle=torch.tensor([angle]), shift=torch.tensor([[row, column]]))


def test_a_shift_by_whole_pixels_copies_pixels_and_uncovers_bare_table() -> None:
    before = scene((10, 8), (20, 12))
    after = move(before, motion(0.0, 3.0, -2.0))
    assert after.action.pick.tolist() == [[13, 6]]
    assert after.action.place.tolist() == [[23, 10]]
    assert torch.equal(after.observation.color[:, :, 3:, :-2], before.observation.color[:, :, :-3, 2:])
    assert torch.equal(after.observation.height[:, 3:, :-2], before.observation.height[:, :-3, 2:])
    # The first three rows came in from outside: the table's own colour, height 0.
    assert after.observation.color[0, :, 0, 5].tolist() == list(GRAY)
    assert after.observation.height[0, :3].abs().max() == 0.0


def test_half_a_turn_flips_both_axes_exactly() -> None:
    before = scene((10, 8), (20, 12))
    after = move(before, motion(math.pi, 0.0, 0.0))
    assert torch.equal(after.observation.color, before.observation.color.flip(-1, -2))
    # About the centre (15.5, 9.5): row 10 goes to 31 - 10, column 8 to 19 - 8.
    assert after.action.pick.tolist() == [[21, 11]]


def test_positive_angles_turn_x_towards_y() -> None:
    # World x runs along columns and y along rows, so a quarter turn about +z takes "right of the centre" (+x) to
    # "below it" (+y): (15.5, 9.5 + 3.5) goes to (15.5 + 3.5, 9.5); rounding of .5 may go either way.
    after = move(scene((15, 13), (25, 10)), motion(math.pi / 2, 0.0, 0.0))
    row, column = after.action.pick[0].tolist()
    assert row == 19
    assert column in (9, 10)


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others() -> None:
    before = scene((10, 8), (20, 12))
    a, b, c = (augment(before, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(a.observation.color, b.observation.color)
    assert torch.equal(a.action.pick, b.action.pick)
    assert not torch.equal(a.observation.color, c.observation.color)


def test_a_picture_that_cannot_move_stays_as_it_is() -> None:
    # Pick and place in opposite corners leave no room with a margin of 4.
    before = scene((2, 2), (ROWS - 3, COLUMNS - 3))
    after = augment(before, generator=torch.Generator().manual_seed(0), margin=4)
    assert torch.equal(after.observation.color, before.observation.color)
    assert torch.equal(after.action.pick, before.action.pick)
