"""How far, how fast and how hard a robot may go, and the check of one motion against it.

All of it is about the tool's tip and the straight line that it takes. Knows nothing of elbows, cables, what is held or
what stands around: those need the robot's own safety configuration, which this replaces in nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from robo_rlft.driver import Pose, Refused, check_motion
from robo_rlft.geometry import quaternion_tilt

Point = tuple[float, float, float]

# Every rule that a motion can break. "shape" and "finite" are looked at first: no clamp and no comparison stops NaN.
RULES = (
    "finite",
    "shape",
    "quaternion",
    "speed",
    "acceleration",
    "deadline",
    "box",
    "table",
    "reach",
    "step",
    "tilt",
    "force",
)
AXES = ("x", "y", "z")
ROUNDING = 1e-9  # metres, radians, m/s: what arithmetic may add to a value that lies on a limit


def _checked(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"limits.{name}: expected a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"limits.{name}: expected a finite number, got {value!r}")
    return number


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a motion of the tool's tip has to stay within; on the limit is within.

    Raises:
        ValueError: for a value that is no number, not finite or negative where it cannot be, and a box without room.
    """

    low: Point  # metres, world frame: the box that targets lie in
    high: Point  # metres, world frame
    table: float  # metres: the lowest z of the tip; a little below 0 lets a descent end in contact
    reach_min: float  # metres: radius of the cylinder around the base's axis that no motion passes through
    reach_max: float  # metres: radius of the sphere around the base's origin that targets lie in
    step: float  # metres: the longest single motion
    tilt: float  # radians that the tool may lean from straight down, at both ends of a motion
    speed: float  # m/s
    acceleration: float  # m/s^2
    force: float  # newtons at the tip, above which the robot is stopped

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            corner = getattr(self, name)
            if not isinstance(corner, tuple | list) or len(corner) != 3:
                raise ValueError(f"limits.{name}: expected three numbers [x, y, z] in metres, got {corner!r}")
            object.__setattr__(self, name, tuple(_checked(f"{name}.{a}", v) for a, v in zip(AXES, corner, strict=True)))
        for field in fields(self):
            if field.name not in ("low", "high"):
                value = _checked(field.name, getattr(self, field.name))
                object.__setattr__(self, field.name, value)
                if value < 0 and field.name != "table":
                    raise ValueError(f"limits.{field.name}: expected a number that is not negative, got {value}")
        for axis, low, high in zip(AXES, self.low, self.high, strict=True):
            if low >= high:
                raise ValueError(f"limits: the box has no room along {axis}: low {low} is not below high {high}")
        if self.table >= self.high[2]:
            raise ValueError(f"limits: the table's limit {self.table} is not below the box's top {self.high[2]}")
        if self.reach_min >= self.reach_max:
            raise ValueError(f"limits: reach_min {self.reach_min} is not below reach_max {self.reach_max}")
        for name in ("step", "speed", "acceleration", "force"):
            if getattr(self, name) == 0:
                raise ValueError(f"limits.{name}: expected a number above 0, got 0; nothing could ever move")


# The widest that this package ever allows, sensible for collaborative arms beside people; ISO/TS 15066 asks each cell
# for its own assessment, which belongs in the profile.
HARD_CAP = Limits(
    low=(-1.3, -1.3, -0.05),
    high=(1.3, 1.3, 1.3),
    table=-0.02,
    reach_min=0.1,
    reach_max=1.3,
    step=1.2,
    tilt=0.1,
    speed=1.0,
    acceleration=3.0,
    force=100.0,
)

LOWER_IS_STRICTER = ("reach_max", "step", "tilt", "speed", "acceleration", "force")
HIGHER_IS_STRICTER = ("table", "reach_min")


def strictest(*limits: Limits) -> Limits:
    """Return the limits that satisfy all of the given ones.

    Raises:
        ValueError: no motion could satisfy them all, such as two boxes that do not overlap.
    """
    if not limits:
        raise ValueError("strictest: expected at least one set of limits, got none")
    values: dict[str, Any] = {
        "low": tuple(max(one.low[i] for one in limits) for i in range(3)),
        "high": tuple(min(one.high[i] for one in limits) for i in range(3)),
    }
    values |= {name: min(getattr(one, name) for one in limits) for name in LOWER_IS_STRICTER}
    values |= {name: max(getattr(one, name) for one in limits) for name in HIGHER_IS_STRICTER}
    return Limits(**values)


def narrowed(values: Mapping[str, Any] | Limits | None) -> Limits:
    """Return limits of which only some are given, as a config does; the hard cap stands for the others.

    Raises:
        ValueError: an unknown name, or a value that `Limits` refuses.
    """
    if values is None:
        return HARD_CAP
    if isinstance(values, Limits):
        return values
    if not isinstance(values, Mapping):
        raise ValueError(f"limits: expected a mapping such as {{speed: 0.25}}, got {values!r}")
    names = [field.name for field in fields(Limits)]
    unknown = [str(key) for key in values if key not in names]
    if unknown:
        raise ValueError(f"limits: unknown {', '.join(unknown)}; choose from {', '.join(names)}")
    return Limits(**({name: getattr(HARD_CAP, name) for name in names} | dict(values)))


def sources(named: Mapping[str, Limits]) -> dict[str, str]:
    """Return whose limit is the effective one: {"speed": "profile", "low.x": "config", ...}.

    Args:
        named: limits by who set them; of equal ones the first counts.
    """
    result: dict[str, str] = {}
    for name in (*LOWER_IS_STRICTER, *HIGHER_IS_STRICTER):
        sign = 1 if name in LOWER_IS_STRICTER else -1
        result[name] = _strictest_name({who: sign * float(getattr(one, name)) for who, one in named.items()})
    for i, axis in enumerate(AXES):
        result[f"low.{axis}"] = _strictest_name({who: -one.low[i] for who, one in named.items()})
        result[f"high.{axis}"] = _strictest_name({who: one.high[i] for who, one in named.items()})
    return result


def check_move(
    limits: Limits,
    *,
    start: Pose | None,
    target: Pose,
    speed: float,
    acceleration: float | None,
    deadline: float | None,
    base: Point = (0.0, 0.0, 0.0),
    whose: Mapping[str, str] | None = None,
) -> None:
    """Refuse a motion that is no motion (`driver.check_motion`) or that leaves the limits.

    Args:
        limits: the effective ones.
        start: where the tip is; None where it is unknown, which checks the target alone.
        target: of the tip, world frame.
        speed: m/s.
        acceleration: m/s^2, or None.
        deadline: seconds, or None.
        base: the base's origin, metres, world frame.
        whose: who set each limit, as `sources` gives it; for messages.

    Raises:
        Refused: with the first rule that is broken; nothing is ever altered to fit.
    """
    check_motion(target, speed=speed, acceleration=acceleration, deadline=deadline)
    check_place(limits, start=start, target=target, base=base, whose=whose)
    by = whose or {}
    if start is not None:
        step = math.dist(start.position, target.position)
        if step > limits.step + ROUNDING:
            raise _refusal("step", "the motion is too long", step, "at most", limits.step, "m", by, "step")
    check_tilt(limits, target, whose=whose)
    if speed > limits.speed + ROUNDING:
        raise _refusal("speed", "the motion is too fast", speed, "at most", limits.speed, "m/s", by, "speed")
    if acceleration is not None and acceleration > limits.acceleration + ROUNDING:
        text = "the acceleration is too high"
        raise _refusal("acceleration", text, acceleration, "at most", limits.acceleration, "m/s^2", by, "acceleration")


def check_place(
    limits: Limits,
    *,
    start: Pose | None,
    target: Pose,
    base: Point = (0.0, 0.0, 0.0),
    whose: Mapping[str, str] | None = None,
) -> None:
    """Refuse a target outside the box, below the table or out of reach, and a line through the base's cylinder.

    Box, half-space and sphere are convex: a line between two places within them stays within, and one that begins
    outside leads back. The cylinder is not, so the whole line is looked at.

    Raises:
        Refused: rule "box", "table" or "reach".
    """
    by = whose or {}
    for i, axis in enumerate(AXES):
        value, low, high = target.position[i], limits.low[i], limits.high[i]
        if value < low - ROUNDING:
            text = f"the target's {axis} lies outside the workspace's box"
            raise _refusal("box", text, value, "at least", low, "m", by, f"low.{axis}")
        if value > high + ROUNDING:
            text = f"the target's {axis} lies outside the workspace's box"
            raise _refusal("box", text, value, "at most", high, "m", by, f"high.{axis}")
    if target.position[2] < limits.table - ROUNDING:
        text = "the target lies below the table"
        raise _refusal("table", text, target.position[2], "at least", limits.table, "m", by, "table")
    far = math.dist(base, target.position)
    if far > limits.reach_max + ROUNDING:
        text = "the target is too far from the base"
        raise _refusal("reach", text, far, "at most", limits.reach_max, "m", by, "reach_max")
    begin = (target if start is None else start).position
    near = axis_distance(begin, target.position, base=base)
    if near < limits.reach_min - ROUNDING:
        text = "the motion passes too close to the base's axis"
        raise _refusal("reach", text, near, "at least", limits.reach_min, "m", by, "reach_min")


def check_tilt(limits: Limits, target: Pose, *, whose: Mapping[str, str] | None = None) -> None:
    """Refuse a target at which the tool leans too far.

    Raises:
        Refused: rule "tilt".
    """
    lean = quaternion_tilt(target.quaternion)
    if lean > limits.tilt + ROUNDING:
        text = "the tool leans too far from straight down"
        raise _refusal("tilt", text, lean, "at most", limits.tilt, "rad", whose or {}, "tilt")


def axis_distance(start: Point, end: Point, *, base: Point = (0.0, 0.0, 0.0)) -> float:
    """Return how near the line from `start` to `end` comes to the vertical axis through `base`, in metres.

    Seen from above it is the distance of a point from a segment: the foot of the perpendicular, held within the ends.
    """
    x, y = start[0] - base[0], start[1] - base[1]
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    if length == 0:
        return math.hypot(x, y)
    ux, uy = dx / length, dy / length  # of unit length: squares of tiny or huge numbers would vanish or overflow
    along = min(max(-(x * ux + y * uy), 0.0), length)
    return math.hypot(x + along * ux, y + along * uy)


_MEND = {
    "box": "choose a target inside it",
    "table": "end higher; the table's surface is z = 0",
    "reach": "choose a target or a way within reach; a tip that is already too near is moved out by hand",
    "step": "go in several motions",
    "tilt": "keep the tool pointing down and turn it about z only",
    "speed": "ask for less",
    "acceleration": "ask for less, or leave it out",
}


def _refusal(
    rule: str, text: str, value: float, side: str, limit: float, unit: str, by: Mapping[str, str], key: str
) -> Refused:
    setter = f" (set by the {by[key]})" if key in by else ""
    return Refused(
        f"{rule}: {text}: {value:.6g} {unit}, allowed is {side} {limit:g} {unit}{setter}; {_MEND[rule]}", rule=rule
    )


def _strictest_name(values: Mapping[str, float]) -> str:
    lowest = min(values.values())
    return next(who for who, value in values.items() if value == lowest)
