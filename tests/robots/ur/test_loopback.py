"""The unmodified ur_rtde client against the emulated controller; scripts/robot_faults.py is the long version."""

import dataclasses
import time

import pytest

from robo_rlft.driver import (
    ConnectionLost,
    DeadlineExceeded,
    DriverError,
    Mode,
    OperatorNeeded,
    Pose,
    Refused,
    RobotStopped,
)
from robo_rlft.records import BodySpec, Part
from robo_rlft.robots.primitives import PickAndPlace
from robo_rlft.robots.safety.limits import Limits
from robo_rlft.robots.safety.profile import Profile
from robo_rlft.robots.ur import RealUr
from robo_rlft.robots.ur.driver import _UrDriver
from robo_rlft.robots.ur.frames import BaseFrame
from robo_rlft.robots.ur.motion import SUPERVISOR_PERIOD, MotionSettings
from robo_rlft.robots.ur.tool import UrTool
from tests.robots.controller import controller

BLOCK = BodySpec(
    name="red block",
    parts=(Part(kind="box", size=(0.04, 0.04, 0.04), center=(0.0, 0.0, 0.02), color=(200, 30, 30)),),
    mass=0.05,
)
NEAR, FAR = Pose(position=(0.5, 0.1, 0.3)), Pose(position=(0.5, -0.1, 0.3))
SLOWLY = 0.15  # m/s: a motion between the two takes 1.6 s
SENT = ("motion_messages", "programs", "digital_outputs", "dashboard_unlocks")


@pytest.fixture(scope="module")
def cell():
    with controller() as (host, stage):
        yield host, stage


@pytest.fixture
def stage(cell):
    cell[1].clear()
    return cell[1]


@pytest.fixture
def driver(cell, stage):
    made = _UrDriver(
        host=cell[0],
        frame=BaseFrame(),
        tool=UrTool(holding_pin=0, grip_seconds=0.2, release_seconds=0.2),
        settings=MotionSettings(contact_force=3.0, force_limit=60.0, deceleration=5.0, stale=0.2),
        acceleration=1.0,
        watchdog_hz=10.0,
        home=(0.5, 0.0, 0.4, 0.0),
        home_speed=0.5,
        rest_seconds=0.2,
    )
    made.connect()
    yield made
    made.close()


def _put(stage, driver, position):
    """Put the block there; the stage takes the tool home at once, and the driver must have heard of it."""
    stage.build([BLOCK], [Pose(position=position)])
    home = stage.state()["tool_pose"]["position"]
    end = time.monotonic() + 2.0
    while driver.tool_pose().position != pytest.approx(home, abs=0.001):
        assert time.monotonic() < end
        time.sleep(0.01)


def _made(stage, after):
    """Return when the last fault was made."""
    return [event["t"] for event in stage.events(after=after) if event["event"] == "fault_made"][-1]


def _last(stage):
    return stage.events()[-1]["n"]


def test_it_connects_fast_and_sends_nothing_that_could_move(cell, stage, driver):
    before = stage.counts()
    driver.close()
    began = time.monotonic()
    driver.connect()
    assert time.monotonic() - began < 3.0
    assert driver.serial() == "20260000001"
    assert driver.status().mode is Mode.OK
    assert driver.tool_pose() is not None
    assert {name: stage.counts()[name] for name in SENT} == {name: before[name] for name in SENT}


def test_it_reaches_a_target_within_a_millimetre_with_a_watchdog_that_was_seen_to_work(stage, driver):
    motion = driver.move(NEAR, speed=0.5)
    assert motion.reached.position == pytest.approx(NEAR.position, abs=0.001)
    assert stage.state()["tool_pose"]["position"] == pytest.approx(NEAR.position, abs=0.001)
    assert 0.05 < driver.watchdog_ended_after < 0.15
    assert stage.state()["watchdog_armed"]


def test_it_carries_a_block(stage, driver):
    _put(stage, driver, (0.45, 0.1, 0.0))
    outcome = PickAndPlace(speed=0.5, contact_speed=0.05, floor=0.0)(
        driver, pick=(0.45, 0.1), place=(0.55, -0.1), turn=0.5, pick_height=0.04
    )
    assert outcome.gripped
    assert outcome.carried
    (pose,) = stage.poses()
    assert pose.position == pytest.approx((0.55, -0.1, 0.0), abs=0.005)


def test_a_descent_ends_on_a_blocks_top(stage, driver):
    _put(stage, driver, (0.5, 0.1, 0.0))
    driver.move(Pose(position=(0.5, 0.1, 0.08)), speed=0.5)
    motion = driver.move(Pose(position=(0.5, 0.1, 0.0)), speed=0.05, stop_on_contact=True)
    assert motion.contact
    assert motion.reached.position[2] == pytest.approx(0.04, abs=0.002)


def test_a_missed_deadline_stops_the_arm(stage, driver):
    driver.move(NEAR, speed=0.5)
    with pytest.raises(DeadlineExceeded):
        driver.move(FAR, speed=SLOWLY, deadline=0.5)
    assert not stage.state()["moving"]
    with pytest.raises(OperatorNeeded):
        driver.move(FAR, speed=SLOWLY)
    driver.recover(operator="test")
    assert not driver.move(FAR, speed=0.5).contact


@pytest.mark.parametrize(("fault", "seconds"), [("cut", 0.7), ("freeze", 1.0), ("silence", 0.5)])
def test_a_lost_controller_is_an_error_within_half_a_second_and_needs_an_operator(stage, driver, fault, seconds):
    driver.move(NEAR, speed=0.5)
    last = _last(stage)
    stage.fault(fault, seconds=seconds, after_motion_s=0.6)
    with pytest.raises(ConnectionLost):
        driver.move(FAR, speed=SLOWLY)
    assert time.monotonic() - _made(stage, last) < 0.5
    sent = {name: stage.counts()[name] for name in SENT}
    with pytest.raises(ConnectionLost):
        driver.tool_pose()
    with pytest.raises(OperatorNeeded):
        driver.move(FAR, speed=SLOWLY)
    time.sleep(seconds + 0.4)  # a frozen controller goes on where it froze, until its watchdog ends it
    assert {name: stage.counts()[name] for name in SENT} == sent
    assert not stage.state()["moving"]
    driver.recover(operator="test")
    assert not driver.move(FAR, speed=0.5).contact


@pytest.mark.parametrize(
    ("fault", "mode"), [("protective_stop", Mode.PROTECTIVE_STOP), ("emergency_stop", Mode.EMERGENCY_STOP)]
)
def test_a_stopped_robot_is_reported_at_once_and_never_unlocked(stage, driver, fault, mode):
    driver.move(NEAR, speed=0.5)
    last = _last(stage)
    stage.fault(fault, after_motion_s=0.6)
    with pytest.raises(RobotStopped):
        driver.move(FAR, speed=SLOWLY)
    assert time.monotonic() - _made(stage, last) < 2 * SUPERVISOR_PERIOD + 0.03  # and what a busy machine adds
    assert driver.status().mode is mode
    with pytest.raises(DriverError, match="by hand"):
        driver.recover(operator="test")
    assert driver.status().mode is mode
    assert stage.counts()["dashboard_unlocks"] == 0
    stage.fault("unlock")  # as a person does it, at the pendant
    driver.recover(operator="test")
    assert not driver.move(FAR, speed=0.5).contact


def test_a_hanging_supervisor_stops_the_arm(stage, driver):
    driver.move(NEAR, speed=0.5)
    last = _last(stage)
    hung: list[float] = []

    def hang(_):
        if stage.state()["speed"] > 0.1 and not hung:
            hung.append(time.monotonic())
            time.sleep(0.5)

    driver.on_state = hang
    with pytest.raises(RobotStopped, match="too late"):
        driver.move(FAR, speed=SLOWLY)
    driver.on_state = None
    ended = [event["t"] for event in stage.events(after=last) if event["event"] == "motion_ended"][-1]
    assert ended - hung[0] < 0.3


PROFILE = Profile(
    robot="emulated",
    serial="20260000001",
    limits=Limits(
        low=(0.25, -0.5, 0.0),
        high=(0.75, 0.5, 0.7),
        table=0.0,
        reach_min=0.15,
        reach_max=1.1,
        step=1.0,
        tilt=0.05,
        speed=0.5,
        acceleration=1.0,
        force=60.0,
    ),
)


class Agreeing:
    """A person who says yes."""

    name = "Ada"

    def approve(self, question):
        return True

    def type_serial(self, question):
        return PROFILE.serial


def test_the_public_driver_sends_nothing_in_a_dry_run(cell, stage, tmp_path):
    before = {name: stage.counts()[name] for name in SENT}
    robot = RealUr(host=cell[0], profile=PROFILE, journal=tmp_path / "journal.jsonl", home=(0.5, 0.0, 0.5, 0.0))
    robot.connect()
    robot.move(NEAR, speed=0.2)
    robot.grip()
    robot.home()
    robot.stop()
    robot.close()
    assert len(robot.planned) >= 3
    assert {name: stage.counts()[name] for name in SENT} == before


def test_the_public_driver_moves_for_an_operator_and_refuses_what_leaves_the_limits(cell, stage, tmp_path):
    robot = RealUr(
        host=cell[0],
        profile=PROFILE,
        dry_run=False,
        confirm="run",
        operator=Agreeing(),
        journal=tmp_path / "journal.jsonl",
        home=(0.5, 0.0, 0.5, 0.0),
        tool={"holding_pin": 0, "grip_seconds": 0.1, "release_seconds": 0.1},
    )
    robot.connect()
    try:
        assert robot.move(NEAR, speed=0.5).reached.position == pytest.approx(NEAR.position, abs=0.001)
        sent = stage.counts()["motion_messages"]
        with pytest.raises(Refused):
            robot.move(Pose(position=(0.5, 0.1, -0.1)), speed=0.2)
        with pytest.raises(Refused):
            robot.move(FAR, speed=0.6)
        assert stage.counts()["motion_messages"] == sent
        robot.grip()
        assert not robot.is_holding()
        robot.release()
        robot.home()
        assert robot.tool_pose().position == pytest.approx((0.5, 0.0, 0.5), abs=0.001)
        assert '"state"' in (tmp_path / "journal.jsonl").read_text(encoding="utf-8")
    finally:
        robot.close()


def test_a_robot_with_another_serial_number_is_not_connected_to(cell, stage):
    other = dataclasses.replace(PROFILE, serial="20260000002")
    robot = RealUr(host=cell[0], profile=other)
    with pytest.raises(DriverError, match="20260000001"):
        robot.connect()


def test_an_address_where_nobody_is_says_what_to_look_at(driver):
    driver.close()
    driver._host = "127.0.0.1"
    with pytest.raises(ConnectionLost, match=r"port 30004 is closed"):
        driver.connect()
