import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_rlft.geometry import Workspace, angle_to_bin, bin_to_angle, quaternion_yaw, rotate_xy, yaw_quaternion

SIZES = st.sampled_from([0.00625, 0.003125, 0.0125, 0.05])


@given(size=SIZES, row=st.floats(0, 0.999), column=st.floats(0, 0.999))
def test_a_pixels_centre_lies_in_that_pixel(size: float, row: float, column: float) -> None:
    workspace = Workspace(pixel_size=size)
    pixel = [int(row * workspace.rows), int(column * workspace.columns)]
    assert workspace.xy_to_pixel(workspace.pixel_to_xy(pixel)).tolist() == pixel


@given(size=SIZES, x=st.floats(0.25, 0.7499), y=st.floats(-0.5, 0.4999))
def test_a_point_is_at_most_half_a_pixel_from_its_pixels_centre(size: float, x: float, y: float) -> None:
    workspace = Workspace(pixel_size=size)
    pixel = workspace.xy_to_pixel([x, y])
    assert workspace.contains(pixel)
    assert np.abs(workspace.pixel_to_xy(pixel) - [x, y]).max() <= size / 2 + 1e-9


def test_rows_run_along_y_and_columns_along_x() -> None:
    workspace = Workspace()
    assert workspace.shape == (160, 80)
    assert workspace.xy_to_pixel([0.25, -0.5]).tolist() == [0, 0]
    assert workspace.xy_to_pixel([0.26, 0.4999]).tolist() == [159, 1]  # 0.01 / 0.00625 = 1.6


def test_a_point_outside_is_told_and_clipped_to_the_border() -> None:
    workspace = Workspace()
    pixel = workspace.xy_to_pixel([0.2, 0.6])
    assert not workspace.contains(pixel)
    assert workspace.clip_pixel(pixel).tolist() == [159, 0]


@pytest.mark.parametrize("size", [0.0, -1.0, math.nan, 0.007])
def test_a_grid_that_does_not_fit_is_refused(size: float) -> None:
    with pytest.raises(ValueError, match="pixel"):
        Workspace(pixel_size=size)


@given(rotations=st.integers(1, 72), index=st.integers(0, 71))
def test_a_bins_angle_falls_into_that_bin(rotations: int, index: int) -> None:
    assert angle_to_bin(bin_to_angle(index, rotations), rotations) == index % rotations


@given(yaw=st.floats(-math.pi + 1e-6, math.pi))
def test_yaw_survives_a_quaternion(yaw: float) -> None:
    assert quaternion_yaw(yaw_quaternion(yaw)) == pytest.approx(yaw, abs=1e-9)


def test_a_quarter_turn_brings_x_to_y() -> None:
    assert rotate_xy((1.0, 0.0), math.pi / 2) == pytest.approx((0.0, 1.0))
