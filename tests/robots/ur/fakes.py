"""A UR controller in memory, and drivers over it."""

from typing import Any

import pytest

from robo_rlft.driver import (
    ConnectionLost,
    Pose,
)
from robo_rlft.robots.ur import dashboard as ur_dashboard
from robo_rlft.robots.ur import driver as ur_driver
from robo_rlft.robots.ur.driver import _UrDriver
from robo_rlft.robots.ur.frames import BaseFrame
from robo_rlft.robots.ur.motion import MotionSettings
from robo_rlft.robots.ur.process import AskFailed
from robo_rlft.robots.ur.tool import UrTool

HERE = Pose(position=(0.5, 0.0, 0.3))
THERE = Pose(position=(0.5, 0.1, 0.2))
SETTINGS = MotionSettings(contact_force=5.0, force_limit=40.0, deceleration=5.0, stale=0.2)


class FakeLink:
    """A controller that reaches every target after a few looks; change `said` or `at_tick` to break it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.alive = True
        self.silent = False
        self.refuse: dict[str, str] = {}
        self.ticks = 4  # until a motion ends
        self.reaches = True
        self.at_tick: Any = lambda count: None
        self.count = 0
        self.said: dict[str, Any] = {
            "stamp": 1.0,
            "age": 0.0,
            "connected": True,
            "joints": [0.0] * 6,
            "pose": BaseFrame().to_controller(HERE),
            "speed": [0.0] * 6,
            "force": [0.0] * 6,
            "robot_mode": 7,
            "safety": 1,
            "playing": False,
            "inputs": 0,
            "outputs": 0,
            "controlled": False,
            "ended": "",
            "operation": None,
        }

    def ask(self, op: str, *, timeout: float, **arguments: Any) -> dict[str, Any]:
        self.asked.append((op, arguments))
        if self.silent or not self.alive:
            self.kill()
            raise ConnectionLost("the controller does not answer in time")
        if op in self.refuse:
            raise AskFailed(self.refuse[op], kind="stopped")
        answer = getattr(self, f"_{op}", dict)(**arguments)
        return {**self.said, **(answer or {})}

    def kill(self) -> None:
        self.alive = False

    def ops(self) -> list[str]:
        return [op for op, _ in self.asked]

    def _control(self, **_: Any) -> dict[str, Any]:
        self.said |= {"playing": True, "controlled": True, "operation": [0, 0]}
        return {"watchdog_ended_after": 0.1}

    def _move(self, *, pose: list[float], **_: Any) -> dict[str, Any]:
        self.target, self.count = pose, 0
        self.said |= {"operation": [1, 1], "speed": [0.1, 0, 0, 0, 0, 0]}
        return {"before": [0, 0]}

    def _tick(self) -> None:
        self.count += 1
        if self.count >= self.ticks and self.said["operation"] == [1, 1]:
            if self.reaches:
                self.said["pose"] = self.target
            self.said |= {"operation": [2, 0], "speed": [0.0] * 6}
        self.at_tick(self.count)

    def _stop(self, **_: Any) -> None:
        self.said |= {"operation": [2, 0], "speed": [0.0] * 6}

    def _park(self) -> None:
        self.said |= {"controlled": False, "playing": False}

    def _output(self, *, pin: int, level: bool) -> None:
        self.said["outputs"] = self.said["outputs"] & ~(1 << pin) | level << pin


@pytest.fixture
def ur_links(monkeypatch):
    """Every link that a driver opens, the last one last; the dashboard is friendly."""
    opened: list[FakeLink] = []
    for name, answer in {
        "reachable": None,
        "serial_number": "20260000001",
        "remote_control": True,
        "stop_program": None,
    }.items():
        monkeypatch.setattr(ur_dashboard, name, lambda *_, answer=answer, **__: answer)
    monkeypatch.setattr(ur_driver.importlib.util, "find_spec", lambda name: object())
    return opened


@pytest.fixture
def make_ur(ur_links):
    def build(**changes: Any) -> _UrDriver:
        def open_link(host: str) -> FakeLink:
            ur_links.append(FakeLink())
            return ur_links[-1]

        arguments: dict[str, Any] = {
            "host": "127.0.0.1",
            "frame": BaseFrame(),
            "tool": UrTool(grip_seconds=0.0, release_seconds=0.0),
            "settings": SETTINGS,
            "acceleration": 0.5,
            "watchdog_hz": 10.0,
            "home": (0.3, 0.0, 0.4, 0.0),
            "home_speed": 0.25,
            "rest_seconds": 0.0,
            "open_link": open_link,
        }
        driver = _UrDriver(**{**arguments, **changes})
        driver.connect()
        return driver

    return build
