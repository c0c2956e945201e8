"""Whether the table lies where a calibration says: a plane through the depth picture of an empty table."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robo_rlft.driver import View
from robo_rlft.geometry import Workspace
from robo_rlft.perception import check_view
from robo_rlft.robots.calibration.file import CalibrationError

_NEAR = 0.1  # metres above and below z = 0 that are looked at
_LEAST = 500  # points of the workspace
_MOST = 20_000  # points that are fitted; more tell nothing more
_ROUNDS = 5  # of fitting, each without what the last one found far off


@dataclass(frozen=True, kw_only=True)
class TableCheck:
    """The plane that the depth picture shows in the workspace."""

    offset_mm: float  # its height at the workspace's centre
    tilt_degrees: float
    residual_mm: float  # root mean square distance of the points from it: the depth's noise, and what lies on the table
    points: int


def check_table(view: View, workspace: Workspace) -> TableCheck:
    """Fit z = a x + b y + c to the points of the workspace that a view's depth shows.

    Raises:
        CalibrationError: too few depths on the workspace.
    """
    check_view(view)
    points = _points(view)
    inside = (points[:, 0] >= workspace.x_min) & (points[:, 0] <= workspace.x_max)
    inside &= (points[:, 1] >= workspace.y_min) & (points[:, 1] <= workspace.y_max)
    points = points[inside & (np.abs(points[:, 2]) < _NEAR)]
    if len(points) < _LEAST:
        raise CalibrationError(
            f"only {len(points)} depths lie within {1000 * _NEAR:.0f} mm of the table on the workspace, expected "
            f"{_LEAST}; the table lies elsewhere than the calibration says, or the camera does not see it"
        )
    points = points[:: max(1, len(points) // _MOST)]
    center = np.array([(workspace.x_min + workspace.x_max) / 2, (workspace.y_min + workspace.y_max) / 2])
    system = np.column_stack([points[:, :2] - center, np.ones(len(points))])
    use = np.ones(len(points), dtype=bool)
    plane, residual = np.zeros(3), points[:, 2]
    for _ in range(_ROUNDS):
        plane = np.linalg.lstsq(system[use], points[use, 2], rcond=None)[0]
        residual = points[:, 2] - system @ plane
        spread = 1.4826 * float(np.median(np.abs(residual[use])))  # of a normal distribution, from its median
        use = np.abs(residual) <= max(3.0 * spread, 1e-6)
    return TableCheck(
        offset_mm=1000.0 * float(plane[2]),
        tilt_degrees=math.degrees(math.atan(math.hypot(float(plane[0]), float(plane[1])))),
        residual_mm=1000.0 * float(np.sqrt(np.mean(residual[use] ** 2))),
        points=int(use.sum()),
    )


def _points(view: View) -> npt.NDArray[np.float64]:
    """Return the world points (N, 3) of all pixels with a depth."""
    rows, columns = np.nonzero(view.depth > 0)
    depth = view.depth[rows, columns].astype(np.float64)
    k = view.intrinsics
    inside = np.stack(
        [(columns + 0.5 - k[0, 2]) / k[0, 0] * depth, (rows + 0.5 - k[1, 2]) / k[1, 1] * depth, depth], axis=1
    )
    world: npt.NDArray[np.float64] = inside @ view.world_from_camera[:3, :3].T + view.world_from_camera[:3, 3]
    return world
