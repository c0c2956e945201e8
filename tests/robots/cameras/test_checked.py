"""No wrong, old or repeated picture leaves the guard; the next good one does."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robo_rlft.driver import DriverError, Pose
from robo_rlft.perception import ViewError
from robo_rlft.robots.calibration.file import Calibration, CalibrationError
from robo_rlft.robots.cameras import CheckedCamera, Frame
from robo_rlft.robots.cameras.placing import table_depth
from tests.robots.calibration.calibrations import down, example
from tests.robots.cameras.fakes import SIZE, Clock, FakeSource


def make(calibration: Calibration | None = None, **options: Any) -> tuple[CheckedCamera, FakeSource]:
    clock = Clock()
    source = FakeSource(clock)
    chosen = example(size=SIZE) if calibration is None else calibration
    camera = CheckedCamera(source=source, name="eye", calibration=chosen, clock=clock, **options)
    camera.connect()
    return camera, source


def with_nan(frame: Frame) -> Frame:
    assert frame.depth is not None
    depth = frame.depth.copy()
    depth[3, 4] = np.nan
    return dataclasses.replace(frame, depth=depth)


def broken(**fields: Any) -> Callable[[Frame], Frame]:
    return lambda frame: dataclasses.replace(frame, **fields)


WRONG: dict[str, tuple[Callable[[Frame], Any], type[DriverError], str]] = {
    "NaN depth": (with_nan, ViewError, "NaN or infinite"),
    "infinite depth": (broken(depth=np.full((48, 64), np.inf, np.float32)), ViewError, "NaN or infinite"),
    "negative depth": (broken(depth=np.full((48, 64), -0.1, np.float32)), ViewError, "0 or more"),
    "depth in millimetres": (broken(depth=np.full((48, 64), 800, np.uint16)), ViewError, "floating metres"),
    "depth not aligned": (broken(depth=np.ones((24, 32), np.float32)), ViewError, "align depth"),
    "wrong size": (broken(color=np.zeros((24, 32, 3), np.uint8)), ViewError, "expected 64 x 48"),
    "no colour": (broken(color=np.zeros((48, 64), np.uint8)), ViewError, "expected colour uint8"),
    "floating colour": (broken(color=np.zeros((48, 64, 3))), ViewError, "expected colour uint8"),
    "no picture": (broken(color=None), ViewError, "expected colour uint8"),
    "nothing": (lambda frame: None, ViewError, "expected a Frame"),
    "old": (
        lambda frame: dataclasses.replace(frame, stamp=frame.stamp - 0.25),
        ViewError,
        "old, expected at most",
    ),
    "from the future": (lambda frame: dataclasses.replace(frame, stamp=frame.stamp + 1), ViewError, "future"),
    "NaN stamp": (broken(stamp=float("nan")), ViewError, "time stamp"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_picture_is_refused_and_the_next_good_one_works(name: str) -> None:
    camera, source = make()
    camera.view()
    good = source.change
    source.change, kind, said = WRONG[name]
    with pytest.raises(kind, match=said):
        camera.view()
    source.change = good
    assert camera.view().stamp == source.clock.now - 0.03


def test_a_drop_out_is_a_lost_connection_and_the_next_picture_works() -> None:
    camera, source = make()

    def drop(frame: Frame) -> Frame:
        raise OSError("device unplugged")

    source.change = drop
    with pytest.raises(ViewError, match="dropped out: OSError: device unplugged"):
        camera.view()
    source.change = lambda frame: frame
    camera.view()


def test_a_stamp_that_does_not_advance_is_a_frozen_camera() -> None:
    camera, source = make()
    last = camera.view().stamp
    source.change = lambda frame: dataclasses.replace(frame, stamp=last)
    with pytest.raises(ViewError, match="frozen"):
        camera.view()


@pytest.mark.parametrize("noiseless", [False, True])
def test_the_same_picture_twice_is_refused_of_a_real_sensor_only(noiseless: bool) -> None:
    camera, source = make(noiseless=noiseless)
    same = camera.frame().color
    source.change = lambda frame: dataclasses.replace(frame, color=same.copy())
    if noiseless:
        camera.view()
        return
    for _ in range(3):
        with pytest.raises(ViewError, match="same in every byte"):
            camera.view()


def test_a_hung_camera_is_an_error_within_a_second_and_its_late_picture_is_thrown_away() -> None:
    camera, source = make()
    source.hang.clear()
    begin = time.monotonic()
    with pytest.raises(ViewError, match="no answer"):
        camera.view()
    assert time.monotonic() - begin < 1.0
    source.hang.set()
    view = camera.view()
    assert source.reads == 2, "the hung read ended, and another one gave the picture"
    assert view.stamp == pytest.approx(source.clock.now - 0.03)


def test_pictures_that_nobody_waits_for_any_more_are_not_taken() -> None:
    camera, source = make(patience=0.05)
    source.hang.clear()
    for _ in range(3):
        with pytest.raises(ViewError):
            camera.view()
    source.hang.set()
    time.sleep(0.05)
    assert source.reads == 1, "the one that hung"


def test_a_hung_camera_can_be_closed_and_opened_again() -> None:
    camera, source = make(patience=0.05)
    source.hang.clear()
    with pytest.raises(ViewError):
        camera.view()
    camera.close()
    source.hang.set()
    camera.close()
    camera.connect()
    camera.view()
    camera.close()
    assert source.connected == 0


def test_an_unconnected_camera_says_so() -> None:
    camera, _ = make()
    camera.close()
    with pytest.raises(ViewError, match="connect"):
        camera.view()


def test_without_depth_every_pixel_lies_on_the_table() -> None:
    calibration = example(size=SIZE)
    camera, source = make(calibration)
    source.change = lambda frame: dataclasses.replace(frame, depth=None)
    view = camera.view()
    # The camera looks straight down from 1 m: the table's depth is 1 m everywhere.
    assert view.depth == pytest.approx(np.ones((48, 64)), abs=1e-6)
    assert view.world_from_camera == pytest.approx(calibration.mount_from_camera)


def test_a_ray_above_the_horizon_has_no_depth() -> None:
    # Looks along +x from 1 m up: image down is world down, so the upper half never meets the table.
    pose = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1.0]])
    depth = table_depth(np.array([[50.0, 0, 32], [0, 50.0, 24], [0, 0, 1]]), pose, SIZE)
    assert (depth[:24] == 0).all()
    # Row 24's centre is half a pixel below the axis: slope 0.5 / 50, so that it falls 1 m in 100 m.
    assert depth[24] == pytest.approx(np.full(64, 100.0), rel=1e-5)


def test_the_lens_is_straightened_and_what_it_never_saw_has_no_depth() -> None:
    # Pincushion: in a straight picture the corners lie outside of what the sensor caught.
    camera, source = make(example(size=SIZE, distortion=(0.3, 0.0, 0.0, 0.0, 0.0)))
    source.change = lambda frame: dataclasses.replace(frame, depth=None)
    view = camera.view()
    for row, column in ((0, 0), (24, 0), (24, 63)):
        assert (view.depth[row, column], view.color[row, column].max()) == (0, 0)
    assert view.depth[24, 32] == pytest.approx(1.0)


def test_a_device_with_other_intrinsics_than_calibrated_is_refused() -> None:
    camera, source = make()
    other = np.array([[200.0, 0, 32], [0, 200.0, 24], [0, 0, 1]])
    source.change = lambda frame: dataclasses.replace(frame, intrinsics=other)
    with pytest.raises(CalibrationError, match="another camera or resolution"):
        camera.view()


def test_a_camera_without_calibration_gives_frames_but_no_views() -> None:
    clock = Clock()
    camera = CheckedCamera(source=FakeSource(clock), name="eye", calibration=None, clock=clock)
    camera.connect()
    assert camera.frame().color.shape == (48, 64, 3)
    with pytest.raises(CalibrationError, match="robo-rlft calibrate"):
        camera.view()


def test_a_camera_on_the_tool_is_placed_by_the_tools_pose() -> None:
    camera, _ = make(example(size=SIZE, mount="tool"))
    with pytest.raises(CalibrationError, match="follow"):
        camera.view()
    camera.follow(lambda: Pose(position=(0.4, 0.1, 0.0)))
    assert camera.view().world_from_camera == pytest.approx(down(0.4 + 0.5, 0.1, 1.0))


def test_a_camera_on_a_moving_tool_gives_no_view() -> None:
    camera, _ = make(example(size=SIZE, mount="tool"))
    xs = iter([0.4, 0.402])
    camera.follow(lambda: Pose(position=(next(xs), 0.1, 0.0)))
    with pytest.raises(ViewError, match="moved 2.0 mm"):
        camera.view()
