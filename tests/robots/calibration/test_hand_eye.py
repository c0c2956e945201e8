"""Hand-eye calibration finds the camera in both set-ups, and refuses motions that leave it open."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from robo_rlft.robots.calibration.camera_pose import pose_of_plane, project
from robo_rlft.robots.calibration.charuco import Board
from robo_rlft.robots.calibration.file import CalibrationError
from robo_rlft.robots.calibration.hand_eye import Sample, closed_form, solve_hand_eye
from robo_rlft.robots.calibration.rigid import inverse, rotation_from_vector, transform, vector_from_rotation
from tests.robots.calibration.calibrations import LENS, looking

Array = npt.NDArray[np.float64]
Mount = Literal["world", "tool"]
CORNERS = np.asarray(Board().opencv().getChessboardCorners(), dtype=np.float64)
ON_OTHER = transform(rotation_from_vector([0.1, 0.2, 0.3]), [0.02, 0.01, 0.05])
TRUTH: dict[Mount, Array] = {
    "world": looking((1.1, 0.2, 1.0), (0.5, 0.0, 0.0)),
    "tool": transform(rotation_from_vector([math.pi - 0.1, 0.05, 0.02]), [0.05, 0.0, 0.1]),
}


def samples(mount: Mount, *, count: int = 12, noise: float = 0.3, seed: int = 0, tilt: float = 0.5) -> list[Sample]:
    """Poses in which the camera sees the board 0.7 to 1 m away, turned about all axes by up to `tilt` radians."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        turn = rng.uniform(-tilt, tilt, 3) if tilt else np.array([0.0, 0.0, rng.uniform(-1, 1)])
        board = transform(rotation_from_vector(turn), [*rng.uniform(-0.2, 0.1, 2), rng.uniform(0.7, 1.0)])
        # camera_from_board = X^-1 M Z, with M the tool's pose or its inverse
        move = TRUTH[mount] @ board @ inverse(ON_OTHER)
        pixels = project(LENS.matrix, board, CORNERS) + rng.normal(0, noise, (len(CORNERS), 2))
        made.append(Sample(world_from_tool=move if mount == "world" else inverse(move), board=CORNERS, pixels=pixels))
    return made


def off(mount: Mount, found: Array) -> tuple[float, float]:
    change = inverse(TRUTH[mount]) @ found
    angle = math.degrees(float(np.linalg.norm(vector_from_rotation(change[:3, :3]))))
    return 1000 * float(np.linalg.norm(change[:3, 3])), angle


@pytest.mark.parametrize("mount", ["world", "tool"])
def test_the_closed_form_is_exact_without_noise(mount: Mount) -> None:
    made = samples(mount, noise=0.0)
    moves = np.stack([s.world_from_tool if mount == "world" else inverse(s.world_from_tool) for s in made])
    seen = inverse(TRUTH[mount]) @ moves @ ON_OTHER
    assert off(mount, closed_form(moves, seen)) == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize("mount", ["world", "tool"])
@pytest.mark.parametrize("seed", range(3))
def test_a_third_of_a_pixel_of_noise_costs_less_than_a_millimetre(mount: Mount, seed: int) -> None:
    found = solve_hand_eye(LENS, samples(mount, seed=seed), mount=mount)
    millimetres, degrees = off(mount, found.mount_from_camera)
    assert millimetres < 1.0 and degrees < 0.05
    # The mean length of a normal error of 0.3 pixels in two directions is 0.3 sqrt(pi / 2) = 0.376.
    assert float(np.concatenate(found.errors).mean()) == pytest.approx(0.376, rel=0.1)
    assert found.left_out_px.mean() == pytest.approx(0.376, rel=0.2)


def test_a_boards_second_explanation_is_taken_where_it_fits_better() -> None:
    rng = np.random.default_rng(43)  # a far, small, noisy board whose first explanation leans the wrong way
    tilt = rotation_from_vector([*rng.uniform(-0.5, 0.5, 2), rng.uniform(-1, 1)])
    truth = transform(tilt, [rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.2), 2.5])
    places = CORNERS * 0.5
    pixels = project(LENS.matrix, truth, places) + rng.normal(0, 0.5, (len(places), 2))
    change = truth @ pose_of_plane(LENS, places, pixels).transforms[0]
    assert np.linalg.norm(vector_from_rotation(change[:3, :3])) < math.radians(5)


def test_a_robot_that_errs_shows_in_the_error() -> None:
    rng = np.random.default_rng(0)
    made = [
        Sample(
            world_from_tool=s.world_from_tool @ transform(np.eye(3), rng.normal(0, 0.004, 3)),
            board=s.board,
            pixels=s.pixels,
        )
        for s in samples("world")
    ]
    found = solve_hand_eye(LENS, made, mount="world")
    assert found.left_out_px.mean() > 2.0


def test_turns_about_one_axis_are_refused_with_what_to_do() -> None:
    with pytest.raises(CalibrationError, match="about one axis but only .* tilt it 20 to 40 degrees"):
        solve_hand_eye(LENS, samples("world", tilt=0.0), mount="world")


def test_too_few_poses_are_refused() -> None:
    with pytest.raises(CalibrationError, match="at least 10 poses .* got 9"):
        solve_hand_eye(LENS, samples("world", count=9), mount="world")


def test_a_pose_with_few_corners_is_refused_by_number() -> None:
    made = samples("tool")
    made[4] = Sample(world_from_tool=made[4].world_from_tool, board=CORNERS[:5], pixels=made[4].pixels[:5])
    with pytest.raises(CalibrationError, match="pose 4: expected at least 6 corners"):
        solve_hand_eye(LENS, made, mount="tool")
