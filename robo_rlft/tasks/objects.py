"""The objects that tasks put on the table, described by primitives.

Knows nothing of the simulator that builds them. Sizes are metres; a body's origin is the centre of its footprint.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from robo_rlft.language.vocabulary import COLORS
from robo_rlft.records import BodySpec, Part
from robo_rlft.tasks.outlines import OUTLINES, RGB, block_parts, fixture_parts

BOWL_RADIUS = 0.06  # outer
BOWL_INNER_RADIUS = 0.052
BOWL_HEIGHT = 0.035
WALL_LIFT = 0.002  # only the base disc of a bowl touches the table: a third of the contacts, and no rocking

# The radius of the smallest circle around each footprint at scale 1: what placing without overlap needs.
FOOTPRINT_RADIUS = {
    "block": 0.0283,
    "bowl": BOWL_RADIUS,
    "puck": 0.026,
    "plate": 0.05,
    "bar": OUTLINES["bar"].radius,
    "ring": 0.04,
    "elbow": OUTLINES["elbow"].radius,
    "fixture": OUTLINES["elbow"].fixture_radius(),
}


def make_object(shape: str, color: str, *, rgb: RGB | None = None, scale: float = 1.0) -> BodySpec:
    """Describe one object.

    Args:
        shape: one of `FOOTPRINT_RADIUS`; a fixture is that of an elbow.
        color: what people call its colour; with `shape` it makes the name, "red block".
        rgb: the colour itself; by default that of the vocabulary.
        scale: factor on every length.

    Raises:
        ValueError: for a shape or colour that is not known, with the choices.
    """
    if shape not in _PARTS:
        raise ValueError(f"unknown shape {shape!r}; choose one of {', '.join(_PARTS)}")
    build, mass = _PARTS[shape]
    return BodySpec(name=f"{color} {shape}", parts=build(_rgb(color) if rgb is None else rgb, scale), mass=mass)


def make_fixture(color: str, *, holds: str, rgb: RGB | None = None, scale: float = 1.0) -> BodySpec:
    """Describe the fixture of one of `OUTLINES`, which is fixed to the table.

    Raises:
        ValueError: for a colour that is not known, or a shape without a fixture, with the choices.
    """
    if holds not in OUTLINES:
        raise ValueError(f"no fixture holds a {holds!r}; choose one of {', '.join(OUTLINES)}")
    return BodySpec(
        name=f"{color} fixture", parts=_fixture(_rgb(color) if rgb is None else rgb, scale, holds), mass=0.0
    )


def _rgb(color: str) -> RGB:
    if color not in COLORS:
        raise ValueError(f"unknown colour {color!r}; choose one of {', '.join(COLORS)}")
    return COLORS[color]


def shaded(rgb: RGB, factor: float) -> RGB:
    """Return a darker (factor below 1) or lighter colour."""
    r, g, b = (min(255, max(0, round(channel * factor))) for channel in rgb)
    return r, g, b


def walls(rgb: RGB, *, radius: float, thickness: float, height: float, count: int, lift: float) -> tuple[Part, ...]:
    """Describe an upright tube of `count` flat walls whose outer faces touch a circle of `radius`."""
    inner = radius - thickness
    length = 2.0 * radius * math.tan(math.pi / count)
    parts = []
    for index in range(count):
        angle = 2.0 * math.pi * index / count
        middle = inner + thickness / 2.0
        center = (middle * math.cos(angle), middle * math.sin(angle), lift + height / 2.0)
        parts.append(Part(kind="box", size=(thickness, length, height), center=center, yaw=angle, color=rgb))
    return tuple(parts)


def _disc(rgb: RGB, radius: float, height: float) -> tuple[Part, ...]:
    return (Part(kind="cylinder", size=(radius, radius, height), center=(0.0, 0.0, height / 2.0), color=rgb),)


def _outlined(shape: str) -> Callable[[RGB, float], tuple[Part, ...]]:
    return lambda rgb, s: block_parts(OUTLINES[shape], rgb, s)


def _puck(rgb: RGB, s: float) -> tuple[Part, ...]:
    return _disc(rgb, 0.026 * s, 0.018 * s)


def _plate(rgb: RGB, s: float) -> tuple[Part, ...]:
    return _disc(rgb, 0.05 * s, 0.01 * s)


def _bowl(rgb: RGB, s: float) -> tuple[Part, ...]:
    height = BOWL_HEIGHT * s - WALL_LIFT
    thickness = (BOWL_RADIUS - BOWL_INNER_RADIUS) * s
    tube = walls(rgb, radius=BOWL_RADIUS * s, thickness=thickness, height=height, count=10, lift=WALL_LIFT)
    return (*base_plate(shaded(rgb, 0.85), 0.056 * s), *tube)


def base_plate(rgb: RGB, radius: float) -> tuple[Part, ...]:
    """Describe a bowl's floor: seen as a disc, touched as the square within it, which costs half the time."""
    side, height = radius * math.sqrt(2.0), 0.006
    disc = Part(kind="cylinder", size=(radius, radius, height), center=(0.0, 0.0, height / 2), color=rgb, solid=False)
    square = Part(kind="box", size=(side, side, height), center=disc.center, color=rgb, visible=False)
    return disc, square


def _ring(rgb: RGB, s: float) -> tuple[Part, ...]:
    return walls(rgb, radius=0.038 * s, thickness=0.014 * s, height=0.015 * s, count=8, lift=0.0)


def _fixture(rgb: RGB, s: float, holds: str = "elbow") -> tuple[Part, ...]:
    return fixture_parts(OUTLINES[holds], walls=rgb, floor=shaded(rgb, 0.85), scale=s)


_PARTS: dict[str, tuple[Callable[[RGB, float], tuple[Part, ...]], float]] = {
    "block": (_outlined("block"), 0.05),
    "bowl": (_bowl, 0.15),
    "puck": (_puck, 0.03),
    "plate": (_plate, 0.08),
    "bar": (_outlined("bar"), 0.05),
    "ring": (_ring, 0.05),
    "elbow": (_outlined("elbow"), 0.05),
    "fixture": (_fixture, 0.0),  # fixed to the table
}
