"""The simulated gripper is a driver as the contract says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from robo_rlft.driver import Pose, RobotDriver
from robo_rlft.geometry import Workspace
from robo_rlft.robots.conformance import DriverConformance, Thing
from robo_rlft.sim.floating import FloatingGripper
from robo_rlft.tasks.objects import make_object

BLOCK = Thing(x=0.4, y=-0.2, top=0.04)


def gripper_with_a_block() -> FloatingGripper:
    """Return the gripper at home, over a table with a red block."""
    driver = FloatingGripper(workspace=Workspace())
    driver.build([make_object("block", "red")], [Pose(position=(BLOCK.x, BLOCK.y, 0.0))])
    return driver


class TestFloatingGripper(DriverConformance):
    @pytest.fixture
    def driver(self) -> Iterator[FloatingGripper]:
        driver = gripper_with_a_block()
        yield driver
        driver.close()

    @pytest.fixture
    def thing(self) -> Thing:
        return BLOCK

    @contextmanager
    def watch(self, robot: RobotDriver) -> Iterator[list[Pose]]:
        assert isinstance(robot, FloatingGripper)
        seen: list[Pose] = []
        robot.world.on_step = lambda: seen.append(robot.tool_pose())
        yield seen
        robot.world.on_step = None
        assert len(seen) > 50
