"""A robot arm in memory, with faults on demand, and people to ask.

Imports nothing but the driver contract.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robo_rlft.driver import (
    ConnectionLost,
    DriverError,
    Mode,
    Motion,
    OperatorNeeded,
    Pose,
    RobotStopped,
    Status,
    View,
    Wrench,
)

SERIAL = "20260000001"
SEED = 0  # of the noise that its pictures show
HOME = Pose(position=(0.3, 0.0, 0.4))
COMMANDS = ("move", "home", "grip", "release", "recover", "stop", "wait")  # what is more than reading


@dataclass
class Faults:
    """What is wrong with the arm; set and unset them at any time."""

    age: float = 0.0  # seconds of the status
    mode: Mode = Mode.OK
    silent: bool = False  # the connection is gone
    force: tuple[float, float, float] | None = (0.0, 0.0, 0.0)  # newtons; None cannot feel
    force_after: tuple[float, float, float] | None = None  # newtons, from the end of the next motion on
    contact_at: float | None = None  # z in metres at which a motion that stops on contact ends
    hold: threading.Event | None = None  # a motion waits for it, or for `stop`
    raises: BaseException | None = None  # what the next motion ends in
    nan_depth: bool = False
    frozen: bool = False  # the camera's stamp does not advance
    grips: bool = True  # something is there to be held


@dataclass
class FakeArm:
    """A `RobotDriver` that reaches every target at once and records all that it is told."""

    number: str = SERIAL
    start: Pose = HOME
    clock: Callable[[], float] = time.monotonic
    homing: Pose | None = HOME  # where `home_way` says that it ends; None: it cannot say
    faults: Faults = field(default_factory=Faults)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    on_state: Any = None  # a callable that a safety envelope sets

    def __post_init__(self) -> None:
        self.pose = self.start
        self.connected = False
        self.holding = False
        self.latched = False
        self.stamp = 0.0
        self.looks = 0
        self.moving = threading.Event()  # set while a motion is under way
        self.stopped = threading.Event()

    def told(self, *names: str) -> list[Mapping[str, Any]]:
        """Return the arguments of the calls of these names, by default of all that is more than reading."""
        return [args for name, args in self.calls if name in (names or COMMANDS)]

    def connect(self) -> None:
        self._record("connect")
        self.connected = True

    def close(self) -> None:
        self._record("close")
        self.connected = False

    def serial(self) -> str:
        self._record("serial")
        return self.number

    def status(self) -> Status:
        self._record("status")
        if self.faults.silent or not self.connected:
            return Status(mode=Mode.DISCONNECTED, detail="the cable is out", age=float("inf"))
        return Status(mode=self.faults.mode, detail=self.faults.mode.value, age=self.faults.age)

    def observe(self) -> tuple[View, ...]:
        self._record("observe")
        self._answer()
        if not self.faults.frozen:
            self.stamp = self.clock()
        depth = np.full((12, 16), 0.8, dtype=np.float32)
        if self.faults.nan_depth:
            depth[3, 4] = np.nan
        self.looks += 1
        color = np.random.default_rng(SEED).integers(0, 255, (12, 16, 3), dtype=np.uint8)
        color[6, 8] = self.looks % 50  # no sensor gives the same picture twice
        intrinsics = np.array([[16.0, 0.0, 8.0], [0.0, 16.0, 6.0], [0.0, 0.0, 1.0]])
        world = np.array([[0.0, -1.0, 0.0, 0.5], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.8], [0.0, 0.0, 0.0, 1.0]])
        view = View(color=color, depth=depth, intrinsics=intrinsics, world_from_camera=world, stamp=self.stamp)
        return (view,)

    def tool_pose(self) -> Pose:
        self._record("tool_pose")
        self._answer()
        return self.pose

    def force(self) -> Wrench | None:
        self._record("force")
        self._answer()
        return None if self.faults.force is None else Wrench(force=self.faults.force)

    def move(
        self,
        target: Pose,
        *,
        speed: float,
        acceleration: float | None = None,
        stop_on_contact: bool = False,
        deadline: float | None = None,
    ) -> Motion:
        self._record(
            "move",
            target=target,
            speed=speed,
            acceleration=acceleration,
            stop_on_contact=stop_on_contact,
            deadline=deadline,
        )
        self._act()
        contact_at = self.faults.contact_at
        contact = stop_on_contact and contact_at is not None and target.position[2] < contact_at
        x, y, z = target.position
        self.pose = Pose(position=(x, y, contact_at if contact and contact_at else z), quaternion=target.quaternion)
        return Motion(reached=self.pose, contact=contact)

    def home_way(self, start: Pose) -> tuple[Pose, ...]:
        return () if self.homing is None else (self.homing,)

    def home(self) -> None:
        self._record("home")
        self._act()
        self.pose = self.homing or HOME

    def grip(self) -> None:
        self._record("grip")
        self._act()
        self.holding = self.faults.grips

    def release(self) -> None:
        self._record("release")
        self._act()
        self.holding = False

    def is_holding(self) -> bool:
        self._record("is_holding")
        self._answer()
        return self.holding

    def wait(self) -> None:
        self._record("wait")

    def stop(self) -> None:
        self._record("stop")
        self.stopped.set()

    def recover(self, *, operator: str) -> None:
        self._record("recover", operator=operator)
        if self.faults.mode is not Mode.OK:
            raise DriverError(f"the robot is in {self.faults.mode.value}: unlock it by hand")
        self.latched = False

    def _record(self, name: str, **args: Any) -> None:
        self.calls.append((name, args))

    def _answer(self) -> None:
        if self.faults.silent or not self.connected:
            self.latched = True
            raise ConnectionLost("the fake arm does not answer")

    def _act(self) -> None:
        self._answer()
        if self.latched:
            raise OperatorNeeded("the fake arm waits for recover")
        if self.faults.raises is not None:
            error, self.faults.raises = self.faults.raises, None
            raise error
        if self.faults.mode is not Mode.OK:
            self.latched = True
            raise RobotStopped(f"the fake arm is in {self.faults.mode.value}")
        self.stopped.clear()
        self.moving.set()
        if self.on_state is not None:
            self.on_state({"position": self.pose.position, "force": self.faults.force, "mode": self.faults.mode.value})
        if self.faults.hold is not None:
            while not self.faults.hold.wait(0.005) and not self.stopped.is_set():
                pass
        self.moving.clear()
        if self.faults.force_after is not None:
            self.faults.force, self.faults.force_after = self.faults.force_after, None


@dataclass
class FakeOperator:
    """A person who answers as told, and remembers the questions."""

    name: str = "Ada"
    yes: bool = True
    serials: list[str] = field(default_factory=lambda: [SERIAL])  # typed in this order; the last one again and again
    questions: list[str] = field(default_factory=list)

    def approve(self, question: str) -> bool:
        self.questions.append(question)
        return self.yes

    def type_serial(self, question: str) -> str:
        self.questions.append(question)
        return self.serials.pop(0) if len(self.serials) > 1 else self.serials[0]
