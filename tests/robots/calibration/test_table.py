"""The depth of an empty table tells how high it lies and how it leans."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from robo_rlft.driver import View
from robo_rlft.geometry import Workspace
from robo_rlft.robots.calibration.file import CalibrationError
from robo_rlft.robots.calibration.rigid import rotation_from_vector
from robo_rlft.robots.calibration.table import check_table
from robo_rlft.robots.cameras.placing import table_depth
from tests.robots.calibration.calibrations import down

SIZE = (320, 240)
MATRIX = np.array([[200.0, 0, 160], [0, 200.0, 120], [0, 0, 1]])


def over_table(*, lower: float = 0.0, lean: float = 0.0, noise: float = 0.0) -> View:
    """A view that believes to be 1 m above (0.5, 0), while the table lies lower and leans about y."""
    real = down(0.5, 0.0, 1.0 + lower)
    real[:3, :3] = rotation_from_vector([0.0, lean, 0.0]) @ real[:3, :3]
    depth = table_depth(MATRIX, real, SIZE) + np.random.default_rng(0).normal(0, noise, (240, 320)).astype(np.float32)
    return View(
        color=np.zeros((240, 320, 3), np.uint8),
        depth=depth.astype(np.float32),
        intrinsics=MATRIX,
        world_from_camera=down(0.5, 0.0, 1.0),
        stamp=0.0,
    )


def test_a_table_in_its_place_is_flat_and_at_zero() -> None:
    found = check_table(over_table(noise=0.002), Workspace())
    assert abs(found.offset_mm) < 0.1 and found.tilt_degrees < 0.05
    # Noise along the ray, of which the vertical part is nearly all; the farthest 0.3 % are left out.
    assert found.residual_mm == pytest.approx(2.0, rel=0.05)


def test_a_table_that_lies_lower_shows_by_how_much() -> None:
    assert check_table(over_table(lower=0.012), Workspace()).offset_mm == pytest.approx(-12, abs=0.1)


def test_a_table_that_leans_shows_by_how_much() -> None:
    assert check_table(over_table(lean=math.radians(2)), Workspace()).tilt_degrees == pytest.approx(2, abs=0.1)


def test_a_thing_on_the_table_does_not_move_it() -> None:
    view = over_table(noise=0.001)
    view.depth[100:140, 140:180] -= 0.05
    assert abs(check_table(view, Workspace()).offset_mm) < 0.2


def test_a_table_elsewhere_is_no_table() -> None:
    view = dataclasses.replace(over_table(), depth=np.full((240, 320), 0.5, np.float32))
    with pytest.raises(CalibrationError, match="only 0 depths"):
        check_table(view, Workspace())
