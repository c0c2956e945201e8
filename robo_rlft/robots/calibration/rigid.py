"""Rigid transforms as 4 x 4 matrices, and the least-squares solver that calibration moves them with.

A transform `a_from_b` takes points of frame b to frame a. Knows nothing of cameras or robots.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robo_rlft.driver import Pose

Array = npt.NDArray[np.float64]

_SMALL = 1e-9  # radians; below it a rotation's axis is not defined


def transform(rotation: npt.ArrayLike, translation: npt.ArrayLike) -> Array:
    """Return the 4 x 4 matrix of a rotation (3, 3) and a translation (3,)."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    return matrix


def inverse(matrix: Array) -> Array:
    """Return the inverse of rigid transforms (..., 4, 4)."""
    rotation = np.swapaxes(matrix[..., :3, :3], -1, -2)
    result = np.zeros_like(matrix)
    result[..., :3, :3] = rotation
    result[..., :3, 3] = -(rotation @ matrix[..., :3, 3, None])[..., 0]
    result[..., 3, 3] = 1.0
    return result


def apply(matrix: Array, points: npt.ArrayLike) -> Array:
    """Return points (..., 3) taken through a transform (4, 4)."""
    result: Array = np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    return result


def rotation_from_vector(vector: npt.ArrayLike) -> Array:
    """Return the rotation (3, 3) about `vector` by its length in radians (Rodrigues' formula)."""
    v = np.asarray(vector, dtype=np.float64)
    angle = float(np.linalg.norm(v))
    cross = np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
    if angle < _SMALL:
        return np.asarray(np.eye(3) + cross, dtype=np.float64)
    result: Array = np.eye(3) + math.sin(angle) / angle * cross + (1 - math.cos(angle)) / angle**2 * cross @ cross
    return result


def vector_from_rotation(rotation: Array) -> Array:
    """Return the axis of a rotation (3, 3) times its angle, in [0, pi] radians."""
    x, y, z, w = quaternion_from_rotation(rotation)
    axis = np.array([x, y, z]) * (-1.0 if w < 0 else 1.0)
    length = float(np.linalg.norm(axis))
    if length < _SMALL:
        return 2.0 * axis
    result: Array = axis / length * 2.0 * math.atan2(length, abs(w))
    return result


def rotation_from_quaternion(quaternion: npt.ArrayLike) -> Array:
    """Return the rotation (3, 3) of a quaternion (x, y, z, w) of any length above 0."""
    q = np.asarray(quaternion, dtype=np.float64)
    x, y, z, w = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_rotation(rotation: Array) -> Array:
    """Return the quaternion (x, y, z, w) of a rotation (3, 3).

    As the largest eigenvector of a symmetric matrix (Bar-Itzhack 2000), which no angle makes ill-conditioned and which
    takes the nearest rotation where the matrix is not quite one.
    """
    r = np.asarray(rotation, dtype=np.float64)
    (a, b, c), (d, e, f), (g, h, i) = r
    k = np.array(
        [
            [a - e - i, b + d, c + g, h - f],
            [b + d, e - a - i, f + h, c - g],
            [c + g, f + h, i - a - e, d - b],
            [h - f, c - g, d - b, a + e + i],
        ]
    )
    result: Array = np.linalg.eigh(k)[1][:, -1]
    return result


def nearest_rotation(matrix: Array) -> Array:
    """Return the rotation (3, 3) nearest to a matrix."""
    u, _, vt = np.linalg.svd(matrix)
    result: Array = u @ np.diag([1.0, 1.0, float(np.linalg.det(u @ vt))]) @ vt
    return result


def world_from_tool(pose: Pose) -> Array:
    """Return a tool's pose as a transform (4, 4)."""
    return transform(rotation_from_quaternion(pose.quaternion), pose.position)


def moved(matrix: Array, step: Array) -> Array:
    """Return a transform moved by a small step (6,): radians about, then metres along, its own frame's axes."""
    return matrix @ transform(rotation_from_vector(step[:3]), step[3:])


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Where a search for the least sum of squares ended."""

    transforms: tuple[Array, ...]
    residuals: Array
    jacobian: Array  # of the residuals, by the transforms' own small steps


def refine(
    residuals: Callable[[tuple[Array, ...]], Array], start: tuple[Array, ...], *, iterations: int = 50
) -> Solution:
    """Move transforms to where the sum of the squared residuals is least, by Levenberg and Marquardt's method.

    Steps are taken in each transform's tangent space, so that rotations stay rotations; derivatives are differences.

    Args:
        residuals: of the transforms, as a vector; infinite or NaN where there is none (a point behind a camera).
        start: where to begin.
        iterations: at most.
    """
    current, r = start, residuals(start)
    damping = 1e-3
    for _ in range(iterations):
        jacobian = _jacobian(residuals, current, r)
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ r
        while damping < 1e8:
            scaled = normal + damping * np.diag(np.maximum(np.diag(normal), 1e-12))
            step = np.asarray(-np.linalg.solve(scaled, gradient), dtype=np.float64)
            proposal = tuple(moved(t, step[6 * i : 6 * i + 6]) for i, t in enumerate(current))
            new = residuals(proposal)
            if np.isfinite(new).all() and new @ new < r @ r:
                break
            damping *= 10.0
        else:
            return Solution(transforms=current, residuals=r, jacobian=jacobian)
        settled = bool(r @ r - new @ new <= 1e-12 * (r @ r) or np.abs(step).max() < 1e-12)
        current, r, damping = proposal, new, max(damping / 10.0, 1e-12)
        if settled:
            break
    return Solution(transforms=current, residuals=r, jacobian=_jacobian(residuals, current, r))


def _jacobian(residuals: Callable[[tuple[Array, ...]], Array], at: tuple[Array, ...], value: Array) -> Array:
    width = 1e-7  # radians or metres
    columns = []
    for index in range(6 * len(at)):
        step = np.zeros(6)
        step[index % 6] = width
        changed = tuple(moved(t, step) if i == index // 6 else t for i, t in enumerate(at))
        columns.append((residuals(changed) - value) / width)
    return np.stack(columns, axis=1)
