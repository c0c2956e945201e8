"""A pytest suite that any driver can be run through: is it a driver as `robo_rlft/driver.py` says?

Subclass `DriverConformance` in a test file of your own, override the fixture `driver`, and run pytest on it::

    class TestMyArm(DriverConformance):
        @pytest.fixture
        def driver(self):
            return MyArm()

The suite moves the robot: between `poses`, down onto `thing` where there is one, and home. Nothing in it depends on how
long anything takes. It needs pytest (`pip install pytest`), which the package itself does not; it knows of no robot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import pytest

from robo_rlft.driver import (
    DeadlineExceeded,
    DriverError,
    Mode,
    Motion,
    OperatorNeeded,
    Pose,
    Refused,
    RobotDriver,
    Status,
)
from robo_rlft.geometry import Workspace, yaw_quaternion
from robo_rlft.perception import fuse, surface_height
from robo_rlft.robots.conformance_checks import apart, from_line, malformed_commands, view_problems

OPERATOR = "the conformance suite"
CLEARANCE = 0.08  # metres above a thing, from where the tool comes down on it
NOWHERE = 1000.0  # metres: no arm's reach
PRESS = 0.02  # metres below a thing's top, where a motion that is to end at contact is sent


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Something on the table that the robot can grip from above."""

    x: float  # metres, world frame, of its middle
    y: float
    top: float  # metres above the table


class DriverConformance:
    """The suite; every test takes a driver of its own.

    Override the fixture `driver`, and of the rest what does not fit the robot. The flags say what a driver is not
    expected to do; what it does instead is checked.
    """

    moves = True  # False: a dry run plans motions; nothing is touched, nothing is late, what is gripped is held
    can_feel = True  # False: a motion does not end at contact; the tool is then sent to the top of things, not below
    can_grip = True  # False: the gripper cannot tell whether it holds something

    # Two poses in free air that the robot reaches from home and from each other, at different turns about +z.
    poses = (
        Pose(position=(0.45, -0.1, 0.2)),
        Pose(position=(0.55, 0.1, 0.25), quaternion=yaw_quaternion(0.5)),
    )
    speed, acceleration = 0.25, 0.5  # m/s, m/s^2
    slow = 0.05  # m/s: of the descent, and of the motion that cannot be in time
    deadline = 60.0  # seconds that are enough for every motion of the suite
    too_soon = 0.05  # seconds that are too short for the way between the two poses at the slow speed
    position_tolerance = 0.005  # metres
    turn_tolerance = 0.02  # radians
    height_tolerance = 0.01  # metres, of depths and of contacts
    freshest = 1.0  # seconds, the oldest that a healthy robot's last word may be
    workspace = Workspace()  # what the cameras look at

    @pytest.fixture
    def driver(self) -> RobotDriver:
        """Return a driver that was not connected yet; override this."""
        raise NotImplementedError("override the fixture `driver`: it returns a driver that was not connected yet")

    @pytest.fixture
    def thing(self) -> Thing | None:
        """Return what lies on the table in front of `driver`'s robot; None for an empty table."""
        return None

    def watch(self, robot: RobotDriver) -> AbstractContextManager[list[Pose]]:
        """Return a context that gathers tool poses while the robot moves; override it where that can be done."""
        return nullcontext([])

    @pytest.fixture
    def robot(self, driver: RobotDriver) -> Iterator[RobotDriver]:
        """Connect and bring the tool home; close at the end."""
        driver.connect()
        try:
            driver.home()
            yield driver
        finally:
            driver.close()

    # Connection -----------------------------------------------------------------------------------------------------

    def test_it_has_every_method_of_a_driver(self, driver: RobotDriver) -> None:
        assert isinstance(driver, RobotDriver)

    def test_it_closes_twice_and_without_having_been_connected(self, driver: RobotDriver) -> None:
        driver.close()
        driver.close()

    def test_its_status_raises_nothing_before_it_is_connected_and_after_it_is_closed(self, driver: RobotDriver) -> None:
        assert isinstance(driver.status(), Status)
        driver.connect()
        driver.close()
        assert driver.status().mode is not Mode.OK, "a closed driver cannot know that its robot is ok"

    def test_it_connects_twice_and_nothing_moves(self, driver: RobotDriver) -> None:
        driver.connect()
        try:
            before = driver.tool_pose()
            driver.connect()
            self.expect_at(driver.tool_pose(), before)
        finally:
            driver.close()

    @pytest.mark.parametrize("command", ["move", "home", "grip", "release", "is_holding", "tool_pose", "observe"])
    def test_a_command_after_close_is_a_driver_error(self, robot: RobotDriver, command: str) -> None:
        robot.close()
        with pytest.raises(DriverError):
            self.commands(robot)[command]()

    def test_it_has_a_serial_number(self, robot: RobotDriver) -> None:
        serial = robot.serial()
        assert isinstance(serial, str) and serial.strip(), f"expected text that is not empty, got {serial!r}"
        assert robot.serial() == serial

    def test_a_healthy_robot_is_ok_and_its_last_word_is_fresh(self, robot: RobotDriver) -> None:
        status = robot.status()
        assert status.mode is Mode.OK
        assert isinstance(status.detail, str)
        assert 0.0 <= status.age <= self.freshest

    # What it sees and feels -----------------------------------------------------------------------------------------

    def test_its_views_are_well_formed(self, robot: RobotDriver) -> None:
        views = robot.observe()
        assert len(views) >= 1, "expected one view per camera, got none"
        assert [problem for view in views for problem in view_problems(view)] == []

    def test_the_stamps_of_its_views_do_not_go_backwards(self, robot: RobotDriver) -> None:
        first, second = robot.observe(), robot.observe()
        assert len(first) == len(second)
        assert all(after.stamp >= before.stamp for before, after in zip(first, second, strict=True))

    def test_its_views_show_the_workspace_and_what_lies_there(self, robot: RobotDriver, thing: Thing | None) -> None:
        _, height = fuse(robot.observe(), self.workspace)
        assert float(height.min()) == pytest.approx(0.0, abs=self.height_tolerance), "the table is at height 0"
        if thing is not None:
            found = surface_height(height, self.workspace.xy_to_pixel((thing.x, thing.y)), self.workspace)
            assert found == pytest.approx(thing.top, abs=self.height_tolerance)

    def test_its_tool_pose_is_finite_and_its_quaternion_has_length_1(self, robot: RobotDriver) -> None:
        pose = robot.tool_pose()
        assert all(math.isfinite(value) for value in (*pose.position, *pose.quaternion))
        assert math.hypot(*pose.quaternion) == pytest.approx(1.0, abs=1e-3)

    def test_what_it_feels_is_finite_or_nothing(self, robot: RobotDriver) -> None:
        wrench = robot.force()
        assert wrench is None or all(math.isfinite(value) for value in (*wrench.force, *wrench.torque))

    # Motions --------------------------------------------------------------------------------------------------------

    def test_a_motion_ends_at_its_target_and_says_so(self, robot: RobotDriver) -> None:
        for target in (*self.poses, self.poses[0]):
            motion = self.go(robot, target)
            assert isinstance(motion, Motion)
            assert motion.contact is False
            self.expect_at(motion.reached, target)
            self.expect_at(robot.tool_pose(), motion.reached)

    def test_a_motion_is_a_straight_line(self, robot: RobotDriver) -> None:
        start, end = self.poses
        self.go(robot, start)
        with self.watch(robot) as seen:
            self.go(robot, end)
        strayed = [from_line(pose, start, end) for pose in seen]
        assert all(distance < 2 * self.position_tolerance for distance in strayed), f"strayed by {max(strayed)} m"
        self.expect_at(robot.tool_pose(), end)

    def test_a_motion_takes_an_acceleration_and_a_deadline(self, robot: RobotDriver) -> None:
        for target in self.poses:
            motion = robot.move(target, speed=self.speed, acceleration=self.acceleration, deadline=self.deadline)
            self.expect_at(motion.reached, target)

    def test_a_malformed_command_is_refused_by_its_rule_and_nothing_moves(self, robot: RobotDriver) -> None:
        self.go(robot, self.poses[0])
        faults = []
        for malformed in malformed_commands(self.poses[1], speed=self.speed):
            try:
                robot.move(**malformed.command)
            except Refused as refusal:
                if refusal.rule != malformed.rule:
                    faults.append(f"{malformed.name}: refused for '{refusal.rule}', expected '{malformed.rule}'")
            except Exception as error:
                faults.append(f"{malformed.name}: expected Refused, got {type(error).__name__}: {error}")
            else:
                faults.append(f"{malformed.name}: was not refused")
        assert faults == []
        self.expect_at(robot.tool_pose(), self.poses[0])
        assert robot.status().mode is Mode.OK
        self.expect_at(self.go(robot, self.poses[1]).reached, self.poses[1])

    def test_after_a_missed_deadline_nothing_moves_until_an_operator_says_so(self, robot: RobotDriver) -> None:
        self.go(robot, self.poses[0])
        if not self.moves:
            motion = robot.move(self.poses[1], speed=self.slow, deadline=self.too_soon)
            self.expect_at(motion.reached, self.poses[1])
            return
        with pytest.raises(DeadlineExceeded):
            robot.move(self.poses[1], speed=self.slow, deadline=self.too_soon)
        for name in ("move", "home", "grip", "release"):
            with pytest.raises(OperatorNeeded):
                self.commands(robot)[name]()
        robot.recover(operator=OPERATOR)
        self.expect_at(self.go(robot, self.poses[1]).reached, self.poses[1])

    def test_a_target_out_of_all_reach_is_an_error_and_soon(self, robot: RobotDriver) -> None:
        self.go(robot, self.poses[0])
        with pytest.raises((Refused, DeadlineExceeded)):
            robot.move(Pose(position=(0.0, NOWHERE, 0.2)), speed=self.slow, deadline=self.too_soon)
        robot.recover(operator=OPERATOR)
        self.expect_at(self.go(robot, self.poses[1]).reached, self.poses[1])

    def test_stopping_when_nothing_moves_locks_nothing(self, robot: RobotDriver) -> None:
        robot.stop()
        assert robot.status().mode is Mode.OK
        self.expect_at(self.go(robot, self.poses[0]).reached, self.poses[0])

    def test_recovering_a_healthy_robot_changes_nothing(self, robot: RobotDriver) -> None:
        before = robot.tool_pose()
        robot.recover(operator=OPERATOR)
        self.expect_at(robot.tool_pose(), before)

    def test_it_goes_home_from_anywhere_and_twice_and_sees_again(self, robot: RobotDriver) -> None:
        self.go(robot, self.poses[1])
        robot.home()
        once = robot.tool_pose()
        robot.home()
        self.expect_at(robot.tool_pose(), once)
        assert [problem for view in robot.observe() for problem in view_problems(view)] == []

    def test_waiting_comes_to_an_end(self, robot: RobotDriver) -> None:
        before = robot.tool_pose()
        robot.wait()
        self.expect_at(robot.tool_pose(), before)

    # Things ---------------------------------------------------------------------------------------------------------

    def test_a_motion_ends_where_the_tool_touches_a_thing_and_only_there(
        self, robot: RobotDriver, thing: Thing | None
    ) -> None:
        self.go(robot, self.poses[0])
        free = robot.move(self.poses[1], speed=self.speed, stop_on_contact=True)
        assert free.contact is False
        self.expect_at(free.reached, self.poses[1])
        if thing is not None:
            motion = self.descend(robot, thing)
            assert motion.contact is (self.moves and self.can_feel)
            if motion.contact:
                assert motion.reached.position[2] == pytest.approx(thing.top, abs=self.height_tolerance)
            self.expect_at(robot.tool_pose(), motion.reached)

    def test_what_is_gripped_is_held_until_it_is_released(self, robot: RobotDriver, thing: Thing | None) -> None:
        if thing is not None:
            self.descend(robot, thing)
        assert isinstance(robot.is_holding(), bool)
        robot.grip()
        if thing is not None:
            robot.move(self.above(thing), speed=self.speed)
            assert robot.is_holding() or not self.can_grip
            robot.move(self.above(thing, CLEARANCE / 8), speed=self.slow)
        robot.release()
        assert not robot.is_holding() or not self.can_grip

    def test_nothing_is_held_after_releasing_with_empty_hands(self, robot: RobotDriver) -> None:
        robot.release()
        assert not robot.is_holding() or not self.can_grip

    # What the tests are made of -------------------------------------------------------------------------------------

    def commands(self, robot: RobotDriver) -> dict[str, Callable[[], object]]:
        """Return calls that need a healthy, connected robot."""
        plain = ("home", "grip", "release", "is_holding", "tool_pose", "observe")
        return {"move": lambda: self.go(robot, self.poses[0]), **{name: getattr(robot, name) for name in plain}}

    def go(self, robot: RobotDriver, target: Pose) -> Motion:
        """Move to a pose at the suite's speed."""
        return robot.move(target, speed=self.speed)

    def above(self, thing: Thing, clearance: float = CLEARANCE) -> Pose:
        """Return a pose that many metres above a thing."""
        return Pose(position=(thing.x, thing.y, thing.top + clearance))

    def descend(self, robot: RobotDriver, thing: Thing) -> Motion:
        """Come down on a thing until contact."""
        self.go(robot, self.above(thing))
        return robot.move(
            self.above(thing, -PRESS if self.can_feel else 0.0), speed=self.slow, stop_on_contact=self.can_feel
        )

    def expect_at(self, found: Pose, expected: Pose) -> None:
        """Fail unless a pose is where it should be, within the suite's tolerances."""
        distance, turn = apart(found, expected)
        assert distance <= self.position_tolerance, f"expected {expected}, got {found}: {distance} m away"
        assert turn <= self.turn_tolerance, f"expected {expected}, got {found}: turned by {turn} rad"
