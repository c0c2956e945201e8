"""Demonstrators: the task's expert, and ones that err as people and scripts do.

Knows tasks' intents, nothing of simulators. Failures are kept: what a demonstrator teaches is what it does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robo_rlft.driver import Pose
from robo_rlft.geometry import quaternion_yaw, rotate_xy
from robo_rlft.tasks.task import Intent, Layout, Task


class Demonstrator:
    """An expert with biases and spreads, all in the picked object's frame.

    The object's frame and not the world's, because augmentation turns scenes and would average a world-fixed bias away.
    Where an object looks the same from several sides, its frame cannot be seen: pictures show the offset towards each
    of them, and a policy that learns from many sees a ring about the middle.
    """

    def __init__(
        self,
        *,
        offset: tuple[float, float] = (0.0, 0.0),
        turn_offset: float = 0.0,
        sigma: float = 0.0,
        turn_sigma: float = 0.0,
    ) -> None:
        """Make a demonstrator.

        Args:
            offset: metres, (x, y) in the frame of the object picked, added to pick and place.
            turn_offset: radians counter-clockwise about +z, added to the turn.
            sigma: metres, standard deviation of pick and place in x and y.
            turn_sigma: radians, standard deviation of the turn.

        Raises:
            ValueError: for values that are not finite, or a negative spread.
        """
        if not all(map(math.isfinite, (*offset, turn_offset, sigma, turn_sigma))) or sigma < 0 or turn_sigma < 0:
            raise ValueError(
                "offset, turn_offset, sigma and turn_sigma are finite, the spreads 0 or more; got"
                f" {tuple(offset)}, {turn_offset}, {sigma}, {turn_sigma}"
            )
        self.offset = (float(offset[0]), float(offset[1]))
        self.turn_offset = turn_offset
        self.sigma = sigma
        self.turn_sigma = turn_sigma

    def __call__(self, task: Task, layout: Layout, poses: Sequence[Pose], *, rng: np.random.Generator) -> Intent:
        """Return the next action.

        Grasped beside its middle, an object that looks alike after a turn comes to lie elsewhere by it: a pick that is
        off keeps no equal turns.
        """
        intent = task.demonstrate(layout, poses)
        nearest = min(poses, key=lambda pose: math.dist(pose.position[:2], intent.pick))
        dx, dy = rotate_xy(self.offset, quaternion_yaw(nearest.quaternion))
        noise = rng.normal(0.0, self.sigma, size=4) if self.sigma else np.zeros(4)
        spread = float(rng.normal(0.0, self.turn_sigma)) if self.turn_sigma else 0.0
        return Intent(
            pick=(intent.pick[0] + dx + float(noise[0]), intent.pick[1] + dy + float(noise[1])),
            place=(intent.place[0] + dx + float(noise[2]), intent.place[1] + dy + float(noise[3])),
            turn=intent.turn + self.turn_offset + spread,
            symmetry=1 if any(self.offset) or self.sigma else intent.symmetry,
        )
