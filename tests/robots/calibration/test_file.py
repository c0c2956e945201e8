"""The calibration's file says what it holds, and refuses what it cannot."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robo_rlft.robots.calibration.file import (
    FORMAT_VERSION,
    CalibrationError,
    judge,
    read_calibration,
    write_calibration,
)
from robo_rlft.robots.calibration.rigid import rotation_from_vector, transform
from tests.robots.calibration.calibrations import example

number = st.floats(-5.0, 5.0)
vectors = st.tuples(number, number, number)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    turn=st.tuples(*[st.floats(-1.8, 1.8)] * 3),
    place=vectors,
    focal=st.floats(1.0, 1e5),
    distortion=st.sampled_from([(), (0.1, -0.2, 0.001, 0.0), (-0.3, 0.12, 1e-4, -1e-5, 0.02)]),
    mount=st.sampled_from(["world", "tool"]),
    name=st.text(max_size=20).filter(lambda s: s.isprintable()),
)
def test_what_is_written_is_read(
    tmp_path: Path, turn: Any, place: Any, focal: float, distortion: Any, mount: Any, name: str
) -> None:
    written = example(
        camera=name,
        mount=mount,
        distortion=distortion,
        intrinsics=np.array([[focal, 0, 640], [0, focal, 360], [0, 0, 1]]),
        mount_from_camera=transform(rotation_from_vector(turn), place),
    )
    write_calibration(tmp_path / "c.yaml", written)
    read = read_calibration(tmp_path / "c.yaml")
    for field in dataclasses.fields(written):
        before, after = getattr(written, field.name), getattr(read, field.name)
        if isinstance(before, np.ndarray):
            assert after == pytest.approx(before, abs=1e-8)
        else:
            assert after == before


def set_key(data: dict[str, Any], key: str, value: Any) -> None:
    parts = key.split(".")
    for part in parts[:-1]:
        data = data[part]
    data[parts[-1]] = value


EYE = np.eye(4).tolist()
REFUSED: dict[str, tuple[str, Any, str]] = {
    "another format": ("format", "robo_rlft.run", "format: expected robo_rlft.calibration"),
    "no version": ("format_version", True, "format_version"),
    "a newer version": ("format_version", FORMAT_VERSION + 1, "newer than version 1.*update robo_rlft"),
    "an unknown key": ("colour", 1, "colour"),
    "no size": ("size", [0, 480], "size: expected .width, height."),
    "NaN intrinsics": ("intrinsics", [[float("nan"), 0, 1], [0, 1, 1], [0, 0, 1]], "intrinsics: expected 3 x 3 finite"),
    "no focal length": ("intrinsics", [[0, 0, 1], [0, 1, 1], [0, 0, 1]], "fx, fy above 0"),
    "infinite distortion": ("distortion", [float("inf"), 0, 0, 0], "distortion"),
    "three coefficients": ("distortion", [0.1, 0.2, 0.3], "0, 4, 5"),
    "a stretched rotation": ("world_from_camera", [[2, 0, 0, 0], *EYE[1:]], "a rotation and a translation"),
    "a mirror": ("world_from_camera", [[-1, 0, 0, 0], *EYE[1:]], "a rotation and a translation"),
    "text for a number": ("world_from_camera", [["a", 0, 0, 0], *EYE[1:]], "4 x 4 finite"),
    "a number beyond floats": ("world_from_camera", [[10**400, 0, 0, 0], *EYE[1:]], "4 x 4 finite"),
    "an unknown verdict": ("verdict", "fine", "one of good, usable, refused"),
    "an unknown mount": ("mount", "wall", "one of world, tool"),
    "a NaN error": ("error.mean_px", float("nan"), "error"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_is_refused_by_key(tmp_path: Path, name: str) -> None:
    path = tmp_path / "c.yaml"
    write_calibration(path, example())
    data = yaml.safe_load(path.read_text())
    key, value, said = REFUSED[name]
    set_key(data, key, value)
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(CalibrationError, match=said) as raised:
        read_calibration(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("text", ["", "[1, 2", "just text", "!!python/object:os.system {}"])
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(CalibrationError, match=str(path)):
        read_calibration(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="robo-rlft calibrate"):
        read_calibration(tmp_path / "none.yaml")


def test_the_place_of_a_camera_on_the_tool_is_not_taken_for_one_in_the_world() -> None:
    with pytest.raises(CalibrationError, match="mounted on the tool"):
        _ = example(mount="tool").world_from_camera


@pytest.mark.parametrize(("error_mm", "verdict"), [(0.0, "good"), (1.49, "good"), (1.5, "usable"), (3.1, "refused")])
def test_the_verdict_goes_by_half_a_pixel_of_the_grids(error_mm: float, verdict: str) -> None:
    assert judge(error_mm) == verdict
