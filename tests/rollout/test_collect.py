import pytest
import torch

from robo_rlft.records import ActionScores, Decision, Observation, PickPlace
from robo_rlft.rollout.collect import collect, run_episodes
from robo_rlft.rollout.episode import FAILURES
from robo_rlft.rollout.pool import EnvPool
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


def rollout(pool: EnvPool, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return collect(pool, HighestPixelPolicy(), [3, 4, 5], samples=2, generator=generator)


def test_a_rollout_has_time_first_and_a_scenes_episodes_adjacent(pool: EnvPool) -> None:
    data = rollout(pool)
    assert data.reward.shape == (2, 6)  # two steps, three scenes of two episodes
    assert data.group[0].tolist() == [0, 0, 1, 1, 2, 2]
    assert data.observation.color.shape == (2, 6, 3, 160, 80)
    assert torch.equal(data.observation.height[0, 0], data.observation.height[0, 1])
    assert torch.equal(data.place_log_prob, 2 * data.pick_log_prob)


def test_an_episode_is_truncated_at_its_last_step_only(pool: EnvPool) -> None:
    data = rollout(pool)
    assert data.valid.all()
    assert not data.truncated[0].any()
    assert (data.truncated | data.terminated)[1].all()


def test_the_same_generator_gives_the_same_rollout(pool: EnvPool) -> None:
    first, second, other = rollout(pool), rollout(pool), rollout(pool, seed=1)
    assert torch.equal(first.action.pick, second.action.pick) and torch.equal(first.reward, second.reward)
    assert not torch.equal(first.action.pick, other.action.pick)


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
