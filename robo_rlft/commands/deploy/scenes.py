"""The table of a simulated robot, laid by a task that also says how far a sentence's goal is reached.

A real table has nothing of the kind: there a person lays the scene and says whether it was done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from robo_rlft.driver import Pose, RobotDriver
from robo_rlft.env import SUCCESS, SceneDriver
from robo_rlft.language.phrases import find_phrases
from robo_rlft.records import Scene
from robo_rlft.tasks.task import Attempt, Goal, Layout, Task, TaskError, named


class TaskScenes:
    """Scenes of a task, one after the other."""

    def __init__(self, *, driver: SceneDriver, task: Task, split: str, phase: str) -> None:
        task.check(split=split, phase=phase)
        self.driver, self.task, self.split, self.phase = driver, task, split, phase
        self._layout: Layout | None = None
        self.number = -1  # of the scene that was laid last

    @property
    def layout(self) -> Layout:
        """What was laid last."""
        if self._layout is None:
            raise RuntimeError("no scene was laid: call lay(seed) first")
        return self._layout

    def lay(self, seed: int) -> str:
        """Put a scene on the table; return the sentence that the task asks there."""
        self.number = seed
        self._layout = self.task.scene(split=self.split, phase=self.phase, seed=seed)
        self.driver.build(self._layout.bodies, self._layout.poses)
        return self._layout.instruction

    def understand(self, sentence: str) -> bool:
        """Take a sentence for what is to be reached; False: what it names cannot be told from the scene's names.

        Raises:
            InstructionError: a sentence that cannot be one.
        """
        if sentence != self.layout.instruction:
            phrases = find_phrases(sentence)
            goal = Goal(pick=phrases.pick, place=phrases.place)
            try:
                named(self.layout, goal.pick), named(self.layout, goal.place)
            except TaskError:
                self._layout = self.layout.told(sentence, None)
                return False
            self._layout = self.layout.told(sentence, goal)
        return self.layout.goal is not None

    def poses(self) -> tuple[Pose, ...]:
        """Return where the bodies are."""
        return self.driver.poses()

    def progress(self) -> float | None:
        """Return how far the goal is reached, in [0, 1]; None for a sentence whose goal is not known."""
        return None if self.layout.goal is None else self.task.progress(self.layout, self.driver.poses())

    def reached(self) -> bool | None:
        """Tell whether the goal is reached; None where it is not known."""
        progress = self.progress()
        return None if progress is None else progress > SUCCESS

    def explain(self, attempts: Sequence[Attempt]) -> str:
        """Return the kind of failure after these attempts."""
        return self.task.explain(self.layout, attempts)


def lays_scenes(driver: RobotDriver) -> bool:
    """Tell whether a driver's scene can be built: whether it is simulated."""
    return isinstance(driver, Scene)


def as_scene_driver(driver: RobotDriver) -> SceneDriver:
    """Return a driver of which `lays_scenes` is true."""
    return cast(SceneDriver, driver)
