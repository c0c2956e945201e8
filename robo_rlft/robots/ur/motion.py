"""One motion of a UR arm, watched from its start to its end.

The motion is asynchronous: the controller moves, and a loop here looks at the arm every `SUPERVISOR_PERIOD` seconds.
Each look kicks the controller's watchdog, and nothing else does while the arm moves; so whatever keeps this loop from
looking (a hang, a kill, a broken line) ends the motion within the watchdog's period.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from robo_rlft.driver import ConnectionLost, DeadlineExceeded, DriverError, Mode, Motion, Pose, RobotStopped
from robo_rlft.robots.ur.frames import BaseFrame, Vector, angle_between, line_seconds
from robo_rlft.robots.ur.process import AskFailed, Link
from robo_rlft.robots.ur.state import UrState, read_state
from robo_rlft.robots.ur.wrist import legs

SUPERVISOR_PERIOD = 0.01  # seconds between two looks at a moving arm
MOVING_STALE = 0.18  # seconds; a moving arm's state is never older, so that a silence of 0.2 s is never missed
LOOK_SECONDS = 0.15  # for the answer to a look; with `stale` this keeps every loss under half a second
COMMAND_SECONDS = 0.3  # for the controller to take a command
STOP_SECONDS = 1.0  # for the arm to come to rest
BEGIN_SECONDS = 0.5  # for a motion that was taken to begin
SETTLE_SECONDS = 0.25  # at the end, to be within the tolerance
LONGEST_SECONDS = 600.0  # of a motion without a deadline, however slow it was asked for
JOURNAL_PERIOD = 0.02  # seconds between two states for `on_state`, at least
TARE_LOOKS = 4
DISTANCE = 0.001  # metres, of the target
ANGLE = 0.01  # radians


@dataclass(frozen=True, kw_only=True)
class MotionSettings:
    """How motions are watched."""

    contact_force: float  # newtons along the motion, more than before it: contact
    force_limit: float  # newtons; more stops any motion
    deceleration: float  # m/s^2, of stops
    stale: float  # seconds


class Supervisor:
    """Runs motions over a link; one at a time."""

    def __init__(
        self,
        *,
        link: Link,
        frame: BaseFrame,
        settings: MotionSettings,
        stopped: threading.Event,
        on_state: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self._link, self._frame, self._settings = link, frame, settings
        self._stopped = stopped
        self._on_state = on_state
        self._told = 0.0

    def run(
        self, target: Pose, *, speed: float, acceleration: float, stop_on_contact: bool, deadline: float | None
    ) -> Motion:
        """Move; see `RobotDriver.move`. Whatever ends it, the arm has been told to stop where that is possible."""
        start = self._look("state")
        start.demand()
        tare = self._tare() if stop_on_contact else None
        ways = legs(start.pose, target, joints=start.joints, frame=self._frame)
        if deadline is None:
            ends = pairwise([start.pose, *ways])
            seconds = sum(line_seconds(a, b, speed=speed, acceleration=acceleration) for a, b in ends)
            deadline = min(1.5 * seconds + 2.0, LONGEST_SECONDS)
        began, touched = time.monotonic(), False
        try:
            for leg in ways:
                if self._stopped.is_set():
                    raise RobotStopped("stop() was called")
                before = self._begin(leg, speed=speed, acceleration=acceleration)
                touched = self._watch(start, leg, before, tare=tare, began=began, deadline=deadline)
                if touched:
                    self._halt()
                reached = self._look("rest")
                reached.demand()
                if touched:
                    break
        except AskFailed as error:
            self._give_up()
            if self._lost():
                raise ConnectionLost(f"the line to the controller broke: {error}") from error
            raise RobotStopped(f"the controller did not take the motion: {error}") from error
        except BaseException:
            self._give_up()
            raise
        return Motion(reached=reached.pose, contact=touched)

    def _begin(self, target: Pose, *, speed: float, acceleration: float) -> int | None:
        answer = self._link.ask(
            "move",
            timeout=COMMAND_SECONDS,
            pose=self._frame.to_controller(target),
            speed=float(speed),
            acceleration=float(acceleration),
        )
        before = answer["before"]
        return None if before is None else int(before[0])

    def _watch(
        self,
        start: UrState,
        target: Pose,
        before: int | None,
        *,
        tare: Vector | None,
        began: float,
        deadline: float,
    ) -> bool:
        """Return whether the tool touched something; False at the target."""
        sent = due = time.monotonic()
        ended: float | None = None
        while True:
            due = max(due + SUPERVISOR_PERIOD, time.monotonic())
            if self._stopped.wait(due - time.monotonic()):
                raise RobotStopped("stop() was called")
            state = self._look("tick")
            self._alarm(state)
            if tare is not None and self._touches(state, start, target, tare):
                return True
            now = time.monotonic()
            if now - began > deadline:
                raise DeadlineExceeded(
                    f"the target was not reached within {deadline:.2f} s; the tool is "
                    f"{1000 * math.dist(state.pose.position, target.position):.1f} mm away from it and was told to stop"
                )
            operation, running = state.operation or (before, False)
            if operation == before and now - sent > BEGIN_SECONDS:
                raise RobotStopped(f"the controller took the motion, and did not begin it within {BEGIN_SECONDS:g} s")
            if operation == before or running:
                continue
            if state.resting and _there(state.pose, target):
                return False
            ended = now if ended is None else ended
            if now - ended > SETTLE_SECONDS:
                raise RobotStopped(
                    f"the motion ended {1000 * math.dist(state.pose.position, target.position):.1f} mm and "
                    f"{angle_between(state.pose.quaternion, target.quaternion):.3f} rad from its target"
                )

    def _alarm(self, state: UrState) -> None:
        """Raise for whatever must end a motion."""
        state.demand()
        if state.ended == "late":
            raise RobotStopped("the watchdog ended the motion: this machine looked at the arm too late")
        if state.ended or not state.playing:
            raise RobotStopped("the control program ended; somebody stopped it, or it met an error (see the pendant)")
        push = math.hypot(*state.force)
        if push > self._settings.force_limit:
            raise RobotStopped(
                f"{push:.1f} N push at the tool, more than the limit of {self._settings.force_limit:g} N; the arm was "
                "told to stop"
            )

    def _touches(self, state: UrState, start: UrState, target: Pose, tare: Vector) -> bool:
        way = [b - a for a, b in zip(start.pose.position, target.position, strict=True)]
        length = math.hypot(*way)
        if length < 1e-9:
            return False
        # The size of it: controllers differ in the sign of what they feel.
        felt = sum((f - t) * w / length for f, t, w in zip(state.force, tare, way, strict=True))
        return abs(felt) > self._settings.contact_force

    def _tare(self) -> Vector:
        """Return what is felt before the motion: the rest of a payload or of a sensor's bias."""
        felt = []
        for _ in range(TARE_LOOKS):
            state = self._look("state")
            state.demand()
            felt.append(state.force)
            time.sleep(0.005)
        x, y, z = (sum(values) / len(felt) for values in zip(*felt, strict=True))
        return x, y, z

    def _halt(self) -> None:
        """Stop, and come back when the arm stands."""
        state = self._read(self._link.ask("stop", timeout=COMMAND_SECONDS, deceleration=self._settings.deceleration))
        end = time.monotonic() + STOP_SECONDS
        while True:
            state.demand()
            _, running = state.operation or (0, False)
            if state.resting and not running:
                return
            if time.monotonic() > end:
                raise RobotStopped(f"the arm did not come to rest within {STOP_SECONDS:g} s of being told to stop")
            time.sleep(SUPERVISOR_PERIOD)
            state = self._look("tick")

    def _give_up(self) -> None:
        """Stop if the robot listens; in any case kick no more, so that its watchdog ends the program."""
        if not self._link.alive:
            return
        try:
            if self._look("tick").status.mode == "ok":
                self._halt()
        except DriverError:
            pass  # the first error is the one to tell; the watchdog ends the motion
        try:
            self._look("park").demand()
        except ConnectionLost:
            self._link.kill()
        except DriverError:
            pass  # parked: the line is kept, so that the robot's state can be asked for

    def _lost(self) -> bool:
        try:
            return self._look("state").mode is Mode.DISCONNECTED
        except DriverError:
            return True

    def _look(self, op: str) -> UrState:
        return self._read(self._link.ask(op, timeout=LOOK_SECONDS))

    def _read(self, answer: dict[str, Any]) -> UrState:
        state = read_state(answer, self._frame, stale=min(self._settings.stale, MOVING_STALE))
        now = time.monotonic()
        if self._on_state is not None and now - self._told >= JOURNAL_PERIOD:
            self._told = now
            self._on_state({"t": time.time(), **state.plain()})
        return state


def _there(pose: Pose, target: Pose) -> bool:
    near = math.dist(pose.position, target.position) <= DISTANCE
    return near and angle_between(pose.quaternion, target.quaternion) <= ANGLE
