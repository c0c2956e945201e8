"""The real ur_rtde moves the emulated arm as it moves a real one."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from robo_rlft.sim.loopback.kinematics import forward, to_vector
from tests.sim.loopback.cell import DOWN, Cell, Client, eventually


def test_every_interface_connects_within_three_seconds(cell: Cell) -> None:
    before = time.monotonic()
    client = Client(cell.host)
    assert time.monotonic() - before < 3.0
    client.kill()


def test_a_line_ends_within_a_millimetre_of_its_target(cell: Cell, client: Client) -> None:
    for target in ((0.3, 0.4, 0.1), (0.7, -0.45, 0.16), (0.27, -0.3, 0.3)):
        assert client.move(*target)
        assert math.dist(client.receive("getActualTCPPose")[:3], target) < 0.001
        assert math.dist(cell.ask("state")["tool_pose"]["position"], target) < 0.001


def test_a_line_is_straight_and_keeps_speed_and_acceleration(cell: Cell, client: Client) -> None:
    client.move(0.5, -0.3, 0.3, wait=False)
    seen = []
    while cell.ask("state")["moving"]:
        seen.append((client.receive("getTargetTCPSpeed")[:3], client.receive("getTargetTCPPose")[:3]))
    speeds = [float(np.linalg.norm(speed)) for speed, _ in seen]
    assert 0.5 < max(speeds) <= 0.8001
    start, end = np.array([0.5, 0.0, 0.62]), np.array([0.5, -0.3, 0.3])
    along = (end - start) / np.linalg.norm(end - start)
    for _, position in seen:
        assert np.linalg.norm(np.cross(np.array(position) - start, along)) < 1e-6


def test_the_tool_turns_to_the_orientation_asked_for(cell: Cell, client: Client) -> None:
    yaw = 1.1
    turn = [math.pi * math.cos(yaw / 2), math.pi * math.sin(yaw / 2), 0.0]
    assert client.control("moveL", [0.5, 0.1, 0.2, *turn], 0.8, 2.0)
    x, y, z, w = cell.ask("state")["tool_pose"]["quaternion"]
    assert 2 * math.atan2(z, w) == pytest.approx(yaw, abs=0.005)
    assert math.hypot(x, y) < 0.003


def test_joint_angles_and_pose_agree(client: Client) -> None:
    client.move(0.4, 0.2, 0.25)
    flange = to_vector(forward(client.receive("getActualQ")))
    offset = client.control("getTCPOffset")
    assert np.allclose(flange[:3], np.add(client.receive("getActualTCPPose")[:3], (0, 0, offset[2])), atol=1e-4)


def test_an_asynchronous_line_is_told_of_and_stopped(cell: Cell, client: Client) -> None:
    last = cell.last()
    client.move(0.5, 0.4, 0.2, wait=False)
    assert client.control("getAsyncOperationProgress") >= 0
    time.sleep(0.35)
    client.control("stopL", 4.0)
    assert not cell.ask("state")["moving"]
    assert client.control("getAsyncOperationProgress") < 0
    assert not cell.wait_for("motion_ended", after=last)["completed"]
    assert client.receive("getActualTCPPose")[1] < 0.3


def test_an_asynchronous_stop_slows_down_at_its_rate(cell: Cell, client: Client) -> None:
    last = cell.last()
    client.move(0.5, -0.3, 0.5, speed=0.4, wait=False)
    time.sleep(0.35)
    client.control("stopL", 1.0, True)
    stopped = cell.wait_for("stop", after=last)["t"]
    ended = cell.wait_for("motion_ended", after=last)["t"]
    assert ended - stopped == pytest.approx(0.4, abs=0.12)  # seconds from 0.4 m/s at 1 m/s^2


def test_joint_motions_reach_their_joints(client: Client) -> None:
    joints = np.add(client.receive("getActualQ"), (0.2, 0.1, 0.1, 0.0, 0.0, 0.3))
    assert client.control("moveJ", joints.tolist(), 1.0, 2.0)
    assert np.allclose(client.receive("getActualQ"), joints, atol=2e-3)


@pytest.mark.parametrize("target", [(2.0, 0.0, 0.3), (0.05, 0.0, 0.3), (float("nan"), 0.0, 0.3)])
def test_what_cannot_be_reached_is_a_protective_stop(cell: Cell, client: Client, target: tuple[float, ...]) -> None:
    last = cell.last()
    assert not client.control("moveL", [*target, *DOWN], 0.5, 1.0)
    assert cell.wait_for("protective_stop", after=last)
    assert eventually(lambda: client.receive("getSafetyMode") == 3)
    assert not cell.events("motion_started", after=last)


def test_a_line_through_the_arms_own_axis_is_a_protective_stop_on_the_way(cell: Cell, client: Client) -> None:
    client.move(0.3, -0.1, 0.4)
    last = cell.last()
    assert not client.move(-0.3, 0.1, 0.4)
    assert cell.wait_for("motion_started", after=last)
    assert cell.wait_for("protective_stop", after=last)
    assert client.receive("getActualTCPPose")[0] > 0.0


def test_an_obstacle_in_the_way_is_a_protective_stop(cell: Cell, client: Client) -> None:
    client.move(0.6, -0.2, 0.1)
    client.move(0.6, -0.2, -0.1, speed=0.3)
    assert eventually(lambda: client.receive("getSafetyMode") == 3)
    assert cell.ask("state")["tool_pose"]["position"][2] > -0.01


def test_a_command_that_the_emulator_lacks_ends_the_program_with_an_event(cell: Cell, client: Client) -> None:
    last = cell.last()
    client.control("speedL", [0.1, 0.0, 0.0, 0.0, 0.0, 0.0], 0.5)
    assert cell.wait_for("command_refused", after=last)["command"] == 10
    assert eventually(lambda: not client.control("isProgramRunning"))
    assert not cell.ask("state")["moving"]


def test_the_script_can_be_stopped_and_uploaded_again(cell: Cell, client: Client) -> None:
    client.control("stopScript")
    assert eventually(lambda: not client.control("isProgramRunning"))
    client.control("reuploadScript")
    assert eventually(lambda: bool(client.control("isProgramRunning")))
    assert client.move(0.5, 0.1, 0.5)


def test_extremes_of_what_was_commanded_are_kept(cell: Cell, client: Client) -> None:
    cell.ask("counts", reset=True)
    before = cell.counts()["motion_messages"]
    client.move(0.4, 0.1, 0.5, speed=0.7)
    client.move(0.6, -0.1, 0.4, speed=0.3)
    counts = cell.counts()
    assert counts["motion_messages"] - before == 2
    assert (counts["max_speed"], counts["max_acceleration"]) == (0.7, 2.0)
    assert counts["low"] == [0.4, -0.1, 0.4] and counts["high"] == [0.6, 0.1, 0.5]
