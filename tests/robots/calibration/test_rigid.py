"""Rotations and transforms undo themselves, and the solver finds what it should."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_rlft.robots.calibration.rigid import (
    apply,
    inverse,
    nearest_rotation,
    quaternion_from_rotation,
    refine,
    rotation_from_quaternion,
    rotation_from_vector,
    transform,
    vector_from_rotation,
)

small = st.floats(-1.75, 1.75)  # any three have a length below pi
turns = st.tuples(small, small, small)


@given(turn=turns)
def test_a_rotations_vector_is_the_one_it_came_from(turn: tuple[float, float, float]) -> None:
    assert vector_from_rotation(rotation_from_vector(turn)) == pytest.approx(turn, abs=1e-7)


@given(turn=turns)
def test_a_rotations_quaternion_gives_it_back(turn: tuple[float, float, float]) -> None:
    rotation = rotation_from_vector(turn)
    assert rotation_from_quaternion(quaternion_from_rotation(rotation)) == pytest.approx(rotation, abs=1e-9)


def test_half_a_turn_keeps_its_axis() -> None:
    found = vector_from_rotation(np.diag([1.0, -1.0, -1.0]))
    assert np.abs(found) == pytest.approx([math.pi, 0, 0])


@given(turn=turns, place=turns)
def test_an_inverse_undoes(turn: tuple[float, float, float], place: tuple[float, float, float]) -> None:
    matrix = transform(rotation_from_vector(turn), place)
    assert apply(inverse(matrix), apply(matrix, [[1.0, 2.0, 3.0]])) == pytest.approx(np.array([[1, 2, 3.0]]), abs=1e-9)


def test_the_nearest_rotation_of_a_stretched_one_is_the_rotation() -> None:
    rotation = rotation_from_vector([0.3, -0.2, 0.5])
    assert nearest_rotation(rotation @ np.diag([1.2, 1.2, 1.2])) == pytest.approx(rotation)


def test_the_solver_moves_points_onto_their_images() -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    truth = transform(rotation_from_vector([0.4, -0.9, 0.2]), [1.0, -2.0, 0.5])

    def residuals(transforms: tuple[npt.NDArray[np.float64], ...]) -> npt.NDArray[np.float64]:
        off: npt.NDArray[np.float64] = (apply(transforms[0], points) - apply(truth, points)).ravel()
        return off

    assert refine(residuals, (np.eye(4),)).transforms[0] == pytest.approx(truth, abs=1e-7)
