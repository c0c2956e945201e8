"""Drawn boards are found in pictures, to a fraction of a pixel; a lens comes out of them."""

from __future__ import annotations

import numpy as np
import pytest

from robo_rlft.robots.calibration.camera_pose import project
from robo_rlft.robots.calibration.charuco import Board, Detection, detect, lens
from robo_rlft.robots.calibration.file import CalibrationError
from robo_rlft.robots.calibration.rigid import rotation_from_vector, transform
from tests.robots.calibration.boards import photograph
from tests.robots.calibration.calibrations import LENS

TILTED = transform(rotation_from_vector([0.4, -0.3, 0.2]), [-0.1, -0.08, 0.55])


def test_a_boards_corners_are_found_where_they_are() -> None:
    board = Board()
    found = detect(board, photograph(board, LENS, TILTED, np.random.default_rng(0)))
    assert len(found.board) == 24, "6 x 4 inner corners"
    off = np.linalg.norm(found.pixels - project(LENS.matrix, TILTED, found.board), axis=1)
    assert off.mean() < 0.15 and off.max() < 0.5
    # A wrong pixel convention would show as half a pixel to one side.
    assert np.abs((found.pixels - project(LENS.matrix, TILTED, found.board)).mean(axis=0)).max() < 0.1


def test_a_picture_without_a_board_has_no_corners() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    assert len(detect(Board(), noise).board) == 0


def test_a_board_of_another_dictionary_is_not_found() -> None:
    picture = photograph(Board(), LENS, TILTED, np.random.default_rng(0))
    assert len(detect(Board(dictionary="DICT_6X6_50"), picture).board) == 0


def test_the_lens_comes_out_of_twelve_pictures() -> None:
    rng, corners = np.random.default_rng(0), Board().opencv().getChessboardCorners()
    places = np.asarray(corners, dtype=np.float64)
    poses = [
        transform(
            rotation_from_vector(rng.uniform(-0.6, 0.6, 3)), [*rng.uniform(-0.25, 0.05, 2), rng.uniform(0.4, 0.6)]
        )
        for _ in range(12)
    ]
    seen = [
        Detection(board=places, pixels=project(LENS.matrix, pose, places) + rng.normal(0, 0.2, (24, 2)))
        for pose in poses
    ]
    found = lens(seen, LENS.size)
    assert found.matrix == pytest.approx(LENS.matrix, abs=8.0)
    assert np.abs(found.distortion[:2]).max() < 0.1


def test_too_few_pictures_for_a_lens_say_so() -> None:
    places = np.zeros((24, 3))
    with pytest.raises(CalibrationError, match="at least 6 pictures .* got 2 of 3"):
        lens([Detection(board=places[:n], pixels=np.zeros((n, 2))) for n in (24, 24, 3)], LENS.size)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"columns": 2}, "3 x 3"),
        ({"marker": 0.04}, "smaller than its square"),
        ({"square": float("nan")}, "smaller than its square"),
        ({"dictionary": "DICT_4X4"}, "dictionary: expected a name"),
        ({"columns": 14, "rows": 10}, "need 70 markers; DICT_4X4_50 has 50"),
    ],
)
def test_a_board_that_cannot_be_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Board(**changes)  # type: ignore[arg-type]
