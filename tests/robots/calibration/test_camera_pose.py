"""A camera's place comes out of table points, with an honest error; points that cannot tell it are refused."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_rlft.geometry import Workspace
from robo_rlft.robots.calibration.camera_pose import (
    Intrinsics,
    PointSolution,
    millimetres_per_pixel,
    pose_from_table_points,
    project,
    table_points,
)
from robo_rlft.robots.calibration.file import CalibrationError
from robo_rlft.robots.calibration.rigid import inverse, vector_from_rotation
from tests.robots.calibration.calibrations import LENS, down, looking

Array = npt.NDArray[np.float64]
FOUR = np.array([(x, y, 0.0) for x in (0.27, 0.73) for y in (-0.48, 0.48)])
EIGHT = np.array([(x, y, 0.0) for x in (0.27, 0.73) for y in (-0.48, -0.16, 0.16, 0.48)])
CAMERAS = {"aslant": looking((1.1, 0.2, 1.0), (0.5, 0.0, 0.0)), "above": down(0.5, 0.0, 1.1)}


def solve(world_from_camera: Array, points: Array, *, noise: float = 0.0, seed: int = 0) -> PointSolution:
    pixels = project(LENS.matrix, inverse(world_from_camera), points)
    pixels += np.random.default_rng(seed).normal(0, noise, pixels.shape)
    return pose_from_table_points(LENS, points, pixels, workspace=Workspace())


def off(truth: Array, found: Array) -> tuple[float, float]:
    """Millimetres and degrees between two places."""
    change = inverse(truth) @ found
    angle = math.degrees(float(np.linalg.norm(vector_from_rotation(change[:3, :3]))))
    return 1000 * float(np.linalg.norm(change[:3, 3])), angle


def table_error(truth: Array, found: Array) -> float:
    """Millimetres, root mean square, on the workspace's table."""
    probes = np.array([(x, y, 0.0) for x in (0.25, 0.5, 0.75) for y in (-0.5, 0.0, 0.5)])
    seen = table_points(LENS.matrix, found, project(LENS.matrix, inverse(truth), probes))
    return 1000 * float(np.sqrt(((seen - probes) ** 2).sum(axis=1).mean()))


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("points", [FOUR, EIGHT], ids=["four", "eight"])
def test_exact_pixels_give_the_exact_place(camera: str, points: Array) -> None:
    found = solve(CAMERAS[camera], points)
    assert off(CAMERAS[camera], found.world_from_camera) == pytest.approx((0, 0), abs=1e-3)
    assert found.errors.max() < 1e-4


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(-0.6, 1.6),
    y=st.floats(-0.8, 0.8),
    z=st.floats(0.5, 2.0),
    at=st.tuples(st.floats(0.3, 0.7), st.floats(-0.3, 0.3)),
)
def test_any_camera_above_the_table_is_found(x: float, y: float, z: float, at: tuple[float, float]) -> None:
    truth = looking((x, y, z), (at[0] + 1e-3, at[1], 0.0))
    inside = (inverse(truth) @ np.column_stack([EIGHT, np.ones(8)]).T)[2]
    if inside.min() < 0.2:
        return  # some points lie behind it
    assert off(truth, solve(truth, EIGHT).world_from_camera) == pytest.approx((0, 0), abs=1e-2)


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_third_of_a_pixel_of_noise_costs_little(camera: str) -> None:
    truth = CAMERAS[camera]
    errors = [off(truth, solve(truth, EIGHT, noise=0.3, seed=s).world_from_camera) for s in range(12)]
    assert np.mean([mm for mm, _ in errors]) < 3.0, "millimetres of the camera's place"
    assert np.mean([angle for _, angle in errors]) < 0.2, "degrees"
    on_table = [table_error(truth, solve(truth, EIGHT, noise=0.3, seed=s).world_from_camera) for s in range(12)]
    assert max(on_table) < 1.0, "millimetres on the table"


@pytest.mark.parametrize("points", [FOUR, EIGHT], ids=["four", "eight"])
def test_the_bound_holds_for_nine_in_ten(points: Array) -> None:
    truth = CAMERAS["aslant"]
    found = [solve(truth, points, noise=0.5, seed=s) for s in range(40)]
    holds = np.mean([f.bound_mm > table_error(truth, f.world_from_camera) for f in found])
    assert 0.8 <= holds <= 1.0
    assert np.median([f.bound_mm for f in found]) < 6.0, "and it is no empty promise"


def test_the_bound_grows_where_the_points_lie_in_one_corner() -> None:
    corner = EIGHT * 0.3 + [0.2, -0.3, 0.0]
    bounds = [
        np.mean([solve(CAMERAS["aslant"], p, noise=0.3, seed=s).bound_mm for s in range(8)]) for p in (EIGHT, corner)
    ]
    assert bounds[1] > 2 * bounds[0]


def test_a_point_marked_wrongly_is_the_worst_when_left_out() -> None:
    truth = CAMERAS["aslant"]
    pixels = project(LENS.matrix, inverse(truth), EIGHT)
    pixels[5] += [14.0, -9.0]
    found = pose_from_table_points(LENS, EIGHT, pixels, workspace=Workspace())
    assert found.left_out_mm.argmax() == 5
    assert found.bound_mm > 3.1


def test_a_pixel_is_worth_its_size_on_the_table() -> None:
    # 1 m above the table at 900 and 905 pixels of focal length: 1000 / 900 mm, the wider one.
    assert millimetres_per_pixel(LENS.matrix, down(0.5, 0.0, 1.0), Workspace()) == pytest.approx(1000 / 900, rel=1e-3)


REFUSED = {
    "three points": (FOUR[:3], "at least 4"),
    "a line": (np.array([(0.3, y, 0.0) for y in (-0.4, -0.1, 0.2, 0.4)]), "one line"),
    "three of four in line": (np.array([(0.3, -0.4, 0), (0.3, 0, 0), (0.3, 0.4, 0), (0.7, 0, 0.0)]), "one line"),
    "one point four times": (np.repeat(FOUR[:1], 4, axis=0), "one line"),
    "off the table": (np.add(FOUR, (0, 0, 0.1)), "z = 100 mm"),
    "NaN": (FOUR * [[1], [1], [1], [np.nan]], "not a finite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_points_that_cannot_tell_are_refused(name: str) -> None:
    points, said = REFUSED[name]
    pixels = project(LENS.matrix, inverse(CAMERAS["aslant"]), np.nan_to_num(points))
    with pytest.raises(CalibrationError, match=said):
        pose_from_table_points(LENS, points, pixels, workspace=Workspace())


def test_a_mirrored_table_would_put_the_camera_below_it() -> None:
    pixels = project(LENS.matrix, inverse(CAMERAS["aslant"]), EIGHT)
    with pytest.raises(CalibrationError, match="below the table; y grows to the robot's left"):
        pose_from_table_points(LENS, EIGHT * [1, -1, 1], pixels, workspace=Workspace())


def test_the_lens_is_taken_out_of_pixels() -> None:
    lens = Intrinsics(size=(1280, 720), matrix=LENS.matrix, distortion=(-0.2, 0.05, 0.001, -0.001, 0.0))
    ideal = np.array([[300.0, 200.0], [640.0, 362.0], [1100.0, 600.0]])
    rays = np.column_stack([(ideal - LENS.matrix[:2, 2]) / [900.0, 905.0], np.ones(3)])
    coefficients = np.array(lens.distortion)
    bent = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), lens.opencv_matrix, coefficients)[0].reshape(-1, 2) + 0.5
    assert np.abs(bent - ideal).max() > 3
    assert lens.ideal(bent) == pytest.approx(ideal, abs=0.01)
