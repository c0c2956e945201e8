"""A bare driver under watch: its state is looked at, its errors latch, and nothing more is sent until a person says so.

The inside of `guard.py`. Knows nothing of limits, but for the force, nor of people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from robo_rlft.driver import (
    ConnectionLost,
    DeadlineExceeded,
    DriverError,
    Mode,
    OperatorNeeded,
    Pose,
    Refused,
    RobotDriver,
    RobotStopped,
    Status,
    Wrench,
    check_motion,
)
from robo_rlft.robots.recording.journal import JournalError

LOCKING = (ConnectionLost, RobotStopped, DeadlineExceeded, OperatorNeeded)
T = TypeVar("T")


class Watch:
    """Calls one driver and remembers whether it may still be commanded."""

    def __init__(
        self,
        *,
        driver: RobotDriver,
        stop: Callable[[], None],
        stale: float,
        force: float,
        force_setter: str,
        note: Callable[..., None],
    ) -> None:
        """Watch a driver.

        Args:
            driver: which one.
            stop: stops the robot.
            stale: seconds; a robot whose last word is older is lost.
            force: newtons at the tool's tip, above which the robot is stopped.
            force_setter: who set that, for messages.
            note: is told (kind of event, **values), for the journal.
        """
        self._driver, self._stop, self._stale, self._note = driver, stop, stale, note
        self._force, self._force_setter = force, force_setter
        self.connected = False
        self.latched: str | None = None  # why nothing is sent
        self.busy = False
        self._stops = 0  # how often a person's stop came
        self._since = 0  # how often before the command under way was checked
        self._ended: str | None = None  # why the motion under way was ended from here

    def ready(self) -> None:
        """Refuse to go on after an error, or without a connection.

        Raises:
            OperatorNeeded: something failed earlier.
            DriverError: not connected.
        """
        if self.latched is not None:
            raise OperatorNeeded(f"nothing is sent: {self.latched}; look at the robot, then call recover(operator=...)")
        self.expect_connected()

    def expect_connected(self) -> None:
        """Raise a `DriverError` without a connection."""
        if not self.connected:
            raise DriverError("the robot is not connected: call connect first")

    def status(self) -> Status:
        """Return how the robot is."""
        return self.read("status", lambda: _checked(self._driver.status()))

    def check_alive(self) -> Status:
        """Latch where the robot's last word is too old; one that stands still may be asked on.

        Raises:
            ConnectionLost: it is.
        """
        self.expect_connected()
        status = self.status()
        if status.mode is Mode.DISCONNECTED or not status.age <= self._stale:  # not so for NaN
            raise self.latch(
                ConnectionLost(
                    f"the robot's last word is {status.age:.3g} s old, allowed are {self._stale:g} s "
                    f"({status.mode.value} {status.detail}); look at its cable and its screen, then recover"
                )
            )
        return status

    def check_state(self) -> None:
        """Latch unless the robot is ok and its last word is fresh.

        Raises:
            ConnectionLost: its last word is too old.
            RobotStopped: it stands still by its own will.
        """
        status = self.check_alive()
        if status.mode is not Mode.OK:
            raise self.latch(
                RobotStopped(f"the robot is in {status.mode.value}: {status.detail}; unlock it by hand, then recover")
            )

    def pose(self) -> Pose:
        """Return the tool's pose.

        Raises:
            ConnectionLost: what the robot says cannot be a pose.
        """
        pose = self.read("tool_pose", self._driver.tool_pose)
        try:
            check_motion(pose, speed=1.0, acceleration=None, deadline=None)
        except Refused as error:
            raise self.latch(ConnectionLost(f"the robot's tool pose cannot be one: {error}")) from error
        return pose

    def excess(self) -> str | None:
        """Return what pushes too hard at the tool, in words; None where nothing does or nothing can be felt."""
        return self._judged(self.read("force", self._driver.force))

    def act(self, name: str, send: Callable[[], T], *, since: int) -> T:
        """Send one command and look at the robot afterwards.

        Args:
            name: of the command, for messages.
            send: sends it.
            since: of `stops`, from before the checks.

        Raises:
            DriverError: nothing more is sent from then on, except after `Refused`.
        """
        # Busy first: a stop that comes between the two lines is then one that latches.
        self.busy, self._ended, self._since = True, None, since
        try:
            if self._stops != since:
                raise self.latch(RobotStopped(f"stop was called before '{name}' was sent"))
            result = self._sent(name, send)
        finally:
            self.busy = False
        if self._ended is not None:
            raise self.latch(RobotStopped(self._ended))
        if self._stops != since:
            raise self.latch(RobotStopped(f"stop was called during '{name}'"))
        self.check_state()
        excess = self.excess()
        if excess is not None:
            self.halt()
            raise self.latch(RobotStopped(excess))
        return result

    def read(self, name: str, function: Callable[[], T]) -> T:
        """Call what moves nothing; latch where the robot is lost or the driver is broken."""
        try:
            return function()
        except LOCKING as error:
            self.latch(error)
            raise
        except DriverError:
            raise
        except Exception as error:
            raise self.latch(DriverError(f"the driver failed in {name}: {type(error).__name__}: {error}")) from error

    @property
    def stops(self) -> int:
        """How often a person's stop came."""
        return self._stops

    def stop(self, *, acting: bool) -> None:
        """Stop the robot because a person says so, and send nothing more if something was under way."""
        self._stops += 1
        try:
            self._stop()
        finally:
            if self.busy or acting:
                self.latch(RobotStopped("stop was called while it was acting"))

    def halt(self) -> None:
        """Stop the robot as well as can be; the error that led here is the one that counts."""
        try:
            self._stop()
        except Exception as error:  # nothing better is left than to say so
            self._note("stop_failed", error=str(error))

    def latch(self, error: DriverError) -> DriverError:
        """Send nothing more from now on, for this reason; return it, to be raised."""
        if self.latched is None:
            self.latched = str(error)
            self._note("latched", reason=self.latched)
        return error

    def recovered(self) -> None:
        """Take the robot back into use.

        Raises:
            DriverError: it is not ok yet.
        """
        status = self.status()
        if status.mode is not Mode.OK or not status.age <= self._stale:
            raise DriverError(
                f"the robot is not ok yet: {status.mode.value} {status.detail} (last word {status.age:.3g} s ago); "
                "mend it by hand at the robot, and recover again"
            )
        self.latched = None

    def told(self, state: Mapping[str, Any]) -> None:
        """Take a state that the bare driver read while it moves, from whatever thread; end the motion if need be."""
        reason: str | None = None
        if self.busy and self._stops != self._since:
            reason = "stop was called"  # a driver may forget what came just before its motion
        force = state.get("force")
        if force is not None:
            reason = reason or self._judged(Wrench(force=force))
        try:
            self._note("state", state=dict(state))
        except JournalError as error:  # raised later, not into the middle of a driver's control of a motion
            reason = reason or str(error)
        if reason is not None and self._ended is None:
            self._ended = reason
            self.halt()

    def _sent(self, name: str, send: Callable[[], T]) -> T:
        try:
            return send()
        except Refused:
            raise
        except DriverError as error:
            self.latch(error)
            raise
        except Exception as error:
            self.halt()
            raise self.latch(DriverError(f"the driver failed in {name}: {type(error).__name__}: {error}")) from error
        except BaseException:  # such as Ctrl-C: the arm must not go on by itself
            self.halt()
            self.latch(DriverError(f"{name} was interrupted"))
            raise

    def _judged(self, wrench: Wrench | None) -> str | None:
        if wrench is None:
            return None
        try:
            newtons = math.hypot(*(float(value) for value in wrench.force))
        except (TypeError, ValueError, AttributeError, OverflowError):
            return f"the robot says that it feels {wrench!r}, which is no force of three newtons"
        if newtons <= self._force:  # not so for NaN
            return None
        return f"{newtons:.3g} N push at the tool, allowed are {self._force:g} N (set by the {self._force_setter})"


def _checked(status: object) -> Status:
    if not isinstance(status, Status) or not isinstance(status.mode, Mode):
        raise TypeError(f"expected a Status, got {status!r}")
    if isinstance(status.age, bool) or not isinstance(status.age, int | float):
        raise TypeError(f"expected an age in seconds, got {status!r}")
    return status
