"""An example of a task of your own: put a block on a plate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robo_rlft.driver import Pose
from robo_rlft.language.vocabulary import SEEN_COLORS, UNSEEN_COLORS
from robo_rlft.tasks.layout import scatter
from robo_rlft.tasks.objects import FOOTPRINT_RADIUS, make_object
from robo_rlft.tasks.put_block_in_bowl import center
from robo_rlft.tasks.task import Attempt, Goal, Intent, Layout, Task, moved, named

SENTENCES = ("put the {pick} on the {place}", "move the {pick} onto the {place}")


class BlockOnPlate(Task):
    """Put the block of one colour on the plate of another, beside both shapes in the swapped colours."""

    name = "block_on_plate"
    splits = ("seen", "unseen")  # of robo_rlft.tasks.task.SPLITS

    def __init__(self, *, distance: float = 0.03) -> None:
        """Make the task; `distance` is how far from the plate's middle the block may lie, in metres."""
        self.distance = distance
        self.max_steps = 1

    def layout(self, *, split: str, rng: np.random.Generator) -> Layout:
        colors = UNSEEN_COLORS if split == "unseen" else SEEN_COLORS
        pick, place = (str(color) for color in rng.permutation(colors)[:2])
        names = [("block", pick), ("plate", place), ("block", place), ("plate", pick)]
        poses = scatter([FOOTPRINT_RADIUS[shape] for shape, _ in names], rng=rng)
        bodies = tuple(make_object(shape, color) for shape, color in names)
        goal = Goal(pick=f"{pick} block", place=f"{place} plate")
        return Layout(bodies=bodies, poses=poses, goals=(goal,))

    def instruct(self, goal: Goal, *, split: str, rng: np.random.Generator) -> str:
        return str(rng.choice(SENTENCES)).format(pick=goal.pick, place=goal.place)

    def progress(self, layout: Layout, poses: Sequence[Pose]) -> float:
        if layout.goal is None:  # somebody's own sentence, which came without a goal
            return 0.0
        block, plate = self._things(layout)
        x, y, z = center(layout, poses, block)
        above = z > poses[plate].position[2] + 0.025  # a block on the table has its middle at 0.02 m
        return float(above and math.dist((x, y), poses[plate].position[:2]) < self.distance)

    def demonstrate(self, layout: Layout, poses: Sequence[Pose]) -> Intent:
        block, plate = (poses[i].position for i in self._things(layout))
        return Intent(pick=block[:2], place=plate[:2])

    def explain(self, layout: Layout, attempts: Sequence[Attempt]) -> str:
        last, (block, _) = attempts[-1], self._things(layout)
        if not last.gripped:
            return "no_grasp"
        return "missed_place" if moved(last.before[block], last.after[block]) else "wrong_object"

    def _things(self, layout: Layout) -> tuple[int, int]:
        assert layout.goal is not None
        return named(layout, layout.goal.pick)[0], named(layout, layout.goal.place)[0]
