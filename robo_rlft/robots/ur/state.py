"""What a UR controller says of itself, in the driver's words.

Bits and numbers are those of RTDE's `safety_status_bits` and `robot_mode`, as the vendor's guide lists them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from robo_rlft.driver import ConnectionLost, Mode, Pose, RobotStopped, Status, Wrench
from robo_rlft.robots.ur.frames import BaseFrame, Vector

RUNNING = 7  # of robot_mode: powered on, brakes released
ROBOT_MODES = {
    -1: "no controller",
    0: "disconnected",
    1: "confirming safety",
    2: "booting",
    3: "power off",
    4: "power on",
    5: "idle, brakes on",
    6: "backdrive",
    7: "running",
    8: "updating firmware",
}
SAFETY = (  # bit, mode, in words; the worst first
    (7, Mode.EMERGENCY_STOP, "emergency stop"),
    (6, Mode.EMERGENCY_STOP, "the robot's emergency stop"),
    (5, Mode.EMERGENCY_STOP, "the system's emergency stop"),
    (9, Mode.FAULT, "a fault of the safety system"),
    (8, Mode.FAULT, "a safety violation"),
    (3, Mode.FAULT, "recovery mode"),
    (2, Mode.PROTECTIVE_STOP, "protective stop"),
    (4, Mode.PROTECTIVE_STOP, "safeguard stop"),
)


@dataclass(frozen=True, kw_only=True)
class UrState:
    """One answer of the link, in the world's frame."""

    joints: tuple[float, ...]  # radians, six
    pose: Pose
    speed: float  # m/s, of the tip
    turning: float  # rad/s
    force: Vector  # newtons, world axes
    torque: Vector  # newton metres, world axes
    mode: Mode
    detail: str
    age: float  # seconds since the controller's clock was last seen to move
    playing: bool  # a program runs
    controlled: bool  # it is ours, and its watchdog is kicked
    ended: str  # our program ended unasked: "late" (we kicked too late) or "stopped"
    operation: tuple[int, bool] | None  # a counter that every start and end of a motion changes; whether one runs
    inputs: int  # digital, one bit each
    outputs: int

    @property
    def status(self) -> Status:
        return Status(mode=self.mode, detail=self.detail, age=self.age)

    @property
    def wrench(self) -> Wrench:
        return Wrench(force=self.force, torque=self.torque)

    @property
    def resting(self) -> bool:
        return self.speed < 0.002 and self.turning < 0.01

    def demand(self) -> None:
        """Pass only for a robot that is there and ok.

        Raises:
            ConnectionLost: it is not there.
            RobotStopped: it is not ok.
        """
        if self.mode is Mode.DISCONNECTED:
            raise ConnectionLost(self.detail)
        if self.mode is not Mode.OK:
            raise RobotStopped(f"{self.detail}; unlock it by hand, at the robot, then call recover(operator=...)")

    def plain(self) -> dict[str, Any]:
        """Return what a journal keeps."""
        return {
            "joints": list(self.joints),
            "position": list(self.pose.position),
            "quaternion": list(self.pose.quaternion),
            "speed": self.speed,
            "force": list(self.force),
            "mode": str(self.mode),
            "age": self.age,
        }


def read_state(answer: dict[str, Any], frame: BaseFrame, *, stale: float) -> UrState:
    """Return a link's answer as a state.

    Args:
        answer: of `link`.
        frame: where the base stands.
        stale: seconds; an older state is a lost connection.

    Raises:
        ConnectionLost: the controller's numbers are none.
    """
    joints, pose, speed, force = (answer[name] for name in ("joints", "pose", "speed", "force"))
    if not all(len(six) == 6 and all(math.isfinite(v) for v in six) for six in (joints, pose, speed, force)):
        raise ConnectionLost(
            f"the controller says what is no state: joints {joints}, pose {pose}, speed {speed}, force {force}"
        )
    mode, detail = _mode(answer, stale=stale)
    operation = answer["operation"]
    return UrState(
        joints=tuple(joints),
        pose=frame.to_world(pose),
        speed=math.hypot(*speed[:3]),
        turning=math.hypot(*speed[3:]),
        force=frame.turn(force[:3]),
        torque=frame.turn(force[3:]),
        mode=mode,
        detail=detail,
        age=answer["age"],
        playing=answer["playing"],
        controlled=answer["controlled"],
        ended=answer["ended"],
        operation=None if operation is None else (operation[0], bool(operation[1])),
        inputs=answer["inputs"],
        outputs=answer["outputs"],
    )


def _mode(answer: dict[str, Any], *, stale: float) -> tuple[Mode, str]:
    if not answer["connected"]:
        return Mode.DISCONNECTED, "the controller closed the connection, or the link to it is down"
    if answer["age"] > stale:
        return Mode.DISCONNECTED, f"the controller has said nothing new for {answer['age']:.2f} s (limit {stale:g} s)"
    for bit, mode, words in SAFETY:
        if answer["safety"] >> bit & 1:
            return mode, words
    if answer["robot_mode"] != RUNNING:
        named = ROBOT_MODES.get(answer["robot_mode"], "unknown")
        return Mode.FAULT, f"the arm is not running: robot mode {answer['robot_mode']} ({named})"
    return Mode.OK, ""
