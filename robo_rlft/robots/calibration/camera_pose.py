"""Where a camera is, from points whose places and pixels are known.

Pixels are (column, row) with the first pixel's centre at (0.5, 0.5), of a pinhole camera: take the lens's distortion
out first (`Intrinsics.ideal`). Knows nothing of robots and files.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from robo_rlft.geometry import Workspace
from robo_rlft.robots.calibration.file import CalibrationError
from robo_rlft.robots.calibration.rigid import (
    Array,
    Solution,
    apply,
    inverse,
    moved,
    nearest_rotation,
    refine,
    rotation_from_vector,
    transform,
)

MINIMUM_POINTS = 4  # three fix the six unknowns but leave nothing to check them by, and up to four solutions
TABLE_TOLERANCE = 0.02  # metres that a table point may be off z = 0
_SPREAD = 0.02  # least area of a triangle of four points, as a share of the square of the points' extent


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """How a camera maps rays to pixels."""

    size: tuple[int, int]  # (width, height)
    matrix: Array  # (3, 3), pixels, as in `View`
    distortion: tuple[float, ...] = ()  # OpenCV's coefficients

    @property
    def opencv_matrix(self) -> Array:
        """The matrix as OpenCV counts pixels: from the first one's centre."""
        matrix: Array = self.matrix - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
        return matrix

    def ideal(self, pixels: npt.ArrayLike) -> Array:
        """Return where pixels (N, 2) of the picture would be without the lens's distortion."""
        measured = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
        if not any(self.distortion) or len(measured) == 0:
            return measured
        matrix, coefficients = self.opencv_matrix, np.array(self.distortion)
        found = cv2.undistortPoints((measured - 0.5).reshape(-1, 1, 2), matrix, coefficients, P=matrix)
        return np.asarray(found, dtype=np.float64).reshape(-1, 2) + 0.5


@dataclass(frozen=True, kw_only=True)
class PointSolution:
    """A camera's place, and how well it explains the points."""

    world_from_camera: Array  # (4, 4)
    pixels: Array  # (N, 2), where it puts the points
    errors: Array  # (N,), pixels
    left_out_mm: Array  # (N,), millimetres on the table that each point is off when it alone is left out of the search
    bound_mm: float  # of the error on the workspace's table, root mean square; 9 of 10 such calibrations are below it


def project(matrix: Array, camera_from_world: Array, points: npt.ArrayLike) -> Array:
    """Return the pixels (..., 2) of points (..., 3); infinite behind the camera."""
    inside = apply(camera_from_world, points)
    z = np.where(inside[..., 2] > 1e-6, inside[..., 2], np.nan)
    pixels = np.stack([matrix[i, i] * inside[..., i] / z + matrix[i, 2] for i in range(2)], axis=-1)
    result: Array = np.nan_to_num(pixels, nan=np.inf)
    return result


def table_points(matrix: Array, world_from_camera: Array, pixels: npt.ArrayLike, height: float = 0.0) -> Array:
    """Return the points (N, 3) of the plane z = `height` that pixels (N, 2) show; infinite where they show none."""
    uv = np.asarray(pixels, dtype=np.float64)
    rays = np.stack([(uv[:, i] - matrix[i, 2]) / matrix[i, i] for i in range(2)] + [np.ones(len(uv))], axis=1)
    directions = rays @ world_from_camera[:3, :3].T
    along = (height - world_from_camera[2, 3]) / np.where(directions[:, 2] == 0, np.nan, directions[:, 2])
    along = np.where(along > 0, along, np.inf)
    return np.asarray(world_from_camera[:3, 3] + along[:, None] * directions, dtype=np.float64)


def millimetres_per_pixel(matrix: Array, world_from_camera: Array, workspace: Workspace) -> float:
    """Return how far apart two neighbouring pixels lie on the table at the workspace's centre, the wider direction.

    Raises:
        CalibrationError: the camera does not see the workspace's centre.
    """
    center = np.array([(workspace.x_min + workspace.x_max) / 2, (workspace.y_min + workspace.y_max) / 2, 0.0])
    steps = center + np.array([[0, 0, 0], [1e-4, 0, 0], [0, 1e-4, 0]])
    pixels = project(matrix, inverse(world_from_camera), steps)
    if not np.isfinite(pixels).all():
        raise CalibrationError(
            "the camera would look away from the workspace's centre; are the points' x and y in metres, world frame?"
        )
    jacobian = (pixels[1:] - pixels[0]).T / 1e-4  # pixels per metre
    least = float(np.linalg.svd(jacobian, compute_uv=False)[-1])
    return 1000.0 / max(least, 1e-9)


def pose_of_plane(intrinsics: Intrinsics, points: npt.ArrayLike, pixels: npt.ArrayLike) -> Solution:
    """Find `plane_from_camera` from points on (or near) the plane z = 0 and their undistorted pixels.

    The homography's decomposition (Zhang 2000, section 3.1) begins, Levenberg-Marquardt on the reprojection ends. A
    plane seen nearly from the front has a second, tilted explanation (Schweighofer & Pinz 2006): both are refined, and
    the better one counts.

    Raises:
        CalibrationError: no camera explains the points.
    """
    world, uv = np.asarray(points, dtype=np.float64), np.asarray(pixels, dtype=np.float64)
    matrix = intrinsics.matrix

    def residuals(transforms: tuple[Array, ...]) -> Array:
        off: Array = (project(matrix, inverse(transforms[0]), world) - uv).ravel()
        return off

    first = _from_homography(matrix, world, uv)
    starts = [start for start in (first, _other_side(first, world)) if np.isfinite(residuals((start,))).all()]
    found = [refine(residuals, (start,)) for start in starts]
    if not found:
        raise CalibrationError(
            "no camera sees the points where they were marked; are pixels and places paired rightly, and given as "
            "(column, row) and (x, y)?"
        )
    return min(found, key=lambda solution: float(solution.residuals @ solution.residuals))


def pose_from_table_points(
    intrinsics: Intrinsics, points: npt.ArrayLike, pixels: npt.ArrayLike, *, workspace: Workspace
) -> PointSolution:
    """Find a standing camera's place from at least four table points.

    Four points give eight numbers for six unknowns: two degrees of freedom are left, so that the reprojection error
    alone says little. Hence the bound: the noise that the residuals speak of, at its upper 90 % limit for so few of
    them, carried on to the whole workspace. The leave-one-out error is pessimistic with four points, as three alone
    must tell where the fourth is; it names a point that was marked wrongly.

    Args:
        intrinsics: of the camera.
        points: (N, 3), metres, world frame, with z near 0.
        pixels: (N, 2), (column, row), undistorted.
        workspace: the table rectangle that the bound is for.

    Raises:
        CalibrationError: too few points, not on the table, on a line, or not explained by any camera.
    """
    world, uv = np.asarray(points, dtype=np.float64), np.asarray(pixels, dtype=np.float64)
    _check_points(world, uv)
    solution = pose_of_plane(intrinsics, world, uv)
    pose = solution.transforms[0]
    if pose[2, 3] <= 0:
        raise CalibrationError(
            "the camera would be below the table; y grows to the robot's left: check the points' signs and order"
        )
    return PointSolution(
        world_from_camera=pose,
        pixels=project(intrinsics.matrix, inverse(pose), world),
        errors=np.linalg.norm(solution.residuals.reshape(-1, 2), axis=1),
        left_out_mm=_left_out(intrinsics.matrix, pose, world, uv),
        bound_mm=_bound(intrinsics.matrix, solution, workspace),
    )


def _left_out(matrix: Array, pose: Array, world: Array, uv: Array) -> Array:
    """Return how many millimetres each point is off when the others alone tell the camera's place."""
    distances = []
    for index in range(len(world)):
        rest = np.arange(len(world)) != index

        def residuals(transforms: tuple[Array, ...], rest: npt.NDArray[np.bool_] = rest) -> Array:
            off: Array = (project(matrix, inverse(transforms[0]), world[rest]) - uv[rest]).ravel()
            return off

        without = refine(residuals, (pose,)).transforms[0]
        seen = table_points(matrix, without, uv[index : index + 1], height=float(world[index, 2]))[0]
        distances.append(1000.0 * float(np.linalg.norm(seen - world[index])))
    return np.array(distances)


def _bound(matrix: Array, solution: Solution, workspace: Workspace) -> float:
    """Return the 90 % upper limit, in millimetres, of the root mean square error on the workspace's table.

    The covariance of the pose is sigma^2 (J^T J)^-1, carried on to nine points of the workspace to first order; sigma^2
    is the residuals' sum of squares over the 10 % quantile of chi-square at their degrees of freedom.
    """
    pose, r = solution.transforms[0], solution.residuals
    variance = float(r @ r) / _chi_square_quantile(0.1, len(r) - 6)
    x = np.linspace(workspace.x_min, workspace.x_max, 3)
    y = np.linspace(workspace.y_min, workspace.y_max, 3)
    probes = np.array([(a, b, 0.0) for a in x for b in y])
    pixels = project(matrix, inverse(pose), probes)
    if not np.isfinite(pixels).all():
        raise CalibrationError("the camera would look away from the workspace; are x and y in metres, world frame?")
    width = 1e-6
    steps = width * np.eye(6)
    change = [(table_points(matrix, moved(pose, step), pixels) - probes)[:, :2] / width for step in steps]
    by_pose = np.stack([c.ravel() for c in change], axis=1)  # metres on the table per radian or metre of the pose
    covariance = variance * np.linalg.pinv(solution.jacobian.T @ solution.jacobian)
    spread = np.einsum("ij,jk,ik->i", by_pose, covariance, by_pose)
    return 1000.0 * math.sqrt(float(spread.sum()) / len(probes))


def _chi_square_quantile(share: float, freedom: int) -> float:
    """Return the quantile of chi-square at an even number of degrees of freedom, whose distribution is a finite sum."""
    low, high = 0.0, 20.0 * freedom
    for _ in range(80):
        half = (low + high) / 4.0
        tail = math.exp(-half) * sum(half**k / math.factorial(k) for k in range(freedom // 2))
        low, high = ((low + high) / 2.0, high) if 1.0 - tail < share else (low, (low + high) / 2.0)
    return (low + high) / 2.0


def _check_points(world: Array, uv: Array) -> None:
    if world.ndim != 2 or world.shape[1:] != (3,) or uv.shape != (len(world), 2):
        raise CalibrationError(f"expected N points (x, y, z) and N pixels, got shapes {world.shape} and {uv.shape}")
    if not np.isfinite(world).all() or not np.isfinite(uv).all():
        raise CalibrationError("a point's place or pixel is not a finite number")
    if len(world) < MINIMUM_POINTS:
        raise CalibrationError(
            f"expected at least {MINIMUM_POINTS} table points, got {len(world)}; six or more, near the workspace's "
            "edges, are better"
        )
    high = float(np.abs(world[:, 2]).max())
    if high > TABLE_TOLERANCE:
        raise CalibrationError(
            f"a table point has z = {1000 * high:.0f} mm, expected within {1000 * TABLE_TOLERANCE:.0f} mm of the table "
            "at z = 0; is the tool's tip set on the robot, and the world's origin at its base?"
        )
    for name, values in (("places", world[:, :2]), ("pixels", uv)):
        if not _spread(values):
            raise CalibrationError(
                f"the points' {name} lie too close to one line; choose four, no three of them in line, far apart, such "
                "as the workspace's corners"
            )


def _spread(points: Array) -> bool:
    """Tell whether four of the points (N, 2) have no three near one line."""
    extent = float(np.linalg.norm(np.ptp(points, axis=0)))
    if extent == 0:
        return False
    # Twelve that lie far from each other are enough to look at.
    chosen = points[np.linspace(0, len(points) - 1, min(len(points), 12)).astype(int)] / extent
    triples = list(itertools.combinations(range(len(chosen)), 3))
    area = {t: abs(float(np.linalg.det(np.column_stack([chosen[list(t)], np.ones(3)])))) / 2 for t in triples}
    quads = itertools.combinations(range(len(chosen)), 4)
    return any(min(area[t] for t in itertools.combinations(q, 3)) > _SPREAD for q in quads)


def _from_homography(matrix: Array, world: Array, uv: Array) -> Array:
    """Return `plane_from_camera` by the direct linear method, with Hartley's scaling."""
    plane, image = world[:, :2], uv
    scale_p, scale_i = _scaling(plane), _scaling(image)
    p = np.column_stack([plane, np.ones(len(plane))]) @ scale_p.T
    q = np.column_stack([image, np.ones(len(image))]) @ scale_i.T
    zero = np.zeros_like(p)
    rows = np.concatenate(
        [np.hstack([p, zero, -q[:, :1] * p]), np.hstack([zero, p, -q[:, 1:2] * p])]
    )  # each point's two equations in the nine numbers of the homography
    h = np.linalg.svd(rows)[2][-1].reshape(3, 3)
    h = np.linalg.inv(scale_i) @ h @ scale_p
    columns = np.linalg.inv(matrix) @ h
    columns /= np.linalg.norm(columns[:, :2], axis=0).mean()
    if (columns[2] @ np.array([*plane.mean(axis=0), 1.0])) < 0:  # the points lie before the camera, not behind
        columns = -columns
    rotation = nearest_rotation(np.column_stack([columns[:, 0], columns[:, 1], np.cross(columns[:, 0], columns[:, 1])]))
    return inverse(transform(rotation, columns[:, 2]))


def _scaling(points: Array) -> Array:
    center = points.mean(axis=0)
    scale = np.sqrt(2.0) / max(float(np.linalg.norm(points - center, axis=1).mean()), 1e-12)
    return np.array([[scale, 0, -scale * center[0]], [0, scale, -scale * center[1]], [0, 0, 1]])


def _other_side(plane_from_camera: Array, world: Array) -> Array:
    """Return the pose with the plane tilted the other way about the line of sight to the points' middle."""
    camera_from_plane = inverse(plane_from_camera)
    middle = apply(camera_from_plane, world.mean(axis=0))
    sight = middle / np.linalg.norm(middle)
    normal = camera_from_plane[:3, 2]
    mirrored = 2.0 * float(sight @ normal) * sight - normal
    axis = np.cross(normal, mirrored)
    sine, cosine = float(np.linalg.norm(axis)), float(normal @ mirrored)
    if sine < 1e-9:
        return plane_from_camera
    turn = rotation_from_vector(axis / sine * np.arctan2(sine, cosine))
    rotation = turn @ camera_from_plane[:3, :3]
    return inverse(transform(rotation, middle - rotation @ world.mean(axis=0)))
