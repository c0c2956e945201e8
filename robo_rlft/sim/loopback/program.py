"""What the control script that ur_rtde uploads does, as this controller carries it out.

The script is not interpreted: it is recognised, and its loop is written here anew from what it does. It polls one input
register for a command's number, takes arguments from others, and answers in output registers: 1 ready, 2 done. Commands
that this emulator does not know end the program, with an event, as a controller ends a script at a runtime error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from robo_rlft.sim.loopback.arm import Unreachable
from robo_rlft.sim.loopback.kinematics import JOINT_LIMIT, forward, from_vector, to_vector

if TYPE_CHECKING:
    from robo_rlft.sim.loopback.controller import Controller

READY, DONE = 1, 2
STOP_SCRIPT = 255
REALTIME = {6, 9, 10, 11, 24, 25, 26, 27, 38, 58, *range(66, 72)}  # answered ready at once, and again each package
_QUIET = {7, 8, 18, 19, 20, 21, 42, 53, 59, 65}  # settings and modes that mean nothing to this arm: done
_MOVES = {1, 2, 3, 4}
_MOVING = {6, 9, 10, 11, 12, 24, 41, 45, 51, 52}  # motions that this emulator refuses


def control_script(text: str) -> tuple[int, int] | None:
    """Return the registers' offsets, of floats and integers, of ur_rtde's control script; None for any other text."""
    if "def rtde_control" not in text or "def process_cmd" not in text:
        return None
    offsets = [re.search(rf"reg_offset_{kind} =[^0-9\n]*\n?(\d+)", text) for kind in ("float", "int")]
    numbers = [int(found.group(1)) for found in offsets if found is not None]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


class ControlScript:
    """The running control script."""

    def __init__(self, controller: Controller, float_offset: int, integer_offset: int) -> None:
        self._controller = controller
        self._floats, self._integers = float_offset, integer_offset
        self._executing = False
        self._until: Callable[[], bool] | None = None  # a command under way waits for this
        self._async = False  # an asynchronous motion or stop is under way
        self._async_stop = False
        self._writes = self._operations = 0
        self._stop_joints = True  # a stop without the asynchronous flag is one of joints until there was one with it
        self._progress(-1)
        self._write(0, READY)
        self._commands: dict[int, Callable[[], None]] = {
            1: lambda: self._move(self._move_joints),
            2: lambda: self._move(self._move_joints_to_pose),
            3: lambda: self._move(self._move_line),
            4: lambda: self._move(self._move_line_to_joints),
            15: self._stop_speed,
            16: self._stop_speed,
            17: self._set_payload,
            26: lambda: self._answer([0.002]),
            28: lambda: self._answer(controller.arm.target_pose()),
            29: self._set_tcp,
            30: self._inverse,
            31: lambda: controller.client_stop(),
            33: self._stop,
            34: self._stop,
            35: lambda: controller.watch(self._integers, self._read(0)),
            36: lambda: self._write(1, int(self._reaches(self._pose()))),
            37: lambda: self._write(1, int(bool((np.abs(self._vector()) <= JOINT_LIMIT).all()))),
            38: lambda: self._answer([0.0] * 6),
            39: lambda: self._answer(to_vector(self._pose() @ self._pose(6))),
            40: lambda: self._answer(to_vector(controller.arm.tcp)),
            43: lambda: self._answer(controller.arm.actual_pose()),
            44: lambda: self._answer(to_vector(forward(self._vector()) @ self._pose(6))),
            46: self._inverse,
            47: lambda: self._write(1, int(not controller.arm.moving)),
            58: lambda: self._answer(to_vector(controller.arm.target)),
        }

    def poll(self) -> None:
        """Look at the command register, as the script does at every cycle."""
        moving = self._controller.arm.moving
        if self._async and not moving:
            self._async = self._async_stop = False
            self._progress(-1)
        if self._until is not None:
            if not self._until():
                return
            self._until = None
            self._write(0, DONE)
        command = self._controller.integers_in[self._integers]
        if command in REALTIME:
            self._process(command)
            if self._alive():
                self._write(0, READY)
        elif command == 0:
            self._executing = False
            self._write(0, READY)
        elif not self._executing:
            self._executing = True
            self._process(command)

    def _process(self, command: int) -> None:
        controller = self._controller
        if command == STOP_SCRIPT:
            controller.end_program("stopped by its client")
            return
        act = self._commands.get(command)
        if command in _MOVING:
            controller.ledger.motion(position=None, speed=0.0, acceleration=0.0)
        if act is None and command not in _QUIET:
            controller.ledger.count("refused_commands")
            controller.ledger.event("command_refused", command=command)
            controller.end_program(f"command {command} is not one that this emulator carries out")
            return
        try:
            if act is not None:
                act()
        except Unreachable as error:
            if command in _MOVES:
                controller.impossible(str(error))
            else:
                controller.ledger.event("command_refused", command=command, reason=str(error))
                controller.end_program(str(error))
        if self._until is None and self._alive():
            self._write(0, DONE)

    def _alive(self) -> bool:
        return self._controller.runs(self)

    def _move(self, begin: Callable[[float, float], None]) -> None:
        """Begin a motion; wait for its end unless it is asynchronous."""
        arm, asynchronous = self._controller.arm, self._flag()
        if self._async:
            self._async = False
            self._progress(-1)
        begin(self._read(6), self._read(7))
        self._controller.motion_started()
        if asynchronous:
            self._async = True
            self._progress(0)
        else:
            self._until = lambda: not arm.moving

    def _move_line(self, speed: float, acceleration: float) -> None:
        self._controller.ledger.motion(position=self._vector()[:3].tolist(), speed=speed, acceleration=acceleration)
        self._controller.arm.move_line(self._pose(), speed=speed, acceleration=acceleration)

    def _move_line_to_joints(self, speed: float, acceleration: float) -> None:
        arm = self._controller.arm
        end = forward(self._vector()) @ arm.tcp
        self._controller.ledger.motion(position=end[:3, 3].tolist(), speed=speed, acceleration=acceleration)
        arm.move_line(end, speed=speed, acceleration=acceleration)

    def _move_joints(self, speed: float, acceleration: float) -> None:
        arm = self._controller.arm
        end = forward(self._vector()) @ arm.tcp
        self._controller.ledger.motion(position=end[:3, 3].tolist(), speed=0.0, acceleration=0.0)
        arm.move_joints(self._vector(), speed=speed, acceleration=acceleration)

    def _move_joints_to_pose(self, speed: float, acceleration: float) -> None:
        arm = self._controller.arm
        self._controller.ledger.motion(position=self._vector()[:3].tolist(), speed=0.0, acceleration=0.0)
        arm.move_joints(arm.solve(self._pose()), speed=speed, acceleration=acceleration)

    def _stop_speed(self) -> None:
        self._controller.ledger.count("stop_messages")
        self._controller.ledger.event("stop", rate=self._read(0))
        self._brake(joints=False)

    def _stop(self) -> None:
        """Stop as commands 33 and 34 do: the script decides by its own flag, not by the number, which of the two."""
        controller = self._controller
        controller.ledger.count("stop_messages")
        controller.ledger.event("stop", rate=self._read(0))
        asynchronous = self._flag()
        if self._async and not self._async_stop:
            self._async = False
            self._progress(-1)
        if asynchronous:
            self._stop_joints = False
        self._brake(joints=self._stop_joints, wait=not asynchronous)
        if asynchronous:
            self._async = self._async_stop = True
            self._progress(0)

    def _brake(self, *, joints: bool, wait: bool = True) -> None:
        arm = self._controller.arm
        arm.stop(self._read(0), joints=joints)
        if wait and arm.moving:
            self._until = lambda: not arm.moving

    def _set_tcp(self) -> None:
        self._controller.arm.tcp = self._pose()
        self._controller.ledger.event("set_tcp", offset=self._vector().tolist())

    def _set_payload(self) -> None:
        x, y, z = (self._read(1 + index) for index in range(3))
        self._controller.payload, self._controller.payload_center = self._read(0), (x, y, z)

    def _inverse(self) -> None:
        self._answer(self._controller.arm.solve(self._pose()).tolist())

    def _reaches(self, pose: np.ndarray) -> bool:
        try:
            self._controller.arm.solve(pose)
        except Unreachable:
            return False
        return True

    def _progress(self, value: int) -> None:
        """Write the register that tells of asynchronous work: -1 none, 0 and above under way.

        Bits 0 to 14 hold the value, bit 15 that something is under way, 16 to 22 count writes, 24 to 30 operations.
        """
        self._writes = (self._writes + 1) % 128
        self._operations = (self._operations + (value == 0)) % 128
        working = 0x8000 + min(value, 0x7FFF) if value >= 0 else 0
        self._write(2, self._writes << 16 | self._operations << 24 | working)

    def _flag(self) -> bool:
        return self._controller.integers_in[self._integers + 1] == 1

    def _read(self, register: int) -> float:
        return self._controller.floats_in[self._floats + register]

    def _vector(self, register: int = 0) -> np.ndarray:
        return np.array([self._read(register + index) for index in range(6)])

    def _pose(self, register: int = 0) -> np.ndarray:
        vector = self._vector(register)
        if not np.isfinite(vector).all():
            raise Unreachable("a pose is not finite")
        return from_vector(vector.tolist())

    def _answer(self, values: Sequence[float]) -> None:
        for index, value in enumerate(values):
            self._controller.floats_out[self._floats + index] = float(value)

    def _write(self, register: int, value: int) -> None:
        self._controller.integers_out[self._integers + register] = value
