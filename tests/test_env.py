import json
import os
import random
import signal

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from robo_rlft.driver import DriverError
from robo_rlft.env import EnvState
from robo_rlft.records import PickPlace
from robo_rlft.rollout.jobs import Instruction, Start
from robo_rlft.rollout.pool import EnvPool, WorkerError
from robo_rlft.sim.floating import FloatingGripper
from robo_rlft.tasks.demonstrators import Demonstrator
from robo_rlft.tasks.task import Goal, TaskError
from tests.simulated import env_factory, make_env


def actions(count: int) -> PickPlace:
    rng = np.random.default_rng(0)
    place = torch.from_numpy(rng.integers(0, [160, 80], size=(count, 2)))
    pick = torch.from_numpy(rng.integers(0, [160, 80], size=(count, 2)))
    return PickPlace(pick=pick, place=place, rotation=torch.from_numpy(rng.integers(0, 4, size=count)))


def aimed(starts: list[Start]) -> PickPlace:
    """Picks on the highest pixel, places in the middle: actions that move things."""
    picks = [divmod(int(start.observation.height.argmax()), 80) for start in starts]
    place = torch.tensor([[80, 40]] * len(starts))
    return PickPlace(pick=torch.tensor(picks), place=place, rotation=torch.zeros(len(starts), dtype=torch.int64))


def fingerprint(pool: EnvPool, seeds: list[int]) -> dict[int, tuple[object, ...]]:
    starts = pool.reset(seeds)
    outcomes = pool.step([start.state for start in starts], aimed(starts), final_pictures=True)
    result = {}
    for seed, start, outcome in zip(seeds, starts, outcomes, strict=True):
        assert outcome.observation is not None
        pictures = [t.numpy().tobytes() for o in (start.observation, outcome.observation) for t in (o.color, o.height)]
        result[seed] = (start.state, outcome.state, outcome.reward, *pictures)
    return result


def test_the_gymnasium_interface_is_kept() -> None:
    env = make_env(blocks=2)
    check_env(env, skip_render_check=True)
    env.close()


def test_the_same_seed_gives_bit_equal_episodes_in_workers_and_in_another_order() -> None:
    seeds = list(range(12))
    with EnvPool(make_env=env_factory()) as here, EnvPool(make_env=env_factory(), workers=2) as workers:
        expected = fingerprint(here, seeds)
        shuffled = random.Random(1).sample(seeds, len(seeds))
        assert fingerprint(workers, shuffled) == expected
        assert fingerprint(here, shuffled) == expected


def test_oracle_episodes_are_bit_equal_in_a_worker() -> None:
    with EnvPool(make_env=env_factory(blocks=2)) as here, EnvPool(make_env=env_factory(blocks=2), workers=2) as workers:
        for a, b in zip(
            here.demonstrate([5, 6], Demonstrator()), workers.demonstrate([5, 6], Demonstrator()), strict=True
        ):
            assert a.color.tobytes() == b.color.tobytes() and a.height.tobytes() == b.height.tobytes()
            assert (a.instructions, a.rewards.tolist()) == (b.instructions, b.rewards.tolist())


def test_a_state_restored_from_json_acts_bit_equally() -> None:
    env, other = make_env(blocks=2), make_env(blocks=2)
    state = env.start(4)
    first = env.act(state, env.to_action(env.task.demonstrate(env.layout(state), state.poses)))
    restored = EnvState.from_json(json.loads(json.dumps(first.state.to_json())))
    assert restored == first.state
    action = env.to_action(env.task.demonstrate(env.layout(restored), restored.poses))
    other.start(9)
    results = [e.act(s, action).state for e, s in ((env, first.state), (other, restored), (env, restored))]
    assert results[0] == results[1] == results[2]
    assert results[0].progress == 1.0
    env.close()
    other.close()


@pytest.mark.parametrize("split", ["seen", "novel"])
def test_the_oracle_succeeds(split: str) -> None:
    with EnvPool(make_env=env_factory(split=split, blocks=2)) as pool:
        episodes = pool.demonstrate(range(10), Demonstrator())
    assert np.mean([e.success for e in episodes]) >= 0.9
    assert all(len(e.color) == e.steps + 1 for e in episodes)


def test_an_episode_ends_at_success_or_at_the_step_limit() -> None:
    with EnvPool(make_env=env_factory(blocks=2)) as pool:
        starts = pool.reset([0])
        outcome = pool.step([starts[0].state], actions(1))[0]
        assert not outcome.done and outcome.observation is not None
        assert pool.step([outcome.state], actions(1))[0].truncated


def test_a_users_own_sentence_and_goal_count() -> None:
    with EnvPool(make_env=env_factory()) as pool:
        plain = pool.reset([3])[0].state
        assert plain.goal is not None
        swapped = Goal(pick=plain.goal.place.replace("bowl", "block"), place=plain.goal.pick.replace("block", "bowl"))
        state = pool.reset([3], [Instruction(sentence="the other way round", goal=swapped)])[0].state
        assert (state.instruction, state.goal, state.poses) == ("the other way round", swapped, plain.poses)
        assert pool.reset([3], [Instruction(sentence="whatever", goal=None)])[0].state.goal is None
        with pytest.raises(TaskError, match="it holds"):
            pool.reset([3], [Instruction(sentence="x", goal=Goal(pick="mauve block", place="red bowl"))])


def test_an_action_off_the_grid_is_refused() -> None:
    env = make_env()
    with pytest.raises(ValueError, match=r"below \[160"):
        env.act(env.start(0), [160, 0, 0, 0, 0])
    with pytest.raises(RuntimeError, match="reset"):
        env.step([0, 0, 0, 0, 0])
    env.close()


def test_a_dead_worker_is_named() -> None:
    with EnvPool(make_env=env_factory(), workers=1) as pool:
        pool.reset([0])
        pool._workers[0].process.kill()
        with pytest.raises(WorkerError, match="worker 0"):
            pool.reset([1])


def test_a_failure_in_a_worker_reaches_the_caller() -> None:
    with EnvPool(make_env=env_factory(), workers=1) as pool:
        starts = pool.reset([0])
        with pytest.raises(ValueError, match="an action is"):
            pool.step(
                [starts[0].state],
                PickPlace(pick=torch.tensor([[999, 0]]), place=torch.tensor([[0, 0]]), rotation=torch.tensor([0])),
            )
        assert pool.reset([0]) is not None


def test_a_film_shows_the_block_move() -> None:
    with EnvPool(make_env=env_factory()) as pool:
        starts = pool.reset([0])
        frames = pool.film([starts[0].state], aimed(starts))[0]
    assert len(frames) > 10 and frames[0].shape == (192, 320, 3)
    assert not np.array_equal(frames[0], frames[len(frames) // 2])


def test_the_text_space_takes_instructions() -> None:
    env = make_env()
    space = env.observation_space
    assert isinstance(space, gymnasium.spaces.Dict)
    assert all(space["instruction"].contains(env.start(seed).instruction) for seed in range(20))
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sentence": ""}, "no words"),
        ({"sentence": 5}, "got int"),
        ({"sentence": "put <end_of_text> here"}, "control token"),
        ({"sentence": "x" * 201}, "at most 200"),
        ({"goal": Goal(pick="red block", place="blue bowl")}, "needs its sentence"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object], message: str) -> None:
    env = make_env()
    with pytest.raises(ValueError, match=message):
        env.reset(seed=0, options=options)
    env.close()


@pytest.mark.parametrize("action", [[1.5, 0, 0, 0, 0], [float("nan"), 0, 0, 0, 0], "up", [0, 0, 0, 0], [[0] * 5]])
def test_an_action_that_is_not_five_whole_numbers_is_refused(action: object) -> None:
    env = make_env()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="an action is five whole numbers"):
        env.step(action)  # type: ignore[arg-type]
    env.close()


def test_after_a_motion_that_failed_halfway_acting_again_is_bit_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_env()
    state = env.start(0)
    action = env.to_action(env.task.demonstrate(env.layout(state), state.poses))
    expected = env.act(state, action).state

    def break_down() -> None:
        raise DriverError("unplugged")

    with monkeypatch.context() as patch:
        patch.setattr(env.driver, "release", break_down)
        with pytest.raises(DriverError):
            env.act(state, action)
    assert env.act(state, action).state == expected
    env.close()


def test_nan_in_a_depth_image_stops_the_episode_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_env()
    robot = FloatingGripper(workspace=env.workspace)
    robot.connect()
    (view,) = robot.observe()
    view.depth[0, 0] = np.nan
    monkeypatch.setattr(env.driver, "observe", lambda: (view,))
    with pytest.raises(DriverError, match="NaN or infinite; expected metres"):
        env.reset(seed=0)
    env.close()


def test_an_answer_beside_a_failure_does_not_answer_the_next_call() -> None:
    with EnvPool(make_env=env_factory(), workers=2) as pool:
        instruction = Instruction(sentence="x", goal=Goal(pick="mauve block", place="red bowl"))
        with pytest.raises(TaskError, match="it holds") as failed:
            pool.reset([0, 1], [instruction, None])
        assert any("env.start" in note for note in failed.value.__notes__)
        assert [start.state.seed for start in pool.reset([5, 6])] == [5, 6]


def test_ctrl_c_leaves_the_workers_to_their_parent() -> None:
    with EnvPool(make_env=env_factory(), workers=1) as pool:
        pool.reset([0])
        os.kill(pool._workers[0].process.pid or 0, signal.SIGINT)
        assert pool.reset([7])[0].state.seed == 7
