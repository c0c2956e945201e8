"""Single episodes as training data, credited by a critic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robo_rlft.algorithms import rollouts
from robo_rlft.algorithms.episodes import EpisodeBatch, EpisodeData, EpisodeStats
from robo_rlft.data.context import TrainContext
from robo_rlft.data.decisions import read_decisions
from robo_rlft.geometry import Workspace
from robo_rlft.models.critic import Critic
from robo_rlft.records import Observation, OutcomeReward, PickPlace, concatenate
from tests.algorithms.table_policy import FakeOutcome, FakePool, SeeingTablePolicy


def left(pick: Tensor) -> bool:
    return int(pick[1]) == 0


class OncePool(FakePool):
    """A table on which nothing can be put back: every state is acted in once, and looked at as it comes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.acted: list[Any] = []

    def step(self, states: Sequence[Any], action: PickPlace, **_: Any) -> list[FakeOutcome]:
        assert not set(states) & set(self.acted)
        self.acted += states
        return super().step(states, action)

    def look(self, states: Sequence[Any]) -> list[Observation]:
        raise AssertionError("a state was asked for again")


class Constant(Critic):
    """Says the same of every scene."""

    def __init__(self, value: float) -> None:
        super().__init__(width=2)
        self.value = value

    def forward(self, maps: Tensor) -> Tensor:
        return torch.full((len(maps),), self.value)


class Tidy:
    """Pays 2 for every attempt, and 1 more as a second term."""

    def __call__(self, **_: object) -> dict[str, float]:
        return {}

    def outcomes(
        self, *, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]
    ) -> dict[str, Tensor]:
        assert [*scripts] == [("put it there",)] * len(last.height)
        return {"tidy": torch.full((len(scripts),), 2.0), "polite": torch.ones(len(scripts))}


def make_data(
    pool: FakePool,
    monkeypatch: pytest.MonkeyPatch,
    *,
    critic: Critic | None = None,
    seed: int = 3,
    folder: Path = Path(),
    reward: OutcomeReward | None = None,
    **options: Any,
) -> EpisodeData:
    monkeypatch.setattr(rollouts, "EnvPool", lambda **_: pool)
    context = TrainContext(
        policy=SeeingTablePolicy(),
        workspace=Workspace(x_min=0.0, x_max=0.3, y_min=0.0, y_max=0.3, pixel_size=0.1),  # 3 x 3
        make_env=lambda: None,  # type: ignore[arg-type,return-value]
        data_dir=None,
        run_dir=folder,
        seed=seed,
        workers=0,
        reward=reward,
    )
    data = EpisodeData(context=context, critic=critic or Constant(0.0), **{"update_epochs": 1, **options})
    data.setup("fit")
    return data


def batches(data: EpisodeData) -> list[EpisodeBatch]:
    found = list(data.train_dataloader())
    assert all(isinstance(batch, EpisodeBatch) for batch in found)
    return found  # type: ignore[return-value]


def joined(data: EpisodeData) -> EpisodeBatch:
    """Return an iteration's decisions, in a fixed order."""
    whole = concatenate(batches(data))
    assert isinstance(data.stats, EpisodeStats)
    assert len(whole.returns) == data.stats.decisions
    return whole


def test_every_episode_has_a_scene_of_its_own_and_no_state_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = OncePool(pays=left, max_steps=3)
    data = make_data(pool, monkeypatch, episodes=20)
    whole = joined(data)
    assert len(set(pool.seeds[0])) == 20
    assert whole.advantage.shape == (len(pool.acted), 1)
    assert 20 < len(pool.acted) < 60
    assert isinstance(data.stats, EpisodeStats)
    assert data.stats.rollouts == 20
    assert data.stats.success == data.stats.episodic_return  # each success pays 1
    assert 0.0 < data.stats.success < 1.0


def test_the_same_iteration_gives_the_same_batches_in_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, other = (
        joined(make_data(FakePool(pays=left, max_steps=2), monkeypatch, seed=seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first.action.pick, second.action.pick)
    assert torch.equal(first.advantage, second.advantage)
    assert not torch.equal(first.action.pick[:100], other.action.pick[:100])


def test_minibatches_hold_every_decision_once_in_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = FakePool(pays=lambda _: False)
    made = batches(make_data(pool, monkeypatch, episodes=30, minibatch_episodes=10, update_epochs=2))
    assert [len(b.returns) for b in made] == [10] * 6
    picks = [torch.cat([b.action.pick.flatten(1) for b in epoch]).tolist() for epoch in (made[:3], made[3:])]
    assert picks[0] != picks[1]
    assert sorted(picks[0]) == sorted(picks[1])


def test_with_one_step_the_advantage_is_the_reward_less_what_the_critic_expected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = joined(make_data(FakePool(pays=left), monkeypatch, critic=Constant(0.25)))
    paid = (whole.action.pick[:, 0, 1] == 0).float()
    torch.testing.assert_close(whole.advantage[:, 0], paid - 0.25)
    torch.testing.assert_close(whole.returns, paid)


def test_the_limit_of_steps_is_an_end_unless_the_critic_is_asked_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for asked in (False, True):
        pool = FakePool(pays=left, max_steps=1)
        options: dict[str, Any] = {"critic": Constant(0.25), "gamma": 0.8, "bootstrap_truncated": asked}
        found.append(joined(make_data(pool, monkeypatch, **options)))
    limit, asked = found
    # Not paid: 0 - 0.25, and 0.8 * 0.25 more for what would have come. Paid: 1 - 0.25, as nothing more would come.
    assert {round(float(a), 4) for a in limit.advantage} == {-0.25, 0.75}
    assert {round(float(a), 4) for a in asked.advantage} == {-0.05, 0.75}


def test_later_rewards_reach_earlier_decisions_through_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"critic": Constant(0.25), "gamma": 1.0, "gae_lambda": 0.5}
    data = make_data(FakePool(pays=left, max_steps=2), monkeypatch, **options)
    # Last step: paid 0.75, not paid -0.25. First step, if not paid: 0 + 0.25 - 0.25 = 0, and half the last step's.
    assert {round(float(a), 4) for a in joined(data).advantage} == {0.75, -0.25, 0.375, -0.125}


def test_advantages_are_divided_by_their_deviation_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, divided = (joined(make_data(FakePool(pays=left), monkeypatch, norm_adv=asked)) for asked in (False, True))
    assert divided.advantage.mean().abs() < 1e-5
    assert divided.advantage.std(correction=0).item() == pytest.approx(1.0, abs=1e-4)
    assert torch.equal(divided.returns, plain.returns)


def test_a_reward_at_the_end_pays_the_last_decision_and_success_stays_the_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = make_data(OncePool(pays=left, max_steps=2, silent=True), monkeypatch, reward=Tidy(), gae_lambda=0.0)
    whole = joined(data)
    assert isinstance(data.stats, EpisodeStats)
    assert data.stats.terms == {"tidy": 2.0, "polite": 1.0}
    assert data.stats.episodic_return == 3.0
    assert 0.0 < data.stats.success < 1.0
    assert set(whole.advantage.flatten().tolist()) == {0.0, 3.0}
    assert int((whole.advantage == 3.0).sum()) == data.stats.rollouts
    assert not data.stats.returns_differ


def test_a_reward_at_the_end_leaves_nothing_to_come_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"algorithm.data.bootstrap_truncated=false"):
        make_data(FakePool(pays=left), monkeypatch, reward=Tidy(), bootstrap_truncated=True)


def test_explained_variance_is_of_the_critic_that_credited(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_data(FakePool(pays=left), monkeypatch, critic=Constant(0.25))
    batches(data)
    assert data.stats is not None
    assert data.stats.figures()["losses/explained_variance"] == pytest.approx(0.0, abs=1e-6)


def test_decisions_that_were_paid_for_are_recorded_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches(make_data(FakePool(pays=left), monkeypatch, folder=tmp_path))
    assert list(tmp_path.iterdir()) == []
    data = make_data(FakePool(pays=left, max_steps=2), monkeypatch, folder=tmp_path, record=True)
    batches(data)
    (shard,) = read_decisions(tmp_path / "decisions")
    assert (shard.pick[:, 1] == 0).all()
    assert data.stats is not None
    assert len(shard) == round(data.stats.success * data.stats.rollouts)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"episodes": 0}, "episodes, minibatch_episodes"), ({"gamma": 1.5}, "gamma and gae_lambda")],
)
def test_impossible_values_are_refused(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_data(FakePool(pays=left), monkeypatch, **options)
