"""Episodes of several sentences: when the next one is said, and that a state in their midst is complete."""

from __future__ import annotations

import json
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from robo_rlft.env import EnvState, TabletopEnv
from robo_rlft.geometry import Workspace
from robo_rlft.records import PickPlace
from robo_rlft.rewards.progress import ProgressReward
from robo_rlft.rollout.jobs import Chosen, record_episode
from robo_rlft.rollout.pool import EnvPool
from robo_rlft.sim.floating import FloatingGripper
from robo_rlft.tasks.demonstrators import Demonstrator
from robo_rlft.tasks.stack_blocks import StackBlocks
from robo_rlft.tasks.task import Goal, Intent

Action = npt.NDArray[np.int64]


def make_env(*, split: str = "seen", blocks: int = 4, solver_iterations: int = 20, max_steps: int = 5) -> TabletopEnv:
    workspace = Workspace()
    return TabletopEnv(
        driver=FloatingGripper(workspace=workspace, solver_iterations=solver_iterations),
        task=StackBlocks(blocks=blocks, max_steps=max_steps),
        reward=ProgressReward(),
        workspace=workspace,
        split=split,
        rotations=4,
    )


@pytest.fixture
def env() -> Iterator[TabletopEnv]:
    made = make_env()
    yield made
    made.close()


def right(env: TabletopEnv, state: EnvState) -> Action:
    return env.to_action(env.task.demonstrate(env.layout(state), state.poses))


def bare(env: TabletopEnv, state: EnvState) -> tuple[float, float]:
    """A place where nothing stands within 5 cm, nor the table's edge."""
    near = cv2.dilate(np.pad(env.look(state).height.numpy(), 8, constant_values=1.0), np.ones((17, 17)))[8:-8, 8:-8]
    x, y = env.workspace.pixel_to_xy(np.argwhere(near < 0.001)[0])
    return float(x), float(y)


def wrong(env: TabletopEnv, state: EnvState) -> Action:
    """Pick up the bare table."""
    return env.to_action(Intent(pick=bare(env, state), place=(0.5, 0.0)))


def after(env: TabletopEnv, seed: int, steps: int) -> EnvState:
    """The state after some right actions."""
    state = env.start(seed)
    for _ in range(steps):
        state = env.act(state, right(env, state)).state
    return state


def test_each_reached_goal_brings_the_next_sentence(env: TabletopEnv) -> None:
    state = env.start(0)
    assert len(set(state.sentences)) == 3
    for line, then in ((0, 1), (1, 2), (2, 2)):  # the last one stays
        assert (state.line, state.instruction, state.goal) == (line, state.sentences[line], state.goals[line])
        assert env.look(state).instruction == state.sentences[line]
        result = env.act(state, right(env, state))
        assert result.reward == pytest.approx(1 / 3)
        assert (result.state.line, result.terminated) == (then, line == 2)
        state = result.state


def test_a_step_that_fails_keeps_the_sentence(env: TabletopEnv) -> None:
    state = after(env, 0, 1)
    result = env.act(state, wrong(env, state))
    assert not result.attempt.gripped
    assert (result.reward, result.state.line, result.state.instruction) == (0.0, 1, state.sentences[1])
    assert (result.state.step, result.terminated, result.truncated) == (2, False, False)


def test_what_is_taken_down_is_asked_for_again(env: TabletopEnv) -> None:
    state = after(env, 0, 2)
    down = env.to_action(
        Intent(pick=env.task.demonstrate(env.layout(state), state.poses).place, place=bare(env, state))
    )
    result = env.act(state, down)  # the tower's top, which the next block belongs on
    assert result.reward == pytest.approx(-1 / 3)
    assert (result.state.line, result.state.instruction) == (1, state.sentences[1])


def test_a_state_in_the_midst_survives_json_and_acts_bit_equally(env: TabletopEnv) -> None:
    state = after(env, 4, 2)
    restored = EnvState.from_json(json.loads(json.dumps(state.to_json())))
    assert restored == state and restored.line == 2
    action = right(env, state)
    expected = env.act(state, action)
    other = make_env()
    after(other, 9, 1)  # it has been elsewhere
    for place, start in ((env, state), (other, restored), (other, restored)):
        again = place.act(start, action)
        assert (again.state, again.reward, again.attempt) == (expected.state, expected.reward, expected.attempt)
        seen, was = place.look(start), env.look(state)
        assert seen.height.numpy().tobytes() == was.height.numpy().tobytes()
        assert (seen.color.numpy().tobytes(), seen.instruction) == (was.color.numpy().tobytes(), was.instruction)
    other.close()


def test_an_episode_records_the_sentence_of_each_action(env: TabletopEnv) -> None:
    sentences, goals = env.start(2).sentences, env.start(2).goals

    def choose(state: EnvState) -> Chosen:  # the second action fails
        return Chosen(action=wrong(env, state) if state.step == 1 else right(env, state))

    episode = record_episode(env, 2, choose)
    said = [0, 1, 1, 2]
    assert episode.instructions == tuple(sentences[line] for line in said)
    assert episode.pick_names == tuple(goals[line].pick for line in said)
    assert episode.place_names == tuple(goals[line].place for line in said)
    assert episode.rewards.tolist() == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])
    assert episode.success and episode.steps == 4


def test_a_demonstration_records_that_a_block_has_four_equal_turns(env: TabletopEnv) -> None:
    with EnvPool(make_env=make_env) as pool:
        (episode,) = pool.demonstrate([1], Demonstrator())
    assert episode.symmetry.tolist() == [4, 4, 4]
    assert episode.instructions == env.start(1).sentences


def test_pools_say_the_next_sentence_too() -> None:
    with EnvPool(make_env=make_env) as pool:
        (start,) = pool.reset([0])
        env = make_env()
        row = torch.from_numpy(right(env, start.state))[None]
        action = PickPlace(pick=row[:, 0:2], place=row[:, 2:4], rotation=row[:, 4])
        (outcome,) = pool.step([start.state], action)
        env.close()
    assert outcome.observation is not None
    assert start.observation.instruction == start.state.sentences[0]
    assert outcome.observation.instruction == outcome.state.instruction == start.state.sentences[1]


def test_gymnasiums_step_shows_the_sentence_that_is_said_now(env: TabletopEnv) -> None:
    first, _ = env.reset(seed=0)
    state = env.start(0)
    then, *_ = env.step(right(env, state))
    assert (first["instruction"], then["instruction"]) == state.sentences[:2]


def test_a_users_own_sentence_is_the_only_one_and_its_goal_ends_the_episode(env: TabletopEnv) -> None:
    task = env.start(0)
    goal = Goal(pick=task.goals[2].pick, place=task.goals[0].place)
    state = env.start(0, sentence="the last one on the first one", goal=goal)
    assert (state.sentences, state.goals) == (("the last one on the first one",), (goal,))
    result = env.act(state, right(env, state))
    assert (result.terminated, result.reward, result.state.line) == (True, 1.0, 0)


@pytest.mark.parametrize("split", ["seen", "unseen", "combinations", "paraphrase", "novel"])
def test_the_expert_builds_towers(split: str) -> None:
    env = make_env(split=split, max_steps=3)
    states = [after(env, seed, 3) for seed in range(3)]
    env.close()
    assert [state.progress for state in states] == [1.0] * 3


def test_the_fifth_block_clears_the_tower_of_four() -> None:
    env = make_env(blocks=5, solver_iterations=50)  # with 20 one tower in four leans and falls
    assert [after(env, seed, 4).progress for seed in range(2)] == [1.0] * 2
    env.close()
