"""A cell whose camera is off and noisy."""

from __future__ import annotations

import numpy as np
import pytest

from robo_rlft.geometry import Workspace
from robo_rlft.perception import fuse
from robo_rlft.sim.floating import FloatingGripper
from robo_rlft.sim.imperfect import ImperfectGripper
from robo_rlft.tasks.put_block_in_bowl import PutBlockInBowl

WORKSPACE = Workspace()


def laid(driver: FloatingGripper) -> FloatingGripper:
    driver.connect()
    layout = PutBlockInBowl().scene(split="seen", phase="train", seed=3)
    driver.build(layout.bodies, layout.poses)
    return driver


def test_what_is_seen_is_moved_by_the_offset() -> None:
    # Two pixels of 6.25 mm along x, which columns run along: every height moves two columns to the right.
    off = laid(ImperfectGripper(workspace=WORKSPACE, camera_offset=(0.0125, 0.0), depth_noise=0.0))
    _, moved = fuse(off.observe(), WORKSPACE)
    _, true = fuse(laid(FloatingGripper(workspace=WORKSPACE)).observe(), WORKSPACE)
    np.testing.assert_allclose(moved[:, 4:], true[:, 2:-2], atol=1e-6)
    assert true.max() > 0.03


def test_depths_are_as_noisy_as_told_and_alike_for_the_same_scene_and_seed() -> None:
    (true,) = laid(FloatingGripper(workspace=WORKSPACE)).observe()

    def noise(seed: int) -> np.ndarray:
        (view,) = laid(ImperfectGripper(workspace=WORKSPACE, depth_noise=0.002, seed=seed)).observe()
        return view.depth - true.depth

    assert noise(0).std() == pytest.approx(0.002, rel=0.05)
    np.testing.assert_array_equal(noise(0), noise(0))
    assert not np.array_equal(noise(0), noise(1))


@pytest.mark.parametrize("wrong", [{"camera_offset": (0.1,)}, {"depth_noise": -1.0}, {"depth_noise": float("nan")}])
def test_what_is_no_offset_or_noise_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"expected camera_offset=\[x, y\]"):
        ImperfectGripper(workspace=WORKSPACE, **wrong)  # type: ignore[arg-type]
