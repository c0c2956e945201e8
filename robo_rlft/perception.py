"""From RGB-D views to a colour image and a height map of the workspace.

The same code serves simulated and real cameras. Knows nothing of tasks, words or policies.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from robo_rlft.driver import DriverError, View
from robo_rlft.geometry import Workspace

MAX_HEIGHT = 0.5  # metres above the table; what is higher is the arm, not the scene
UNSEEN = 0.15  # metres that a place may be away from the nearest one that was measured
TOUCH_RADIUS = 0.024  # metres around a pixel in which a tool coming down expects to touch something first


class ViewError(DriverError, ValueError):
    """A camera's picture that cannot be used; the message says what was expected, what came and how to mend it."""


def fuse(views: Sequence[View], workspace: Workspace) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Project views onto the workspace's grid; where several points fall into a pixel, the highest counts.

    Returns:
        Colour (H, W, 3) uint8 RGB and height (H, W) float32, metres above the table, 0 or more.

    Raises:
        ViewError: no view, a depth image that holds NaN or infinities, sizes that disagree, or a part of the workspace
            that no camera sees.
    """
    if not views:
        raise ViewError("no camera view came; perception needs at least one")
    parts = [_points(view, workspace) for view in views]
    pixels, heights, colors = (np.concatenate([part[i] for part in parts]) for i in range(3))
    if len(pixels) == 0:
        raise ViewError("no camera sees the workspace: check the cameras' calibration and the workspace's limits")
    height = np.full(workspace.rows * workspace.columns, -1.0, dtype=np.float32)
    color = np.zeros((workspace.rows * workspace.columns, 3), dtype=np.uint8)
    height[pixels], color[pixels] = heights, colors
    # The last write won; few points are higher than what was written over them, and they are written again in order.
    lost = np.flatnonzero(heights > height[pixels])
    lost = lost[np.argsort(heights[lost], kind="stable")]
    height[pixels[lost]], color[pixels[lost]] = heights[lost], colors[lost]
    shape = workspace.shape
    return _fill(color.reshape(*shape, 3), height.reshape(shape), workspace.pixel_size)


def surface_height(height: npt.NDArray[np.float32], pixel: npt.ArrayLike, workspace: Workspace) -> float:
    """Return the highest point near a pixel, metres above the table: where a descent at it must slow down.

    Args:
        height: (H, W), metres.
        pixel: (row, column).
        workspace: of the height map.
    """
    reach = max(1, round(TOUCH_RADIUS / workspace.pixel_size))
    row, column = np.asarray(pixel, dtype=np.int64)
    window = height[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
    return float(window.max())


def check_view(view: View) -> None:
    """Refuse a view whose sizes disagree or whose depth is not finite.

    Raises:
        ViewError: saying what was expected and what came.
    """
    if view.color.ndim != 3 or view.color.shape[2] != 3 or view.depth.shape != view.color.shape[:2]:
        raise ViewError(
            "a view needs colour (height, width, 3) and depth (height, width); "
            f"got {view.color.shape} and {view.depth.shape}"
        )
    if view.color.dtype != np.uint8 or not np.issubdtype(view.depth.dtype, np.floating):
        raise ViewError(
            f"a view needs colour as uint8 and depth as floating metres; got {view.color.dtype} and {view.depth.dtype}"
        )
    bad = int(np.count_nonzero(~np.isfinite(view.depth)))
    if bad:
        raise ViewError(
            f"the depth image holds {bad} values that are NaN or infinite; expected metres, with 0 where nothing was "
            "measured: replace them by 0 in the driver"
        )


def _points(
    view: View, workspace: Workspace
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return flat grid indices, heights and colours of the pixels that fall on the workspace."""
    check_view(view)
    rows, columns = view.depth.shape
    k, pose = view.intrinsics, view.world_from_camera
    depth = view.depth.astype(np.float64)
    x = (np.arange(columns) + 0.5 - k[0, 2]) / k[0, 0] * depth
    y = ((np.arange(rows) + 0.5 - k[1, 2]) / k[1, 1])[:, None] * depth
    world = [pose[i, 0] * x + pose[i, 1] * y + pose[i, 2] * depth + pose[i, 3] for i in range(3)]
    grid = workspace.xy_to_pixel(np.stack(world[:2], axis=-1))
    keep = workspace.contains(grid) & (view.depth > 0) & (world[2] < MAX_HEIGHT)
    flat = grid[..., 0] * workspace.columns + grid[..., 1]
    return flat[keep], np.maximum(world[2][keep], 0.0).astype(np.float32), view.color[keep]


def _fill(
    color: npt.NDArray[np.uint8], height: npt.NDArray[np.float32], pixel_size: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Give pixels that no point fell into the values of their nearest neighbours."""
    holes = height < 0
    if not holes.any():
        return color, height
    far, labels = cv2.distanceTransformWithLabels(
        holes.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    unseen = float(far.max()) * pixel_size
    if unseen > UNSEEN:
        raise ViewError(
            f"no camera sees a part of the workspace: a place is {unseen:.2f} m from the nearest that was measured, "
            f"allowed are {UNSEEN:g} m; is a lens covered, something dark or shiny there, or the workspace too large?"
        )
    known = np.zeros(int(labels.max()) + 1, dtype=np.int64)
    known[labels[~holes]] = np.flatnonzero(~holes)
    source = known[labels]
    return color.reshape(-1, 3)[source], height.reshape(-1)[source]
