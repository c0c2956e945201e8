"""Small simulated environments that several tests share; picklable, so that workers can make them too."""

from __future__ import annotations

import functools
from collections.abc import Callable

from robo_rlft.env import TabletopEnv
from robo_rlft.geometry import Workspace
from robo_rlft.rewards.progress import ProgressReward
from robo_rlft.sim.floating import FloatingGripper
from robo_rlft.tasks.put_block_in_bowl import PutBlockInBowl


def make_env(*, split: str = "seen", phase: str = "train", blocks: int = 1, pixel_size: float = 0.00625) -> TabletopEnv:
    """Return put_block_in_bowl on the floating gripper, with 4 rotations."""
    workspace = Workspace(pixel_size=pixel_size)
    return TabletopEnv(
        driver=FloatingGripper(workspace=workspace),
        task=PutBlockInBowl(blocks=blocks),
        reward=ProgressReward(),
        workspace=workspace,
        split=split,
        phase=phase,
        rotations=4,
    )


def env_factory(**options: object) -> Callable[[], TabletopEnv]:
    """Return a picklable factory."""
    return functools.partial(make_env, **options)  # type: ignore[arg-type]
