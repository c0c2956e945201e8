"""The controller's state: mode, registers, inputs and outputs, the program that runs, the watchdog, the clock.

Knows the arm and the program; the servers beside it only carry bytes in and out. One thread.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from robo_rlft.driver import Pose
from robo_rlft.geometry import Workspace
from robo_rlft.records import BodySpec
from robo_rlft.sim.loopback.arm import Arm
from robo_rlft.sim.loopback.ledger import Ledger
from robo_rlft.sim.loopback.program import ControlScript, control_script

REGISTERS = 48  # of each type and direction
PROGRAM_STOP = 3.0  # m/s^2 of the tip, when a program ends while the arm moves
UNLOCK_DELAY = 5.0  # seconds that a protective stop lasts at least
OFF, RUNNING = 3, 7  # robot modes


class Safety(enum.IntEnum):
    """Safety modes, with the numbers and the dashboard's words of a real controller."""

    NORMAL = 1
    PROTECTIVE_STOP = 3
    ROBOT_EMERGENCY_STOP = 7
    FAULT = 9


_SAFETY_BITS = {
    Safety.NORMAL: 1 << 0,
    Safety.PROTECTIVE_STOP: 1 << 2 | 1 << 10,
    Safety.ROBOT_EMERGENCY_STOP: 1 << 6 | 1 << 7 | 1 << 10,
    Safety.FAULT: 1 << 9 | 1 << 10,
}


class Runtime(enum.IntEnum):
    """What the program does."""

    STOPPED = 1
    PLAYING = 2
    PAUSED = 4


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What tells one emulated cell from another."""

    host: str = "127.0.0.2"
    serial: str = "20260000001"
    workspace: Workspace = field(default_factory=Workspace)
    suction_output: int = 0  # standard digital output
    vacuum_input: int = 0  # standard digital input

    def __post_init__(self) -> None:
        if not self.serial.isdigit():
            raise ValueError(f"a robot's serial number consists of digits; got '{self.serial}'")
        for pin in (self.suction_output, self.vacuum_input):
            if pin not in range(8):
                raise ValueError(f"standard digital inputs and outputs have the numbers 0 to 7; got {pin}")


@dataclass(frozen=True, kw_only=True)
class Motions:
    """What was measured and wanted at the last time step: base frame, UR pose vectors, N, m/s, rad, rad/s."""

    actual_pose: tuple[float, ...]
    actual_speed: tuple[float, ...]
    target_pose: tuple[float, ...]
    target_speed: tuple[float, ...]
    actual_q: tuple[float, ...]
    actual_qd: tuple[float, ...]
    target_q: tuple[float, ...]
    target_qd: tuple[float, ...]
    force: tuple[float, ...]


class Controller:
    """Everything that the servers share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger()
        self.arm = Arm(workspace=settings.workspace)
        self.arm.on_end = self._motion_ended
        self.integers_in, self.integers_out = [0] * REGISTERS, [0] * REGISTERS
        self.floats_in, self.floats_out = [0.0] * REGISTERS, [0.0] * REGISTERS
        self.outputs = 0  # standard digital outputs, bits
        self.safety = Safety.NORMAL
        self.runtime = Runtime.STOPPED
        self.robot_mode = RUNNING
        self.payload, self.payload_center = 0.0, (0.0, 0.0, 0.0)  # kg; metres from the flange
        self.frozen = False
        self.on_motion: list[Callable[[], None]] = []  # called at the next motion's start
        self._program: ControlScript | None = None
        self._watched: tuple[int, float] | None = None  # register, seconds between packages at most
        self._fed = 0.0
        self._stopped_at = -math.inf
        self._lost = 0.0  # seconds frozen so far, which its own clock does not know of
        self._froze = 0.0
        self._born = time.monotonic()
        self.state = self._measure()

    def clock(self) -> float:
        """Return the controller's own time in seconds; it stands still while the controller is frozen."""
        now = self._froze if self.frozen else time.monotonic()
        return now - self._born - self._lost

    def freeze(self) -> None:
        """Stop everything but the process."""
        if not self.frozen:
            self._froze, self.frozen = time.monotonic(), True
            self.ledger.event("frozen")

    def thaw(self) -> None:
        """Go on where it froze."""
        if self.frozen:
            self._lost += time.monotonic() - self._froze
            self.frozen = False
            self.ledger.event("thawed")

    def tick(self) -> None:
        """Advance physics and program by one time step."""
        wrong = self.arm.tick()
        if wrong is not None and self.safety is Safety.NORMAL:
            self.arm.forget_path()
            self.halt(Safety.PROTECTIVE_STOP, wrong)
        self.state = self._measure()
        self.poll()
        if self._watched is not None and self.clock() - self._fed > self._watched[1]:
            self.ledger.event("watchdog_expired", allowed=self._watched[1])
            self.end_program("the watchdog expired")

    def poll(self) -> None:
        """Let the program look at its registers."""
        if self._program is not None and self.runtime is Runtime.PLAYING:
            self._program.poll()

    def start_program(self, text: str) -> None:
        """Start an uploaded program in place of the one that runs."""
        if self.safety is not Safety.NORMAL or self.robot_mode != RUNNING:
            self.ledger.event("program_refused", reason=f"safety mode {self.safety.name}")
            return
        self.end_program("another program came")
        offsets = control_script(text)
        if offsets is None:
            self.ledger.count("refused_commands")
            self.ledger.event("program_refused", reason="not ur_rtde's control script", text=text[:200])
            return
        self.ledger.count("programs")
        self.ledger.event("program_started")
        self.runtime = Runtime.PLAYING
        self._program = ControlScript(self, *offsets)

    def end_program(self, reason: str) -> None:
        """End the program, and stop the arm with it."""
        self._watched = None
        if self._program is None:
            return
        self._program = None
        self.runtime = Runtime.STOPPED
        self.ledger.event("program_ended", reason=reason)
        if self.arm.moving:
            self.arm.stop(PROGRAM_STOP)

    def halt(self, safety: Safety, reason: str) -> None:
        """Stop by the controller's own will; only a person undoes it."""
        self.safety = safety
        self._stopped_at = self.clock()
        self._watched = None
        self.ledger.event(safety.name.lower(), reason=reason)
        self.arm.stop()
        if safety is Safety.PROTECTIVE_STOP:
            if self._program is not None:
                self.runtime = Runtime.PAUSED
            return
        self.robot_mode = OFF
        self.end_program(reason)

    def unlock(self) -> None:
        """Return to normal, as a person at the pendant does it; the program must be started anew."""
        self.end_program("unlocked")
        self.safety, self.robot_mode = Safety.NORMAL, RUNNING
        self.arm.forget_path()
        self.ledger.event("unlocked")

    def client_stop(self) -> None:
        """Stop because a client asked for a protective stop."""
        self.halt(Safety.PROTECTIVE_STOP, "a client asked for it")

    def impossible(self, reason: str) -> None:
        """Stop because a command cannot be carried out."""
        self.halt(Safety.PROTECTIVE_STOP, reason)

    def runs(self, program: ControlScript) -> bool:
        """Tell whether a program is the one that runs, and not paused."""
        return self._program is program and self.runtime is Runtime.PLAYING

    def client_unlock(self) -> bool:
        """Unlock a protective stop because a client asked; counted, and not within its first seconds."""
        late = self.clock() - self._stopped_at >= UNLOCK_DELAY
        if self.safety is not Safety.PROTECTIVE_STOP or not late:
            return False
        self.unlock()
        return True

    def receive(self, values: Mapping[str, float | int]) -> None:
        """Take an input package's values, and let the program act on them."""
        for name, value in values.items():
            if name.startswith("input_int_register_"):
                register = int(name.rpartition("_")[2])
                self.integers_in[register] = int(value)
                if self._watched is not None and register == self._watched[0]:
                    self._fed = self.clock()
            elif name.startswith("input_double_register_"):
                self.floats_in[int(name.rpartition("_")[2])] = float(value)
        if values.get("standard_digital_output_mask"):
            self._set_outputs(int(values["standard_digital_output_mask"]), int(values["standard_digital_output"]))
        if values.get("speed_slider_mask"):
            self.arm.speed_scale = min(1.0, max(0.01, float(values["speed_slider_fraction"])))
            self.ledger.event("speed_slider", fraction=self.arm.speed_scale)
        self.poll()

    def watch(self, register: int, frequency: float) -> None:
        """Arm the watchdog: a package must set this input register so many times a second."""
        self._watched = (register, 1.0 / frequency) if frequency > 0 else None
        self._fed = self.clock()
        self.ledger.event("watchdog_armed", frequency=frequency)

    @property
    def watchdog_armed(self) -> bool:
        return self._watched is not None

    def motion_started(self) -> None:
        """Say that a motion began."""
        self.ledger.event("motion_started", position=list(self.arm.actual_pose()[:3]))
        waiting, self.on_motion = self.on_motion, []
        for call in waiting:
            call()

    def inputs(self) -> int:
        """Return the standard digital inputs' bits."""
        return int(self.arm.holding()) << self.settings.vacuum_input

    def status_bits(self) -> int:
        """Return power and program bits."""
        return int(self.robot_mode == RUNNING) | int(self.runtime is Runtime.PLAYING) << 1

    def safety_bits(self) -> int:
        """Return the safety status' bits."""
        return _SAFETY_BITS[self.safety]

    def build(self, bodies: Sequence[BodySpec], poses: Sequence[Pose]) -> None:
        """Set the table anew: outputs off, the tool at home, empty and still."""
        self.outputs = 0
        self.arm.build(bodies, poses)
        self.state = self._measure()
        self.ledger.event("built", bodies=len(bodies))

    def _measure(self) -> Motions:
        arm = self.arm
        return Motions(
            actual_pose=arm.actual_pose(),
            actual_speed=arm.speed,
            target_pose=arm.target_pose(),
            target_speed=tuple(arm.target_speed),
            actual_q=tuple(arm.joints),
            actual_qd=tuple(arm.joint_speeds),
            target_q=tuple(arm.target_joints),
            target_qd=tuple(arm.target_joint_speeds),
            force=(*arm.force, 0.0, 0.0, 0.0),
        )

    def _set_outputs(self, mask: int, bits: int) -> None:
        new = (self.outputs & ~mask) | (bits & mask)
        self.ledger.count("digital_outputs")
        self.ledger.event("digital_output", mask=mask, bits=new)
        self.outputs = new
        self.arm.suction = bool(new >> self.settings.suction_output & 1)

    def _motion_ended(self, completed: bool) -> None:
        self.ledger.event("motion_ended", completed=completed, position=list(self.arm.actual_pose()[:3]))
