"""The bare driver of a UR arm, over ur_rtde (extra `ur`); `ur.RealUr` is the only way to it.

It keeps ur_rtde in a process of its own (`link` says why), opens the commanding half of it before the first motion
and not earlier, proves the controller's watchdog before it moves, and watches every motion (`motion`). It unlocks,
powers and releases nothing: a stopped robot is unlocked by hand, at the robot.

Knows nothing of tasks or policies. It was tested against an emulated controller, not on an arm.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from robo_rlft.driver import (
    ConnectionLost,
    DeadlineExceeded,
    DriverError,
    Mode,
    Motion,
    OperatorNeeded,
    Pose,
    Refused,
    RobotStopped,
    Status,
    View,
    Wrench,
    check_motion,
)
from robo_rlft.geometry import yaw_quaternion
from robo_rlft.robots.cameras import Camera, CheckedCamera
from robo_rlft.robots.ur import dashboard
from robo_rlft.robots.ur.frames import BaseFrame
from robo_rlft.robots.ur.motion import COMMAND_SECONDS, LOOK_SECONDS, MotionSettings, Supervisor
from robo_rlft.robots.ur.process import AskFailed, Link, ProcessLink
from robo_rlft.robots.ur.state import UrState, read_state
from robo_rlft.robots.ur.tool import UrTool

RTDE_PORT = 30004
RTDE_HZ = 250.0  # states a second
CONTROL_SECONDS = 15.0  # to start the control program and prove its watchdog; about one is usual
OUTPUT_SECONDS = 2.0
LEFTOVER_SECONDS = 0.6  # for a watchdog to end a program of ours that was lost
TCP_JUMP = 0.002  # metres between the installation's TCP and the one that was asked for
MOVED = 0.002  # metres that the tool may move between a check and its motion
CLEARANCE = 0.16  # metres above the table, to which `home` rises before it travels

T = TypeVar("T")


class _UrDriver:
    """A `RobotDriver` without limits; `RealUr` is how to use it."""

    def __init__(
        self,
        *,
        host: str,
        frame: BaseFrame,
        tool: UrTool,
        settings: MotionSettings,
        acceleration: float,
        watchdog_hz: float,
        home: tuple[float, float, float, float],
        home_speed: float,
        rest_seconds: float,
        cameras: Sequence[Camera] = (),
        open_link: Callable[[str], Link] | None = None,
    ) -> None:
        self.on_state: Callable[[Mapping[str, Any]], None] | None = None
        self.watchdog_ended_after: float | None = None  # seconds, measured when it was proved
        self._host, self._frame, self._tool, self._settings = host, frame, tool, settings
        self.acceleration, self._watchdog_hz = acceleration, watchdog_hz
        self._home, self._home_speed, self._rest_seconds = home, home_speed, rest_seconds
        self._cameras = tuple(cameras)
        self._open_link = open_link or (lambda address: ProcessLink(address, hz=RTDE_HZ))
        self._link: Link | None = None
        self._serial = ""
        self._gripped = False
        self._latched: str | None = None
        self._moving = threading.Lock()
        self._stopped = threading.Event()

    def connect(self) -> None:
        """Listen to the controller; nothing that could move is started, no program is sent, no error forgotten."""
        if self._latched is not None and self._link is not None:  # None after `close`
            raise OperatorNeeded(f"{self._latched}; call recover(operator=...) first")
        if self._link is not None and self._link.alive:
            return
        self._listen()
        try:
            for camera in self._cameras:
                if isinstance(camera, CheckedCamera):
                    camera.follow(self.tool_pose)
                camera.connect()
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Stop what moves, end our program, hang up. What is gripped stays gripped."""
        self.stop()
        link, self._link = self._link, None
        if link is not None:
            if link.alive:
                with contextlib.suppress(DriverError):  # it is hung up on all the same; the watchdog ends the program
                    link.ask("end", timeout=COMMAND_SECONDS)
            link.kill()
        for camera in self._cameras:
            camera.close()

    def serial(self) -> str:
        """Return the arm's serial number, asked of the dashboard when the connection was opened."""
        self._connected()
        return self._serial

    def status(self) -> Status:
        """Return how the robot is now."""
        link = self._link
        if link is None or not link.alive:
            detail = self._latched or "connect() was not called, or close() was"
            return Status(mode=Mode.DISCONNECTED, detail=detail, age=math.inf)
        try:
            return self._asked("state").status
        except DriverError as error:
            return Status(mode=Mode.DISCONNECTED, detail=str(error), age=math.inf)

    def observe(self) -> tuple[View, ...]:
        """Return one fresh view per camera; the robot itself is not asked."""
        if not self._cameras:
            raise DriverError("this robot has no camera; choose one, such as camera=realsense or camera=opencv")
        return tuple(camera.view() for camera in self._cameras)

    def tool_pose(self) -> Pose:
        """Return the pose of the TCP."""
        return self._fresh().pose

    def force(self) -> Wrench:
        """Return the controller's estimate of what pushes at the TCP, its payload's weight taken off."""
        return self._fresh().wrench

    def move(
        self,
        target: Pose,
        *,
        speed: float,
        acceleration: float | None = None,
        stop_on_contact: bool = False,
        deadline: float | None = None,
    ) -> Motion:
        """Move along a line; see `RobotDriver.move`.

        The deadline counts from where the arm may move, after the control program's start; None is 1.5 times what the
        line takes, and 2 s.
        """
        check_motion(target, speed=speed, acceleration=acceleration, deadline=deadline)
        if not self._moving.acquire(blocking=False):
            raise DriverError("the arm moves already; a second motion was not begun")
        try:
            self._stopped.clear()
            self._ready()
            start = self.tool_pose()
            self._take_control()  # may take seconds
            if math.dist(start.position, self.tool_pose().position) > MOVED:
                raise Refused("the tool was moved while the control program started; ask again", rule="box")
            supervisor = Supervisor(
                link=self._connected(),
                frame=self._frame,
                settings=self._settings,
                stopped=self._stopped,
                on_state=self.on_state,
            )
            return self._latching(
                lambda: supervisor.run(
                    target,
                    speed=speed,
                    acceleration=acceleration or self.acceleration,
                    stop_on_contact=stop_on_contact,
                    deadline=deadline,
                )
            )
        finally:
            self._moving.release()

    def home_way(self, start: Pose) -> tuple[Pose, ...]:
        """Return how `home` goes: up to `CLEARANCE`, no higher (far out, home's height is out of reach), then home."""
        x, y, z, yaw = self._home
        home = Pose(position=(x, y, z), quaternion=yaw_quaternion(yaw))
        clear = min(CLEARANCE, z)
        if start.position[2] >= clear:
            return (home,)
        return Pose(position=(*start.position[:2], clear), quaternion=start.quaternion), home

    def home(self) -> None:
        """Rise, then travel; what is held stays held."""
        for pose in self.home_way(self.tool_pose()):
            self.move(pose, speed=self._home_speed)

    def grip(self) -> None:
        """Switch the tool's output to gripping and wait until it grips."""
        self._switch(self._tool.grip_on)
        self._gripped = True
        time.sleep(self._tool.grip_seconds)

    def release(self) -> None:
        """Switch the tool's output back and wait until it lets go."""
        self._switch(not self._tool.grip_on)
        self._gripped = False
        time.sleep(self._tool.release_seconds)

    def is_holding(self) -> bool:
        """Return what the tool's switch says; without one, whether the last command was `grip`."""
        state = self._fresh()
        if self._tool.holding_pin is None:
            return self._gripped
        return bool(state.inputs >> self._tool.holding_pin & 1) is self._tool.holding_on

    def wait(self) -> None:
        """Pause: an arm cannot feel when the scene is at rest."""
        self._connected()
        time.sleep(self._rest_seconds)

    def stop(self) -> None:
        """Stop the motion under way; whoever waits for it gets `RobotStopped`."""
        self._stopped.set()
        link = self._link
        if link is None or not link.alive or not self._moving.locked():
            return
        try:  # said here too: the thread that watches the motion may be the one that hangs
            link.ask("stop", timeout=COMMAND_SECONDS, deceleration=self._settings.deceleration)
        except DriverError:
            link.kill()  # without its kicks the watchdog ends the motion

    def recover(self, *, operator: str) -> None:
        """Connect anew and go on; the next motion starts the control program and proves its watchdog again."""
        if self._link is not None:
            self._link.kill()
        self._listen()
        end = time.monotonic() + LEFTOVER_SECONDS
        while self._fresh().playing and time.monotonic() < end:
            time.sleep(0.02)
        if self._fresh().playing:
            dashboard.stop_program(self._host)
        state = self._asked("state")
        if state.mode is not Mode.OK:
            raise DriverError(f"the robot is not ok yet: {state.detail}; {operator} unlocks it by hand, at the robot")
        self._latched = None

    def _listen(self) -> None:
        if importlib.util.find_spec("rtde_receive") is None:
            raise DriverError('a UR arm needs ur_rtde, which is not installed: pip install ".[ur]" in a checkout')
        self._link = self.watchdog_ended_after = None
        self._serial = dashboard.identify(self._host, RTDE_PORT)
        self._link = self._open_link(self._host)

    def _take_control(self) -> None:
        """Have a control program with a watchdog that works; it is started again only where we let it end."""
        link, state = self._connected(), self._fresh()
        if state.controlled and state.playing:
            return
        if not dashboard.remote_control(self._host):
            raise DriverError(
                f"the arm at {self._host} is not in remote control; switch the pendant to remote (upper right corner)"
            )
        tool = self._tool
        try:
            answer = link.ask(
                "control",
                timeout=CONTROL_SECONDS,
                watchdog_hz=self._watchdog_hz,
                tcp=None if tool.tcp is None else list(tool.tcp),
                payload=None if tool.payload is None else list(tool.payload),
                outputs=True,
            )
        except AskFailed as error:
            raise DriverError(f"the arm cannot be commanded: {error}") from error
        except ConnectionLost as error:
            self._latched = str(error)
            raise
        self.watchdog_ended_after = float(answer["watchdog_ended_after"])
        jump = math.dist(self._fresh().pose.position, state.pose.position)
        if tool.tcp is not None and jump > TCP_JUMP:
            link.ask("park", timeout=LOOK_SECONDS)
            raise DriverError(
                f"robot.tool.tcp moves the tool's tip by {1000 * jump:.1f} mm against the pendant's installation; set "
                "both to the same, or robot.tool.tcp to null"
            )

    def _switch(self, level: bool) -> None:
        self._ready()
        link, pin = self._connected(), self._tool.grip_pin
        self._latching(lambda: link.ask("output", timeout=OUTPUT_SECONDS, pin=pin, level=level))
        end = time.monotonic() + OUTPUT_SECONDS
        while bool(self._fresh().outputs >> pin & 1) is not level:
            if time.monotonic() > end:
                raise DriverError(
                    f"digital output {pin} did not become {'high' if level else 'low'}; is it free to use?"
                )
            time.sleep(0.005)

    def _end_program(self) -> None:
        """End it by the dashboard too: a protective stop only pauses it, and "play" would resume the motion."""
        if self.watchdog_ended_after is not None:
            with contextlib.suppress(DriverError):
                dashboard.stop_program(self._host)

    def _connected(self) -> Link:
        if self._link is not None and self._link.alive:
            return self._link
        if self._latched is not None:
            raise ConnectionLost(f"{self._latched}; no state is known until recover(operator=...)")
        if self._link is not None:
            self._latched = "the line to the controller died"
            raise ConnectionLost(self._latched)
        raise DriverError("the arm is not connected: call connect() first")

    def _ready(self) -> None:
        if self._latched is not None:
            raise OperatorNeeded(f"{self._latched}; call recover(operator=...) first")
        state = self._fresh()
        self._latching(state.demand)
        if state.ended == "stopped":
            self._latched = "the control program was ended between two motions, at the pendant or by an error"
            raise RobotStopped(self._latched)

    def _fresh(self) -> UrState:
        """Return a state that is no older than `stale`; it may be one of a stopped robot."""
        self._connected()
        state = self._latching(lambda: self._asked("state"))
        if state.mode is Mode.DISCONNECTED:
            self._lose(state.detail)
        return state

    def _asked(self, op: str) -> UrState:
        answer = self._connected().ask(op, timeout=LOOK_SECONDS)
        return read_state(answer, self._frame, stale=self._settings.stale)

    def _lose(self, why: str) -> None:
        self._latched = why
        if self._link is not None:
            self._link.kill()
        raise ConnectionLost(why)

    def _latching(self, function: Callable[[], T]) -> T:
        try:
            return function()
        except (ConnectionLost, RobotStopped, DeadlineExceeded) as error:
            self._latched = self._latched or str(error)
            if isinstance(error, RobotStopped):
                threading.Thread(target=self._end_program, daemon=True).start()
            raise
        except AskFailed as error:
            raise DriverError(str(error)) from error
