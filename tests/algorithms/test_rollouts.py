"""Rollouts as training data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from robo_rlft.algorithms import rollouts
from robo_rlft.algorithms.groups import GroupBatch
from robo_rlft.algorithms.rollouts import RolloutData, scene_seed
from robo_rlft.data.context import TrainContext
from robo_rlft.data.decisions import read_decisions
from robo_rlft.geometry import Workspace
from tests.algorithms.table_policy import FakePool, TablePolicy


def left(pick: Tensor) -> bool:
    return int(pick[1]) == 0


def make_data(
    pool: FakePool,
    monkeypatch: pytest.MonkeyPatch,
    *,
    policy: TablePolicy | None = None,
    seed: int = 3,
    folder: Path = Path(),
    **options: object,
) -> RolloutData:
    monkeypatch.setattr(rollouts, "EnvPool", lambda **_: pool)
    context = TrainContext(
        policy=policy or TablePolicy(),
        workspace=Workspace(x_min=0.0, x_max=0.3, y_min=0.0, y_max=0.3, pixel_size=0.1),  # 3 x 3
        make_env=lambda: None,  # type: ignore[arg-type,return-value]
        data_dir=None,
        run_dir=folder,
        seed=seed,
        workers=0,
    )
    data = RolloutData(context=context, **options)  # type: ignore[arg-type]
    data.setup("fit")
    return data


def batches(data: RolloutData) -> list[GroupBatch]:
    return list(data.train_dataloader())


def test_the_same_iteration_gives_the_same_batches_in_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    first = batches(make_data(FakePool(pays=left), monkeypatch))
    second = batches(make_data(FakePool(pays=left), monkeypatch))
    other = batches(make_data(FakePool(pays=left), monkeypatch, seed=4))
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.action.pick, b.action.pick)
        assert torch.equal(a.advantage, b.advantage)
    assert not all(torch.equal(a.action.pick, c.action.pick) for a, c in zip(first, other, strict=False))


def test_scene_seeds_differ_between_indices_iterations_and_runs() -> None:
    seeds = {scene_seed(s, i, n) for s in range(3) for i in range(20) for n in range(32)}
    assert len(seeds) == 3 * 20 * 32
    assert min(seeds) >= 0
    assert max(seeds) < 2**31


def test_equal_groups_are_left_out_and_count_as_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    skipped = batches(make_data(FakePool(pays=left), monkeypatch))
    everything = batches(make_data(FakePool(pays=left), monkeypatch, skip_equal_groups=False))
    kept, total = sum(len(b.advantage) for b in skipped), sum(len(b.advantage) for b in everything)
    assert 0 < kept < total == 32
    assert all((b.advantage.amax(1) > b.advantage.amin(1)).all() for b in skipped)
    # The means over all groups agree, because those left out have advantages of 0.
    mean = torch.cat([b.advantage.abs() for b in skipped]).mean()
    torch.testing.assert_close(mean, torch.cat([b.advantage.abs() for b in everything]).mean())


def test_minibatches_hold_every_kept_group_once_in_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    made = batches(
        make_data(FakePool(pays=left), monkeypatch, skip_equal_groups=False, minibatch_scenes=10, update_epochs=2)
    )
    assert [len(b.advantage) for b in made] == [8] * 8  # 32 groups in 4 equal minibatches, twice
    picks = [torch.cat([b.action.pick.flatten(1) for b in epoch]) for epoch in (made[:4], made[4:])]
    assert not torch.equal(picks[0], picks[1])
    assert sorted(picks[0].tolist()) == sorted(picks[1].tolist())


def test_resampling_stops_at_its_limit_where_every_group_is_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = FakePool(pays=lambda _: True)
    data = make_data(pool, monkeypatch, scenes=6, max_resample=3)
    made = batches(data)
    assert [len(seeds) for seeds in pool.seeds] == [6, 6, 6, 6]
    assert len({seed for seeds in pool.seeds for seed in seeds}) == 24
    assert len(made) == 1  # one batch without advantages, as Lightning ends at an empty epoch
    assert made[0].advantage.abs().max() == 0.0
    assert data.stats is not None
    assert (data.stats.success, data.stats.mixed_groups, data.stats.groups) == (1.0, 0.0, 24)


def test_only_equal_groups_are_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = FakePool(pays=left)
    data = make_data(pool, monkeypatch, max_resample=1)
    made = batches(data)
    assert len(pool.seeds) == 2
    assert 0 < len(pool.seeds[1]) < len(pool.seeds[0])
    assert data.stats is not None
    kept = round(data.stats.mixed_groups * data.stats.groups)
    assert sum(len(b.advantage) for b in made) == kept


@pytest.mark.parametrize("credit", ["to_go", "state"])
def test_with_one_step_every_credit_gives_the_same_batches_to_the_bit(
    monkeypatch: pytest.MonkeyPatch, credit: str
) -> None:
    first = batches(make_data(FakePool(pays=left), monkeypatch, max_resample=1))
    second = batches(make_data(FakePool(pays=left), monkeypatch, max_resample=1, credit=credit))
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        for name in ("advantage", "pick_log_prob", "place_log_prob"):
            assert torch.equal(getattr(a, name), getattr(b, name))
        assert torch.equal(a.action.place, b.action.place)
        assert torch.equal(a.observation.height, b.observation.height)


def test_states_give_groups_of_k_decisions_at_every_step_and_count_their_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = FakePool(pays=lambda _: False, max_steps=3)
    data = make_data(pool, monkeypatch, scenes=5, credit="state", skip_equal_groups=False)
    made = batches(data)
    assert {b.advantage.shape[1] for b in made} == {4}
    assert sum(len(b.advantage) for b in made) == 3 * 5
    assert data.stats is not None
    assert (data.stats.decisions, data.stats.groups, data.stats.rollouts) == (3 * 5 * 4, 15, 20)


def test_what_was_encoded_to_act_is_kept_for_its_own_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = TablePolicy()
    policy.encode = lambda seen: torch.arange(len(seen.height)) + 100 * seen.height[:, 0, 0]  # type: ignore[assignment]
    policy.factors = (lambda own: lambda encoded, picks: own(None, picks))(policy.factors)  # type: ignore[method-assign]
    pool = FakePool(pays=left, max_steps=2)
    made = batches(make_data(pool, monkeypatch, policy=policy, minibatch_scenes=64, credit="episode"))
    wide, single = (next(b for b in made if b.advantage.shape[1] == size) for size in (4, 1))
    assert wide.encoded.shape == (len(wide.advantage),)
    assert single.encoded.shape == (len(single.advantage),)
    assert len(set(wide.encoded.tolist())) == len(wide.advantage)  # a different picture each


@pytest.mark.parametrize("credit", ["episode", "to_go", "state"])
def test_decisions_that_were_paid_for_are_recorded_whatever_the_credit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, credit: str
) -> None:
    pool = FakePool(pays=left, max_steps=2)
    data = make_data(pool, monkeypatch, folder=tmp_path, record=True, credit=credit, max_resample=1)
    batches(data)
    (shard,) = read_decisions(tmp_path / "decisions")
    assert (shard.iteration, shard.split, shard.phase, shard.rotations) == (0, "seen", "train", 2)
    assert (shard.pick[:, 1] == 0).all()
    assert (shard.rewards == 1.0).all()
    assert {int(seed) for seed in shard.seed} <= {seed for seeds in pool.seeds for seed in seeds}
    assert data.stats is not None
    if credit != "state":  # an episode ends when it is paid, so each success is one decision
        assert len(shard) == round(data.stats.success * data.stats.rollouts)


def test_nothing_is_recorded_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches(make_data(FakePool(pays=left), monkeypatch, folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_longer_episodes_give_rows_of_one_decision_beside_rows_of_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    made = batches(make_data(FakePool(pays=left, max_steps=3), monkeypatch, credit="episode"))
    assert {b.advantage.shape[1] for b in made} == {1, 4}
    assert all(b.observation.height.shape[0] == b.advantage.shape[0] for b in made)


def test_impossible_sizes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="samples of at least 2"):
        make_data(FakePool(pays=left), monkeypatch, samples=1)


def test_a_run_without_a_simulator_is_refused() -> None:
    context = TrainContext(
        policy=TablePolicy(), workspace=Workspace(), make_env=None, data_dir=None, run_dir=Path(), seed=0, workers=0
    )
    with pytest.raises(ValueError, match="expected a simulator"):
        RolloutData(context=context).setup("fit")
