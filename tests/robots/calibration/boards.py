"""Pictures of a printed board as a camera takes them: the print is projected, blurred and noisy."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from robo_rlft.robots.calibration.camera_pose import Intrinsics, project
from robo_rlft.robots.calibration.charuco import Board

PER_SQUARE = 80  # pixels of the print


def photograph(
    board: Board, lens: Intrinsics, camera_from_board: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Return what a pinhole camera sees of a board on a grey wall: (height, width, 3)."""
    print_ = board.picture(pixels_per_square=PER_SQUARE)
    rows, columns = print_.shape
    corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], dtype=np.float64)
    places = np.column_stack([corners * board.square / PER_SQUARE, np.zeros(4)])
    seen = project(lens.matrix, camera_from_board, places)
    # OpenCV counts pixels from the first one's centre, in both pictures.
    homography = cv2.getPerspectiveTransform((corners - 0.5).astype(np.float32), (seen - 0.5).astype(np.float32))
    wall = np.full((lens.size[1], lens.size[0]), 128, dtype=np.uint8)
    mask = cv2.warpPerspective(np.full_like(print_, 255), homography, lens.size, flags=cv2.INTER_AREA)
    warped = cv2.warpPerspective(print_, homography, lens.size, flags=cv2.INTER_LINEAR)
    picture = np.where(mask > 127, warped, wall).astype(np.float64) * 0.8 + 20
    picture = cv2.GaussianBlur(picture, (0, 0), 0.8) + rng.normal(0, 3, picture.shape)
    gray = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)
