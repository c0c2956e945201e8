"""Looking and acting through a driver, the same for policies and for people who click.

Knows drivers, pictures and plans, nothing of who decides. Colour and height are those that policies see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from robo_rlft.driver import Pose, Refused, RobotDriver, View
from robo_rlft.geometry import Workspace
from robo_rlft.perception import fuse
from robo_rlft.records import Scene
from robo_rlft.robots.plan import Plan
from robo_rlft.robots.primitives import PickAndPlace, PickPlaceOutcome
from robo_rlft.robots.safety.dry_run import Planned
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from robo_rlft.robots.safety.limits import Limits, check_move

OTHER_HEIGHT = 0.02  # metres; more than a depth camera's noise, less than a block
OTHER_COLOR = 80  # of 255, in any channel; more than a lamp's flicker


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One look at the workspace."""

    views: tuple[View, ...]
    color: npt.NDArray[np.uint8]  # (H, W, 3), RGB from above
    height: npt.NDArray[np.float32]  # (H, W), metres above the table


def look(driver: RobotDriver, workspace: Workspace) -> Seen:
    """Take fresh views and return what they show of the workspace.

    Raises:
        ViewError: a view that cannot be used.
        DriverError: the driver's own.
    """
    views = driver.observe()
    color, height = fuse(views, workspace)
    return Seen(views=views, color=color, height=height)


def primitive_for(driver: RobotDriver) -> PickAndPlace:
    """Return the primitive that fits a driver: within the limits of one that has any."""
    limits = getattr(driver, "limits", None)
    return PickAndPlace.within(limits) if isinstance(limits, Limits) else PickAndPlace()


def is_dry_run(driver: RobotDriver) -> bool:
    """Tell whether what is asked of the driver is only checked and written down."""
    return isinstance(driver, SafetyEnvelope) and driver.dry_run


def rehearsed(driver: RobotDriver) -> list[Planned]:
    """Return what a dry run has planned since it was asked last; nothing for a driver that moves."""
    if not isinstance(driver, SafetyEnvelope):
        return []
    planned = list(driver.planned)
    driver.planned.clear()
    return planned


def asks_itself(driver: RobotDriver) -> bool:
    """Tell whether the driver asks an operator before it moves and before it is used again after an error."""
    return isinstance(driver, SafetyEnvelope)


def make_ready(driver: RobotDriver, *, approve: Callable[[str], bool]) -> None:
    """Bring the tool home and empty, out of the cameras' sight, with the operator's word where one is needed.

    Args:
        driver: connected.
        approve: asks a person, who may have confirmed all motions of a run, and never that something is dropped.

    Raises:
        Refused: rule "operator": what is held was not to be let go.
    """
    if driver.is_holding():
        if not isinstance(driver, Scene) and not approve(
            "The tool holds something. Let go of it, where the tool is now?"
        ):
            raise Refused("operator: what the tool holds is not to be let go; take it away by hand", rule="operator")
        with _action(driver, "let go of what it holds, where the tool is now"), _stopping(driver):
            driver.release()
    with _action(driver, "move home, out of the cameras' sight"), _stopping(driver):
        driver.home()


def check_plan(driver: RobotDriver, plan: Plan, primitive: PickAndPlace) -> None:
    """Refuse a plan of which any motion over the table is outside the driver's limits, before the first is sent.

    An envelope checks each motion when it comes; a refusal after the grip would leave the thing in the air.

    Raises:
        Refused: with the rule that is broken, naming where; nothing was sent.
    """
    if not isinstance(driver, SafetyEnvelope):
        return
    here: Pose | None = None
    for point in plan.waypoints:
        x, y, z = point.position
        down = point.name in ("pick", "place")
        target = Pose(position=(x, y, primitive.floor if down else z))
        speed = primitive.contact_speed if down else primitive.speed
        try:
            check_move(
                driver.limits,
                start=here,
                target=target,
                speed=speed,
                acceleration=None,
                deadline=None,
                base=driver.base,
            )
        except Refused as error:
            raise Refused(f"{point.name} at ({x:.3f}, {y:.3f}) m: {error}", rule=error.rule) from error
        here = target


def carry_out(
    driver: RobotDriver, plan: Plan, primitive: PickAndPlace, *, question: str, seen: Seen, workspace: Workspace
) -> PickPlaceOutcome:
    """Do what was planned; Ctrl-C stops the robot first.

    Args:
        driver: at home and empty.
        plan: of `make_plan`.
        primitive: the one that it was made with.
        question: what an operator is asked to agree to, where the driver asks one.
        seen: what the plan was made from. People take their time: a real table is looked at again after their word.
        workspace: of the plan.

    Raises:
        Refused: rule "scene": the table is no longer as it was seen; nothing was moved.
        DriverError: the driver's own; what was held may still be.
    """
    with _action(driver, question), _stopping(driver):
        if not isinstance(driver, Scene):  # a simulated table changes by nobody's hand
            check_unchanged(seen, look(driver, workspace))
        return primitive(
            driver,
            pick=plan.pick,
            place=plan.place,
            turn=plan.turn,
            pick_height=plan.pick_height,
            place_height=plan.place_height,
        )


def check_unchanged(before: Seen, now: Seen) -> None:
    """Refuse to act on a picture that is no longer true.

    Raises:
        Refused: rule "scene": somewhere, a patch of 3 x 3 pixels has another height or colour.
    """
    rose = np.abs(now.height - before.height) > OTHER_HEIGHT
    recolored = np.abs(now.color.astype(np.int16) - before.color).max(axis=2) > OTHER_COLOR
    changed = cv2.erode((rose | recolored).astype(np.uint8), np.ones((3, 3), np.uint8))
    if changed.any():
        row, column = (int(i) for i in np.argwhere(changed)[0])
        raise Refused(
            f"scene: the table has changed since the plan was made, around pixel ({row}, {column}) of the workspace; "
            "look and decide again",
            rule="scene",
        )


def _action(driver: RobotDriver, question: str) -> AbstractContextManager[object]:
    return driver.action(question) if isinstance(driver, SafetyEnvelope) else nullcontext()


@contextmanager
def _stopping(driver: RobotDriver) -> Iterator[None]:
    """Stop the robot before anything else when the person at the keyboard interrupts."""
    try:
        yield
    except KeyboardInterrupt:
        driver.stop()
        raise
