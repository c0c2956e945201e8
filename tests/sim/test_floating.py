import math
from itertools import pairwise

import numpy as np
import pytest

from robo_rlft.driver import (
    DeadlineExceeded,
    DriverError,
    Mode,
    OperatorNeeded,
    Pose,
    Refused,
    RobotDriver,
    RobotStopped,
)
from robo_rlft.geometry import Workspace, yaw_quaternion
from robo_rlft.records import Scene
from robo_rlft.robots.primitives import PickAndPlace
from robo_rlft.sim.floating import HOME, FloatingGripper
from robo_rlft.tasks.objects import FOOTPRINT_RADIUS, make_object


@pytest.fixture
def robot():
    driver = FloatingGripper(workspace=Workspace())
    yield driver
    driver.close()


def test_it_is_a_driver_and_a_scene(robot: FloatingGripper) -> None:
    assert isinstance(robot, RobotDriver) and isinstance(robot, Scene)


@pytest.mark.parametrize("shape", sorted(FOOTPRINT_RADIUS))
def test_objects_stay_where_they_were_built(robot: FloatingGripper, shape: str) -> None:
    pose = Pose(position=(0.5, 0.1, 0.0), quaternion=yaw_quaternion(0.7))
    robot.build([make_object(shape, "red")], [pose])
    robot.world.keep_awake(robot.world.bodies()[0])
    for _ in range(60):
        robot.world.step()
    assert np.abs(np.subtract(robot.poses()[0].position, pose.position)).max() < 5e-4


def test_a_block_is_carried_and_turned(robot: FloatingGripper) -> None:
    robot.build([make_object("block", "red")], [Pose(position=(0.4, -0.2, 0.0))])
    outcome = PickAndPlace()(robot, pick=(0.4, -0.2), place=(0.6, 0.2), turn=math.pi / 6, pick_height=0.04)
    assert outcome.gripped and outcome.carried
    pose = robot.poses()[0]
    assert math.dist(pose.position, (0.6, 0.2, 0.0)) < 0.003
    assert math.degrees(2 * math.atan2(pose.quaternion[2], pose.quaternion[3])) == pytest.approx(30.0, abs=1.5)


def test_what_is_carried_passes_through_the_air_step_by_step(robot: FloatingGripper) -> None:
    robot.build([make_object("block", "red")], [Pose(position=(0.4, -0.2, 0.0))])
    track = []
    robot.world.on_step = lambda: track.append(robot.poses()[0].position)
    PickAndPlace()(robot, pick=(0.4, -0.2), place=(0.6, 0.2), turn=0.0, pick_height=0.04)
    jumps = [math.dist(a, b) for a, b in pairwise(track)]
    assert max(jumps) < 0.03  # 1.5 m/s is 12.5 mm a step; the rest is lag made good
    assert max(z for _, _, z in track) > 0.08


def test_nothing_is_held_after_picking_the_bare_table(robot: FloatingGripper) -> None:
    robot.build([make_object("block", "red")], [Pose(position=(0.4, -0.2, 0.0))])
    outcome = PickAndPlace()(robot, pick=(0.6, 0.2), place=(0.4, 0.2), turn=0.0)
    assert not outcome.gripped
    assert robot.poses()[0].position == pytest.approx((0.4, -0.2, 0.0), abs=5e-4)


def test_a_block_at_rest_wakes_up_when_it_is_pushed(robot: FloatingGripper) -> None:
    robot.build([make_object("block", "blue")], [Pose(position=(0.5, 0.0, 0.0))])
    for x in (0.42, 0.5):
        robot.move(Pose(position=(x, 0.0, 0.015)), speed=0.3)
    # Half a gripper (8 mm) and half a block (20 mm) lie between the middles, less what the gripper lags behind.
    assert robot.poses()[0].position[0] > 0.515


def test_the_gripper_is_out_of_sight_when_the_camera_looks(robot: FloatingGripper) -> None:
    robot.build([], [])
    robot.home()
    assert robot.tool_pose().position[2] == pytest.approx(HOME.position[2], abs=0.02)
    assert (robot.observe()[0].depth > 19.99).all()


@pytest.mark.parametrize("z", [math.nan, math.inf])
def test_a_motion_to_nowhere_is_refused(robot: FloatingGripper, z: float) -> None:
    robot.build([], [])
    with pytest.raises(DriverError, match="finite"):
        robot.move(Pose(position=(0.5, 0.0, z)), speed=0.1)


def test_with_an_acceleration_it_sets_off_slowly_and_arrives(robot: FloatingGripper) -> None:
    robot.connect()
    start, track = robot.tool_pose().position[0], []
    robot.world.on_step = lambda: track.append(robot.tool_pose().position[0] - start)
    robot.move(Pose(position=(0.7, 0.0, 0.62)), speed=0.5, acceleration=1.0)
    # 0.2 m with 1 m/s^2 up to sqrt(0.2) = 0.447 m/s, half of the way up and half down: 0.894 s, 107 steps of 1/120 s.
    assert len(track) == pytest.approx(108 + 4, abs=1)
    assert track[12] < 0.012 < track[54] - 0.05  # after 0.1 s 5 mm are due
    assert track[-1] == pytest.approx(0.2, abs=0.002)


def test_a_missed_deadline_stops_it_and_needs_an_operator(robot: FloatingGripper) -> None:
    robot.connect()
    with pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
        robot.move(Pose(position=(0.7, 0.0, 0.62)), speed=0.1, deadline=0.2)
    assert 0.51 < robot.tool_pose().position[0] < 0.53
    for command in (robot.grip, robot.release, robot.home, lambda: robot.move(HOME, speed=1.0)):
        with pytest.raises(OperatorNeeded, match="recover"):
            command()
    robot.recover(operator="somebody")
    robot.move(HOME, speed=1.0)
    assert robot.tool_pose().position == pytest.approx(HOME.position, abs=0.002)


def test_it_is_stopped_from_another_thread(robot: FloatingGripper) -> None:
    robot.connect()
    robot.world.on_step = lambda: robot.stop() if robot.tool_pose().position[0] > 0.6 else None
    with pytest.raises(RobotStopped, match="stopped"):
        robot.move(Pose(position=(0.7, 0.0, 0.62)), speed=0.5)
    assert robot.tool_pose().position[0] < 0.62


def test_stopping_what_stands_changes_nothing(robot: FloatingGripper) -> None:
    robot.connect()
    robot.stop()
    assert not robot.move(HOME, speed=1.0).contact


def test_it_feels_the_weight_that_it_stands_on(robot: FloatingGripper) -> None:
    robot.connect()
    assert robot.force().force == (0.0, 0.0, 0.0)
    robot.move(Pose(position=(0.5, 0.0, -0.002)), speed=0.2)
    assert robot.force().force[2] > 5.0


def test_it_says_that_it_is_closed_and_comes_back_empty(robot: FloatingGripper) -> None:
    robot.close()
    robot.close()
    assert robot.status().mode is Mode.DISCONNECTED
    for command in (robot.tool_pose, robot.observe, robot.grip, robot.is_holding, robot.wait, robot.force):
        with pytest.raises(DriverError, match="connect"):
            command()
    robot.connect()
    assert robot.status().mode is Mode.OK and robot.poses() == ()


def test_a_tool_that_leans_is_refused(robot: FloatingGripper) -> None:
    robot.connect()
    with pytest.raises(Refused) as caught:
        robot.move(Pose(position=(0.5, 0.0, 0.3), quaternion=(0.05, 0.0, 0.0, math.sqrt(1 - 0.0025))), speed=0.1)
    assert caught.value.rule == "tilt"


@pytest.mark.parametrize("far", [3.1, 1e4, 1e300])
def test_what_lies_beyond_the_simulated_world_is_refused(robot: FloatingGripper, far: float) -> None:
    robot.connect()
    with pytest.raises(Refused) as caught:
        robot.move(Pose(position=(far, 0.0, 0.3)), speed=1.0)
    assert caught.value.rule == "reach"


@pytest.mark.parametrize("speed", [1e-4, 1e-300, 5e-324])
def test_a_motion_without_a_deadline_ends_in_time_all_the_same(robot: FloatingGripper, speed: float) -> None:
    robot.connect()
    with pytest.raises(DeadlineExceeded, match="60"):
        robot.move(Pose(position=(0.7, 0.0, 0.3)), speed=speed)
