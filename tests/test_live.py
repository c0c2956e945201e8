"""Episodes through a driver alone: one state, one judge, nothing restored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from robo_rlft.driver import Refused
from robo_rlft.env import Place
from robo_rlft.geometry import Workspace
from robo_rlft.live import CannotRestore, Laid, LiveEnv
from robo_rlft.records import Observation
from robo_rlft.rewards.person import PersonReward
from robo_rlft.sim.floating import FloatingGripper
from robo_rlft.tasks.put_block_in_bowl import PutBlockInBowl
from robo_rlft.tasks.stack_blocks import StackBlocks
from robo_rlft.tasks.task import Task
from tests.robots.envelopes import guarded
from tests.robots.fakes import FakeArm

WORKSPACE = Workspace()


class Bare:
    """A driver whose scene nobody can build or read, and which may refuse to move."""

    def __init__(self, driver: FloatingGripper) -> None:
        self._driver = driver
        self.refuses: str | None = None  # with which rule

    def __getattr__(self, name: str) -> Any:
        if name in ("build", "poses", "settle"):
            raise AttributeError(name)
        if name == "grip" and self.refuses:
            raise Refused("no", rule=self.refuses)
        return getattr(self._driver, name)


class LaidByTask:
    """Whoever lays the table, out of the environment's sight."""

    def __init__(self, driver: FloatingGripper, task: Task) -> None:
        self.driver, self.task = driver, task
        self.place = Place(task=task.name, split="seen", phase="train")
        self.closed = False

    def lay(self, number: int) -> Laid:
        layout = self.task.scene(split="seen", phase="train", seed=number)
        self.driver.build(layout.bodies, layout.poses)
        self.layout = layout
        return Laid(sentences=layout.sentences, goals=layout.goals, max_steps=self.task.max_steps)

    def close(self) -> None:
        self.closed = True


class Says:
    """A judge who says what is told."""

    name = "person"

    def __init__(self, *words: bool) -> None:
        self.words: Iterator[bool] = iter(words)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, sentence: str, *, line: int, before: Observation, after: Observation) -> bool:
        self.asked.append((sentence, line))
        return next(self.words)


class Scene:
    """All that an episode needs."""

    def __init__(self, task: Task, judge: Says | None = None) -> None:
        gripper = FloatingGripper(workspace=WORKSPACE)
        self.driver = Bare(gripper)
        self.table = LaidByTask(gripper, task)
        gripper.connect()
        self.env = LiveEnv(
            driver=self.driver,
            table=self.table,
            reward=PersonReward(ask="simulated"),
            workspace=WORKSPACE,
            rotations=4,
            judge=judge,
        )

    def expert(self, line: int = 0) -> np.ndarray:
        """Return the action that carries what a sentence names to where it says."""
        goal = self.table.layout.goals[line]
        names = [body.name for body in self.table.layout.bodies]
        poses = self.table.driver.poses()
        pick, place = (WORKSPACE.xy_to_pixel(poses[names.index(n)].position[:2]) for n in (goal.pick, goal.place))
        return np.array([*pick, *place, 0])


def test_an_episode_needs_the_drivers_contract_alone() -> None:
    scene = Scene(PutBlockInBowl(), Says(True))
    state = scene.env.start(7)
    assert state.poses == ()
    result = scene.env.act(state, scene.expert())
    assert result.attempt.carried
    assert (result.terminated, result.truncated, result.reward) == (True, False, 1.0)
    # The picture after it shows the block where it was put.
    row, column = scene.expert()[2:4]
    assert scene.env.look(result.state).height[row, column] > 0.02


def test_no_earlier_state_comes_back() -> None:
    scene = Scene(PutBlockInBowl(blocks=2), Says(False, False))
    first = scene.env.start(7)
    scene.env.act(first, scene.expert())
    with pytest.raises(CannotRestore, match="cannot be put back"):
        scene.env.look(first)
    with pytest.raises(CannotRestore):
        scene.env.act(first, scene.expert())
    second = scene.env.start(8)
    assert scene.env.look(second).instruction == second.instruction


def test_the_judge_says_when_a_sentence_is_done_and_progress_is_their_share() -> None:
    judge = Says(False, True, True)
    scene = Scene(StackBlocks(blocks=3), judge)
    state = scene.env.start(1)
    assert scene.table.task.max_steps == 2
    first = scene.env.act(state, scene.expert())  # called not done: the same sentence again
    assert (first.state.line, first.state.progress, first.terminated, first.truncated) == (0, 0.0, False, False)
    second = scene.env.act(first.state, scene.expert())
    assert (second.state.line, second.state.progress, second.reward) == (1, 0.5, 0.5)
    assert (second.terminated, second.truncated) == (False, True)  # two actions were allowed
    assert [line for _, line in judge.asked] == [0, 0]


def test_where_nobody_judges_a_sentence_is_over_when_its_things_were_carried() -> None:
    scene = Scene(PutBlockInBowl(blocks=2))
    state = scene.env.start(5)
    assert scene.env.told_by == "nobody"
    first = scene.env.act(state, scene.expert())
    assert (first.terminated, first.truncated) == (False, False)
    second = scene.env.act(first.state, np.array([0, 0, 5, 5, 0]))  # nothing lies in the corner
    assert not second.attempt.carried
    assert (second.terminated, second.truncated, second.state.progress) == (False, True, 0.0)
    assert scene.env.explain(second.state, [first.attempt, second.attempt]) == "no_grasp"


def test_an_action_that_the_limits_forbid_did_nothing_and_a_persons_no_ends_it() -> None:
    scene = Scene(PutBlockInBowl(), Says(False, False))
    scene.driver.refuses = "box"
    result = scene.env.act(scene.env.start(2), scene.expert())
    assert (result.attempt.gripped, result.truncated) == (False, True)
    for rule in ("operator", "speed"):
        scene.driver.refuses = rule
        with pytest.raises(Refused, match="no"):
            scene.env.act(scene.env.start(3), scene.expert())


def test_a_driver_that_only_rehearses_is_refused() -> None:
    envelope = guarded(FakeArm(), dry_run=True)
    table = LaidByTask(FloatingGripper(workspace=WORKSPACE), PutBlockInBowl())
    with pytest.raises(Refused, match=r"robot\.dry_run=false"):
        LiveEnv(driver=envelope, table=table, reward=PersonReward(), workspace=WORKSPACE)


def test_closing_releases_the_robot_and_the_person() -> None:
    arm, table = FakeArm(), LaidByTask(FloatingGripper(workspace=WORKSPACE), PutBlockInBowl())
    env = LiveEnv(driver=arm, table=table, reward=PersonReward(), workspace=WORKSPACE)
    assert arm.connected
    env.close()
    assert not arm.connected
    assert table.closed
