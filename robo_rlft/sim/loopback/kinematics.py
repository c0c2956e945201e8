"""A UR5e's kinematics: where the flange is for joint angles, and which joint angles reach a flange's pose.

Denavit-Hartenberg parameters as published by Universal Robots for the UR5e ("DH Parameters for calculations of
kinematics and dynamics"). Poses are 4 x 4 matrices in the robot's base frame, or UR pose vectors: x, y, z in metres and
a rotation vector in radians. Knows nothing of tools.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Joints = npt.NDArray[np.float64]  # (6,), radians

D1, A2, A3, D4, D5, D6 = 0.1625, -0.425, -0.3922, 0.1333, 0.0997, 0.0996  # metres
ALPHAS = (math.pi / 2, 0.0, 0.0, math.pi / 2, -math.pi / 2, 0.0)  # radians
JOINT_LIMIT = 2 * math.pi  # radians, both ways, every joint
JOINT_SPEED = math.pi  # radians per second, every joint
_SINGULAR = 1e-6  # of a sine


def forward(joints: Sequence[float] | Joints) -> Matrix:
    """Return base_from_flange for six joint angles."""
    pose = np.eye(4)
    for theta, d, a, alpha in zip(joints, (D1, 0, 0, D4, D5, D6), (0, A2, A3, 0, 0, 0), ALPHAS, strict=True):
        pose = pose @ _link(float(theta), d, a, alpha)
    return pose


def inverse(base_from_flange: Matrix) -> list[Joints]:
    """Return every joint vector in (-pi, pi] that reaches a flange's pose: none, or up to eight.

    Closed form: the wrist's centre fixes joint 1, the flange's height above the arm's plane joint 5, its direction in
    that plane joint 6; what is left is a planar arm of two links.
    """
    rotation, position = base_from_flange[:3, :3], base_from_flange[:3, 3]
    wx, wy, _ = position - D6 * rotation[:, 2]
    across = math.hypot(wx, wy)
    if not across > D4:
        return []
    found: list[Joints] = []
    for side in (1.0, -1.0):
        q1 = math.atan2(wy, wx) + side * math.acos(D4 / across) + math.pi / 2
        s1, c1 = math.sin(q1), math.cos(q1)
        cosine = (position[0] * s1 - position[1] * c1 - D4) / D6
        if abs(cosine) > 1.0 + 1e-9:
            continue
        for flip in (1.0, -1.0):
            q5 = flip * math.acos(max(-1.0, min(1.0, cosine)))
            s5 = math.sin(q5)
            if abs(s5) < _SINGULAR:
                continue  # joints 4 and 6 are parallel: infinitely many solutions, none of them stable
            q6 = math.atan2(
                (rotation[1, 1] * c1 - rotation[0, 1] * s1) / s5, (rotation[0, 0] * s1 - rotation[1, 0] * c1) / s5
            )
            found += _planar(base_from_flange, q1, q5, q6)
    return found


def nearest(base_from_flange: Matrix, near: Joints) -> Joints | None:
    """Return the joint vector within the limits that reaches a pose and lies closest to another; None if none does."""
    best, shortest = None, math.inf
    for joints in inverse(base_from_flange):
        turned = joints + 2 * math.pi * np.round((near - joints) / (2 * math.pi))
        turned = np.where(np.abs(turned) > JOINT_LIMIT, joints, turned)
        distance = float(np.abs(turned - near).max())
        if distance < shortest:
            best, shortest = turned, distance
    return best


def to_vector(pose: Matrix) -> tuple[float, ...]:
    """Return a matrix as a UR pose vector."""
    turn, _ = cv2.Rodrigues(pose[:3, :3])
    return (*map(float, pose[:3, 3]), *map(float, turn[:, 0]))


def from_vector(vector: Sequence[float]) -> Matrix:
    """Return a UR pose vector as a matrix."""
    pose = np.eye(4)
    pose[:3, :3], _ = cv2.Rodrigues(np.asarray(vector[3:6], dtype=np.float64))
    pose[:3, 3] = vector[:3]
    return pose


def _planar(base_from_flange: Matrix, q1: float, q5: float, q6: float) -> list[Joints]:
    """Solve joints 2 to 4 for given others."""
    base_from_1 = _link(q1, D1, 0.0, ALPHAS[0])
    four_from_6 = _link(q5, D5, 0.0, ALPHAS[4]) @ _link(q6, D6, 0.0, ALPHAS[5])
    one_from_4 = _invert(base_from_1) @ base_from_flange @ _invert(four_from_6)
    x, y, _ = one_from_4[:3, 3] - D4 * one_from_4[:3, 1]
    square = x * x + y * y
    cosine = (square - A2 * A2 - A3 * A3) / (2 * A2 * A3)
    if abs(cosine) > 1.0:
        return []
    solutions = []
    for elbow in (1.0, -1.0):
        q3 = elbow * math.acos(cosine)
        q2 = math.atan2(y, x) - math.atan2(A3 * math.sin(q3), A2 + A3 * math.cos(q3))
        two = _link(q2, 0.0, A2, ALPHAS[1]) @ _link(q3, 0.0, A3, ALPHAS[2])
        three_from_4 = _invert(two) @ one_from_4
        q4 = math.atan2(three_from_4[1, 0], three_from_4[0, 0])
        joints = np.array([q1, q2, q3, q4, q5, q6])
        solutions.append(np.arctan2(np.sin(joints), np.cos(joints)))
    return solutions


def _link(theta: float, d: float, a: float, alpha: float) -> Matrix:
    c, s, ca, sa = math.cos(theta), math.sin(theta), math.cos(alpha), math.sin(alpha)
    return np.array([[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s], [0, sa, ca, d], [0, 0, 0, 1]])


def _invert(pose: Matrix) -> Matrix:
    inverted = np.eye(4)
    inverted[:3, :3] = pose[:3, :3].T
    inverted[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return inverted
