from dataclasses import replace

import numpy as np
import pytest

from robo_rlft.commands.errors import is_user_error
from robo_rlft.driver import DriverError, Pose, View
from robo_rlft.geometry import Workspace
from robo_rlft.perception import fuse
from robo_rlft.sim.camera import TopDownCamera
from robo_rlft.sim.world import World
from robo_rlft.tasks.objects import make_object


def flat_view(depth: float = 1.0) -> View:
    """A camera 1 m above the table's middle that sees all of the workspace, 200 x 200 pixels."""
    return View(
        color=np.full((200, 200, 3), 7, dtype=np.uint8),
        depth=np.full((200, 200), depth, dtype=np.float32),
        intrinsics=np.array([[190.0, 0, 100], [0, 190.0, 100], [0, 0, 1]]),
        world_from_camera=np.array([[1.0, 0, 0, 0.5], [0, -1, 0, 0], [0, 0, -1, 1.0], [0, 0, 0, 1]]),
        stamp=0.0,
    )


@pytest.mark.parametrize("pixel_size", [0.00625, 0.003125])
def test_heights_and_colours_of_a_rendered_block_are_exact(pixel_size: float) -> None:
    workspace = Workspace(pixel_size=pixel_size)
    world = World()
    world.build([make_object("block", "red")], [Pose(position=(0.4, 0.2, 0.0))])
    color, height = fuse([TopDownCamera(workspace=workspace).view(world)], workspace)
    world.close()
    row, column = workspace.xy_to_pixel([0.4, 0.2])
    assert height[row, column] == pytest.approx(0.04, abs=2e-4)
    assert np.abs(color[row, column].astype(int) - (210, 40, 40)).max() <= 2
    area = np.count_nonzero(height > 0.02) * pixel_size**2  # the block's top is 4 cm x 4 cm = 16 cm^2
    assert area == pytest.approx(16e-4, rel=0.2)


def test_holes_between_points_take_their_neighbours_values() -> None:
    color, height = fuse([flat_view(0.9)], Workspace(pixel_size=0.003125))  # more cells than points: 1 m / 190 a point
    assert np.allclose(height, 0.1, atol=1e-6)
    assert (color == 7).all()


def test_the_highest_of_several_points_counts() -> None:
    low, high = flat_view(1.0), flat_view(0.95)
    assert np.allclose(fuse([high, low], Workspace())[1], 0.05, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_depth_that_is_not_finite_is_refused(bad: float) -> None:
    view = flat_view()
    view.depth[3, 4] = bad
    with pytest.raises(ValueError, match="1 values that are NaN or infinite"):
        fuse([view], Workspace())


def test_sizes_that_disagree_are_refused() -> None:
    view = flat_view()
    with pytest.raises(ValueError, match="colour"):
        fuse([replace(view, depth=view.depth[:-1])], Workspace())


@pytest.mark.parametrize("change", [{"color": np.zeros((200, 200, 3))}, {"depth": np.ones((200, 200), np.uint16)}])
def test_numbers_of_another_kind_are_refused(change: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="colour as uint8 and depth as floating metres"):
        fuse([replace(flat_view(), **change)], Workspace())


def test_a_part_of_the_workspace_that_was_not_measured_is_not_made_up() -> None:
    view = flat_view()
    view.depth[:60] = 0.0  # 0.3 m of the table
    with pytest.raises(ValueError, match="no camera sees a part of the workspace"):
        fuse([view], Workspace())


def test_a_camera_that_looks_elsewhere_is_refused() -> None:
    view = flat_view()
    with pytest.raises(ValueError, match="calibration"):
        fuse([replace(view, world_from_camera=view.world_from_camera + _shift())], Workspace())


def _shift() -> np.ndarray:
    shift = np.zeros((4, 4))
    shift[0, 3] = 50.0
    return shift


def test_a_picture_that_cannot_be_used_is_the_users_to_mend() -> None:
    view = flat_view()
    view.depth[3, 3] = np.nan
    with pytest.raises(DriverError, match="1 values that are NaN") as refused:
        fuse([view], Workspace())
    assert is_user_error(refused.value)
