"""The safety envelope: what every driver of a real arm is born in, and cannot leave.

It refuses what leaves the limits, asks a person before anything moves, rehearses unless told otherwise, and after
anything unexpected sends nothing more until a person has looked. It looks at the tool's tip only, runs in an ordinary
process, and replaces no safety function of the robot's own controller. It guards against mistakes, not against code
that means to get around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from robo_rlft.driver import Motion, Pose, RobotDriver, Status, View, Wrench
from robo_rlft.robots.recording.journal import Journal
from robo_rlft.robots.safety.dry_run import Planned
from robo_rlft.robots.safety.guard import Guard
from robo_rlft.robots.safety.limits import Limits
from robo_rlft.robots.safety.operator import Confirm, NoOperator, Operator
from robo_rlft.robots.safety.profile import Profile, read_profile

T = TypeVar("T")


class SafetyEnvelope:
    """A `RobotDriver` around another one, whose every command is checked, confirmed and written down.

    Subclasses are the public drivers of real arms: their constructors make the bare driver and hand it to this one's.
    They may add arguments and nothing else: the methods below cannot be overridden, the bare driver is not kept where
    they could reach it by mistake, and no attribute is forwarded to it.

    What a bare driver may offer beside the contract:
        home_way(start) -> Sequence[Pose]: the ends of the straight lines that `home` takes from there, the last of
            them home. `home` is refused for a driver that cannot say, as an unknown
            pose cannot be checked. The way there is taken for a line, and is not held to the longest step.
        acceleration: m/s^2 of motions that ask for none, where it is below the limit.
        on_state: set by the envelope to a callable(Mapping) that the driver may call with each state that it reads
            while it moves, such as {"position": ..., "quaternion": ..., "force": (x, y, z), "mode": ...}, from any
            thread. It goes into the journal; a "force" above the limit makes the envelope call `stop` at once.
    """

    def __init__(
        self,
        *,
        driver: RobotDriver,
        profile: Path | Profile | None,
        limits: Mapping[str, Any] | Limits | None = None,
        dry_run: bool = True,
        confirm: Confirm = "each",
        operator: Operator | None = None,
        journal: Path | None = None,
        stale: float = 0.2,
    ) -> None:
        """Connect to nothing yet.

        Args:
            driver: the bare one; nothing else may use it from now on.
            profile: of the cell, or where it is written; None connects to nothing.
            limits: narrower than the profile's and `HARD_CAP`, by name; wider ones have no effect.
            dry_run: check and plan everything, move nothing.
            confirm: "each" asks before every action, "run" once, for the robot's serial number.
            operator: who is asked; None refuses all motion.
            journal: where every command is written down; an existing journal is appended to.
            stale: seconds; a robot whose last word is older is lost. Cannot be above 0.2.

        Raises:
            ProfileError: the profile cannot be used.
            ValueError: limits that cannot be, or that leave no room together with the profile's.
        """
        read = read_profile(profile) if isinstance(profile, Path | str) else profile
        self.__log = Journal(path=journal) if journal is not None else None
        self.__guard = Guard(
            driver=driver,
            profile=read,
            limits=limits,
            dry_run=dry_run,
            confirm=confirm,
            operator=operator or NoOperator(),
            journal=self.__log,
            stale=stale,
            name=type(self).__name__,
        )
        for name, value in vars(self).items():
            if value is driver:
                raise TypeError(f"{type(self).__name__}.{name} hands out the bare driver; keep it nowhere")

    def connect(self) -> None:
        """Open the connection, and check that this is the robot that the profile is about; nothing moves.

        Raises:
            DriverError: there is no profile, or the robot's serial number is another.
        """
        self.__logged("connect", {}, self.__guard.connect)

    def close(self) -> None:
        """Stop what moves and release everything; the next connection asks for every confirmation anew."""
        self.__logged("close", {}, self.__guard.close)
        if self.__log is not None:
            self.__log.sync()

    def serial(self) -> str:
        """Return the robot's own serial number."""
        return self.__logged("serial", {}, self.__guard.serial)

    def status(self) -> Status:
        """Return how the robot is now; also after an error."""
        return self.__logged("status", {}, self.__guard.status)

    def observe(self) -> tuple[View, ...]:
        """Return one fresh view per camera.

        Raises:
            ViewError: a view that is not finite, whose sizes disagree or that was seen before; nothing of it is usable.
            ConnectionLost: the robot's last word is too old.
        """
        return self.__logged("observe", {}, self.__guard.observe)

    def tool_pose(self) -> Pose:
        """Return the pose of the tool's tip, or where a dry run's plan has come to."""
        return self.__logged("tool_pose", {}, self.__guard.tool_pose)

    def force(self) -> Wrench | None:
        """Return what pushes at the tool; None for a robot that cannot feel."""
        return self.__logged("force", {}, self.__guard.force)

    def is_holding(self) -> bool:
        """Tell whether something is held now, or would be by a dry run's plan."""
        return self.__logged("is_holding", {}, self.__guard.is_holding)

    def move(
        self,
        target: Pose,
        *,
        speed: float,
        acceleration: float | None = None,
        stop_on_contact: bool = False,
        deadline: float | None = None,
    ) -> Motion:
        """Check, confirm and carry out one motion; a dry run plans it and says that the target was reached.

        Nothing is altered to fit: what is outside the limits is refused. Only an acceleration of None becomes the
        driver's own or the limit's, whichever is less.

        Raises:
            Refused: with one of `limits.RULES`, or "operator"; nothing was sent and the driver can be used on.
            ConnectionLost, RobotStopped, DeadlineExceeded: nothing more is sent until `recover`.
            OperatorNeeded: something failed earlier.
        """
        args: dict[str, Any] = {
            "speed": speed,
            "acceleration": acceleration,
            "stop_on_contact": stop_on_contact,
            "deadline": deadline,
        }
        return self.__logged("move", {"target": target} | args, lambda: self.__guard.move(target, **args))

    def home(self) -> None:
        """Move the tool out of the cameras' sight; refused where the pose is unknown or outside the limits."""
        self.__logged("home", {}, self.__guard.home)

    def grip(self) -> None:
        """Close the gripper or switch suction on; confirmed as a motion is."""
        self.__logged("grip", {}, self.__guard.grip)

    def release(self) -> None:
        """Open the gripper or switch suction off; confirmed as a motion is.

        Dropping something is an action: after an error it is refused as every other one, until `recover`.
        """
        self.__logged("release", {}, self.__guard.release)

    def wait(self) -> None:
        """Wait until the scene is at rest."""
        self.__logged("wait", {}, self.__guard.wait)

    def stop(self) -> None:
        """Stop what moves; from any thread, never refused, never asked about. A dry run has nothing to stop.

        During a command or an action it also ends that: nothing more is sent until `recover`.
        """
        try:
            self.__guard.stop()  # first of all; the journal may be what fails
        finally:
            self.__logged("stop", {}, lambda: None)

    def recover(self, *, operator: str) -> None:
        """Ask the operator whether the robot may be used again after an error; unlocks nothing.

        Args:
            operator: who says so; it is logged.

        Raises:
            Refused: rule "operator": nobody is there, or the answer was no.
            DriverError: the robot is not ok yet.
        """
        self.__logged("recover", {"operator": operator}, lambda: self.__guard.recover(operator=operator))

    @property
    def limits(self) -> Limits:
        """The effective limits: the strictest of config, profile and hard cap."""
        return self.__guard.limits

    @property
    def base(self) -> tuple[float, float, float]:
        """Where the robot's base stands, metres, world frame: reach is measured from there."""
        return self.__guard.base

    @property
    def dry_run(self) -> bool:
        """Whether nothing moves."""
        return self.__guard.dry_run

    @property
    def planned(self) -> list[Planned]:
        """What a dry run has planned so far, in order; clear it between plans."""
        return self.__guard.planned

    @contextmanager
    def action(self, description: str) -> Iterator[None]:
        """Ask the operator once for all that this thread does while the context lasts, such as a pick-and-place.

        Outside of an action each motion is asked about by itself. A dry run asks nothing.

        Args:
            description: what is going to happen, in words, for the operator.

        Raises:
            Refused: rule "operator".
        """
        with self.__guard.action(description):
            yield

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in GUARDED:
            owner = next((base for base in cls.__mro__ if name in vars(base)), None)
            if owner not in (SafetyEnvelope, object, None):
                raise TypeError(
                    f"{cls.__name__}.{name} would override SafetyEnvelope.{name}: a subclass of the envelope may add a "
                    "constructor and nothing that moves, reads or forwards; put it into the bare driver"
                )

    def __setattr__(self, name: str, value: object) -> None:
        if name in GUARDED or (name.startswith("_SafetyEnvelope__") and name in vars(self)):
            raise AttributeError(f"{type(self).__name__}.{name} cannot be replaced after construction")
        super().__setattr__(name, value)

    def __logged(self, call: str, args: Mapping[str, Any], function: Callable[[], T]) -> T:
        return function() if self.__log is None else self.__log.call(call, args, function)


# What a subclass cannot override: all that moves, reads or tells, and the doors by which attributes are found.
GUARDED = frozenset(name for name in vars(RobotDriver) if not name.startswith("_")) | {
    "limits",
    "base",
    "dry_run",
    "planned",
    "action",
    "__getattr__",
    "__getattribute__",
    "__setattr__",
    "__init_subclass__",
}
