"""What an action means: sequences of motions, written once over the driver contract.

Knows nothing of simulators, tasks or policies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from robo_rlft.driver import Pose, RobotDriver
from robo_rlft.geometry import quaternion_yaw, yaw_quaternion
from robo_rlft.robots.safety.limits import Limits

TRAVEL_HEIGHT = 0.16  # metres above the table; what is carried clears what stands, a tower apart (see `over`)
APPROACH_HEIGHT = 0.03  # metres above the highest thing under the tool; from there on slowly
TRAVEL_SPEED = 1.5  # m/s
CONTACT_SPEED = 0.3  # m/s
REAL_CONTACT_SPEED = 0.05  # m/s, of a robot with limits: what it meets at this speed, it stops at within millimetres
FLOOR = -0.005  # metres; a descent that has met nothing ends here
RELEASE_CLEARANCE = 0.003


@dataclass(frozen=True, kw_only=True)
class PickPlaceOutcome:
    """How far a pick-and-place came."""

    gripped: bool  # something was held after the lift
    carried: bool  # and still held when it was to be released


class PickAndPlace:
    """Approach, descend until contact, grip, lift, check the grip, travel, lower, release, retract."""

    def __init__(
        self,
        *,
        travel_height: float = TRAVEL_HEIGHT,
        speed: float = TRAVEL_SPEED,
        contact_speed: float = CONTACT_SPEED,
        floor: float = FLOOR,
        ceiling: float = math.inf,
    ) -> None:
        """Make the primitive.

        Args:
            travel_height: metres above the table, of every way across it.
            speed: m/s, of those ways and of the approach.
            contact_speed: m/s, of the descent until contact.
            floor: metres; a descent that has met nothing ends here.
            ceiling: metres; no way goes higher, over whatever.
        """
        self.ceiling = ceiling
        self.travel_height, self.speed, self.contact_speed, self.floor = travel_height, speed, contact_speed, floor

    @classmethod
    def within(cls, limits: Limits) -> PickAndPlace:
        """Return the primitive that keeps within a robot's limits: slower where it must be, never below its table."""
        return cls(
            travel_height=min(TRAVEL_HEIGHT, limits.high[2]),
            speed=min(TRAVEL_SPEED, limits.speed),
            contact_speed=min(REAL_CONTACT_SPEED, limits.speed),
            floor=max(FLOOR, limits.low[2], limits.table),
            ceiling=limits.high[2],
        )

    def over(self, surface: float) -> float:
        """Return the height of the ways to a place, metres: higher than usual where something high stands.

        Args:
            surface: metres above the table, where the tool's descent at the place is expected to end.
        """
        return min(self.ceiling, max(self.travel_height, surface + APPROACH_HEIGHT))

    def __call__(
        self,
        driver: RobotDriver,
        *,
        pick: tuple[float, float],
        place: tuple[float, float],
        turn: float,
        pick_height: float = 0.0,
        place_height: float = 0.0,
    ) -> PickPlaceOutcome:
        """Carry what lies at `pick` to `place`, turned by `turn`.

        Args:
            driver: the robot, at home and empty.
            pick: (x, y) in metres, world frame.
            place: likewise.
            turn: radians counter-clockwise about +z, from where the tool is.
            pick_height: metres, the surface to expect at the pick; the descent slows down above it.
            place_height: likewise for the place, where what is carried comes to lie.
        """
        yaw = quaternion_yaw(driver.tool_pose().quaternion)
        self._descend(driver, pick, yaw, pick_height)
        driver.grip()
        grip_height = driver.tool_pose().position[2]
        high = self.over(place_height + grip_height)  # what is held hangs below the tool by no more than that
        driver.move(_pose(pick, high, yaw), speed=self.speed)
        gripped = driver.is_holding()
        carried = False
        if gripped:
            driver.move(_pose(place, high, yaw + turn), speed=self.speed)
            self._descend(driver, place, yaw + turn, place_height + grip_height)
            carried = driver.is_holding()
        driver.release()
        driver.home()
        driver.wait()
        return PickPlaceOutcome(gripped=gripped, carried=carried)

    def _descend(self, driver: RobotDriver, xy: tuple[float, float], yaw: float, surface: float) -> None:
        high = self.over(surface)
        above = min(high, surface + APPROACH_HEIGHT)
        driver.move(_pose(xy, high, yaw), speed=self.speed)
        driver.move(_pose(xy, above, yaw), speed=self.speed)
        driver.move(_pose(xy, self.floor, yaw), speed=self.contact_speed, stop_on_contact=True)


def _pose(xy: tuple[float, float], z: float, yaw: float) -> Pose:
    return Pose(position=(xy[0], xy[1], z), quaternion=yaw_quaternion(yaw))
