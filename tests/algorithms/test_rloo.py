"""RLOO as a Lightning module, on a policy of free numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from robo_rlft.algorithms import rollouts
from robo_rlft.algorithms.rloo import Rloo, ZeroSuccessError
from robo_rlft.algorithms.rollouts import RolloutData
from robo_rlft.commands.checkpoints import KeepLast
from robo_rlft.data.context import TrainContext
from robo_rlft.geometry import Workspace
from tests.algorithms.table_policy import FakePool, TablePolicy


def center(pick: torch.Tensor) -> bool:
    return pick.tolist() == [1, 1]


def run(
    policy: TablePolicy,
    pool: FakePool,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    resume: Path | None = None,
    data: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[Rloo, Trainer]:
    """Train, as the command does; the last checkpoint is folder/last.ckpt."""
    monkeypatch.setattr(rollouts, "EnvPool", lambda **_: pool)
    context = TrainContext(
        policy=policy, workspace=Workspace(), make_env=lambda: None, data_dir=None, run_dir=folder, seed=5, workers=0
    )  # type: ignore[arg-type]
    module = Rloo(policy=policy, **options)  # type: ignore[arg-type]
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        reload_dataloaders_every_n_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[KeepLast(folder=folder)],
    )
    trainer.fit(module, RolloutData(context=context, **(data or {})), ckpt_path=resume, weights_only=True)
    return module, trainer


def test_training_finds_the_pixel_that_pays_and_logs_what_people_expect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, pool = TablePolicy(seed=0), FakePool(pays=center)
    before = policy.pick.softmax(0)[4].item()
    module, trainer = run(policy, pool, tmp_path, monkeypatch, iterations=25, lr=0.2, kl_coef=0.0)
    assert before < 0.3
    assert policy.pick.softmax(0)[4].item() > 0.8
    assert trainer.current_epoch == 25
    assert len(pool.seeds) == 25
    assert pool.closed
    logged = set(trainer.callback_metrics)
    assert {
        "rollout/episodic_return",
        "rollout/success",
        "rollout/mixed_groups",
        "rollout/true_return",
        "rollout/kl",
        "losses/policy_loss",
        "losses/kl",
        "losses/approx_kl",
        "losses/clipfrac",
        "losses/entropy_pick",
        "losses/entropy_place",
        "losses/grad_norm",
        "charts/learning_rate",
        "charts/SPS",
    } <= logged
    assert torch.equal(module.reference.pick, TablePolicy(seed=0).pick)  # type: ignore[arg-type]
    assert module.reference.encoder is policy.encoder


def test_the_rollouts_kl_is_that_of_the_policy_that_rolled_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = TablePolicy(seed=0)
    options: dict[str, Any] = {"lr": 0.3, "warmup_steps": 0, "kl_coef": 0.0, "data": {"scenes": 200}}
    _, first = run(policy, FakePool(pays=center), tmp_path, monkeypatch, iterations=1, **options)
    assert first.callback_metrics["rollout/kl"] == pytest.approx(0.0, abs=1e-6)  # the start's own, though it moved then
    start, moved = TablePolicy(seed=0), policy
    pick, place = moved.pick.log_softmax(0), moved.place.log_softmax(1)
    theirs = start.pick.log_softmax(0), start.place.log_softmax(1)
    of_places = (place.exp() * (place - theirs[1])).sum(1)
    exact = (pick.exp() * (pick - theirs[0] + of_places)).sum().item()
    again = TablePolicy(seed=0)
    _, second = run(again, FakePool(pays=center), tmp_path / "b", monkeypatch, iterations=2, anneal_lr=False, **options)
    assert exact > 0.02
    assert second.callback_metrics["rollout/kl"] == pytest.approx(exact, rel=0.1)


def test_the_kl_holds_the_policy_near_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    for kl_coef in (0.0, 10.0):
        policy = TablePolicy(seed=0)
        run(policy, FakePool(pays=center), tmp_path, monkeypatch, iterations=10, lr=0.1, kl_coef=kl_coef)
        moved.append((policy.pick.softmax(0) - TablePolicy(seed=0).pick.softmax(0)).abs().sum().item())
    assert moved[1] < 0.5 * moved[0]


@pytest.mark.parametrize("data", [{}, {"update_epochs": 2, "minibatch_scenes": 5, "max_resample": 1}])
def test_a_resumed_run_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any]
) -> None:
    # The rate must not depend on where the first part stops.
    options: dict[str, Any] = {"lr": 0.05, "anneal_lr": False, "data": data}
    whole, whole_pool = TablePolicy(seed=0), FakePool(pays=center)
    unbroken, _ = run(whole, whole_pool, tmp_path / "whole", monkeypatch, iterations=5, **options)
    first = TablePolicy(seed=0)
    first_pool = FakePool(pays=center)
    run(first, first_pool, tmp_path / "part", monkeypatch, iterations=2, **options)
    second, second_pool = TablePolicy(seed=0), FakePool(pays=center)
    resume = tmp_path / "part" / "last.ckpt"
    resumed, trainer = run(second, second_pool, tmp_path / "rest", monkeypatch, resume=resume, iterations=5, **options)
    assert torch.equal(whole.pick, second.pick)
    assert torch.equal(whole.place, second.place)
    assert not torch.equal(first.pick, second.pick)
    assert first_pool.seeds + second_pool.seeds == whole_pool.seeds  # no rollout is made and thrown away
    # One-step episodes: a step for each rollout of each scene, those of the first part included.
    steps = 4 * sum(map(len, whole_pool.seeds))
    assert resumed.environment_steps == unbroken.environment_steps == steps
    assert trainer.callback_metrics["charts/environment_steps"] == steps


def test_a_complete_run_that_is_resumed_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = TablePolicy(seed=0)
    run(policy, FakePool(pays=center), tmp_path, monkeypatch, iterations=2)
    again = TablePolicy(seed=0)
    run(again, FakePool(pays=center), tmp_path / "b", monkeypatch, resume=tmp_path / "last.ckpt", iterations=2)
    assert torch.equal(again.pick, policy.pick)


def test_a_policy_that_never_succeeds_is_refused_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroSuccessError, match=r"128 rollouts.*algorithm=bc.*allow_zero_success=true"):
        run(TablePolicy(), FakePool(pays=lambda _: False), tmp_path, monkeypatch, iterations=2)


def test_the_refusal_can_be_lifted_and_nothing_then_moves_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = TablePolicy(seed=0)
    pool = FakePool(pays=lambda _: False)
    _, trainer = run(policy, pool, tmp_path, monkeypatch, iterations=3, allow_zero_success=True)
    assert trainer.current_epoch == 3
    # Without a reward only the KL is left, whose gradient is 0 at the start.
    assert (policy.pick - TablePolicy(seed=0).pick).abs().max() < 1e-2
    assert trainer.callback_metrics["rollout/success"] == 0.0


class Shifty(TablePolicy):
    """Scores actions otherwise when gradients are on, as dropout or batch statistics would."""

    def factors(self, encoded: Any, picks: Any) -> Any:
        factors = super().factors(encoded, picks)
        return replace(factors, pick=factors.pick + 0.01) if torch.is_grad_enabled() else factors


def test_a_policy_that_acts_otherwise_than_it_scores_is_found_at_the_first_minibatch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match=r"ratio of the first minibatch.*pick_log_prob"):
        run(Shifty(), FakePool(pays=center), tmp_path, monkeypatch, iterations=2)


@pytest.mark.parametrize("credit", ["episode", "to_go", "state"])
def test_episodes_of_several_decisions_are_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, credit: str
) -> None:
    policy, pool = TablePolicy(seed=0), FakePool(pays=center, max_steps=2)
    before = policy.pick.softmax(0)[4].item()
    run(policy, pool, tmp_path, monkeypatch, iterations=15, lr=0.2, kl_coef=0.0, data={"credit": credit})
    assert policy.pick.softmax(0)[4].item() > before + 0.1
