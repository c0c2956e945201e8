"""What a task is: it describes the scene, says in words what to do, knows how far it is done, and can demonstrate.

Knows nothing of simulators, cameras or policies: bodies are described, poses are read. Randomness is an argument.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from robo_rlft.driver import Pose
from robo_rlft.records import BodySpec

SPLITS = ("seen", "unseen", "combinations", "paraphrase", "novel")
PHASES = ("train", "val", "test")
MOVED = 0.02  # metres; a body that went farther was moved


class TaskError(ValueError):
    """A task, split, phase or goal that does not exist; the message lists the choices."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What is to be done, in canonical names of bodies: bring every `pick` to a `place`."""

    pick: str  # "red block"
    place: str  # "blue bowl"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A scene at its start, and what is asked of the policy in it."""

    bodies: tuple[BodySpec, ...]
    poses: tuple[Pose, ...]  # at rest, body frame in the world frame
    goals: tuple[Goal, ...]  # in the order in which they are asked; none for a user's sentence that came without one
    sentences: tuple[str, ...] = ()  # one for each goal, filled in by `Task.scene`
    line: int = 0  # which of them is asked now

    @property
    def goal(self) -> Goal | None:
        """What is asked now; None where nobody knows what the sentence means."""
        return self.goals[self.line] if self.goals else None

    @property
    def instruction(self) -> str:
        """The sentence that asks it."""
        return self.sentences[self.line]

    def told(self, sentence: str, goal: Goal | None) -> Layout:
        """Return the scene with a sentence of a user's own, and what it means, if known, in place of the task's."""
        return replace(self, goals=() if goal is None else (goal,), sentences=(sentence,), line=0)


@dataclass(frozen=True, kw_only=True)
class Intent:
    """An action in metres and radians, before it becomes pixels."""

    pick: tuple[float, float]  # (x, y), world frame
    place: tuple[float, float]
    turn: float = 0.0  # radians counter-clockwise about +z
    symmetry: int = 1  # how many turns, equal parts of a whole one apart, come to the same


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One action's outcome, as far as explaining a failure needs it."""

    before: tuple[Pose, ...]
    after: tuple[Pose, ...]
    gripped: bool
    carried: bool


class Task(ABC):
    """One family of scenes and instructions."""

    name: ClassVar[str]
    splits: ClassVar[tuple[str, ...]] = SPLITS
    max_steps: int

    @abstractmethod
    def layout(self, *, split: str, rng: np.random.Generator) -> Layout:
        """Draw bodies, poses at rest and goals; the sentences are filled in by `instruct`."""

    @abstractmethod
    def instruct(self, goal: Goal, *, split: str, rng: np.random.Generator) -> str:
        """Say the goal in a sentence of the split's kind."""

    @abstractmethod
    def progress(self, layout: Layout, poses: Sequence[Pose]) -> float:
        """Return how far the goals are reached, in [0, 1]; above 0.99 is success."""

    def line(self, layout: Layout, poses: Sequence[Pose]) -> int:
        """Return which of the scene's goals to ask for next; by default the first, for ever."""
        return 0

    @abstractmethod
    def demonstrate(self, layout: Layout, poses: Sequence[Pose]) -> Intent:
        """Return the next action of an expert who sees the bodies' poses."""

    @abstractmethod
    def explain(self, layout: Layout, attempts: Sequence[Attempt]) -> str:
        """Return the kind of an episode's failure, one of `rollout.episode.FAILURES`."""

    def scene(self, *, split: str, phase: str, seed: int) -> Layout:
        """Return the scene of a seed: the same bodies, poses and sentence everywhere.

        `paraphrase` shows the scenes of `seen`, told in other words, so that the two are paired.

        Raises:
            TaskError: for a split or phase that the task lacks.
        """
        self.check(split=split, phase=phase)
        shown = "seen" if split == "paraphrase" else split
        key = [PHASES.index(phase), SPLITS.index(shown), seed]
        layout = self.layout(split=shown, rng=np.random.default_rng(key))
        words = np.random.default_rng([*key, SPLITS.index(split), 1])
        sentences = tuple(self.instruct(goal, split=split, rng=words) for goal in layout.goals)
        return replace(layout, sentences=sentences)

    def check(self, *, split: str, phase: str) -> None:
        """Refuse a split or phase that the task lacks."""
        if split not in self.splits:
            raise TaskError(f"{self.name} has no split {split!r}; choose one of {', '.join(self.splits)}")
        if phase not in PHASES:
            raise TaskError(f"there is no phase {phase!r}; choose one of {', '.join(PHASES)}")


def named(layout: Layout, name: str) -> list[int]:
    """Return the indices of the bodies of that name.

    Raises:
        TaskError: when there is none, with the names that the scene has.
    """
    found = [i for i, body in enumerate(layout.bodies) if body.name == name]
    if not found:
        present = ", ".join(sorted({body.name for body in layout.bodies}))
        raise TaskError(f"no {name!r} in this scene; it holds: {present}")
    return found


def moved(before: Pose, after: Pose) -> bool:
    """Tell whether a body was moved."""
    return float(np.linalg.norm(np.subtract(before.position, after.position))) > MOVED
