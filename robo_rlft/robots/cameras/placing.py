"""From a device's picture to a view: the lens's distortion taken out, every pixel given a depth and a place."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from robo_rlft.driver import Pose, View
from robo_rlft.robots.calibration.file import Calibration, CalibrationError
from robo_rlft.robots.calibration.rigid import world_from_tool
from robo_rlft.robots.cameras.camera import Frame

_FOCAL_TOLERANCE = 0.01  # of the focal length, between a device's word and the calibration's
_CENTER_TOLERANCE = 0.01  # of the picture's width


class Placing:
    """Places the pictures of one calibrated camera.

    Without a depth sensor every pixel gets the depth of the flat table where its ray meets it, and 0 where it meets
    none: all heights then read 0, which a policy's height mask lets pass everywhere; objects that stand high appear
    shifted away from the camera by their height times the tangent of the ray's angle to the vertical, so that such a
    camera should look straight down; and only the contact stop finds how high a thing is.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._maps: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None
        if any(calibration.distortion):
            matrix = calibration.opencv_matrix
            distortion = np.array(calibration.distortion)
            maps = cv2.initUndistortRectifyMap(matrix, distortion, None, matrix, calibration.size, cv2.CV_32FC1)
            self._maps = (np.asarray(maps[0]), np.asarray(maps[1]))

    def undistorted(self, color: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the picture of a pinhole camera with the same intrinsics; black where the lens saw nothing."""
        if self._maps is None:
            return color
        return np.asarray(cv2.remap(color, *self._maps, cv2.INTER_LINEAR), dtype=np.uint8)

    def view(self, frame: Frame, *, name: str, tool: Pose | None = None) -> View:
        """Return a frame placed in the world.

        Args:
            frame: of the calibrated size.
            name: of the camera, for messages.
            tool: where the tool was when the picture was taken; needed by a camera that is mounted on it.

        Raises:
            CalibrationError: the device says that its intrinsics are others.
        """
        calibration = self._calibration
        self._check_intrinsics(frame, name)
        pose = calibration.mount_from_camera
        if calibration.mount == "tool":
            assert tool is not None
            pose = world_from_tool(tool) @ pose
        depth = self.undistorted_depth(frame.depth) if frame.depth is not None else self._table_depth(pose)
        return View(
            color=self.undistorted(frame.color),
            depth=depth,
            intrinsics=calibration.intrinsics,
            world_from_camera=pose,
            stamp=frame.stamp,
        )

    def undistorted_depth(self, depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self._maps is None:
            return depth.astype(np.float32, copy=False)
        # Nearest: between an object's edge and the table there is nothing.
        return np.asarray(cv2.remap(depth.astype(np.float32), *self._maps, cv2.INTER_NEAREST), dtype=np.float32)

    def _table_depth(self, world_from_camera: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        depth = table_depth(self._calibration.intrinsics, world_from_camera, self._calibration.size)
        if self._maps is not None:
            width, height = self._calibration.size
            x, y = self._maps
            depth[(x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)] = 0.0
        return depth

    def _check_intrinsics(self, frame: Frame, name: str) -> None:
        if frame.intrinsics is None:
            return
        mine, its = self._calibration.intrinsics, frame.intrinsics
        focal = max(abs(its[i, i] / mine[i, i] - 1.0) for i in range(2))
        center = max(abs(its[i, 2] - mine[i, 2]) for i in range(2))
        if focal > _FOCAL_TOLERANCE or center > _CENTER_TOLERANCE * self._calibration.size[0]:
            raise CalibrationError(
                f"{name} says that its intrinsics are fx, fy, cx, cy = {_four(its)} pixels, but the calibration has "
                f"{_four(mine)}: it is of another camera or resolution; calibrate this one"
            )


def table_depth(
    intrinsics: npt.NDArray[np.float64], world_from_camera: npt.NDArray[np.float64], size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Return the depth (height, width) in metres of the plane z = 0 in every pixel; 0 where the ray misses it."""
    width, height = size
    x = (np.arange(width) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    y = ((np.arange(height) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1])[:, None]
    # A point at depth d has z = z_camera + d * slope; the table is where that is 0.
    slope = world_from_camera[2, 0] * x + world_from_camera[2, 1] * y + world_from_camera[2, 2]
    meets = -world_from_camera[2, 3] / np.where(slope == 0, np.inf, slope)
    return np.where((slope != 0) & (meets > 0), meets, 0.0).astype(np.float32)


def _four(matrix: npt.NDArray[np.float64]) -> str:
    return ", ".join(f"{matrix[i]:.1f}" for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
