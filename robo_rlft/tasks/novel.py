"""Looks that no stage of training saw, for the split `novel`: known words on other proportions, forms and patterns.

Knows nothing of tasks. Footprints stay within 1.25 times the usual ones.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robo_rlft.language.vocabulary import COLORS
from robo_rlft.records import BodySpec, Part
from robo_rlft.tasks.objects import (
    BOWL_HEIGHT,
    BOWL_RADIUS,
    WALL_LIFT,
    base_plate,
    make_fixture,
    make_object,
    shaded,
    walls,
)
from robo_rlft.tasks.outlines import OUTLINES, RGB, Outline, block_parts, fixture_parts

THICK_WALL = 0.014  # metres, of a novel fixture
_STRIPE = 0.01  # metres


def novel_look(shape: str, color: str, *, rng: np.random.Generator) -> BodySpec:
    """Describe a block or bowl as no stage of training saw it."""
    plain = make_object(shape, color)
    looks = _BLOCKS if shape == "block" else _BOWLS
    look = looks[int(rng.integers(len(looks)))]
    return replace(plain, parts=look(COLORS[color]))


def novel_piece(shape: str, color: str, *, rng: np.random.Generator) -> BodySpec:
    """Describe one of `OUTLINES` as no stage of training saw it; it fits its fixture."""
    look = _PIECES[int(rng.integers(len(_PIECES)))]
    return replace(make_object(shape, color), parts=look(OUTLINES[shape], COLORS[color]))


def novel_fixture(color: str, *, holds: str, rng: np.random.Generator) -> BodySpec:
    """Describe the fixture of one of `OUTLINES` as no stage of training saw it; its hole is the usual one."""
    look = _FIXTURES[int(rng.integers(len(_FIXTURES)))]
    return replace(make_fixture(color, holds=holds), parts=look(OUTLINES[holds], COLORS[color]))


def _box(rgb: RGB, size: tuple[float, float, float], x: float = 0.0, z: float = 0.0) -> Part:
    return Part(kind="box", size=size, center=(x, 0.0, z + size[2] / 2), color=rgb)


def _slab(rgb: RGB) -> tuple[Part, ...]:
    return (_box(rgb, (0.052, 0.036, 0.024)),)


def _tower(rgb: RGB) -> tuple[Part, ...]:
    return (_box(rgb, (0.032, 0.032, 0.055)),)


def _striped(rgb: RGB) -> tuple[Part, ...]:
    light, dark = shaded(rgb, 1.0), shaded(rgb, 0.62)
    width = 0.04 / 4
    return tuple(_box((light, dark)[i % 2], (width, 0.04, 0.04), x=(i - 1.5) * width) for i in range(4))


def _square_bowl(rgb: RGB) -> tuple[Part, ...]:
    # A square whose inner circle is the usual bowl's inside.
    return _hollow(rgb, sides=4, radius=BOWL_RADIUS * 0.78)


def _hexagonal_bowl(rgb: RGB) -> tuple[Part, ...]:
    return _hollow(rgb, sides=6, radius=BOWL_RADIUS * 0.95)


def _banded_bowl(rgb: RGB) -> tuple[Part, ...]:
    parts = make_object("bowl", "red", rgb=rgb).parts
    return tuple(replace(part, color=shaded(rgb, 0.62)) if i % 2 else part for i, part in enumerate(parts))


def _hollow(rgb: RGB, *, sides: int, radius: float) -> tuple[Part, ...]:
    tube = walls(rgb, radius=radius, thickness=0.007, height=BOWL_HEIGHT - WALL_LIFT, count=sides, lift=WALL_LIFT)
    return (*base_plate(shaded(rgb, 0.85), radius * 0.97), *tube)


def _striped_piece(outline: Outline, rgb: RGB) -> tuple[Part, ...]:
    """Stripes along x are seen, the plain boxes below them are touched: fewer contacts."""
    solid = tuple(replace(part, visible=False) for part in block_parts(outline, rgb))
    stripes = []
    for part in solid:
        count = max(2, round(part.size[0] / _STRIPE))
        width = part.size[0] / count
        left = part.center[0] - part.size[0] / 2
        for i in range(count):
            color = shaded(rgb, 0.62) if i % 2 else rgb
            center = (left + (i + 0.5) * width, *part.center[1:])
            size = (width, *part.size[1:])
            stripes.append(Part(kind="box", size=size, center=center, color=color, solid=False))
    return (*solid, *stripes)


def _flat_piece(outline: Outline, rgb: RGB) -> tuple[Part, ...]:
    return block_parts(replace(outline, height=outline.height * 0.6), rgb)


def _tall_piece(outline: Outline, rgb: RGB) -> tuple[Part, ...]:
    return block_parts(replace(outline, height=outline.height * 1.4), rgb)


def _banded_fixture(outline: Outline, rgb: RGB) -> tuple[Part, ...]:
    parts = fixture_parts(outline, walls=rgb, floor=shaded(rgb, 0.85))
    return tuple(replace(part, color=shaded(rgb, 0.62)) if i % 2 else part for i, part in enumerate(parts))


def _bright_fixture(outline: Outline, rgb: RGB) -> tuple[Part, ...]:
    return fixture_parts(outline, walls=shaded(rgb, 0.7), floor=rgb)


def _thick_fixture(outline: Outline, rgb: RGB) -> tuple[Part, ...]:
    return fixture_parts(outline, walls=rgb, floor=shaded(rgb, 0.85), thickness=THICK_WALL)


_PIECES = (_striped_piece, _flat_piece, _tall_piece)
_FIXTURES = (_banded_fixture, _bright_fixture, _thick_fixture)
_BLOCKS = (_slab, _tower, _striped)
_BOWLS = (_square_bowl, _hexagonal_bowl, _banded_bowl)
