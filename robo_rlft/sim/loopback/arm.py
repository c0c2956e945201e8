"""The simulated arm: commanded along paths, checked by its kinematics, carried out by the physics.

The tool is the floating gripper's suction cup; the arm's own links are kinematics only and collide with nothing. The
world frame is the robot's base frame. Knows nothing of protocols or of what mode the controller is in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from robo_rlft.driver import Pose, View
from robo_rlft.geometry import Workspace
from robo_rlft.records import BodySpec
from robo_rlft.sim.bullet import pybullet
from robo_rlft.sim.floating import HOME, TIP_HEIGHT, FloatingGripper
from robo_rlft.sim.loopback.kinematics import JOINT_LIMIT, JOINT_SPEED, Joints, Matrix, nearest, to_vector
from robo_rlft.sim.loopback.motion import HARD_STOP, JointMove, Line, Motion
from robo_rlft.sim.world import TIMESTEP

TOOL_LENGTH = 0.05  # metres from the flange to the cup's face
HOME_JOINTS = np.array([2.87, -1.49, 1.0, -1.08, -1.57, -1.84])  # elbow up; the branch that reaches all of the table
JUMP = 0.5  # radians between two time steps: another branch of the kinematics, so a singular pose
DEVIATION = 0.05  # metres that the tip may be from where it should be, before the controller stops
LAG_STEPS = 12  # of waiting for the physics at a motion's end, at most
LAG = 0.0003  # metres that count as caught up


class Unreachable(Exception):
    """A target that no joint angles reach, or one that cannot be a target."""


class Arm:
    """Moves the tool in real time: one `tick` is one time step."""

    def __init__(self, *, workspace: Workspace) -> None:
        self._gripper = FloatingGripper(workspace=workspace)
        self._tool = np.eye(4)
        self._tool[2, 3] = TOOL_LENGTH
        self.tcp = self._tool.copy()  # flange_from_tcp as the installation has it
        self.speed_scale = 1.0
        self.suction = False
        self.on_end: Callable[[bool], None] = lambda completed: None  # told of every motion's end
        self._motion: Motion | None = None
        self._next: Callable[[], Motion] | None = None
        self._waiting = 0
        self.build((), ())

    def build(self, bodies: Sequence[BodySpec], poses: Sequence[Pose]) -> None:
        """Put bodies on the table, at rest, and the tool at home, empty and still."""
        was_moving, self._motion, self._next = self.moving, None, None
        self._gripper.build(bodies, poses)
        self._gripper.settle()
        self.suction = False
        self.target = matrix_of(HOME) @ np.linalg.inv(self._tool)  # base_from_flange
        joints = nearest(self.target, HOME_JOINTS)
        assert joints is not None
        self.target_joints = self.joints = joints
        self.target_speed, self.target_joint_speeds = np.zeros(6), np.zeros(6)
        self._measure()
        if was_moving:
            self.on_end(False)

    @property
    def moving(self) -> bool:
        return self._motion is not None

    def poses(self) -> tuple[Pose, ...]:
        """Return the poses of the bodies on the table."""
        return self._gripper.poses()

    def view(self) -> View:
        """Return what the camera above the table sees, the tool included."""
        return self._gripper.observe()[0]

    def holding(self) -> bool:
        """Tell whether the vacuum switch is on."""
        return self._gripper.is_holding()

    def solve(self, base_from_tcp: Matrix) -> Joints:
        """Return the joint angles, near the present ones, that reach a pose of the TCP.

        Raises:
            Unreachable: there are none.
        """
        if not np.isfinite(base_from_tcp).all():
            raise Unreachable("the target is not finite")
        joints = nearest(base_from_tcp @ np.linalg.inv(self.tcp), self.target_joints)
        if joints is None:
            x, y, z = base_from_tcp[:3, 3]
            raise Unreachable(f"no joint angles reach ({x:.4g}, {y:.4g}, {z:.4g})")
        return joints

    def move_line(self, base_from_tcp: Matrix, *, speed: float, acceleration: float) -> None:
        """Set out along a straight line of the TCP, once what moves now has been stopped.

        Raises:
            Unreachable: nothing moves.
        """
        _check_rates(speed, acceleration)
        self.solve(base_from_tcp)
        end, tcp = base_from_tcp.copy(), self.tcp.copy()
        self._set_out(lambda: Motion(Line(self.target @ tcp, end, tcp), speed=speed, acceleration=acceleration))

    def move_joints(self, joints: Joints, *, speed: float, acceleration: float) -> None:
        """Set out for joint angles; radians, rad/s and rad/s^2.

        Raises:
            Unreachable: nothing moves.
        """
        _check_rates(speed, acceleration)
        if not (np.isfinite(joints).all() and (np.abs(joints) <= JOINT_LIMIT).all()):
            raise Unreachable(f"joint angles are finite and within {JOINT_LIMIT:.3f} rad; got {joints}")
        end = joints.copy()
        self._set_out(lambda: Motion(JointMove(self.target_joints, end), speed=speed, acceleration=acceleration))

    def stop(self, rate: float | None = None, *, joints: bool = False) -> None:
        """Slow down to a stand on the path.

        Args:
            rate: m/s^2 of the tip, or rad/s^2 of the fastest joint; None brakes hard.
            joints: whether the rate is one of joints.
        """
        self._next = None
        motion = self._motion
        if motion is None or motion.done:
            return
        rate = HARD_STOP if rate is None or not rate > 0 else rate
        now = float(np.abs(self.target_joint_speeds).max()) if joints else float(np.linalg.norm(self.target_speed[:3]))
        slow = now < 1e-3 or motion.speed < 1e-3
        motion.brake(rate if slow else rate * motion.speed / now)

    def tick(self) -> str | None:
        """Advance by one time step; return why the arm must stop, if it must."""
        wrong = self._advance() if self._motion is not None else None
        self._gripper.drive(tool_pose(self.target @ self._tool))
        if self.suction and not self._gripper.is_holding():
            self._gripper.release()
            self._gripper.grip()
        elif not self.suction:
            self._gripper.release()
        self._measure()
        off = float(np.linalg.norm(self._tip[:3, 3] - (self.target @ self._tool)[:3, 3]))
        if wrong is None and off > DEVIATION:
            wrong = f"the tool is {off:.3f} m from its path: something holds it"
        return wrong

    def forget_path(self) -> None:
        """Hold still where the tool is: what follows a stop that an obstacle or an impossible path caused."""
        was_moving, self._motion, self._next = self.moving, None, None
        self.target_speed, self.target_joint_speeds = np.zeros(6), np.zeros(6)
        self.target, self.target_joints = self._tip @ np.linalg.inv(self._tool), self.joints
        if was_moving:
            self.on_end(False)

    def tool_pose(self) -> Pose:
        """Return where the cup's face is in the physics."""
        return tool_pose(self._tip)

    def actual_pose(self) -> tuple[float, ...]:
        """Return where the TCP is in the physics, a UR pose vector."""
        return to_vector(self._tip @ np.linalg.inv(self._tool) @ self.tcp)

    def target_pose(self) -> tuple[float, ...]:
        """Return where the TCP should be, a UR pose vector."""
        return to_vector(self.target @ self.tcp)

    def _set_out(self, make: Callable[[], Motion]) -> None:
        if self._motion is None:
            self._motion, self._waiting = make(), 0
        else:
            self.stop()
            self._next = make

    def _advance(self) -> str | None:
        motion = self._motion
        assert motion is not None
        if not motion.done:
            flange = motion.advance(TIMESTEP, scale=self.speed_scale)
            joints = nearest(flange, self.target_joints)
            turned = math.inf if joints is None else float(np.abs(joints - self.target_joints).max())
            if joints is None or turned > JUMP:
                return "the path leads out of reach, or through a singular pose"
            if turned / TIMESTEP > JOINT_SPEED * 1.01:
                return f"a joint would turn at {turned / TIMESTEP:.1f} rad/s; the arm's limit is {JOINT_SPEED:.2f}"
            self.target_joint_speeds = (joints - self.target_joints) / TIMESTEP
            old, new = self.target @ self.tcp, flange @ self.tcp
            self.target_speed = np.concatenate([(new[:3, 3] - old[:3, 3]) / TIMESTEP, np.zeros(3)])
            self.target, self.target_joints = flange, joints
            return None
        self.target_speed, self.target_joint_speeds = np.zeros(6), np.zeros(6)
        self._waiting += 1
        behind = float(np.linalg.norm(self._tip[:3, 3] - (self.target @ self._tool)[:3, 3]))
        if behind < LAG or self._waiting >= LAG_STEPS:
            completed = not motion.stopping
            self._motion = None
            if self._next is not None:
                following, self._next = self._next, None
                self._motion, self._waiting = following(), 0
            self.on_end(completed)
        return None

    def _measure(self) -> None:
        """Read where the tip is and what pushes at it off the physics; the rest is as commanded.

        An arm tells what its joints measure: it neither feels how the light tool here trembles on its spring, nor how
        what hangs on it swings.
        """
        seen = matrix_of(self._gripper.tool_pose())  # takes the gripper for upright: true of its centre
        leaning = seen[:3, 2] * TIP_HEIGHT / 2
        self._tip = self.target @ self._tool
        self._tip[:3, 3] = seen[:3, 3] + (0.0, 0.0, TIP_HEIGHT / 2) + leaning
        if not self.moving:
            self.target_speed, self.target_joint_speeds = np.zeros(6), np.zeros(6)
        self.speed, self.joint_speeds = tuple(map(float, self.target_speed)), self.target_joint_speeds
        joints = nearest(self._tip @ np.linalg.inv(self._tool), self.target_joints)
        self.joints = self.target_joints if joints is None else joints
        self.force = self._gripper.force().force


def matrix_of(tool: Pose) -> Matrix:
    """Return base_from_tip of a tool's pose: the identity quaternion points straight down."""
    matrix = np.eye(4)
    rotation = np.array(pybullet.getMatrixFromQuaternion(tool.quaternion)).reshape(3, 3)
    matrix[:3, :3] = rotation @ np.diag([1.0, -1.0, -1.0])
    matrix[:3, 3] = tool.position
    return matrix


def tool_pose(base_from_tip: Matrix) -> Pose:
    """Return a tip's matrix as the pose of a tool that points down with the identity quaternion."""
    r = base_from_tip[:3, :3] @ np.diag([1.0, -1.0, -1.0])
    squares = (r[0, 0] - r[1, 1] - r[2, 2], r[1, 1] - r[0, 0] - r[2, 2], r[2, 2] - r[0, 0] - r[1, 1], np.trace(r))
    sides = (r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1.0)
    x, y, z, w = (
        math.copysign(math.sqrt(max(0.0, 1.0 + square)) / 2, side) for square, side in zip(squares, sides, strict=True)
    )
    px, py, pz = map(float, base_from_tip[:3, 3])
    return Pose(position=(px, py, pz), quaternion=(x, y, z, w))


def _check_rates(speed: float, acceleration: float) -> None:
    if not (math.isfinite(speed) and math.isfinite(acceleration) and speed > 0 and acceleration > 0):
        raise Unreachable(f"speed and acceleration are finite and above 0; got {speed}, {acceleration}")
