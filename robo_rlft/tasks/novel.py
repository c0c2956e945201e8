"""Looks that no stage of training saw, for the split `novel`: known words on other proportions, forms and patterns.

Knows nothing of tasks. Footprints stay within 1.25 times the usual ones.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robo_rlft.language.vocabulary import COLORS
from robo_rlft.records import BodySpec, Part
from robo_rlft.tasks.objects import BOWL_HEIGHT, BOWL_RADIUS, RGB, WALL_LIFT, base_plate, make_object, shaded, walls


def novel_look(shape: str, color: str, *, rng: np.random.Generator) -> BodySpec:
    """Describe a block or bowl as no stage of training saw it."""
    plain = make_object(shape, color)
    looks = _BLOCKS if shape == "block" else _BOWLS
    look = looks[int(rng.integers(len(looks)))]
    return replace(plain, parts=look(COLORS[color]))


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


_BLOCKS = (_slab, _tower, _striped)
_BOWLS = (_square_bowl, _hexagonal_bowl, _banded_bowl)
