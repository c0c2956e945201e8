"""Outlines, the blocks that have them, and the fixtures that hold those."""

from __future__ import annotations

import math

import pytest

from robo_rlft.geometry import rotate_xy
from robo_rlft.records import Part
from robo_rlft.tasks.objects import FOOTPRINT_RADIUS, make_fixture, make_object
from robo_rlft.tasks.outlines import CLEARANCE, FLOOR_HEIGHT, OUTLINES, WALL_HEIGHT, WALL_THICKNESS, Outline

STEP = 0.001  # metres


def under(parts: tuple[Part, ...], point: tuple[float, float]) -> list[float]:
    """Return the tops of the parts that cover a point; these parts lie along the axes."""
    return [
        part.center[2] + part.size[2] / 2
        for part in parts
        if all(abs(point[axis] - part.center[axis]) <= part.size[axis] / 2 + 1e-9 for axis in (0, 1))
    ]


def grid(outline: Outline) -> list[tuple[float, float]]:
    """Return points all over an outline's fixture, off its sides by a fraction of a step."""
    reach = max(abs(value) for corner in outline.corners for value in corner) + CLEARANCE + WALL_THICKNESS
    ticks = [-reach - 0.0037 + STEP * 3 * i for i in range(int(2 * reach / STEP / 3) + 3)]
    return [(x, y) for x in ticks for y in ticks]


@pytest.mark.parametrize("shape", OUTLINES)
def test_a_fixture_is_floor_within_the_room_around_its_block_walls_around_that_and_nothing_beyond(shape: str) -> None:
    outline, parts = OUTLINES[shape], make_fixture("red", holds=shape).parts
    for point in grid(outline):
        tops = under(parts, point)
        if outline.covers(point, margin=CLEARANCE):
            assert max(tops) == pytest.approx(FLOOR_HEIGHT), point
        elif outline.covers(point, margin=CLEARANCE + WALL_THICKNESS):
            assert max(tops) == pytest.approx(WALL_HEIGHT), point
        else:
            assert tops == [], point


@pytest.mark.parametrize("shape", OUTLINES)
def test_a_blocks_boxes_cover_its_outline_once(shape: str) -> None:
    outline, parts = OUTLINES[shape], make_object(shape, "red").parts
    for point in grid(outline):
        assert under(parts, point) == ([pytest.approx(outline.height)] if outline.covers(point) else []), point


@pytest.mark.parametrize("shape", OUTLINES)
def test_turns_that_look_alike_are_those_that_map_an_outline_onto_itself(shape: str) -> None:
    outline = OUTLINES[shape]
    corners = {(round(x, 6), round(y, 6)) for x, y in outline.corners}
    same = []
    for quarter in range(4):
        turned = (rotate_xy(corner, quarter * math.pi / 2) for corner in outline.corners)
        same.append({(round(x, 6), round(y, 6)) for x, y in turned} == corners)
    assert same == [quarter * outline.symmetry % 4 == 0 for quarter in range(4)]


@pytest.mark.parametrize(("shape", "off"), [("elbow", 0.0044), ("block", 0.0044), ("bar", 0.003)])
def test_a_cup_seals_where_a_block_is_picked_even_some_of_a_pixel_off(shape: str, off: float) -> None:
    # The coarse grid, 6.25 mm, moves a pick by 3.1 mm in x and y, 4.4 mm in all, at most. A bar is 3 cm wide, so 3 mm
    # are left beside a lip of 12 mm radius: the worst roundings of 1 pick in 200 are farther across it.
    outline = OUTLINES[shape]
    (x, y), reach = outline.pick, 0.012 + off - 1e-9
    around = [2 * math.pi * i / 72 for i in range(72)]
    assert all(outline.covers((x + reach * math.cos(a), y + reach * math.sin(a))) for a in around)


def test_footprints_hold_all_of_the_elbow_and_of_its_fixture() -> None:
    # The elbow's ends are 9 cm apart in x and y: sqrt(2) 4.5 cm. Its fixture reaches 1 + 1 cm farther: sqrt(2) 6.5 cm.
    assert FOOTPRINT_RADIUS["elbow"] == pytest.approx(0.045 * math.sqrt(2))
    assert FOOTPRINT_RADIUS["fixture"] == pytest.approx(0.065 * math.sqrt(2))


def test_a_shape_without_a_fixture_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="no fixture holds a 'puck'; choose one of elbow, bar, block"):
        make_fixture("red", holds="puck")
