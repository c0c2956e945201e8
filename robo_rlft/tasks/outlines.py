"""Blocks by their outline from above, and the low frames that hold them: fixtures.

Knows nothing of tasks or of colours' names. Sizes are metres; an outline's origin is the centre of the smallest circle
around it, so a block lies right in its fixture when the two share origin and yaw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from robo_rlft.records import Part

RGB = tuple[int, int, int]
Point = tuple[float, float]  # metres, (x, y)
CLEARANCE = 0.010  # between a block and its fixture's walls, on every side: what 6 mm pixels and 10 degree turns need
WALL_THICKNESS = 0.010
WALL_HEIGHT = 0.012  # above the table
FLOOR_HEIGHT = 0.004


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """A rectangle along the axes, by two opposite corners."""

    low: Point
    high: Point

    def grown(self, margin: float) -> Rectangle:
        """Return the rectangle with every side moved outwards."""
        (x, y), (u, v) = self.low, self.high
        return Rectangle(low=(x - margin, y - margin), high=(u + margin, v + margin))

    def box(self, rgb: RGB, *, height: float, scale: float) -> Part:
        """Return the box that stands on it, every length times `scale`."""
        (x, y), (u, v) = self.low, self.high
        center = ((x + u) / 2 * scale, (y + v) / 2 * scale, height / 2 * scale)
        return Part(kind="box", size=((u - x) * scale, (v - y) * scale, height * scale), center=center, color=rgb)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A block seen from above: a polygon whose sides run along the axes, and its height."""

    corners: tuple[Point, ...]  # counter-clockwise
    pieces: tuple[Rectangle, ...]  # the same area; they do not overlap
    height: float
    symmetry: int  # how many turns, equal parts of a whole one apart, look alike
    pick: Point = (0.0, 0.0)  # where a suction cup has most room

    @property
    def radius(self) -> float:
        """The block's smallest circle."""
        return max(math.hypot(*corner) for corner in self.corners)

    def fixture_radius(self, thickness: float = WALL_THICKNESS) -> float:
        """Return the smallest circle of its fixture, with walls of that thickness."""
        margin = CLEARANCE + thickness
        return max(math.hypot(abs(x) + margin, abs(y) + margin) for x, y in self.corners)

    def covers(self, point: Point, *, margin: float = 0.0) -> bool:
        """Tell whether a point lies on the outline, grown by a margin on every side."""
        x, y = point
        grown = [piece.grown(margin) for piece in self.pieces]
        return any(r.low[0] <= x <= r.high[0] and r.low[1] <= y <= r.high[1] for r in grown)


def _rectangle(length: float, width: float, height: float, *, symmetry: int) -> Outline:
    x, y = length / 2, width / 2
    return Outline(
        corners=((-x, -y), (x, -y), (x, y), (-x, y)),
        pieces=(Rectangle(low=(-x, -y), high=(x, y)),),
        height=height,
        symmetry=symmetry,
    )


def _elbow(length: float, width: float, height: float) -> Outline:
    """Two arms of equal `length`, outer side, along +x and +y."""
    a, b = -length / 2, length / 2  # the two arms' ends lie across the smallest circle
    c = a + width
    return Outline(
        corners=((a, a), (b, a), (b, c), (c, c), (c, b), (a, b)),
        pieces=(Rectangle(low=(a, a), high=(b, c)), Rectangle(low=(a, c), high=(c, b))),
        height=height,
        symmetry=1,
        # At the bend. A cup of 12 mm radius, off by half a pixel of 6.25 mm either way, 4.4 mm, needs 16.4 mm: here are
        # 22 mm to the outer sides and 25.5 mm to the inner corner, as much as on a block.
        pick=(a + 0.55 * width, a + 0.55 * width),
    )


OUTLINES = {
    "elbow": _elbow(0.09, 0.04, 0.03),
    "bar": _rectangle(0.085, 0.03, 0.026, symmetry=2),
    "block": _rectangle(0.04, 0.04, 0.04, symmetry=4),
}
"""What a fixture can hold."""


def block_parts(outline: Outline, rgb: RGB, scale: float = 1.0) -> tuple[Part, ...]:
    """Describe the block."""
    return tuple(piece.box(rgb, height=outline.height, scale=scale) for piece in outline.pieces)


def fixture_parts(
    outline: Outline, *, walls: RGB, floor: RGB, scale: float = 1.0, thickness: float = WALL_THICKNESS
) -> tuple[Part, ...]:
    """Describe the frame that holds the block: a floor of its form with room around it, and walls."""
    floors = [piece.grown(CLEARANCE).box(floor, height=FLOOR_HEIGHT, scale=scale) for piece in outline.pieces]
    sides = _walls(outline.corners, thickness)
    return (*floors, *(side.box(walls, height=WALL_HEIGHT, scale=scale) for side in sides))


def _walls(corners: tuple[Point, ...], thickness: float) -> list[Rectangle]:
    """Return the footprint of a wall along each side; at a corner that points outwards, the wall ending there fills it.

    At a corner that points inwards two walls overlap; none reaches into the hole.
    """
    sides = [(bx - ax, by - ay) for (ax, ay), (bx, by) in pairwise([*corners, corners[0]])]
    walls = []
    for i, (corner, (dx, dy)) in enumerate(zip(corners, sides, strict=True)):
        length = math.hypot(dx, dy)
        along, out = (dx / length, dy / length), (dy / length, -dx / length)  # counter-clockwise: the outside is right
        before, after = sides[i - 1], sides[(i + 1) % len(sides)]
        starts_convex, ends_convex = _turns_left(before, (dx, dy)), _turns_left((dx, dy), after)
        first = -CLEARANCE if starts_convex else CLEARANCE
        last = length + (CLEARANCE + thickness if ends_convex else -CLEARANCE)
        ends = [
            (corner[0] + along[0] * a + out[0] * o, corner[1] + along[1] * a + out[1] * o)
            for a, o in ((first, CLEARANCE), (last, CLEARANCE + thickness))
        ]
        low, high = (tuple(pick(p[axis] for p in ends) for axis in (0, 1)) for pick in (min, max))
        walls.append(Rectangle(low=(low[0], low[1]), high=(high[0], high[1])))
    return walls


def _turns_left(first: Point, second: Point) -> bool:
    return first[0] * second[1] - first[1] * second[0] > 0
