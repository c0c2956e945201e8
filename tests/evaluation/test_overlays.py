"""How the workspace is shown to people."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from robo_rlft.evaluation.overlays import heat_overlay, landscape, landscape_point, png, similarity_picture, webp
from robo_rlft.geometry import Workspace


def test_far_is_up_and_left_is_left() -> None:
    workspace = Workspace()
    grid = np.zeros(workspace.shape)
    # Far from the robot (x = 0.74) and on its left (y = 0.49): the upper left corner.
    row, column = workspace.xy_to_pixel([0.74, 0.49])
    grid[row, column] = 1
    picture = landscape(grid)
    assert picture.shape == (80, 160)
    assert np.argwhere(picture).tolist() == [[1, 1]]


@pytest.mark.parametrize("pixel", [(0, 0), (3, 1), (4, 2)])
def test_a_marker_sits_on_its_pixel(pixel: tuple[int, int]) -> None:
    grid = np.zeros((5, 3))
    grid[pixel] = 1
    ((y, x),) = np.argwhere(landscape(grid)).tolist()
    assert landscape_point(pixel, (5, 3)) == (x + 0.5, y + 0.5)


def test_the_turned_picture_is_no_mirror_image() -> None:
    # Three points counter-clockwise as seen from above (+x, +y, origin) must stay counter-clockwise on the screen.
    def screen(x: float, y: float) -> npt.NDArray[np.float64]:
        right, down = landscape_point(Workspace().xy_to_pixel([x, y]).tolist(), Workspace().shape)
        return np.array([right, -down])

    origin, along_x, along_y = screen(0.5, 0.0), screen(0.6, 0.0), screen(0.5, 0.1)
    a, b = along_x - origin, along_y - origin
    assert a[0] * b[1] - a[1] * b[0] > 0


def test_heat_is_brightest_at_the_peak_and_leaves_the_rest_gray() -> None:
    color = np.full((4, 6, 3), 200, dtype=np.uint8)
    color[..., 2] = 50
    probability = np.zeros((4, 6))
    probability[1, 2] = 1.0
    picture = heat_overlay(color, probability)
    assert picture[0, 0].tolist() == [90, 90, 90]  # (200 + 200 + 50) / 3 * 0.6
    assert picture[1, 2].sum() > 500
    assert (heat_overlay(color, np.zeros((4, 6))) == 90).all()


@pytest.mark.parametrize(
    ("color", "probability"),
    [
        (np.zeros((4, 6, 3)), np.zeros((4, 6))),
        (np.zeros((4, 6, 3), dtype=np.uint8), np.zeros((6, 4))),
        (np.zeros((4, 6, 3), dtype=np.uint8), np.full((4, 6), np.nan)),
    ],
)
def test_wrong_pictures_and_maps_are_refused(color: npt.NDArray[Any], probability: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        heat_overlay(color, probability)


def test_equal_similarities_get_equal_colours_in_any_map() -> None:
    a = similarity_picture(np.array([[0.1, 0.5]]), (0.0, 1.0))
    b = similarity_picture(np.array([[0.5, 0.9]]), (0.0, 1.0))
    assert (a[0, 1] == b[0, 0]).all()
    assert (a[0, 0] != b[0, 1]).any()


def test_a_png_gives_the_picture_back() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(png(image)))) == image).all()


def test_a_webp_is_smaller_and_nearly_the_picture() -> None:
    y, x = np.mgrid[0:80, 0:160]
    image = similarity_picture(np.sin(x * y / 900) + np.cos(x / 7), (-2.0, 2.0))
    data = webp(image)
    assert len(data) < len(png(image)) / 2
    assert np.abs(np.asarray(Image.open(io.BytesIO(data))).astype(int) - image).mean() < 4
