"""What can be asked of a UR controller over ur_rtde's three interfaces, and the rule of when its watchdog is kicked.

The watchdog is kicked here: by itself while the arm stands still, in a motion only when the caller ticks. A caller that
hangs or dies therefore ends the controller's program within the watchdog's period. One thread; `link` runs it in a
process of its own.

Knows nothing of worlds, poses' meaning or limits. Standard library only; ur_rtde is imported when asked for.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any, Protocol

PLAYING = 2  # of runtime_state, in RTDE
VARIABLES = (
    "timestamp",
    "actual_q",
    "actual_TCP_pose",
    "actual_TCP_speed",
    "actual_TCP_force",
    "robot_mode",
    "safety_status_bits",
    "runtime_state",
    "actual_digital_input_bits",
    "actual_digital_output_bits",
)
STARTED_WITHIN = 5.0  # seconds for the controller to run a script it was sent
LATE = 0.8  # of the watchdog's period between two kicks: from there on we may have ended the program ourselves
ABANDONED = 10.0  # m/s^2, of the stop when nobody looks at a moving arm any more
IDLE = 0.025  # seconds between two looks at an arm that nobody commands


class LinkError(Exception):
    """What was asked could not be done; `kind` tells the caller why: "failed", "busy", "stopped" or "watchdog"."""

    def __init__(self, message: str, *, kind: str = "failed") -> None:
        super().__init__(message)
        self.kind = kind


class Interfaces(Protocol):
    """Makes ur_rtde's interfaces; tests make fakes."""

    def receive(self) -> Any: ...

    def control(self) -> Any: ...

    def output(self) -> Any: ...


class UrRtde:
    """The real ones."""

    def __init__(self, *, host: str, hz: float) -> None:
        self.host, self.hz = host, hz

    def receive(self) -> Any:
        """Return an interface that only listens."""
        return importlib.import_module("rtde_receive").RTDEReceiveInterface(self.host, self.hz, list(VARIABLES))

    def control(self) -> Any:
        """Return an interface that can command; it uploads nothing by itself, and so nothing after a reconnection."""
        made = importlib.import_module("rtde_control").RTDEControlInterface
        return made(self.host, self.hz, made.FLAG_NO_WAIT)

    def output(self) -> Any:
        """Return an interface to the digital outputs."""
        return importlib.import_module("rtde_io").RTDEIOInterface(self.host)


class ArmLink:
    """One controller, over its interfaces."""

    def __init__(self, interfaces: Interfaces, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._interfaces = interfaces
        self._clock = clock
        self._receive = interfaces.receive()
        self._control: Any = None
        self._output: Any = None
        self._stamp: float | None = None
        self._advanced = -float("inf")  # when the controller's clock was last seen to move
        self._kicks = "none"  # "none", "self" (standing still) or "ticks" (moving)
        self._period = 0.1  # seconds, the watchdog's
        self._kicked = 0.0
        self._gap = 0.0  # the longest time between two kicks since the watchdog was armed
        self._ended = ""  # why the program ended, while it should have run: "late" or "stopped"

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Do what one request says and return its answer.

        Raises:
            LinkError: it could not be done.
        """
        known: dict[str, Callable[..., dict[str, Any]]] = {
            "state": self.state,
            "control": self.control,
            "move": self.move,
            "tick": self.tick,
            "rest": self.rest,
            "stop": self.stop,
            "park": self.park,
            "end": self.end,
            "output": self.output,
        }
        return known[op](**arguments)

    def state(self) -> dict[str, Any]:
        """Return what the controller last said, and how long ago it said it."""
        receive, now = self._receive, self._clock()
        stamp = receive.getTimestamp()
        if stamp != self._stamp:
            self._stamp, self._advanced = stamp, now
        control = self._control
        return {
            "stamp": stamp,
            "age": now - self._advanced,
            "connected": bool(receive.isConnected()),
            "joints": list(receive.getActualQ()),
            "pose": list(receive.getActualTCPPose()),
            "speed": list(receive.getActualTCPSpeed()),
            "force": list(receive.getActualTCPForce()),
            "robot_mode": int(receive.getRobotMode()),
            "safety": int(receive.getSafetyStatusBits()),
            "playing": int(receive.getRuntimeState()) == PLAYING,
            "inputs": int(receive.getActualDigitalInputBits()),
            "outputs": int(receive.getActualDigitalOutputBits()),
            "controlled": self._kicks != "none",
            "ended": self._ended,
            "operation": None if control is None else self._operation(),
        }

    def control(
        self,
        *,
        watchdog_hz: float,
        tcp: list[float] | None = None,
        payload: list[float] | None = None,
        outputs: bool = False,
    ) -> dict[str, Any]:
        """Start the control program with a watchdog that was seen to work.

        The watchdog is armed, left without a kick, and has to end the program; then the program is started and armed
        again. Nothing moves meanwhile.

        Args:
            watchdog_hz: kicks a second that the controller is to insist on.
            tcp: the tool's tip in the flange's frame, x y z and a rotation vector; None leaves the installation's.
            payload: kilograms, and its centre of gravity x y z in metres; None likewise.
            outputs: open the digital outputs too: opening them later would take longer than the watchdog allows.
        """
        if self.state()["playing"]:
            raise LinkError("a program runs on the controller already; stop it at the pendant", kind="busy")
        self._kicks, self._ended, self._period = "none", "", 1.0 / watchdog_hz
        if outputs and self._output is None:
            self._output = self._interfaces.output()
        if self._control is None:
            self._control = self._interfaces.control()
        try:
            self._start_program()
            ended = self._prove(watchdog_hz)
            self._start_program()
            for name, done in (
                ("TCP", tcp is None or self._control.setTcp(tcp)),
                ("payload", payload is None or self._control.setPayload(payload[0], payload[1:])),
            ):
                if not done:
                    raise LinkError(f"the controller did not take the {name}")
            self._arm(watchdog_hz)
        except LinkError:
            if self._plays():
                self._control.stopScript()
            raise
        self._kicks = "self"
        self._kick()
        return {**self.state(), "watchdog_ended_after": ended}

    def move(self, *, pose: list[float], speed: float, acceleration: float) -> dict[str, Any]:
        """Start a motion; from here on the caller has to tick."""
        before = self.state()
        if self._kicks != "self" or not before["playing"]:
            raise LinkError("the control program does not run", kind="stopped")
        self._kick()
        self._kicks = "ticks"
        if not self._control.moveL(pose, speed, acceleration, True):
            raise LinkError("the controller did not take the motion", kind="stopped")
        self._kicked = self._clock()  # the command itself wrote the register that the watchdog watches
        return {**self.state(), "before": before["operation"]}

    def tick(self) -> dict[str, Any]:
        """Kick the watchdog for a caller that is alive, and return the state."""
        self._kick()
        return self.state()

    def rest(self) -> dict[str, Any]:
        """Keep the program alive by itself: the arm stands still."""
        if self._kicks == "ticks":
            self._kicks = "self"
        return self.tick()

    def stop(self, *, deceleration: float) -> dict[str, Any]:
        """Slow down to a standstill; the caller goes on ticking."""
        if self._kicks != "none" and self._plays():
            self._control.stopL(deceleration, True)
            self._kicked = self._clock()
        return self.state()

    def park(self) -> dict[str, Any]:
        """Kick no more: the watchdog ends the program; listening goes on."""
        self._kicks = "none"
        return self.state()

    def end(self) -> dict[str, Any]:
        """End our program, before leaving."""
        if self._kicks != "none" and self._plays():
            self._kicks = "none"
            self._control.stopScript()
        return {}

    def output(self, *, pin: int, level: bool) -> dict[str, Any]:
        """Set a standard digital output."""
        if self._output is None:
            self._output = self._interfaces.output()
        if not self._output.setStandardDigitalOut(pin, level):
            raise LinkError(f"the controller did not take digital output {pin}")
        return self.state()

    def idle(self) -> float:
        """Do what is due when nobody asks, and return the seconds until it is due again."""
        self.state()
        since = self._clock() - self._kicked
        if self._kicks == "self":
            if since >= self._period / 4:
                self._kick()
            return self._period / 4
        if self._kicks == "ticks":
            if since >= LATE * self._period:
                # The caller hangs. The watchdog is about to end the program; a stop asked for is gentler, and sooner.
                self.abandon()
                self._ended, self._kicks = "late", "none"
            return max(0.001, LATE * self._period - since)
        return IDLE

    def abandon(self) -> None:
        """Stop the arm where it is: nobody looks at it any more."""
        if self._kicks == "ticks" and self._plays():
            self._control.stopL(ABANDONED, True)

    def _operation(self) -> list[int]:
        progress = self._control.getAsyncOperationProgressEx()
        return [int(progress.value()), int(progress.isAsyncOperationRunning())]

    def _plays(self) -> bool:
        return int(self._receive.getRuntimeState()) == PLAYING

    def _kick(self) -> None:
        if self._kicks == "none" or self._ended:
            return
        now = self._clock()
        self._gap = max(self._gap, now - self._kicked)
        self._kicked = now
        # Both have to say so: what ur_rtde calls done is only what its own copy of the state allowed it to send.
        if not self._plays() or not self._control.kickWatchdog():
            self._ended = "late" if self._gap > LATE * self._period else "stopped"
            self._kicks = "none"

    def _prove(self, watchdog_hz: float) -> float:
        """Return the seconds after which the watchdog, not kicked, ended the program."""
        self._arm(watchdog_hz)
        armed = self._clock()
        if not self._wait(lambda: not self._plays(), max(0.5, 5 * self._period)):
            raise LinkError(
                f"the watchdog did not end the program within {self._clock() - armed:.2f} s without a kick; nothing "
                "will be moved without one",
                kind="watchdog",
            )
        ended = self._clock() - armed
        self._wait(lambda: not self._control.isProgramRunning(), 0.5)
        return ended

    def _arm(self, watchdog_hz: float) -> None:
        if not self._control.setWatchdog(watchdog_hz):
            raise LinkError(f"the controller did not take a watchdog of {watchdog_hz} Hz", kind="watchdog")
        self._kicked, self._gap = self._clock(), 0.0

    def _start_program(self) -> None:
        if not self._control.reuploadScript():
            raise LinkError("the controller took no script")
        if not self._wait(lambda: self._plays() and bool(self._control.isProgramRunning()), STARTED_WITHIN):
            raise LinkError(
                f"the control program did not start within {STARTED_WITHIN:g} s; is the arm powered on, its brakes "
                "released and remote control on?"
            )

    def _wait(self, done: Callable[[], bool], seconds: float) -> bool:
        end = self._clock() + seconds
        while not done():
            if self._clock() > end:
                return False
            time.sleep(0.002)
        return True
