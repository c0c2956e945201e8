"""Build a tower of blocks, one sentence a block: "put the green block on the red block", then the next on that one.

Both words of a phrase matter: all blocks of the tower differ in colour, other blocks stand by, and bowls, plates and
pucks in the tower's colours, so a policy that reads one word of a phrase is misled. Knows nothing of simulators or
policies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from typing import ClassVar

import numpy as np

from robo_rlft.driver import Pose
from robo_rlft.language.vocabulary import COLORS, SEEN_COLORS, UNSEEN_COLORS, held_out_pair
from robo_rlft.records import BodySpec
from robo_rlft.tasks.bodies import height, middle, radius, stands
from robo_rlft.tasks.failures import carry_failure, first_moved, last_failure
from robo_rlft.tasks.layout import scatter
from robo_rlft.tasks.novel import novel_look
from robo_rlft.tasks.objects import FOOTPRINT_RADIUS, make_object
from robo_rlft.tasks.task import Attempt, Goal, Intent, Layout, Task, TaskError, named
from robo_rlft.tasks.words import say

ASIDE = 0.02  # metres, horizontally, that a block's middle may be away from that of the block below it
APART = 0.005  # metres between its underside and the top of the block below it
MAX_SCALE = 1.25  # of a novel look; room is kept for it in every split, so that scenes are equally crowded
LURES = ("bowl", "plate", "puck")


class StackBlocks(Task):
    """Build a tower of `blocks` blocks of different colours, from the base up; height counts."""

    name: ClassVar[str] = "stack_blocks"

    def __init__(self, *, blocks: int = 4, distractors: int = 4, max_steps: int | None = None) -> None:
        """Make the task.

        Args:
            blocks: 2 to 5, of the tower, the one below included; there is a sentence for each of the others.
            distractors: 0 to 6; in turns a bowl, plate or puck in the colour of one of the tower's blocks (the blocks
                that two sentences name come first) and a block of another colour.
            max_steps: actions allowed; by default one a sentence.

        Raises:
            TaskError: for numbers out of these ranges.
        """
        if not 2 <= blocks <= 5 or not 0 <= distractors <= 6:
            raise TaskError(f"stack_blocks takes blocks=2..5 and distractors=0..6; got {blocks} and {distractors}")
        if max_steps is not None and max_steps < 1:
            raise TaskError(f"max_steps is at least 1; got {max_steps}")
        self.blocks = blocks
        self.distractors = distractors
        self.max_steps = blocks - 1 if max_steps is None else max_steps

    def check(self, *, split: str, phase: str) -> None:
        """Refuse what the task lacks; see `Task.check`."""
        super().check(split=split, phase=phase)
        if split == "unseen" and self.blocks > len(UNSEEN_COLORS):
            raise TaskError(
                f"split unseen has {len(UNSEEN_COLORS)} colours, so a tower of at most as many blocks; got "
                f"blocks={self.blocks}: choose fewer, or another split"
            )

    def layout(self, *, split: str, rng: np.random.Generator) -> Layout:
        """Draw a scene; see `Task.layout`."""
        tower = _tower(self.blocks, split, rng)
        names = [(color, "block") for color in tower]
        names += _distractors(tower, split, rng)[: self.distractors]
        bodies = tuple(_make(color, shape, split, rng) for color, shape in names)
        radii = [FOOTPRINT_RADIUS[shape] * (MAX_SCALE if shape == "block" else 1.0) for _, shape in names]
        goals = tuple(Goal(pick=f"{upper} block", place=f"{lower} block") for lower, upper in pairwise(tower))
        return Layout(bodies=bodies, poses=scatter(radii, rng=rng), goals=goals)

    def instruct(self, goal: Goal, *, split: str, rng: np.random.Generator) -> str:
        """Fill a template, or a held-out one with synonyms in the split `paraphrase`."""
        return say(self.name, goal, split=split, rng=rng)

    def progress(self, layout: Layout, poses: Sequence[Pose]) -> float:
        """Return the fraction of the tower that stands, counted from the base without a gap."""
        return _standing(layout, poses) / len(layout.goals) if layout.goals else 0.0

    def line(self, layout: Layout, poses: Sequence[Pose]) -> int:
        """Return the first goal that is not reached; the last one when all are."""
        return max(0, min(_standing(layout, poses), len(layout.goals) - 1))

    def demonstrate(self, layout: Layout, poses: Sequence[Pose]) -> Intent:
        """Carry the next block to the middle of the one that it belongs on; as it lies, since no turn is asked for."""
        if not layout.goals:
            raise TaskError("a demonstration needs a goal; this instruction came without one")
        pick, place = _pair(layout, layout.goals[self.line(layout, poses)])
        (x, y, _), (to_x, to_y, _) = (middle(layout.bodies[i], poses[i]) for i in (pick, place))
        return Intent(pick=(x, y), place=(to_x, to_y), symmetry=_symmetry(layout.bodies[pick]))

    def explain(self, layout: Layout, attempts: Sequence[Attempt]) -> str:
        """Say why the last attempt that went wrong did."""
        return last_failure(attempts, lambda attempt: self._explain(layout, attempt)) if layout.goals else "timed_out"

    def _explain(self, layout: Layout, attempt: Attempt) -> str | None:
        stood, stand = (_standing(layout, poses) for poses in (attempt.before, attempt.after))
        if stand > stood:
            return None
        pick, place = _pair(layout, layout.goals[self.line(layout, attempt.before)])
        kind = carry_failure(attempt, [pick])
        if kind is not None:
            return kind
        if stand < stood or first_moved(attempt, [place]) is not None:
            return "disturbed"
        return "missed_place" if _support(layout, attempt.after, pick) in (None, place) else "wrong_target"


def rests_on(layout: Layout, poses: Sequence[Pose], upper: int, lower: int) -> bool:
    """Tell whether one body stands on the middle of another that stands itself."""
    if not (stands(poses[upper]) and stands(poses[lower])):
        return False
    (x, y, _), (below_x, below_y, _) = (middle(layout.bodies[i], poses[i]) for i in (upper, lower))
    gap = poses[upper].position[2] - poses[lower].position[2] - height(layout.bodies[lower])
    return math.dist((x, y), (below_x, below_y)) < ASIDE and abs(gap) < APART


def _standing(layout: Layout, poses: Sequence[Pose]) -> int:
    """Return how many goals are reached, counted from the base without a gap."""
    for count, goal in enumerate(layout.goals):
        if not rests_on(layout, poses, *_pair(layout, goal)):
            return count
    return len(layout.goals)


def _pair(layout: Layout, goal: Goal) -> tuple[int, int]:
    """Return the bodies of a goal: what to pick and what to place it on."""
    return named(layout, goal.pick)[0], named(layout, goal.place)[0]


def _support(layout: Layout, poses: Sequence[Pose], index: int) -> int | None:
    """Return the highest body that another lies on or in, or leans at; None for a body on the table."""
    x, y, z = middle(layout.bodies[index], poses[index])
    under = []
    for other, (body, pose) in enumerate(zip(layout.bodies, poses, strict=True)):
        distance = math.dist((x, y), pose.position[:2])
        if other != index and distance < radius(body) and z > pose.position[2] + height(layout.bodies[index]) / 2:
            under.append((-round(pose.position[2], 2), distance, other))  # of equally high ones the nearest
    return min(under)[2] if under else None


def _tower(blocks: int, split: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Draw the tower's colours, from the base up."""
    words = UNSEEN_COLORS if split == "unseen" else SEEN_COLORS
    if split == "combinations":  # each block is held out with the one below: a run of the colours, backwards
        base = int(rng.integers(len(words)))
        return tuple(words[(base - level) % len(words)] for level in range(blocks))
    while True:
        colors = tuple(str(color) for color in rng.permutation(words)[:blocks])
        if not any(held_out_pair(upper, lower) for lower, upper in pairwise(colors)):
            return colors


def _distractors(tower: Sequence[str], split: str, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Return colours and shapes, in turns a lure and a block of another colour; no name twice, none of the tower's."""
    words = list(COLORS) if split == "unseen" else list(SEEN_COLORS)
    others = [str(color) for color in rng.permutation([color for color in words if color not in tower])]
    lured = (*tower[1:-1], tower[0], tower[-1])
    lures = [(color, str(rng.choice(LURES))) for color in lured]
    turns = zip_longest(lures, [(color, "block") for color in others])
    return [thing for turn in turns for thing in turn if thing is not None]


def _make(color: str, shape: str, split: str, rng: np.random.Generator) -> BodySpec:
    novel = split == "novel" and shape in ("block", "bowl")
    return novel_look(shape, color, rng=rng) if novel else make_object(shape, color)


def _symmetry(block: BodySpec) -> int:
    """Return how many turns of a block look alike to whoever puts another on it: 4 of a square one, else 2."""
    across = [max(abs(part.center[axis]) + part.size[axis] / 2 for part in block.parts) for axis in (0, 1)]
    return 4 if math.isclose(across[0], across[1]) else 2
