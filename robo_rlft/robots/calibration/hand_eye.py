"""Where a camera is, from pictures of a board and the tool's pose at each: hand-eye calibration.

Two set-ups, one equation. The camera stands in the world and the board rides on the tool (eye-to-hand), or the camera
rides on the tool and the board stands in the world (eye-in-hand). Let X be where the camera is on its mount, Z where
the board is on the other, B_i where the camera saw the board, and M_i the other mount as seen from the camera's:
world_from_tool, or its inverse. Then B_i = X^-1 M_i Z in both, and of two poses (M_i M_j^-1) X = X (B_i B_j^-1), which
is AX = XB.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robo_rlft.robots.calibration.camera_pose import Intrinsics, pose_of_plane, project
from robo_rlft.robots.calibration.file import CalibrationError, Mount
from robo_rlft.robots.calibration.rigid import Array, apply, inverse, refine, transform, vector_from_rotation

MINIMUM_POSES = 10
MINIMUM_CORNERS = 6  # of the board in a picture
LEAST_TURN = math.radians(8.0)  # of the tool between poses, root mean square, about a second axis


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What was seen of the board in one pose of the tool."""

    world_from_tool: Array  # (4, 4)
    board: Array  # (N, 3), metres, the corners' places on the board, z = 0
    pixels: Array  # (N, 2), (column, row), undistorted


@dataclass(frozen=True, kw_only=True)
class HandEye:
    """The camera's place on its mount, and how well it explains the corners seen."""

    mount_from_camera: Array  # (4, 4)
    other_from_board: Array  # (4, 4), the board's place on the tool, or in the world
    errors: tuple[Array, ...]  # of each sample, (N,), pixels
    left_out_px: Array  # of each sample, mean pixels when it is left out of the search


def solve_hand_eye(intrinsics: Intrinsics, samples: Sequence[Sample], *, mount: Mount) -> HandEye:
    """Find where the camera is: Park & Martin's closed form, then least squares of the reprojection.

    Only the pictures' noise is modelled; a robot that does not know its own pose well shows as a larger error.

    Args:
        intrinsics: of the camera.
        samples: at least `MINIMUM_POSES`, the tool turned about at least two axes between them.
        mount: what the camera is fixed to.

    Raises:
        CalibrationError: too few poses or corners, or turns about one axis only.
    """
    if len(samples) < MINIMUM_POSES:
        raise CalibrationError(
            f"expected at least {MINIMUM_POSES} poses in which the board is seen, got {len(samples)}; take more"
        )
    for number, sample in enumerate(samples):
        if len(sample.board) < MINIMUM_CORNERS:
            raise CalibrationError(
                f"pose {number}: expected at least {MINIMUM_CORNERS} corners of the board, got {len(sample.board)}; "
                "leave that picture out"
            )
    moves = np.stack([s.world_from_tool if mount == "world" else inverse(s.world_from_tool) for s in samples])
    seen = np.stack([inverse(pose_of_plane(intrinsics, s.board, s.pixels).transforms[0]) for s in samples])
    x = closed_form(moves, seen)
    z = inverse(moves[0]) @ x @ seen[0]
    x, z = _refined(intrinsics, samples, moves, (x, z))
    errors = tuple(_errors(intrinsics, s, m, x, z) for s, m in zip(samples, moves, strict=True))
    left_out = []
    for index in range(len(samples)):
        rest = [i for i in range(len(samples)) if i != index]
        without = _refined(intrinsics, [samples[i] for i in rest], moves[rest], (x, z))
        left_out.append(float(_errors(intrinsics, samples[index], moves[index], *without).mean()))
    return HandEye(mount_from_camera=x, other_from_board=z, errors=errors, left_out_px=np.array(left_out))


def closed_form(moves: Array, seen: Array) -> Array:
    """Solve (M_i M_j^-1) X = X (B_i B_j^-1) over all pairs, by Park & Martin's method.

    F. C. Park and B. J. Martin, "Robot sensor calibration: solving AX = XB on the Euclidean group", IEEE Transactions
    on Robotics and Automation 10(5), 1994: the rotation from the logarithms alpha = R_X beta of the turns (equation 22,
    here by a singular value decomposition, which stays a rotation where their square root does not exist), then the
    translation from (R_A - I) t_X = R_X t_B - t_A by linear least squares.

    Args:
        moves: M_i, (N, 4, 4).
        seen: B_i, (N, 4, 4).

    Raises:
        CalibrationError: all turns are about one axis, which leaves X open.
    """
    pairs = list(itertools.combinations(range(len(moves)), 2))
    a = np.stack([moves[i] @ inverse(moves[j]) for i, j in pairs])
    b = np.stack([seen[i] @ inverse(seen[j]) for i, j in pairs])
    alpha = np.stack([vector_from_rotation(m[:3, :3]) for m in a])
    beta = np.stack([vector_from_rotation(m[:3, :3]) for m in b])
    _check_turns(alpha)
    # Near half a turn an axis may come with either sign; such pairs would contradict the others.
    use = (np.linalg.norm(alpha, axis=1) < 2.8) & (np.linalg.norm(beta, axis=1) < 2.8)
    m = beta[use].T @ alpha[use]
    u, _, vt = np.linalg.svd(m)
    rotation = vt.T @ np.diag([1.0, 1.0, float(np.linalg.det(vt.T @ u.T))]) @ u.T
    left = (a[:, :3, :3] - np.eye(3)).reshape(-1, 3)
    right = (b[:, :3, 3] @ rotation.T - a[:, :3, 3]).ravel()
    return transform(rotation, np.linalg.lstsq(left, right, rcond=None)[0])


def _check_turns(alpha: Array) -> None:
    """Refuse turns (N, 3) that are too small, or all about one axis."""
    spread = np.linalg.svd(alpha, compute_uv=False) / math.sqrt(
        len(alpha)
    )  # radians, root mean square, about each axis
    if spread[1] < LEAST_TURN:
        first, second = (math.degrees(float(s)) for s in spread[:2])
        raise CalibrationError(
            f"the tool turned {first:.0f} degrees about one axis but only {second:.1f} about any other between the "
            f"poses (root mean square; expected {math.degrees(LEAST_TURN):.0f} or more about two): tilt it 20 to 40 "
            "degrees to the front, the back, the left and the right, and turn it about its own axis"
        )


def _refined(
    intrinsics: Intrinsics, samples: Sequence[Sample], moves: Array, start: tuple[Array, Array]
) -> tuple[Array, Array]:
    board = np.concatenate([s.board for s in samples])
    pixels = np.concatenate([s.pixels for s in samples])
    index = np.repeat(np.arange(len(samples)), [len(s.board) for s in samples])

    def residuals(transforms: tuple[Array, ...]) -> Array:
        x, z = transforms
        chain = (inverse(x) @ moves)[index]
        on_other = apply(z, board)
        inside = (chain[:, :3, :3] @ on_other[:, :, None])[..., 0] + chain[:, :3, 3]
        off: Array = (project(intrinsics.matrix, np.eye(4), inside) - pixels).ravel()
        return off

    solution = refine(residuals, start)
    return solution.transforms[0], solution.transforms[1]


def _errors(intrinsics: Intrinsics, sample: Sample, move: Array, x: Array, z: Array) -> Array:
    placed = project(intrinsics.matrix, inverse(x) @ move @ z, sample.board)
    return np.asarray(np.linalg.norm(placed - sample.pixels, axis=1), dtype=np.float64)
