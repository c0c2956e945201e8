"""Put an L-shaped block into the fixture that holds it, turned as the fixture is, among distractors.

Rotation matters: the fixture's hole has the block's outline and little room around it. Both words of a phrase matter
too: the same block stands there in the fixture's colour and a fixture in the block's, so a policy that reads one word
of a phrase is misled. Knows nothing of simulators or policies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from robo_rlft.driver import Pose
from robo_rlft.geometry import quaternion_yaw, rotate_xy
from robo_rlft.records import BodySpec
from robo_rlft.tasks.bodies import stands
from robo_rlft.tasks.failures import carried_body, carry_failure, first_moved, last_failure
from robo_rlft.tasks.layout import scatter
from robo_rlft.tasks.novel import THICK_WALL, novel_fixture, novel_piece
from robo_rlft.tasks.objects import FOOTPRINT_RADIUS, make_fixture, make_object
from robo_rlft.tasks.outlines import CLEARANCE, FLOOR_HEIGHT, OUTLINES, WALL_THICKNESS
from robo_rlft.tasks.task import Attempt, Goal, Intent, Layout, Task, TaskError, named
from robo_rlft.tasks.words import color_pair, say

SEATED = 0.003  # metres that its underside may be off the fixture's floor; on the walls it lies 8 mm higher
_LURES = {"elbow": "block", "bar": "block", "block": "bar"}
_DISTRACTORS = 4


class BlockInsertion(Task):
    """Put one block of `OUTLINES` into its fixture, within 1 cm and 15 degrees unless told otherwise."""

    name: ClassVar[str] = "block_insertion"

    def __init__(
        self,
        *,
        shape: str = "elbow",
        distractors: int = _DISTRACTORS,
        max_steps: int = 1,
        position_tolerance: float = 0.01,
        angle_tolerance: float = math.radians(15.0),
    ) -> None:
        """Make the task.

        Args:
            shape: what goes into the fixture: elbow, bar (two turns look alike) or block (four do).
            distractors: 0 to 4; the same shape in the fixture's colour, a fixture in the shape's colour, then the
                lures: another block of the shape's colour and a bowl of the fixture's.
            max_steps: actions allowed.
            position_tolerance: metres between the block's middle and the fixture's.
            angle_tolerance: radians between their turns.

        Raises:
            TaskError: for a shape without a fixture, or numbers out of their ranges.
        """
        if shape not in OUTLINES:
            raise TaskError(f"block_insertion has no fixture for {shape!r}; choose one of {', '.join(OUTLINES)}")
        if not 0 <= distractors <= _DISTRACTORS or max_steps < 1:
            raise TaskError(
                f"block_insertion takes distractors=0..{_DISTRACTORS} and max_steps of at least 1; "
                f"got {distractors} and {max_steps}"
            )
        if not (0 < position_tolerance < math.inf and 0 < angle_tolerance < math.inf):
            raise TaskError(f"tolerances are above 0; got {position_tolerance} m and {angle_tolerance} radians")
        self.shape, self.outline = shape, OUTLINES[shape]
        self.distractors, self.max_steps = distractors, max_steps
        self.position_tolerance, self.angle_tolerance = position_tolerance, angle_tolerance

    def layout(self, *, split: str, rng: np.random.Generator) -> Layout:
        """Draw a scene; see `Task.layout`."""
        pick, place = color_pair(split, rng=rng)
        names = [(pick, self.shape), (place, "fixture"), (place, self.shape), (pick, "fixture")]
        names += [(pick, _LURES[self.shape]), (place, "bowl")]
        names = names[: 2 + self.distractors]
        bodies = tuple(self._make(color, shape, split, rng) for color, shape in names)
        poses = scatter([self._radius(shape) for _, shape in names], rng=rng)
        return Layout(bodies=bodies, poses=poses, goals=(Goal(pick=f"{pick} {self.shape}", place=f"{place} fixture"),))

    def instruct(self, goal: Goal, *, split: str, rng: np.random.Generator) -> str:
        """Fill a template, or a held-out one with synonyms in the split `paraphrase`."""
        return say(self.name, goal, split=split, rng=rng)

    def progress(self, layout: Layout, poses: Sequence[Pose]) -> float:
        """Return 1 where a block that is asked for lies in a fixture that is asked for, turned as that is, else 0."""
        if layout.goal is None:
            return 0.0
        pieces, fixtures = named(layout, layout.goal.pick), named(layout, layout.goal.place)
        return float(any(self.inserted(poses[piece], poses[fixture]) for piece in pieces for fixture in fixtures))

    def inserted(self, piece: Pose, fixture: Pose) -> bool:
        """Tell whether a block lies in a fixture: on its floor, upright, in its place and turned as it is."""
        aside = math.dist(piece.position[:2], fixture.position[:2])
        above = piece.position[2] - fixture.position[2] - FLOOR_HEIGHT
        seated = abs(above) < SEATED and stands(piece)
        return seated and aside < self.position_tolerance and self._turn(piece, fixture) < self.angle_tolerance

    def demonstrate(self, layout: Layout, poses: Sequence[Pose]) -> Intent:
        """Grip the block where a cup has most room, and bring that point to where it lies in the fixture."""
        if layout.goal is None:
            raise TaskError("a demonstration needs a goal; this instruction came without one")
        piece, fixture = (poses[named(layout, name)[0]] for name in (layout.goal.pick, layout.goal.place))
        yaw = quaternion_yaw(piece.quaternion)
        turn = math.remainder(quaternion_yaw(fixture.quaternion) - yaw, 2 * math.pi / self.outline.symmetry)
        (px, py), (qx, qy) = (rotate_xy(self.outline.pick, angle) for angle in (yaw, yaw + turn))
        return Intent(
            pick=(piece.position[0] + px, piece.position[1] + py),
            place=(fixture.position[0] + qx, fixture.position[1] + qy),
            turn=turn,
            symmetry=self.outline.symmetry,
        )

    def explain(self, layout: Layout, attempts: Sequence[Attempt]) -> str:
        """Say why the last attempt that went wrong did."""
        goal = layout.goal
        return "timed_out" if goal is None else last_failure(attempts, lambda one: self._explain(layout, goal, one))

    def _explain(self, layout: Layout, goal: Goal, attempt: Attempt) -> str | None:
        pieces, targets = named(layout, goal.pick), named(layout, goal.place)
        kind, piece = carry_failure(attempt, pieces), carried_body(attempt, pieces)
        if kind is not None or piece is None:
            return kind
        pose = attempt.after[piece]
        fixtures = {i: attempt.after[i] for i, body in enumerate(layout.bodies) if body.name.endswith(" fixture")}
        if any(self.inserted(pose, attempt.after[target]) for target in targets):
            return None
        if any(self._over(pose, fixture) for i, fixture in fixtures.items() if i not in targets):
            return "wrong_target"
        if any(self._turned_wrong(pose, attempt.after[target]) for target in targets):
            return "wrong_rotation"
        others = [i for i in range(len(layout.bodies)) if i != piece]
        return "missed_place" if first_moved(attempt, others) is None else "disturbed"

    def _turn(self, piece: Pose, fixture: Pose) -> float:
        """Return by how many radians a block's turn is off, the nearest of those that look alike."""
        off = quaternion_yaw(piece.quaternion) - quaternion_yaw(fixture.quaternion)
        return abs(math.remainder(off, 2 * math.pi / self.outline.symmetry))

    def _grip(self, pose: Pose) -> tuple[float, float]:
        """Return where the point to grip is, or would be in a fixture: metres, world frame."""
        dx, dy = rotate_xy(self.outline.pick, quaternion_yaw(pose.quaternion))
        return pose.position[0] + dx, pose.position[1] + dy

    def _turned_wrong(self, piece: Pose, fixture: Pose) -> bool:
        """Tell whether a block that is not in a fixture is nearly in its place, and more off in its turn than in that.

        Its place is that of the point to grip, around which it was turned; both errors count in their tolerances.
        """
        aside = math.dist(self._grip(piece), self._grip(fixture)) / self.position_tolerance
        return aside < 2.0 and self._turn(piece, fixture) / self.angle_tolerance > aside

    def _over(self, piece: Pose, fixture: Pose) -> bool:
        """Tell whether a block's point to grip lies in a fixture or on its walls."""
        x, y = self._grip(piece)
        offset = (x - fixture.position[0], y - fixture.position[1])
        seen = rotate_xy(offset, -quaternion_yaw(fixture.quaternion))
        return self.outline.covers(seen, margin=CLEARANCE + WALL_THICKNESS)

    def _make(self, color: str, shape: str, split: str, rng: np.random.Generator) -> BodySpec:
        novel = split == "novel"
        if shape == "fixture":
            return novel_fixture(color, holds=self.shape, rng=rng) if novel else make_fixture(color, holds=self.shape)
        if shape == self.shape and novel:
            return novel_piece(shape, color, rng=rng)
        return make_object(shape, color)

    def _radius(self, shape: str) -> float:
        # Room for the thickest walls in every split, so that scenes are equally crowded.
        return self.outline.fixture_radius(THICK_WALL) if shape == "fixture" else FOOTPRINT_RADIUS[shape]
