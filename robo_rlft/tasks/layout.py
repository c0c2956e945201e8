"""Placing objects on the table without overlap.

Knows footprints as circles, nothing of tasks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robo_rlft.driver import Pose
from robo_rlft.geometry import yaw_quaternion

TABLE = ((0.25, 0.75), (-0.5, 0.5))  # metres, the default workspace's x and y
GAP = 0.012  # metres between footprints
_TRIES = 400


def scatter(
    radii: Sequence[float],
    *,
    rng: np.random.Generator,
    around: Sequence[tuple[Pose, float]] = (),
) -> tuple[Pose, ...]:
    """Draw poses on the table, uniform in place and yaw, whose footprint circles keep a gap.

    Large footprints are placed first, so that they find room; the order of the result is the order of `radii`.

    Args:
        radii: metres, of the footprints' circles.
        rng: of places and yaws.
        around: poses and footprint radii of what stands there already.

    Raises:
        ValueError: when they do not fit after many restarts.
    """
    order = np.argsort([-r for r in radii], kind="stable").tolist()
    standing = [(pose.position[0], pose.position[1], radius) for pose, radius in around]
    for _ in range(_TRIES):
        spots = _try(radii, order, standing, rng)
        if spots is not None:
            yaws = rng.uniform(-math.pi, math.pi, size=len(radii))
            pairs = zip(spots, yaws, strict=True)
            return tuple(Pose(position=(x, y, 0.0), quaternion=yaw_quaternion(float(yaw))) for (x, y), yaw in pairs)
    raise ValueError(f"{len(radii)} objects with footprints {list(radii)} m do not fit on the table")


def _try(
    radii: Sequence[float],
    order: Sequence[int],
    standing: Sequence[tuple[float, float, float]],
    rng: np.random.Generator,
) -> list[tuple[float, float]] | None:
    spots: dict[int, tuple[float, float]] = {}
    taken = list(standing)
    for index in order:
        radius = radii[index]
        for _ in range(40):
            x, y = (float(rng.uniform(low + radius, high - radius)) for low, high in TABLE)
            if all(math.dist((x, y), (ox, oy)) > radius + other + GAP for ox, oy, other in taken):
                spots[index] = (x, y)
                taken.append((x, y, radius))
                break
        else:
            return None
    return [spots[i] for i in range(len(radii))]
