"""A rehearsal: reads the real robot, moves nothing, and answers as if what is planned had been done.

Knows nothing of limits; the safety envelope checks each command before it comes here, as it would for the real robot.
"""

from __future__ import annotations

from dataclasses import dataclass

from robo_rlft.driver import Motion, Pose, RobotDriver, Status, View, Wrench


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One command of a rehearsal."""

    command: str  # "move", "home", "grip" or "release"
    start: Pose
    target: Pose  # for grip and release the same as `start`
    speed: float | None = None  # m/s
    acceleration: float | None = None  # m/s^2
    stop_on_contact: bool = False
    deadline: float | None = None  # seconds


class DryRun:
    """A `RobotDriver` over another of which only what reads is ever called."""

    def __init__(self, *, driver: RobotDriver) -> None:
        self.__driver = driver
        self.__pose: Pose | None = None  # where the plan has come to; None: where the robot is
        self.__holding: bool | None = None
        self.planned: list[Planned] = []

    def connect(self) -> None:
        """Open the robot's connection; nothing moves."""
        self.__driver.connect()

    def close(self) -> None:
        """Close it; what was planned is kept, and the next plan begins where the robot is."""
        self.__driver.close()
        self.__pose = self.__holding = None

    def serial(self) -> str:
        """Return the robot's own serial number."""
        return self.__driver.serial()

    def status(self) -> Status:
        """Return how the robot is."""
        return self.__driver.status()

    def observe(self) -> tuple[View, ...]:
        """Return what the robot's cameras see: the scene as it is, as nothing was moved."""
        return self.__driver.observe()

    def tool_pose(self) -> Pose:
        """Return where the tool would be by now; the robot is asked all the same, so that a lost one is noticed."""
        measured = self.__driver.tool_pose()
        return measured if self.__pose is None else self.__pose

    def force(self) -> Wrench | None:
        """Return what pushes at the tool."""
        return self.__driver.force()

    def move(
        self,
        target: Pose,
        *,
        speed: float,
        acceleration: float | None = None,
        stop_on_contact: bool = False,
        deadline: float | None = None,
    ) -> Motion:
        """Plan a motion, and say that its target was reached."""
        self.planned.append(
            Planned(
                command="move",
                start=self.tool_pose(),
                target=target,
                speed=speed,
                acceleration=acceleration,
                stop_on_contact=stop_on_contact,
                deadline=deadline,
            )
        )
        self.__pose = target
        return Motion(reached=target, contact=False)

    def home_way(self, start: Pose) -> tuple[Pose, ...]:
        """Return how the robot's own `home` would go from there; () where it cannot say."""
        known = getattr(self.__driver, "home_way", None)
        return tuple(known(start)) if callable(known) else ()

    def home(self) -> None:
        """Plan the way home."""
        start = self.tool_pose()
        self.__pose = (self.home_way(start) or (start,))[-1]
        self.planned.append(Planned(command="home", start=start, target=self.__pose))

    def grip(self) -> None:
        """Plan a grip; something is held from then on."""
        self._plan("grip")
        self.__holding = True

    def release(self) -> None:
        """Plan a release; nothing is held from then on."""
        self._plan("release")
        self.__holding = False

    def is_holding(self) -> bool:
        """Tell whether something would be held by now; the robot is asked all the same."""
        measured = self.__driver.is_holding()
        return measured if self.__holding is None else self.__holding

    def wait(self) -> None:
        """Do nothing: nothing was set in motion."""

    def stop(self) -> None:
        """Do nothing: nothing moves by our will."""

    def recover(self, *, operator: str) -> None:
        """Do nothing: nothing of ours has to be taken back into use."""

    def _plan(self, command: str) -> None:
        pose = self.tool_pose()
        self.planned.append(Planned(command=command, start=pose, target=pose))
