"""Pick-and-place as such: the heights of its ways."""

from __future__ import annotations

import numpy as np
import pytest

from robo_rlft.geometry import Workspace
from robo_rlft.robots.plan import PlannedPixels, make_plan
from robo_rlft.robots.primitives import TRAVEL_HEIGHT, PickAndPlace


@pytest.mark.parametrize(
    ("surface", "ceiling", "expected"),
    [
        (0.1, 1.0, TRAVEL_HEIGHT),  # 3 cm above it is lower than the usual way
        (0.2, 1.0, 0.23),  # 3 cm above it
        (0.2, 0.21, 0.21),
        (0.0, 0.12, 0.12),
    ],
)
def test_ways_go_over_what_stands_and_never_above_the_ceiling(surface: float, ceiling: float, expected: float) -> None:
    assert PickAndPlace(ceiling=ceiling).over(surface) == pytest.approx(expected)


def test_a_plan_carries_a_block_over_the_tower_that_it_is_for() -> None:
    workspace = Workspace()
    height = np.zeros(workspace.shape, dtype=np.float32)
    height[38:43, 18:23] = 0.04  # a block
    height[117:124, 57:64] = 0.16  # a tower of four
    pixels = PlannedPixels(pick=(40, 20), place=(120, 60))
    plan = make_plan(pixels, sentence="put a on b", height=height, workspace=workspace, primitive=PickAndPlace())
    points = {point.name: point.position[2] for point in plan.waypoints}
    assert points["approach"] == TRAVEL_HEIGHT
    assert points["lift"] == points["travel"] == pytest.approx(0.16 + 0.04 + 0.03)  # tower, block, 3 cm of air
    assert points["place"] == pytest.approx(0.16 + 0.04)
