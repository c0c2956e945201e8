import json
import random

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from robo_rlft.env import EnvState
from robo_rlft.records import PickPlace
from robo_rlft.rollout.pool import EnvPool, Instruction, Start, WorkerError
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
            assert (a.instruction, a.rewards.tolist()) == (b.instruction, b.rewards.tolist())


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
