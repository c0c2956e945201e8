"""The UR driver is a driver as the contract says: the unmodified ur_rtde client against our emulated controller."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from robo_rlft.driver import Pose, RobotDriver
from robo_rlft.robots.cameras.loopback import LoopbackCamera
from robo_rlft.robots.conformance import DriverConformance, Thing
from robo_rlft.robots.safety.limits import HARD_CAP
from robo_rlft.robots.safety.profile import Profile
from robo_rlft.robots.stage import StageClient
from robo_rlft.robots.ur import RealUr
from robo_rlft.tasks.objects import make_object
from tests.robots.controller import controller
from tests.robots.test_conformance_dry_run import Yes
from tests.robots.test_conformance_sim import BLOCK

SERIAL = "20260000001"


@pytest.fixture(scope="module")
def emulator() -> Iterator[tuple[str, StageClient]]:
    with controller() as started:
        yield started


def real_ur(emulator: tuple[str, StageClient], folder: Path, *, dry_run: bool) -> RealUr:
    """Return the driver of the emulated arm, over a table with a red block."""
    host, stage = emulator
    stage.build([make_object("block", "red")], [Pose(position=(BLOCK.x, BLOCK.y, 0.0))])
    return RealUr(
        host=host,
        profile=Profile(robot="an emulated arm", serial=SERIAL, limits=HARD_CAP),
        dry_run=dry_run,
        operator=Yes(),
        journal=folder / "journal.jsonl",
        cameras=(LoopbackCamera(host=host),),
    )


def moving_messages(stage: StageClient) -> dict[str, int]:
    """Return how much was sent to the controller, since it started, that could move something."""
    counts = stage.counts()
    return {name: counts[name] for name in ("motion_messages", "programs", "digital_outputs")}


class TestRealUr(DriverConformance):
    slow = 0.1

    @pytest.fixture
    def driver(self, emulator: tuple[str, StageClient], tmp_path: Path) -> RobotDriver:
        self.host = emulator[0]
        return real_ur(emulator, tmp_path, dry_run=False)

    @contextmanager
    def watch(self, robot: RobotDriver) -> Iterator[list[Pose]]:
        # The driver answers one question at a time; the emulator's stage knows where the tool is all the while.
        seen: list[Pose] = []
        over = threading.Event()

        def look() -> None:
            with StageClient(self.host) as stage:
                while not over.wait(0.02):
                    x, y, z = stage.state()["tool_pose"]["position"]
                    seen.append(Pose(position=(x, y, z)))

        watcher = threading.Thread(target=look)
        watcher.start()
        yield seen
        over.set()
        watcher.join()
        assert len(seen) > 10

    @pytest.fixture
    def thing(self) -> Thing:
        return BLOCK


class TestDryRunOfRealUr(DriverConformance):
    moves = False

    @pytest.fixture
    def driver(self, emulator: tuple[str, StageClient], tmp_path: Path) -> Iterator[RobotDriver]:
        driver = real_ur(emulator, tmp_path, dry_run=True)
        before = moving_messages(emulator[1])
        yield driver
        driver.close()
        assert moving_messages(emulator[1]) == before, "a dry run sent something that could move"

    @pytest.fixture
    def thing(self) -> Thing:
        return BLOCK
