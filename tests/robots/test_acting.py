"""What a plan was made from has to be true when it is done; what is held is not dropped unasked."""

from __future__ import annotations

import numpy as np
import pytest

from robo_rlft.driver import Refused
from robo_rlft.robots.acting import Seen, check_unchanged, make_ready
from tests.robots.fakes import FakeArm

SHAPE = (40, 20)


def seen(*, height: float = 0.0, color: int = 120, size: int = 6) -> Seen:
    heights, colors = np.zeros(SHAPE, np.float32), np.full((*SHAPE, 3), 120, np.uint8)
    heights[10 : 10 + size, 5 : 5 + size] = height
    colors[10 : 10 + size, 5 : 5 + size] = color
    return Seen(views=(), color=colors, height=heights)


@pytest.mark.parametrize("now", [seen(), seen(height=0.015), seen(color=180), seen(height=0.3, size=2)])
def test_noise_is_no_change(now: Seen) -> None:
    check_unchanged(seen(), now)


@pytest.mark.parametrize("now", [seen(height=0.04), seen(color=230)])
def test_a_thing_that_came_or_went_is_a_change(now: Seen) -> None:
    for before, after in ((seen(), now), (now, seen())):
        with pytest.raises(Refused) as caught:
            check_unchanged(before, after)
        assert caught.value.rule == "scene"


def test_what_is_held_is_let_go_only_when_somebody_says_so() -> None:
    arm = FakeArm()
    arm.connect()
    arm.grip()
    with pytest.raises(Refused, match="by hand"):
        make_ready(arm, approve=lambda question: False)
    assert arm.told("release", "home") == []
    make_ready(arm, approve=lambda question: True)
    assert len(arm.told("release", "home")) == 2
