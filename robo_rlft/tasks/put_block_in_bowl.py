"""Put the blocks of one colour into bowls of another, among distractors that share the colour or the shape.

Both words of a phrase matter: there is a block in the bowl's colour and a bowl in the block's, a puck in the block's
and a plate in the bowl's, so a policy that reads one word of a phrase is misled. Knows nothing of simulators or
policies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from robo_rlft.driver import Pose
from robo_rlft.language.paraphrases import PLURAL_PARAPHRASES
from robo_rlft.language.templates import PLURAL_TEMPLATES
from robo_rlft.language.vocabulary import COLORS, SEEN_COLORS
from robo_rlft.records import BodySpec
from robo_rlft.tasks.bodies import middle
from robo_rlft.tasks.failures import carried_body, carry_failure, first_moved, last_failure
from robo_rlft.tasks.layout import scatter
from robo_rlft.tasks.novel import novel_look
from robo_rlft.tasks.objects import BOWL_HEIGHT, BOWL_INNER_RADIUS, FOOTPRINT_RADIUS, make_object
from robo_rlft.tasks.task import Attempt, Goal, Intent, Layout, Task, TaskError, named
from robo_rlft.tasks.words import color_pair, say, with_synonyms

MAX_SCALE = 1.25  # of a novel look; room is kept for it in every split, so that scenes are equally crowded


class PutBlockInBowl(Task):
    """Put `blocks` blocks of one colour into bowls of another; as many bowls of that colour stand there."""

    name: ClassVar[str] = "put_block_in_bowl"

    def __init__(self, *, blocks: int = 1, distractors: int = 8, max_steps: int | None = None) -> None:
        """Make the task.

        Args:
            blocks: 1 to 3; how many blocks are to be moved, and how many target bowls there are.
            distractors: 0 to 8; further blocks and bowls with the colours swapped, then others, and last the lures: a
                puck of the block's colour and a plate of the bowl's.
            max_steps: actions allowed; by default one a block.

        Raises:
            TaskError: for numbers out of these ranges.
        """
        if not 1 <= blocks <= 3 or not 0 <= distractors <= 8:
            raise TaskError(f"put_block_in_bowl takes blocks=1..3 and distractors=0..8; got {blocks} and {distractors}")
        if max_steps is not None and max_steps < 1:
            raise TaskError(f"max_steps is at least 1; got {max_steps}")
        self.blocks = blocks
        self.distractors = distractors
        self.max_steps = blocks if max_steps is None else max_steps

    def layout(self, *, split: str, rng: np.random.Generator) -> Layout:
        """Draw a scene; see `Task.layout`."""
        pick, place = color_pair(split, rng=rng)
        names = [(pick, "block")] * self.blocks + [(place, "bowl")] * self.blocks
        names += _distractors(split, pick, place, rng)[: self.distractors]
        make = _novel(rng) if split == "novel" else _plain
        bodies = [make(color, shape) for color, shape in names]
        radii = [_radius(shape) for _, shape in names]
        poses = scatter(radii, rng=rng)
        lures = [(pick, "puck"), (place, "plate")][: max(0, self.distractors - 6)]
        bodies += [make_object(shape, color) for color, shape in lures]
        standing = list(zip(poses, radii, strict=True))
        poses += scatter([_radius(shape) for _, shape in lures], rng=rng, around=standing)
        goal = Goal(pick=f"{pick} block", place=f"{place} bowl")
        return Layout(bodies=tuple(bodies), poses=poses, goals=(goal,))

    def instruct(self, goal: Goal, *, split: str, rng: np.random.Generator) -> str:
        """Fill a template, or a held-out one with synonyms in the split `paraphrase`."""
        if self.blocks == 1:
            return say(self.name, goal, split=split, rng=rng)
        templates, pick, place = PLURAL_TEMPLATES, goal.pick, goal.place
        if split == "paraphrase":
            templates = PLURAL_PARAPHRASES
            pick, place = with_synonyms(goal.pick, rng=rng), with_synonyms(goal.place, rng=rng)
        return str(rng.choice(templates[self.name])).format(pick=f"{pick}s", place=place)

    def progress(self, layout: Layout, poses: Sequence[Pose]) -> float:
        """Return the fraction of the goal's blocks that lie in a goal's bowl."""
        if layout.goal is None:
            return 0.0
        blocks, bowls = named(layout, layout.goal.pick), named(layout, layout.goal.place)
        inside = [any(contains(poses[bowl], center(layout, poses, block)) for bowl in bowls) for block in blocks]
        return sum(inside) / len(blocks)

    def demonstrate(self, layout: Layout, poses: Sequence[Pose]) -> Intent:
        """Carry the first block that is not in a bowl to the bowl with the fewest blocks."""
        if layout.goal is None:
            raise TaskError("a demonstration needs a goal; this instruction came without one")
        blocks, bowls = named(layout, layout.goal.pick), named(layout, layout.goal.place)
        held = [sum(contains(poses[bowl], center(layout, poses, block)) for block in blocks) for bowl in bowls]
        outside = [b for b in blocks if not any(contains(poses[bowl], center(layout, poses, b)) for bowl in bowls)]
        block, bowl = (outside or blocks)[0], bowls[int(np.argmin(held))]
        pick, place = center(layout, poses, block), poses[bowl].position
        return Intent(pick=(pick[0], pick[1]), place=(place[0], place[1]))

    def explain(self, layout: Layout, attempts: Sequence[Attempt]) -> str:
        """Say why the last attempt that went wrong did."""
        goal = layout.goal
        return "timed_out" if goal is None else last_failure(attempts, lambda one: self._explain(layout, goal, one))

    def _explain(self, layout: Layout, goal: Goal, attempt: Attempt) -> str | None:
        blocks, targets = named(layout, goal.pick), named(layout, goal.place)
        kind, carried = carry_failure(attempt, blocks), carried_body(attempt, blocks)
        if kind is not None or carried is None:
            return kind
        point = center(layout, attempt.after, carried)
        if any(contains(attempt.after[bowl], point) for bowl in targets):
            return None
        others = [i for i, b in enumerate(layout.bodies) if b.name.endswith(" bowl") and i not in targets]
        if any(contains(attempt.after[bowl], point) for bowl in others):
            return "wrong_target"
        return "missed_place" if first_moved(attempt, targets) is None else "disturbed"


def center(layout: Layout, poses: Sequence[Pose], index: int) -> tuple[float, float, float]:
    """Return a body's middle, metres, world frame, however it has tumbled."""
    return middle(layout.bodies[index], poses[index])


def contains(bowl: Pose, point: tuple[float, float, float]) -> bool:
    """Tell whether a block's middle lies within a bowl's wall, on its base or on another block in it."""
    x, y, z = bowl.position
    return math.dist((x, y), point[:2]) < BOWL_INNER_RADIUS - 0.008 and z < point[2] < z + 2.5 * BOWL_HEIGHT


def _plain(color: str, shape: str) -> BodySpec:
    return make_object(shape, color)


def _novel(rng: np.random.Generator) -> Callable[[str, str], BodySpec]:
    return lambda color, shape: novel_look(shape, color, rng=rng)


def _radius(shape: str) -> float:
    return FOOTPRINT_RADIUS[shape] * (MAX_SCALE if shape == "block" else 1.0)


def _distractors(split: str, pick: str, place: str, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Return six colours and shapes, the swapped ones first; no name twice, none that the goal names."""
    words = list(COLORS) if split == "unseen" else list(SEEN_COLORS)
    others = [str(color) for color in rng.permutation([c for c in words if c not in (pick, place)])]
    blocks = [(place, "block")] + [(color, "block") for color in others]
    bowls = [(pick, "bowl")] + [(str(color), "bowl") for color in rng.permutation(others)]
    mixed = [thing for pair in zip(blocks, bowls, strict=True) for thing in pair]
    return mixed[:6]
