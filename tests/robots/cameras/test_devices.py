"""OpenCV's, Intel's and the loopback camera, on stand-ins for their clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from robo_rlft.driver import ConnectionLost, DriverError, View
from robo_rlft.perception import ViewError
from robo_rlft.robots.calibration.file import write_calibration
from robo_rlft.robots.cameras import Camera, realsense
from robo_rlft.robots.cameras.loopback import LoopbackCamera
from robo_rlft.robots.cameras.opencv import OpenCvCamera
from robo_rlft.robots.cameras.realsense import RealSense
from tests.robots.calibration.calibrations import down, example
from tests.robots.cameras.fakes import SIZE, Clock, FakeCapture, FakeRealSense


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    path = tmp_path / "calibration.yaml"
    matrix = np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]])
    write_calibration(path, example(size=SIZE, intrinsics=matrix))
    return path


def webcam(calibration: Path | None, capture: FakeCapture) -> OpenCvCamera:
    return OpenCvCamera(calibration=calibration, capture=lambda source: capture, clock=capture.clock)


def sense(calibration: Path | None, client: FakeRealSense) -> RealSense:
    return RealSense(calibration=calibration, client=client, clock=client.clock, wall=client.wall)


def test_a_webcam_gives_rgb_on_the_table_at_the_calibrated_size(calibration: Path) -> None:
    capture = FakeCapture(Clock())
    camera = webcam(calibration, capture)
    camera.connect()
    view = camera.view()
    assert view.color[10, 10].tolist()[::2] == [10, 200], "RGB of a blue picture"
    assert view.depth == pytest.approx(np.ones((48, 64)), abs=1e-5)
    assert (capture.settings[cv2.CAP_PROP_FRAME_WIDTH], capture.settings[cv2.CAP_PROP_FRAME_HEIGHT]) == SIZE


def test_a_webcams_buffered_pictures_are_thrown_away(calibration: Path) -> None:
    capture = FakeCapture(Clock())
    camera = webcam(calibration, capture)
    camera.connect()
    capture.grabs, capture.buffered = 0, 5
    camera.view()
    assert capture.grabs == 7, "five came at once, two had to be waited for"


def test_a_buffered_picture_that_a_busy_machine_hands_out_late_is_thrown_away(calibration: Path) -> None:
    capture = FakeCapture(Clock())
    camera = webcam(calibration, capture)
    camera.connect()
    capture.grabs, capture.buffered = 0, 3
    grab = capture.grab

    def busy_at_first() -> bool:
        capture.clock.now += 0.03 if capture.grabs == 0 else 0.0
        return grab()

    capture.grab = busy_at_first  # type: ignore[method-assign]
    camera.view()
    assert capture.buffered == 0


def test_a_recording_is_no_camera(calibration: Path) -> None:
    capture = FakeCapture(Clock(), buffered=10_000)
    camera = webcam(calibration, capture)
    camera.connect()
    with pytest.raises(ViewError, match="recording"):
        camera.view()


def test_a_webcam_that_drops_is_opened_anew_for_the_next_picture(calibration: Path) -> None:
    capture = FakeCapture(Clock())
    camera = webcam(calibration, capture)
    camera.connect()
    capture.drops = True
    with pytest.raises(ViewError, match="gave no picture"):
        camera.view()
    assert capture.released
    capture.drops = False
    camera.view()


def test_a_webcam_that_does_not_open_says_what_to_do() -> None:
    camera = webcam(None, FakeCapture(Clock(), opens=False))
    with pytest.raises(ViewError, match="camera.source"):
        camera.connect()


@pytest.mark.parametrize("domain", ["global_time", "hardware"])
def test_a_realsense_gives_metres_and_the_time_of_exposure(calibration: Path, domain: str) -> None:
    client = FakeRealSense(Clock(), domain=domain)
    camera = sense(calibration, client)
    camera.connect()
    view = camera.view()
    assert view.depth == pytest.approx(np.full((48, 64), 0.8))
    # The device's own clock tells no delay: its quickest picture is taken to have had none.
    assert client.clock.now - view.stamp == pytest.approx(0.02 if domain == "global_time" else 0.0, abs=1e-3)


@pytest.mark.parametrize("domain", ["global_time", "hardware"])
def test_a_realsenses_pictures_from_before_the_call_are_thrown_away(calibration: Path, domain: str) -> None:
    client = FakeRealSense(Clock(), domain=domain)
    camera = sense(calibration, client)
    camera.connect()
    asked = client.clock.now
    client.queued = 4
    assert camera.view().stamp >= asked
    assert client.queued == 0


def test_a_realsenses_intrinsics_are_counted_from_the_pixels_corner() -> None:
    camera = sense(None, FakeRealSense(Clock()))
    camera.connect()
    intrinsics = camera.frame().intrinsics
    assert intrinsics is not None
    assert intrinsics.tolist() == [[60, 0, 32], [0, 60, 24], [0, 0, 1]]


def test_a_realsense_that_drops_is_opened_anew_for_the_next_picture(calibration: Path) -> None:
    client = FakeRealSense(Clock())
    camera = sense(calibration, client)
    camera.connect()
    client.fails = True
    with pytest.raises(ViewError, match="didn't arrive"):
        camera.view()
    with pytest.raises(ViewError, match="USB 3"):
        camera.view()
    client.fails = False
    camera.view()
    assert client.stopped == 1 and client.started == 3


def test_a_realsense_in_another_mode_than_calibrated_is_refused(calibration: Path) -> None:
    client = FakeRealSense(Clock())
    client.units = np.full((24, 32), 800, dtype=np.uint16)
    camera = sense(calibration, client)
    camera.connect()
    with pytest.raises(ViewError, match="align depth"):
        camera.view()


def test_a_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(realsense.importlib, "import_module", missing)
    with pytest.raises(DriverError, match=r"\.\[realsense\]"):
        RealSense().connect()


class FakeStage:
    def __init__(self, clock: Clock) -> None:
        self.clock, self.gone, self.frozen = clock, False, False

    def view(self) -> View:
        if self.gone:
            raise ConnectionLost("the stage does not answer")
        if not self.frozen:
            self.clock.now += 0.01
        return View(
            color=np.zeros((48, 64, 3), np.uint8),
            depth=np.ones((48, 64), np.float32),
            intrinsics=np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]]),
            world_from_camera=down(0.5, 0, 1),
            stamp=self.clock.now,
        )

    def close(self) -> None: ...


def test_the_loopback_camera_knows_its_place_and_may_repeat_itself() -> None:
    clock = Clock()
    camera = LoopbackCamera(stage=lambda host, port: FakeStage(clock), clock=clock)
    camera.connect()
    camera.view()
    assert camera.view().world_from_camera == pytest.approx(down(0.5, 0, 1))
    assert isinstance(camera, Camera)


def test_a_loopback_camera_that_freezes_or_goes_gives_no_view() -> None:
    clock = Clock()
    stage = FakeStage(clock)
    camera = LoopbackCamera(stage=lambda host, port: stage, clock=clock)
    camera.connect()
    camera.view()
    stage.frozen = True
    with pytest.raises(ViewError, match="frozen"):
        camera.view()
    stage.frozen, stage.gone = False, True
    with pytest.raises(ViewError, match="does not answer"):
        camera.view()
    stage.gone = False
    camera.view()
