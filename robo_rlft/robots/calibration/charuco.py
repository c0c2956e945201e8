"""A ChArUco board: drawn to be printed, found in pictures, and a lens's intrinsics from it.

OpenCV draws, detects and calibrates the lens; where the camera is, `hand_eye` finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from robo_rlft.robots.calibration.camera_pose import Intrinsics
from robo_rlft.robots.calibration.file import CalibrationError
from robo_rlft.robots.calibration.rigid import Array

MINIMUM_PICTURES = 6  # for a lens's intrinsics
_CORNERS = 6  # in a picture that counts for them
MAX_LENS_ERROR = 1.5  # pixels, root mean square; above it something is wrong with the board's measures


@dataclass(frozen=True, kw_only=True)
class Board:
    """A chessboard with a marker in every white square, as it is printed."""

    columns: int = 7  # squares along x
    rows: int = 5  # squares along y
    square: float = 0.036  # metres, a square's side; measure it on the print
    marker: float = 0.027  # metres, a marker's side
    dictionary: str = "DICT_4X4_50"  # OpenCV's name for the set of markers

    def __post_init__(self) -> None:
        if self.columns < 3 or self.rows < 3:
            raise ValueError(f"a board has at least 3 x 3 squares, got {self.columns} x {self.rows}")
        if not 0 < self.marker < self.square < 1:
            raise ValueError(
                f"a board's marker is smaller than its square, both in metres: got {self.marker} and {self.square}"
            )
        if not isinstance(getattr(cv2.aruco, self.dictionary, None), int) or not self.dictionary.startswith("DICT_"):
            raise ValueError(f"dictionary: expected a name such as DICT_4X4_50 or DICT_5X5_100, got {self.dictionary}")
        markers = len(cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary)).bytesList)
        if self.columns * self.rows // 2 > markers:
            raise ValueError(
                f"{self.columns} x {self.rows} squares need {self.columns * self.rows // 2} markers; {self.dictionary} "
                f"has {markers}"
            )

    def opencv(self) -> cv2.aruco.CharucoBoard:
        """Return OpenCV's object for this board."""
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary))
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker, dictionary)

    def picture(self, *, pixels_per_square: int) -> npt.NDArray[np.uint8]:
        """Return the board without a margin: (rows, columns) times `pixels_per_square`, black and white."""
        size = (self.columns * pixels_per_square, self.rows * pixels_per_square)
        return np.asarray(self.opencv().generateImage(size, marginSize=0, borderBits=1), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class Detection:
    """The inner corners of a board that a picture shows."""

    board: Array  # (N, 3), metres, places on the board, z = 0: x right and y down on the print, from its upper left
    pixels: Array  # (N, 2), (column, row), as measured, the first pixel's centre at (0.5, 0.5)


def detect(board: Board, color: npt.NDArray[np.uint8]) -> Detection:
    """Find a board's corners in a picture (height, width, 3); none where it shows none."""
    gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    corners, ids, _, _ = cv2.aruco.CharucoDetector(board.opencv()).detectBoard(gray)
    if ids is None or len(ids) == 0:
        return Detection(board=np.zeros((0, 3)), pixels=np.zeros((0, 2)))
    places = np.asarray(board.opencv().getChessboardCorners(), dtype=np.float64)
    return Detection(
        board=places[np.asarray(ids).reshape(-1)],
        pixels=np.asarray(corners, dtype=np.float64).reshape(-1, 2) + 0.5,
    )


def lens(detections: Sequence[Detection], size: tuple[int, int]) -> Intrinsics:
    """Find a camera's intrinsics from pictures of a board in many poses (Zhang 2000, as OpenCV does it).

    Args:
        detections: of at least `MINIMUM_PICTURES` pictures, the board tilted differently in each.
        size: (width, height) of the pictures.

    Raises:
        CalibrationError: too few pictures, or a result that cannot be.
    """
    used = [d for d in detections if len(d.board) >= _CORNERS]
    if len(used) < MINIMUM_PICTURES:
        raise CalibrationError(
            f"expected at least {MINIMUM_PICTURES} pictures with {_CORNERS} or more corners of the board to find the "
            f"lens's intrinsics, got {len(used)} of {len(detections)}; see that board.columns, rows and dictionary are "
            "the print's, and light it evenly"
        )
    error, matrix, distortion, _, _ = cv2.calibrateCamera(
        [d.board.astype(np.float32) for d in used],
        [(d.pixels - 0.5).astype(np.float32) for d in used],
        size,
        np.eye(3),
        np.zeros(5),
        flags=cv2.CALIB_FIX_K3,  # the third radial term fits noise at a picture's corners, unless there are many
    )
    if not np.isfinite(matrix).all() or not error < MAX_LENS_ERROR:
        raise CalibrationError(
            f"the lens's intrinsics leave an error of {error:.1f} pixels, expected below {MAX_LENS_ERROR}; see that "
            "the print is flat, board.square and board.marker are in metres and as printed, and the focus is fixed"
        )
    counted = np.asarray(matrix) + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    coefficients = tuple(float(v) for v in np.asarray(distortion).ravel())
    return Intrinsics(size=size, matrix=counted, distortion=coefficients)
