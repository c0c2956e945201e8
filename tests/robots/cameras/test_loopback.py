"""The loopback camera on the emulated controller's own stage: each of its faults gives an error, never a view."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from robo_rlft.driver import DriverError
from robo_rlft.perception import ViewError
from robo_rlft.robots.cameras.loopback import LoopbackCamera
from robo_rlft.robots.stage import StageClient
from tests.robots.controller import controller


@pytest.fixture(scope="module")
def emulator() -> Iterator[tuple[str, StageClient]]:
    with controller() as running:
        yield running


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ("camera_drop", ViewError, "does not answer"),
        ("camera_freeze", ViewError, "old|frozen"),
        ("camera_frozen_restamped", ViewError, "same in every byte"),
        ("camera_nan", ViewError, "NaN or infinite"),
        ("camera_wrong_size", ViewError, "expected .* pixels"),
    ],
)
def test_a_fault_gives_an_error_and_the_next_good_picture_works(
    emulator: tuple[str, StageClient], fault: str, kind: type[DriverError], said: str
) -> None:
    host, stage = emulator
    camera = LoopbackCamera(host=host, noiseless=fault != "camera_frozen_restamped")
    camera.connect()
    try:
        good = camera.view()
        stage.fault(fault)
        for _ in range(2):
            with pytest.raises(kind, match=said):
                camera.view()
        stage.clear()
        if fault != "camera_frozen_restamped":  # a simulated table at rest always looks the same
            assert camera.view().stamp > good.stamp
    finally:
        stage.clear()
        camera.close()


def test_a_size_that_is_wrong_from_the_first_picture_on_is_refused(emulator: tuple[str, StageClient]) -> None:
    host, stage = emulator
    stage.fault("camera_wrong_size")
    camera = LoopbackCamera(host=host)
    camera.connect()
    try:
        with pytest.raises(ViewError, match="as its intrinsics say"):
            camera.view()
    finally:
        stage.clear()
        camera.close()


def test_no_controller_is_an_error_that_says_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        camera = LoopbackCamera(host="127.0.0.1", port=free.getsockname()[1])
        camera.connect()
        with pytest.raises(ViewError, match="robo-rlft loopback"):
            camera.view()
        camera.close()
