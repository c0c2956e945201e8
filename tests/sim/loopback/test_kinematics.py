"""The arm's kinematics: forward and inverse agree, and what is out of reach has no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robo_rlft.sim.loopback.arm import HOME_JOINTS
from robo_rlft.sim.loopback.kinematics import forward, from_vector, inverse, nearest, to_vector


def test_the_stretched_arm_is_as_long_as_the_data_sheet_says() -> None:
    assert np.allclose(forward([0.0] * 6)[:3, 3], (-0.8172, -0.2329, 0.0628), atol=1e-4)


def test_every_inverse_solution_reaches_the_pose() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        joints = rng.uniform(-3.0, 3.0, 6)
        pose = forward(joints)
        solutions = inverse(pose)
        assert all(np.allclose(forward(solution), pose, atol=1e-7) for solution in solutions)
        found = nearest(pose, joints)
        assert found is not None and np.allclose(found, joints, atol=1e-6)


def test_the_nearest_solution_stays_within_the_joint_limits() -> None:
    joints = HOME_JOINTS + np.array([2 * math.pi, 0, 0, 0, 0, 0])
    found = nearest(forward(joints), joints)
    assert found is not None and (np.abs(found) <= 2 * math.pi).all()


def test_out_of_reach_has_no_solution() -> None:
    assert inverse(from_vector([1.5, 0.0, 0.3, math.pi, 0.0, 0.0])) == []
    assert inverse(from_vector([0.05, 0.0, 0.3, math.pi, 0.0, 0.0])) == []


@pytest.mark.parametrize("x", [0.253, 0.747])
@pytest.mark.parametrize("y", [-0.497, 0.0, 0.497])
@pytest.mark.parametrize("z", [0.05, 0.21])
def test_the_whole_table_is_within_reach_of_a_tool_that_points_down(x: float, y: float, z: float) -> None:
    assert nearest(from_vector([x, y, z, math.pi, 0.0, 0.0]), HOME_JOINTS) is not None


def test_pose_vectors_survive_the_round_trip() -> None:
    vector = (0.4, -0.2, 0.3, 2.0, 1.0, -0.5)
    assert np.allclose(to_vector(from_vector(vector)), vector)
