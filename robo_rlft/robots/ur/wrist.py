"""Which way round the tool turns: the arm's last joint ends after a full turn either way.

Straight lines know nothing of that. They turn the shorter way round, which winds the joint up, turn after turn to the
same side, until the controller stops at its end; and at half a turn either way is the shorter one. So turns that would
come near the end go the other way round, and long ones in parts of which each has one shorter way.
"""

from __future__ import annotations

import math

from robo_rlft.driver import Pose
from robo_rlft.geometry import quaternion_yaw, yaw_quaternion
from robo_rlft.robots.ur.frames import BaseFrame, multiply

END = 2.0 * math.pi - 0.35  # radians from the middle: the last joint's end, less a margin
HALF = math.pi - 0.1  # radians: longer turns are about as long the other way round
SMALL = 0.1  # radians: shorter turns stay short, come what may: a tool must not spin where nobody asked for a turn
LONGEST = 2.2  # radians that are turned in one straight line


def choose_turn(turn: float, *, wrist: float, swing: float) -> float:
    """Return a turn of the tool about +z, in radians counter-clockwise, that leaves the last joint off its ends.

    A tool that points down turns against the joint, and with the arm's first joint: wrist' = wrist + swing - turn.

    Args:
        turn: the shorter way round, in [-pi, pi].
        wrist: the last joint's angle now, radians.
        swing: what the first joint turns during the motion, radians.
    """
    if abs(turn) < SMALL:
        return turn
    ways = sorted((turn, turn - 2.0 * math.pi, turn + 2.0 * math.pi), key=abs)
    after = {way: abs(wrist + swing - way) for way in ways}
    free = [way for way in ways if after[way] <= END]
    if not free:
        return min(ways, key=lambda way: after[way])
    alike = [way for way in free if abs(way) <= max(2.0 * math.pi - HALF, abs(free[0]))]
    return min(alike, key=lambda way: after[way]) if abs(turn) >= HALF else free[0]


def legs(start: Pose, target: Pose, *, joints: tuple[float, ...], frame: BaseFrame) -> list[Pose]:
    """Return the targets of the straight lines that together make one motion; the last is the motion's own.

    Args:
        start: of the tool's tip, world frame.
        target: likewise.
        joints: the six angles at the start, radians.
        frame: where the base stands.
    """
    turn = math.remainder(quaternion_yaw(target.quaternion) - quaternion_yaw(start.quaternion), 2.0 * math.pi)
    before, after = (math.atan2(p.position[1] - frame.y, p.position[0] - frame.x) for p in (start, target))
    way = choose_turn(turn, wrist=joints[-1], swing=math.remainder(after - before, 2.0 * math.pi))
    count = max(1, math.ceil(abs(way) / LONGEST))
    return [_part(start, target, way, leg / count) for leg in range(1, count)] + [target]


def _part(start: Pose, target: Pose, turn: float, share: float) -> Pose:
    x, y, z = (a + (b - a) * share for a, b in zip(start.position, target.position, strict=True))
    back = yaw_quaternion(-turn * (1.0 - share))
    return Pose(position=(x, y, z), quaternion=multiply(back, target.quaternion))
