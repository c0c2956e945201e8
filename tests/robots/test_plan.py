"""Plans: what is going to happen, in metres, in words and in a camera's picture."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from robo_rlft.driver import View
from robo_rlft.geometry import Workspace
from robo_rlft.perception import fuse
from robo_rlft.robots.plan import PlannedPixels, describe, make_plan, project, turn_in_words
from robo_rlft.robots.primitives import APPROACH_HEIGHT, TRAVEL_HEIGHT, PickAndPlace

WORKSPACE = Workspace()
PIXELS = PlannedPixels(pick=(40, 20), place=(120, 60), rotation=3, rotations=12)


def heights() -> npt.NDArray[np.float32]:
    """A block 4 cm high at the pick, a plate 1 cm high at the place."""
    height = np.zeros(WORKSPACE.shape, dtype=np.float32)
    height[38:43, 18:23] = 0.04
    height[115:126, 55:66] = 0.01
    return height


def plan_of(pixels: PlannedPixels = PIXELS) -> object:
    return make_plan(pixels, sentence="put a on b", height=heights(), workspace=WORKSPACE, primitive=PickAndPlace())


def camera(eye: tuple[float, float, float], color: npt.NDArray[np.uint8], depth: float) -> View:
    """A camera that looks straight down, its picture's upper edge towards +x."""
    world = np.eye(4)
    world[:3, :3] = [[0, -1, 0], [-1, 0, 0], [0, 0, -1]]
    world[:3, 3] = eye
    rows, columns = color.shape[:2]
    intrinsics = np.array([[100.0, 0, columns / 2], [0, 100.0, rows / 2], [0, 0, 1]])
    depths = np.full((rows, columns), depth, dtype=np.float32)
    return View(color=color, depth=depths, intrinsics=intrinsics, world_from_camera=world, stamp=0.0)


def test_a_plan_is_in_metres_and_names_the_surfaces_that_were_seen() -> None:
    plan = make_plan(PIXELS, sentence="put a on b", height=heights(), workspace=WORKSPACE, primitive=PickAndPlace())
    # Pixel (40, 20): x = 0.25 + 20.5 * 0.00625, y = -0.5 + 40.5 * 0.00625.
    assert plan.pick == pytest.approx((0.378125, -0.246875))
    assert plan.pick_height == pytest.approx(0.04) and plan.place_height == pytest.approx(0.01)
    assert plan.turn == pytest.approx(math.pi / 2)


def test_the_way_goes_up_over_and_down() -> None:
    plan = make_plan(PIXELS, sentence="put a on b", height=heights(), workspace=WORKSPACE, primitive=PickAndPlace())
    heights_by_name = {point.name: point.position[2] for point in plan.waypoints}
    assert heights_by_name["approach"] == heights_by_name["lift"] == heights_by_name["travel"] == TRAVEL_HEIGHT
    assert heights_by_name["slow down"] == pytest.approx(0.04 + APPROACH_HEIGHT)
    assert heights_by_name["place"] == pytest.approx(0.05)  # a thing 4 cm high on a plate of 1 cm
    assert [point.position[:2] for point in plan.waypoints[:4]] == [plan.pick] * 4


@pytest.mark.parametrize(
    "pixels",
    [
        PlannedPixels(pick=(160, 0), place=(0, 0)),
        PlannedPixels(pick=(0, 0), place=(0, -1)),
        PlannedPixels(pick=(0, 0), place=(0, 0), rotation=4, rotations=4),
    ],
)
def test_what_is_not_on_the_grid_is_refused(pixels: PlannedPixels) -> None:
    with pytest.raises(ValueError, match="expected"):
        plan_of(pixels)


def test_words_give_metres_degrees_and_speeds() -> None:
    plan = make_plan(PIXELS, sentence="put a on b", height=heights(), workspace=WORKSPACE, primitive=PickAndPlace())
    text = "\n".join(describe(plan))
    assert "x 0.378 m, y -0.247 m" in text and "0.040 m above the table" in text
    assert "90 degrees counter-clockwise" in text and "m/s" in text


def test_turns_are_told_the_short_way_round() -> None:
    assert turn_in_words(0.0) == "not turned"
    assert "90 degrees clockwise" in turn_in_words(-math.pi / 2)
    late = make_plan(
        PlannedPixels(pick=(40, 20), place=(120, 60), rotation=9, rotations=12),
        sentence="put a on b",
        height=heights(),
        workspace=WORKSPACE,
        primitive=PickAndPlace(),
    )
    assert late.turn == pytest.approx(-math.pi / 2)  # 270 degrees one way are 90 the other


def test_a_point_lands_in_the_pixel_from_which_perception_takes_it() -> None:
    color = np.zeros((60, 120, 3), dtype=np.uint8)
    color[17, 33] = (255, 0, 0)
    view = camera((0.5, 0.0, 1.0), color, depth=1.0)
    seen, _ = fuse((view,), Workspace(pixel_size=0.0125))
    row, column = np.argwhere(seen[..., 0] == 255)[0]
    x, y = Workspace(pixel_size=0.0125).pixel_to_xy((row, column))
    ((u, v),) = project(view, [(float(x), float(y), 0.0)])
    assert (u, v) == pytest.approx((33.5, 17.5), abs=0.75)  # a pixel of the grid is 1.25 of the camera's


def test_a_higher_point_lies_farther_from_the_picture_s_middle() -> None:
    view = camera((0.5, 0.0, 1.0), np.zeros((60, 120, 3), dtype=np.uint8), depth=1.0)
    (low, high) = project(view, [(0.6, 0.2, 0.0), (0.6, 0.2, 0.5)])
    # 0.1 m ahead and 0.2 m to the left of the axis: 100 px/m at 1 m below the camera, 200 px/m at 0.5 m.
    assert low == pytest.approx((60 - 20, 30 - 10)) and high == pytest.approx((60 - 40, 30 - 20))


def test_what_is_behind_the_camera_has_no_place_in_its_picture() -> None:
    view = camera((0.5, 0.0, 1.0), np.zeros((60, 120, 3), dtype=np.uint8), depth=1.0)
    assert np.isnan(project(view, [(0.5, 0.0, 1.5)])).all()
