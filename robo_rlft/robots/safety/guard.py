"""What the safety envelope does with each command: check, confirm, write down, send, and look again.

Holds the bare driver, so it is the envelope's own and nobody else's. Knows nothing of how people are asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from robo_rlft.driver import (
    ConnectionLost,
    DriverError,
    Motion,
    Pose,
    Refused,
    RobotDriver,
    RobotStopped,
    Status,
    View,
    Wrench,
    check_motion,
)
from robo_rlft.robots.recording.journal import Journal
from robo_rlft.robots.safety.dry_run import DryRun, Planned
from robo_rlft.robots.safety.limits import (
    HARD_CAP,
    Limits,
    check_move,
    check_place,
    check_tilt,
    narrowed,
    sources,
    strictest,
)
from robo_rlft.robots.safety.operator import Confirm, Confirmation, NoOperator, Operator
from robo_rlft.robots.safety.profile import EXAMPLE, Profile
from robo_rlft.robots.safety.seen import SIMULATED, Seen
from robo_rlft.robots.safety.watch import Watch

STALE = 0.2  # seconds; the most that a config can allow
T = TypeVar("T")


class Guard:
    """The envelope's inside; its arguments are those of `SafetyEnvelope`, read and opened."""

    def __init__(
        self,
        *,
        driver: RobotDriver,
        profile: Profile | None,
        limits: Mapping[str, Any] | Limits | None,
        dry_run: bool,
        confirm: Confirm,
        operator: Operator,
        journal: Journal | None,
        stale: float,
        name: str,
    ) -> None:
        if confirm not in ("each", "run"):
            raise ValueError(f"confirm: expected 'each' or 'run', got {confirm!r}")
        if not isinstance(dry_run, bool):
            raise ValueError(f"dry_run: expected true or false, got {dry_run!r}")
        if isinstance(stale, bool) or not isinstance(stale, int | float) or not 0 < stale <= STALE:
            raise ValueError(f"stale: expected seconds above 0 and at most {STALE}, got {stale!r}")
        named = {"hard cap": HARD_CAP} | ({} if profile is None else {"profile": profile.limits})
        named["config"] = narrowed(limits)  # last: what it does not name is the hard cap's
        self.limits, self._whose = strictest(*named.values()), sources(named)
        self.dry_run = dry_run
        self._profile, self._journal, self._name = profile, journal, name
        self._base = (0.0, 0.0, 0.0) if profile is None else profile.world_from_base[:3]
        self._plan = DryRun(driver=driver) if dry_run else None
        self._driver: RobotDriver = driver if self._plan is None else self._plan
        self._acceleration = _own_acceleration(driver, self.limits.acceleration)
        self._seen = Seen(stale=stale, simulated=profile is not None and profile.serial == SIMULATED)
        self._lock = threading.RLock()  # one call at a time; `stop` does not wait for it
        self._watch = Watch(
            driver=self._driver,
            stop=self._driver.stop,
            stale=stale,
            force=self.limits.force,
            force_setter=self._whose["force"],
            note=self._event,
        )
        serial = "" if profile is None else profile.serial
        self._confirmation = Confirmation(operator=operator, confirm=confirm, serial=serial, note=self._answered)
        if journal is not None:
            journal.about |= {"driver": name, "dry_run": dry_run, "confirm": confirm, "operator": operator.name}
            journal.about |= {"profile": profile, "limits": self.limits}
        if hasattr(driver, "on_state"):
            driver.on_state = self._watch.told

    @property
    def base(self) -> tuple[float, float, float]:
        return self._base

    @property
    def planned(self) -> list[Planned]:
        return [] if self._plan is None else self._plan.planned

    def connect(self) -> None:
        with self._lock:
            if self._profile is None:
                raise DriverError(
                    f"{self._name} has no profile, and without one nothing is connected to: write one as in {EXAMPLE} "
                    "and name it with robot.profile=FILE"
                )
            self._watch.read("connect", self._driver.connect)
            self._check_serial(self._profile.serial)
            self._watch.connected = True

    def close(self) -> None:
        if self._watch.busy:
            self.stop()  # so that the lock becomes free
        with self._lock:
            self._watch.connected = False
            self._confirmation.forget()
            self._watch.read("close", self._driver.close)

    def serial(self) -> str:
        with self._lock:
            return self._watch.read("serial", self._driver.serial)

    def status(self) -> Status:
        with self._lock:
            return self._watch.status()

    def observe(self) -> tuple[View, ...]:
        with self._lock:
            self._watch.check_alive()
            asked = time.monotonic()
            return self._watch.read("observe", lambda: self._seen.check(self._driver.observe(), asked=asked))

    def tool_pose(self) -> Pose:
        with self._lock:
            self._watch.check_alive()
            return self._watch.pose()

    def force(self) -> Wrench | None:
        with self._lock:
            self._watch.check_alive()
            return self._watch.read("force", self._driver.force)

    def is_holding(self) -> bool:
        with self._lock:
            self._watch.check_alive()
            return self._watch.read("is_holding", self._driver.is_holding)

    def wait(self) -> None:
        with self._lock:
            self._watch.ready()
            self._watch.read("wait", self._driver.wait)

    def move(
        self,
        target: Pose,
        *,
        speed: float,
        acceleration: float | None,
        stop_on_contact: bool,
        deadline: float | None,
    ) -> Motion:
        with self._lock:
            self._watch.ready()
            _check_command(target, speed=speed, acceleration=acceleration, deadline=deadline, stop=stop_on_contact)
            # Plain copies: what is checked is what is sent, whatever the caller does with the original.
            goal, fast = _plain(target), float(speed)
            most = self._acceleration if acceleration is None else float(acceleration)
            until = None if deadline is None else float(deadline)

            def check() -> None:
                self._check_force()
                check_move(
                    self.limits,
                    start=self._watch.pose(),
                    target=goal,
                    speed=fast,
                    acceleration=most,
                    deadline=until,
                    base=self._base,
                    whose=self._whose,
                )

            def send() -> Motion:
                return _reached(
                    self._driver.move(
                        goal, speed=fast, acceleration=most, stop_on_contact=stop_on_contact, deadline=until
                    )
                )

            x, y, z = goal.position
            words = f"move the tool to x {x:.3f}, y {y:.3f}, z {z:.3f} m at {fast:g} m/s"
            sent = {"target": goal, "speed": fast, "acceleration": most, "deadline": until}
            return self._command(
                "move", words, check=check, send=send, args=sent | {"stop_on_contact": stop_on_contact}
            )

    def home(self) -> None:
        self._plainly("home", "move the tool home", send=self._driver.home, check=self._check_home)

    def grip(self) -> None:
        self._plainly("grip", "grip", send=self._driver.grip)

    def release(self) -> None:
        self._plainly("release", "release what is held", send=self._driver.release)

    def stop(self) -> None:
        if self.dry_run:
            return
        self._watch.stop(acting=self._confirmation.acting)

    def recover(self, *, operator: str) -> None:
        with self._lock:
            self._watch.expect_connected()
            person = self._confirmation.operator
            if isinstance(person, NoOperator):
                raise Refused(f"operator: recovery needs a person and {NoOperator.reason}", rule="operator")
            question = (
                f"Robot {self._confirmation.serial}: {self._watch.latched or 'no error is known'}. {operator} wants "
                "to use it again. Have you looked, is it unlocked by hand where it was locked, and is the way clear?"
            )
            if not self._confirmation.approve(question):
                raise Refused(f"operator: {person.name} did not approve the recovery", rule="operator")
            self._watch.read("recover", lambda: self._driver.recover(operator=operator))
            self._check_serial(self._confirmation.serial)  # it may have connected anew
            self._confirmation.forget()
            self._watch.recovered()

    @contextmanager
    def action(self, description: str) -> Iterator[None]:
        if self.dry_run:
            self._event("action", description=description)
            yield
            return
        self._watch.ready()
        stops = self._watch.stops
        with self._confirmation.action(description):
            if self._watch.stops != stops:
                raise self._watch.latch(RobotStopped(f"stop was called before '{description}' was begun"))
            self._event("action", description=description)
            yield

    def _plainly(
        self, name: str, words: str, *, send: Callable[[], None], check: Callable[[], None] = lambda: None
    ) -> None:
        with self._lock:
            self._watch.ready()
            self._command(name, words, check=check, send=send, args={})

    def _command(
        self, name: str, words: str, *, check: Callable[[], None], send: Callable[[], T], args: Mapping[str, Any]
    ) -> T:
        """Carry out what moves: nothing is sent before every check has passed and it is written down."""
        stops = self._watch.stops
        self._watch.check_state()
        check()
        if not self.dry_run and not self._confirmation.standing:
            self._confirmation.ask(words)
            self._watch.check_state()  # people take their time: the world of before the question is gone
            check()
        self._event("planned" if self.dry_run else "sent", command=name, args=args)
        return self._watch.act(name, send, since=stops)

    def _check_serial(self, expected: str) -> None:
        serial = self._watch.read("serial", self._driver.serial)
        if serial != expected:
            self._watch.connected = False
            self._driver.close()
            raise DriverError(
                f"the robot says that its serial number is {serial!r}; the profile is about {expected!r}: use the "
                "profile of this robot, or the address of that one"
            )

    def _check_force(self) -> None:
        excess = self._watch.excess()
        if excess is not None:
            raise Refused(f"force: before any motion, {excess}; free the tool by hand", rule="force")

    def _check_home(self) -> None:
        self._check_force()
        known, here = getattr(self._driver, "home_way", None), self._watch.pose()
        way = self._watch.read("home_way", lambda: known(here)) if callable(known) else None
        if not isinstance(way, Sequence) or not way or not all(isinstance(pose, Pose) for pose in way):
            raise Refused(
                f"box: {self._name} does not say how it goes home, so that it cannot be checked; give the bare driver "
                "a method home_way(start) -> Sequence[Pose]",
                rule="box",
            )
        for pose in way:
            check_motion(pose, speed=1.0, acceleration=None, deadline=None)
            end = _plain(pose)
            check_place(self.limits, start=here, target=end, base=self._base, whose=self._whose)
            check_tilt(self.limits, end, whose=self._whose)
            here = end

    def _answered(self, kind: str, question: str, answer: object) -> None:
        self._event("operator", who=self._confirmation.operator.name, asked=kind, question=question, answer=answer)

    def _event(self, kind: str, /, **values: Any) -> None:
        if self._journal is not None:
            self._journal.event(kind, **values)


def _own_acceleration(driver: RobotDriver, limit: float) -> float:
    """Return what motions that ask for no acceleration get: the driver's own, where it says one below the limit."""
    own = getattr(driver, "acceleration", None)
    if isinstance(own, bool) or not isinstance(own, int | float) or not own > 0:
        return limit
    return min(limit, float(own))


def _check_command(target: Any, *, speed: Any, acceleration: Any, deadline: Any, stop: Any) -> None:
    """Refuse what is no command, even what cannot be looked at or shown."""
    try:
        check_motion(target, speed=speed, acceleration=acceleration, deadline=deadline)
        if not isinstance(stop, bool):
            raise Refused(f"stop_on_contact is true or false; got {stop!r}", rule="shape")
    except Refused:
        raise
    except Exception as error:  # such as numbers too long to be written out, or objects that raise when asked
        raise Refused(
            f"a motion's target is a Pose of 3 numbers and a quaternion of 4; what came cannot even be read: {error}",
            rule="shape",
        ) from error


def _plain(pose: Pose) -> Pose:
    x, y, z = (float(value) for value in pose.position)
    i, j, k, w = (float(value) for value in pose.quaternion)
    return Pose(position=(x, y, z), quaternion=(i, j, k, w))


def _reached(motion: Motion) -> Motion:
    """Refuse what is no result of a motion; a driver that gives such a thing knows nothing of where it is."""
    if not isinstance(motion, Motion) or not isinstance(motion.contact, bool):
        raise TypeError(f"expected a Motion, got {motion!r}")
    try:
        check_motion(motion.reached, speed=1.0, acceleration=None, deadline=None)
    except Refused as error:
        raise ConnectionLost(f"the driver says that it reached what is no pose: {error}") from error
    return motion
