"""Episodes are paid at their ends, once, by what was seen of them, and RL learns from that alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from robo_rlft.algorithms.paying import paid_at_the_end
from robo_rlft.algorithms.rollouts import RolloutData
from robo_rlft.data.context import TrainContext
from robo_rlft.geometry import Workspace
from robo_rlft.records import Observation, OutcomeReward
from robo_rlft.rewards.total import TotalReward
from robo_rlft.rollout.collect import Rollout, collect
from robo_rlft.rollout.pool import EnvPool
from tests.rollout.test_collect import HighestPixelPolicy
from tests.simulated import env_factory


class Tidy:
    """Pays for how high things are at the end, in two terms, and remembers what it was asked."""

    def __init__(self) -> None:
        self.scripts: Sequence[tuple[str, ...]] = ()

    def __call__(
        self, *, before: float, after: float, observation: Observation | None, final: Observation | None
    ) -> dict[str, float]:
        return {}

    def outcomes(
        self, *, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]
    ) -> dict[str, Tensor]:
        self.scripts = scripts
        change = (last.height - first.height).abs().flatten(1).sum(dim=1)
        return {"change": change, "one": torch.ones(len(change))}


@pytest.fixture(scope="module")
def pool():
    with EnvPool(make_env=env_factory(blocks=2)) as made:
        yield made


def rollout(pool: EnvPool, *, final_pictures: bool = True) -> Rollout:
    generator = torch.Generator().manual_seed(0)
    return collect(pool, HighestPixelPolicy(), [3, 4], samples=2, generator=generator, final_pictures=final_pictures)


def test_a_rollout_can_look_at_every_end(pool: EnvPool) -> None:
    made = rollout(pool)
    assert made.finals is not None
    assert made.finals.height.shape == (4, *Workspace().shape)
    # Something was moved or pushed in some of them; the last look is not the first.
    assert (made.finals.height != made.transitions[0].observation.height).any()
    assert rollout(pool, final_pictures=False).finals is None


def test_the_last_decision_of_an_episode_is_paid_on_top_and_no_other(pool: EnvPool) -> None:
    made, reward = rollout(pool), Tidy()
    # As if the environments had paid 1 for every step.
    made = replace(made, transitions=tuple(replace(step, reward=step.valid.float()) for step in made.transitions))
    paid = paid_at_the_end(made, reward)
    added = [
        after.reward - before.reward for after, before in zip(paid.rollout.transitions, made.transitions, strict=True)
    ]
    torch.testing.assert_close(torch.stack(added).sum(dim=0), paid.terms["change"] + 1.0)
    for row in range(4):
        steps = [own for step, own in zip(made.transitions, added, strict=True) if bool(step.valid[row])]
        assert all(float(own[row]) == 0.0 for own in steps[:-1])
        assert float(steps[-1][row]) > 0.0
    assert [*reward.scripts] == [start.sentences for start in made.starts for _ in range(2)]
    assert isinstance(reward, OutcomeReward)


def test_a_sum_pays_its_ends_by_their_weights(pool: EnvPool) -> None:
    made = rollout(pool)
    paid = paid_at_the_end(made, TotalReward(terms={"tidy": Tidy()}, weights={"tidy": 0.5}))
    plain = paid_at_the_end(made, Tidy()).terms
    torch.testing.assert_close(paid.terms["tidy"], plain["change"] + plain["one"])
    given = sum(
        after.reward - before.reward for after, before in zip(paid.rollout.transitions, made.transitions, strict=True)
    )
    torch.testing.assert_close(given, 0.5 * paid.terms["tidy"])


def test_what_has_no_ends_is_refused(pool: EnvPool) -> None:
    with pytest.raises(ValueError, match="picture of each one's end"):
        paid_at_the_end(rollout(pool, final_pictures=False), Tidy())


def data(reward: Tidy | None, **options: object) -> RolloutData:
    context = TrainContext(
        policy=HighestPixelPolicy(),
        workspace=Workspace(),
        make_env=env_factory(blocks=2),
        data_dir=None,
        run_dir=Path(),
        seed=0,
        workers=0,
        reward=reward,
    )
    return RolloutData(context=context, scenes=2, samples=2, **options)  # type: ignore[arg-type]


def test_rl_learns_from_what_was_paid_and_tells_the_tasks_own_success() -> None:
    made = data(Tidy(), credit="episode")
    made.setup("fit")
    batches = list(made.train_dataloader())
    made.teardown("fit")
    assert made.stats is not None
    assert set(made.stats.terms) == {"progress", "change", "one"}  # the environments' own, too
    assert made.stats.terms["one"] == 1.0
    assert made.stats.episodic_return == pytest.approx(sum(made.stats.terms.values()))
    assert 0.0 <= made.stats.success <= 1.0
    assert made.stats.true_return is not None
    assert made.stats.success <= made.stats.true_return <= 1.0  # not what was paid, which is 1 and more
    assert any(float(batch.advantage.abs().max()) > 0.0 for batch in batches)


def test_single_decisions_cannot_be_paid_by_an_episodes_end() -> None:
    with pytest.raises(ValueError, match=r"algorithm.data.credit=episode or to_go, got state"):
        data(Tidy(), credit="state")
    data(None, credit="state")
