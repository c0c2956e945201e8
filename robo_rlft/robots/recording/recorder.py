"""Recording what any driver is asked and answers, so that `robot=replay` can play it back.

Knows nothing of limits or of people.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from robo_rlft.driver import Motion, Pose, RobotDriver, Status, View, Wrench
from robo_rlft.robots.recording.journal import Journal

T = TypeVar("T")


class Recorder:
    """A `RobotDriver` that writes down what another one is asked and answers, and changes nothing.

    No guard of any kind: a driver of a real arm belongs in a `SafetyEnvelope`, which writes its own journal.
    """

    def __init__(self, *, driver: RobotDriver, journal: Journal | Path) -> None:
        """Record from now on.

        Args:
            driver: the one that does it.
            journal: where to.
        """
        self._driver = driver
        self.journal = journal if isinstance(journal, Journal) else Journal(path=journal)
        self.journal.about.setdefault("driver", type(driver).__name__)

    def connect(self) -> None:
        """Record `connect`."""
        self._record("connect", self._driver.connect)

    def close(self) -> None:
        """Record `close`."""
        self._record("close", self._driver.close)
        self.journal.sync()

    def serial(self) -> str:
        """Record `serial`."""
        return self._record("serial", self._driver.serial)

    def status(self) -> Status:
        """Record `status`."""
        return self._record("status", self._driver.status)

    def observe(self) -> tuple[View, ...]:
        """Record `observe`."""
        return self._record("observe", self._driver.observe)

    def tool_pose(self) -> Pose:
        """Record `tool_pose`."""
        return self._record("tool_pose", self._driver.tool_pose)

    def force(self) -> Wrench | None:
        """Record `force`."""
        return self._record("force", self._driver.force)

    def move(
        self,
        target: Pose,
        *,
        speed: float,
        acceleration: float | None = None,
        stop_on_contact: bool = False,
        deadline: float | None = None,
    ) -> Motion:
        """Record `move`."""
        args: dict[str, Any] = {
            "speed": speed,
            "acceleration": acceleration,
            "stop_on_contact": stop_on_contact,
            "deadline": deadline,
        }
        return self.journal.call("move", {"target": target} | args, lambda: self._driver.move(target, **args))

    def home(self) -> None:
        """Record `home`."""
        self._record("home", self._driver.home)

    def grip(self) -> None:
        """Record `grip`."""
        self._record("grip", self._driver.grip)

    def release(self) -> None:
        """Record `release`."""
        self._record("release", self._driver.release)

    def is_holding(self) -> bool:
        """Record `is_holding`."""
        return self._record("is_holding", self._driver.is_holding)

    def wait(self) -> None:
        """Record `wait`."""
        self._record("wait", self._driver.wait)

    def stop(self) -> None:
        """Record `stop`, after it was carried out."""
        self._record("stop", self._driver.stop)

    def recover(self, *, operator: str) -> None:
        """Record `recover`."""
        self.journal.call("recover", {"operator": operator}, lambda: self._driver.recover(operator=operator))

    def _record(self, call: str, function: Callable[[], T]) -> T:
        return self.journal.call(call, {}, function)


def record(driver: RobotDriver, journal: Journal | Path) -> Recorder:
    """Return the driver with a recorder around it."""
    return Recorder(driver=driver, journal=journal)
