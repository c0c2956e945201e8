"""The contract between this package and anything that can look, move and grip.

Knows nothing of simulators, tasks or learning: standard library and numpy only, so that a driver for a real arm needs
nothing else. Frames: the world frame has its origin at the robot's base, x forward, y left, z up, the table's surface
at z = 0. The tool's frame sits at the tool's tip (a suction cup's face, between a gripper's fingers); with the identity
quaternion the tool points straight down, and a turn about +z turns it counter-clockwise seen from above. Units: metres,
radians, seconds, newtons. Quaternions are (x, y, z, w).
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

UNIT_TOLERANCE = 1e-3  # how far a quaternion's length may be from 1


class DriverError(Exception):
    """A driver could not do what was asked; the message says what happened and what an operator can do."""


class Refused(DriverError):
    """A command was not carried out because of what it asks; nothing was sent, and the driver can be used on.

    Attributes:
        rule: the rule that it broke, one word: "finite", "shape", "quaternion", "speed", "acceleration", "deadline",
            and those of the safety envelope.
    """

    def __init__(self, message: str, *, rule: str) -> None:
        super().__init__(message)
        self.rule = rule


class DeadlineExceeded(DriverError):
    """A motion did not end in time; the robot was told to stop."""


class ConnectionLost(DriverError):
    """The robot or a camera no longer answers, or what it says is too old; no state is known."""


class RobotStopped(DriverError):
    """The robot stands still: a protective stop, an emergency stop, a fault, or `stop`. Only a person unlocks it."""


class OperatorNeeded(DriverError):
    """Something failed earlier; nothing is sent until a person has looked and `recover` was called."""


class Mode(enum.StrEnum):
    """What state a robot is in."""

    OK = "ok"
    PROTECTIVE_STOP = "protective stop"
    EMERGENCY_STOP = "emergency stop"
    FAULT = "fault"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, kw_only=True)
class Pose:
    """A rigid pose in the world frame."""

    position: tuple[float, float, float]  # metres
    quaternion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)  # xyzw, unit length


@dataclass(frozen=True, kw_only=True)
class View:
    """One RGB-D picture with all that is needed to place its pixels in the world."""

    color: npt.NDArray[np.uint8]  # (height, width, 3), RGB
    depth: npt.NDArray[np.float32]  # (height, width), metres along the optical axis; 0 where nothing was measured
    intrinsics: npt.NDArray[np.float64]  # (3, 3), pixels
    world_from_camera: npt.NDArray[np.float64]  # (4, 4); camera axes x right, y down, z forward
    stamp: float  # seconds, the driver's own clock; of a real camera `time.monotonic()` of the exposure


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What a motion came to."""

    reached: Pose
    contact: bool  # the tool touched something before the target


@dataclass(frozen=True, kw_only=True)
class Wrench:
    """What pushes at the tool, in the world's axes, at the tool's tip."""

    force: tuple[float, float, float]  # newtons
    torque: tuple[float, float, float] = (0.0, 0.0, 0.0)  # newton metres


@dataclass(frozen=True, kw_only=True)
class Status:
    """How the robot is."""

    mode: Mode
    detail: str = ""  # in words, for an operator
    age: float = 0.0  # seconds since the robot's last word; inf where there never was one


@runtime_checkable
class RobotDriver(Protocol):
    """Anything that can look (RGB-D), move its tool along a line, and grip.

    Every method may raise `DriverError`. After `ConnectionLost`, `RobotStopped` or `DeadlineExceeded` a driver answers
    every command that moves or grips with `OperatorNeeded` until `recover` was called; what it says of poses and
    forces is fresh or an error, never a remembered value. After `Refused` it goes on as if nothing had been asked.

    A driver that can tell in advance how `home` goes also offers `home_way(start: Pose) -> Sequence[Pose]`: the
    ends of the straight lines that it takes from there, the last of them home. A safety envelope lets no other driver
    go home, since it cannot check the way.
    """

    def connect(self) -> None:
        """Open the connection; nothing moves, and nothing that could move is started. Safe to call twice."""

    def close(self) -> None:
        """Stop what moves and release everything; safe to call twice, and without `connect`."""

    def serial(self) -> str:
        """Return the number that tells this robot from every other, as the robot itself says it."""

    def status(self) -> Status:
        """Return how the robot is now; raises nothing: a lost robot is `Mode.DISCONNECTED`."""

    def observe(self) -> tuple[View, ...]:
        """Return one fresh view per camera.

        A camera that fails is a `DriverError` that locks nothing: look again once it is mended.
        """

    def tool_pose(self) -> Pose:
        """Return the pose of the tool's tip."""

    def force(self) -> Wrench | None:
        """Return what pushes at the tool; None for a robot that cannot feel."""

    def move(
        self,
        target: Pose,
        *,
        speed: float,
        acceleration: float | None = None,
        stop_on_contact: bool = False,
        deadline: float | None = None,
    ) -> Motion:
        """Move the tool's tip along a straight line, turning evenly, and return what was reached.

        Args:
            target: of the tool's tip, world frame.
            speed: of the tip, m/s, above 0.
            acceleration: of the tip, m/s^2, above 0; None takes the driver's own.
            stop_on_contact: end where the tool, or what it holds, touches something; without it, touching is no reason
                to stop, unless the robot's own limits say so.
            deadline: seconds from now; None takes the driver's own, which is finite.

        Raises:
            Refused: for a command that cannot be one; see `check_motion`.
            DeadlineExceeded: the target was not reached in time.
            ConnectionLost: the robot fell silent.
            RobotStopped: the robot stopped by itself.
            OperatorNeeded: something failed earlier.
        """

    def home(self) -> None:
        """Move the tool out of every camera's sight of the workspace."""

    def grip(self) -> None:
        """Close the gripper or switch suction on."""

    def release(self) -> None:
        """Open the gripper or switch suction off."""

    def is_holding(self) -> bool:
        """Tell whether something is held now."""

    def wait(self) -> None:
        """Wait until the scene is at rest, or the driver's own limit is reached."""

    def stop(self) -> None:
        """Stop what moves, as fast as is safe; from any thread, and when nothing moves.

        A motion under way raises `RobotStopped`; with nothing under way, nothing happens and nothing is locked.
        """

    def recover(self, *, operator: str) -> None:
        """Take the driver back into use after an error, because a person looked and says so.

        Unlocks nothing: a robot in a protective or emergency stop is unlocked by hand, at the robot, before.

        Args:
            operator: who says so; it is logged.

        Raises:
            DriverError: the robot is not ok yet.
        """


def check_motion(target: Pose, *, speed: float, acceleration: float | None, deadline: float | None) -> None:
    """Refuse what cannot be a motion's command, whatever the robot.

    Raises:
        Refused: with the rule that was broken: "shape" (not a Pose of three and four numbers), "finite", "quaternion"
            (not of unit length), "speed", "acceleration", "deadline" (not above 0).
    """
    position, quaternion = getattr(target, "position", None), getattr(target, "quaternion", None)
    if not _numbers(position, 3) or not _numbers(quaternion, 4):
        raise Refused(
            f"a motion's target is a Pose of 3 numbers and a quaternion of 4 (x, y, z, w); got {_shown(target)}",
            rule="shape",
        )
    optional = [value for value in (acceleration, deadline) if value is not None]
    if not all(_number(value) for value in (speed, *optional)):
        asked = ", ".join(map(_shown, (speed, acceleration, deadline)))
        raise Refused(f"speed, acceleration and deadline are numbers; got {asked}", rule="shape")
    assert position is not None and quaternion is not None  # for the type checker: _numbers said so
    if not all(_finite(value) for value in (*position, *quaternion, speed, *optional)):
        asked = ", ".join(map(_shown, (target, speed, acceleration, deadline)))
        raise Refused(
            f"a motion needs finite numbers; got as target, speed, acceleration and deadline: {asked}", rule="finite"
        )
    if abs(math.hypot(*quaternion) - 1.0) > UNIT_TOLERANCE:
        raise Refused(f"a quaternion (x, y, z, w) has length 1; got {quaternion}", rule="quaternion")
    named = {"speed": speed, "acceleration": acceleration, "deadline": deadline}
    for rule, value in named.items():
        if value is not None and not value > 0:
            raise Refused(f"a motion's {rule} is above 0; got {value}", rule=rule)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # a whole number of thousands of digits, or an object that cannot even say what it is
        return f"a {type(value).__name__}"


def _numbers(values: object, count: int) -> bool:
    if not isinstance(values, tuple | list | np.ndarray) or len(values) != count:
        return False
    return all(_number(value) for value in values)


def _number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool | np.bool_)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False
