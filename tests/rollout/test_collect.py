from collections.abc import Sequence

import numpy as np
import pytest
import torch

from robo_rlft.records import ActionScores, Decision, Observation, PickPlace, stack
from robo_rlft.rollout.collect import Rollout, collect
from robo_rlft.rollout.episode import FAILURES
from robo_rlft.rollout.pool import EnvPool
from robo_rlft.rollout.running import run_episodes
from tests.algorithms.table_policy import FakePool, TablePolicy
from tests.simulated import env_factory


class HighestPixelPolicy:
    """Picks one of the highest pixels at random, places at the middle; its log-probabilities are made up."""

    def act(
        self,
        observation: Observation,
        *,
        greedy: bool = False,
        samples: int | None = None,
        generator: torch.Generator | None = None,
        encoded: None = None,
    ) -> Decision:
        batch, rows, columns = observation.height.shape
        lead = (batch,) if samples is None else (batch, samples)
        flat = observation.height.flatten(1) > 0.03
        if greedy:
            chosen = flat.float().argmax(1)[(...,) + (None,) * (len(lead) - 1)].expand(lead)
        else:
            chosen = torch.multinomial(flat.float(), samples or 1, generator=generator).reshape(lead)
        pick = torch.stack([chosen // columns, chosen % columns], dim=-1)
        place = torch.tensor([rows // 2, columns // 2]).expand(*lead, 2).contiguous()
        action = PickPlace(pick=pick, place=place, rotation=torch.zeros(lead, dtype=torch.int64))
        return Decision(action=action, log_prob=torch.zeros(lead), confidence=torch.full(lead, 0.25))

    def encode(self, observation: Observation) -> None:
        return None

    def evaluate_actions(self, observation: Observation, action: PickPlace, *, encoded: None = None) -> ActionScores:
        value = action.pick[..., 0].float()
        return ActionScores(pick_log_prob=-value, place_log_prob=-2 * value, pick_entropy=value, place_entropy=value)


@pytest.fixture(scope="module")
def pool():
    with EnvPool(make_env=env_factory(blocks=2)) as made:
        yield made


def rollout(pool: EnvPool, seed: int = 0, *, branch: int | None = None) -> Rollout:
    generator = torch.Generator().manual_seed(seed)
    rng = None if branch is None else np.random.default_rng(branch)
    return collect(pool, HighestPixelPolicy(), [3, 4, 5], samples=2, generator=generator, branch=rng)


def test_a_rollout_has_time_first_and_a_scenes_episodes_adjacent(pool: EnvPool) -> None:
    made = rollout(pool)
    data = stack(made.transitions)
    assert data.reward.shape == (2, 6)  # two steps, three scenes of two episodes
    assert data.group[0].tolist() == [0, 0, 1, 1, 2, 2]
    assert data.observation.color.shape == (2, 6, 3, 160, 80)
    assert torch.equal(data.observation.height[0, 0], data.observation.height[0, 1])
    assert torch.equal(data.place_log_prob, 2 * data.pick_log_prob)
    assert [start.seed for start in made.starts] == [3, 4, 5]
    assert [made.pictures(t).tolist() for t in (0, 1)] == [[0, 2, 4], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("branch", [None, 0])
def test_every_decision_is_made_on_the_picture_of_its_own_row(pool: EnvPool, branch: int | None) -> None:
    for step in rollout(pool, branch=branch).transitions:
        row, column = step.action.pick.T
        assert (step.observation.height[torch.arange(6), row, column] > 0.03).all()  # where the policy picks


@pytest.mark.parametrize("branch", [None, 0])
def test_a_rollout_tells_by_how_much_the_task_grew(pool: EnvPool, branch: int | None) -> None:
    made = rollout(pool, branch=branch)
    assert made.gains is not None
    for step, gain in zip(made.transitions, made.gains, strict=True):
        assert torch.equal(gain, step.reward)  # what this environment pays


def test_an_episode_is_truncated_at_its_last_step_only(pool: EnvPool) -> None:
    data = stack(rollout(pool).transitions)
    assert data.valid.all()
    assert not data.truncated[0].any()
    assert (data.truncated | data.terminated)[1].all()


def test_the_same_generator_gives_the_same_rollout(pool: EnvPool) -> None:
    first, second, other = (stack(made.transitions) for made in (rollout(pool), rollout(pool), rollout(pool, seed=1)))
    assert torch.equal(first.action.pick, second.action.pick) and torch.equal(first.reward, second.reward)
    assert not torch.equal(first.action.pick, other.action.pick)


def test_a_branched_scene_goes_on_from_one_of_its_outcomes_for_all_of_its_decisions(pool: EnvPool) -> None:
    made = rollout(pool, branch=0)
    plain, data = stack(rollout(pool).transitions), stack(made.transitions)
    assert [made.pictures(t).tolist() for t in (0, 1)] == [[0, 2, 4], [0, 2, 4]]
    assert torch.equal(data.action.pick[0], plain.action.pick[0])
    chosen = []
    for scene in range(3):
        rows = slice(2 * scene, 2 * scene + 2)
        seen, outcomes = data.observation.height[1, rows], plain.observation.height[1, rows]
        assert torch.equal(seen[0], seen[1])
        same = [torch.equal(seen[0], outcome) for outcome in outcomes]
        assert any(same)
        chosen.append(same)
    others = [rollout(pool, branch=branch).transitions[1].observation.height for branch in range(1, 5)]
    assert not all(torch.equal(other, data.observation.height[1]) for other in others)
    assert torch.equal(stack(rollout(pool, branch=0).transitions).action.pick, data.action.pick)


def test_a_scene_without_an_outcome_to_go_on_from_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = FakePool(pays=lambda pick: int(pick[1]) != 0, max_steps=5)  # two thirds of the picks end an episode
    made = collect(
        pool,
        TablePolicy(scale=0.0),
        range(20),
        samples=3,
        generator=torch.Generator().manual_seed(0),
        branch=np.random.default_rng(0),
    )
    data = stack(made.transitions)
    over = data.terminated | data.truncated
    for t in range(1, len(data.reward)):
        valid = data.valid[t].view(20, 3)
        assert (valid.all(1) | ~valid.any(1)).all()
        assert torch.equal(valid.any(1), (data.valid[t - 1] & ~over[t - 1]).view(20, 3).any(1))
    assert 1 < len(data.reward) <= 5
    assert not data.valid[-1].all()


def test_episodes_tell_how_they_failed_and_do_not_depend_on_workers(pool: EnvPool) -> None:
    def run(where: EnvPool):
        batches = run_episodes(where, HighestPixelPolicy(), range(10, 15), greedy=True, batch_size=2)
        return [record for batch in batches for record in batch]

    here = run(pool)
    with EnvPool(make_env=env_factory(blocks=2), workers=2) as workers:
        there = run(workers)
    assert [r.seed for r in here] == [10, 11, 12, 13, 14]
    assert [(r.failure, r.return_, r.pick.tolist()) for r in here] == [
        (r.failure, r.return_, r.pick.tolist()) for r in there
    ]
    assert all(r.success == (r.failure is None) for r in here)
    assert all(r.failure in FAILURES for r in here if not r.success)
    assert {r.confidence for r in here} == {0.25}


class Pays:
    """Pays what the task was when nobody looks, and remembers how many episodes it was shown at once."""

    def __init__(self) -> None:
        self.shown: list[int] = []
        self.changed: list[float] = []

    def outcomes(
        self, *, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]
    ) -> dict[str, torch.Tensor]:
        self.shown.append(len(scripts))
        change = (last.height - first.height).abs().flatten(1).sum(dim=1)
        self.changed += change.tolist()
        return {"change": change, "one": torch.ones(len(change))}


def test_a_reward_judges_whole_episodes_and_the_task_tells_their_return(pool: EnvPool) -> None:
    reward = Pays()
    generator, again = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    judged = list(run_episodes(pool, HighestPixelPolicy(), [3, 3, 4], greedy=False, generator=generator, reward=reward))
    plain = list(run_episodes(pool, HighestPixelPolicy(), [3, 3, 4], greedy=False, generator=again))
    assert reward.shown == [3]
    assert [one.proxy for one in judged[0]] == pytest.approx([change + 1.0 for change in reward.changed])
    assert any(change > 0.0 for change in reward.changed)
    assert [one.proxy for one in plain[0]] == [None] * 3
    for one, other in zip(judged[0], plain[0], strict=True):
        assert (one.return_, one.success, one.steps) == (pytest.approx(other.return_), other.success, other.steps)
