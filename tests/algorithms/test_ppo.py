"""PPO as a Lightning module, on a policy of free numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor

from robo_rlft.algorithms import rollouts
from robo_rlft.algorithms.episodes import EpisodeData
from robo_rlft.algorithms.policy_gradient import ZeroSuccessError
from robo_rlft.algorithms.ppo import Ppo
from robo_rlft.commands.checkpoints import KeepLast
from robo_rlft.data.context import TrainContext
from robo_rlft.geometry import Workspace
from robo_rlft.models.critic import Critic
from tests.algorithms.table_policy import FakePool, SeeingTablePolicy


def center(pick: Tensor) -> bool:
    return pick.tolist() == [1, 1]


def probability(policy: SeeingTablePolicy) -> float:
    return policy.pick.softmax(0)[4].item()


class WatchedPool(FakePool):
    """Remembers the policy and the critic at the start of every iteration."""

    def __init__(self, policy: SeeingTablePolicy, **options: Any) -> None:
        super().__init__(**options)
        self.policy = policy
        self.critic: Critic | None = None
        self.picks: list[Tensor] = []
        self.critics: list[Tensor] = []

    def reset(self, seeds: Sequence[int]) -> list[Any]:
        assert self.critic is not None
        self.picks.append(self.policy.pick.detach().clone())
        self.critics.append(weights(self.critic))
        return super().reset(seeds)


def weights(critic: Critic) -> Tensor:
    return torch.cat([p.detach().flatten() for p in critic.parameters()])


def run(
    policy: SeeingTablePolicy,
    pool: FakePool,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    resume: Path | None = None,
    data: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[Ppo, Trainer]:
    """Train, as the command does; the last checkpoint is folder/last.ckpt."""
    monkeypatch.setattr(rollouts, "EnvPool", lambda **_: pool)
    context = TrainContext(
        policy=policy, workspace=Workspace(), make_env=lambda: None, data_dir=None, run_dir=folder, seed=5, workers=0
    )  # type: ignore[arg-type]
    torch.manual_seed(0)
    module = Ppo(policy=policy, critic=Critic(width=4), **{"critic_warmup": 1, **options})  # type: ignore[arg-type]
    if isinstance(pool, WatchedPool):
        pool.critic = module.critic
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
    episodes = EpisodeData(context=context, critic=module.critic, **(data or {}))
    trainer.fit(module, episodes, ckpt_path=resume, weights_only=True)
    return module, trainer


def test_training_finds_the_pixel_that_pays_and_logs_what_people_expect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, pool = SeeingTablePolicy(seed=0), FakePool(pays=center)
    assert probability(policy) < 0.3
    module, trainer = run(policy, pool, tmp_path, monkeypatch, iterations=25, lr=0.2, critic_lr=0.02, kl_coef=0.0)
    assert probability(policy) > 0.8
    assert trainer.current_epoch == len(pool.seeds) == 25
    assert pool.closed
    assert {
        "rollout/episodic_return",
        "rollout/success",
        "losses/policy_loss",
        "losses/value_loss",
        "losses/explained_variance",
        "losses/kl",
        "losses/approx_kl",
        "losses/clipfrac",
        "losses/entropy_pick",
        "losses/entropy_place",
        "losses/grad_norm",
        "charts/environment_steps",
        "charts/learning_rate",
        "charts/SPS",
    } <= set(trainer.callback_metrics)
    assert torch.equal(module.reference.pick, SeeingTablePolicy(seed=0).pick)  # type: ignore[arg-type]
    assert module.policy.encoder.frozen


def test_one_step_makes_a_rewarded_action_likelier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = SeeingTablePolicy(seed=0)
    before = probability(policy)
    data = {"update_epochs": 1, "minibatch_episodes": 128}
    options: dict[str, Any] = {"iterations": 1, "critic_warmup": 0, "lr": 0.05, "warmup_steps": 0}
    module, trainer = run(policy, FakePool(pays=center), tmp_path, monkeypatch, data=data, **options)
    assert trainer.global_step == module.policy_steps == 1
    assert probability(policy) > 1.05 * before


def test_while_the_critic_warms_up_the_policy_stays_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = SeeingTablePolicy(seed=0)
    pool = WatchedPool(policy, pays=center)
    options: dict[str, Any] = {"critic_warmup": 2, "lr": 0.1, "warmup_steps": 0}
    run(policy, pool, tmp_path, monkeypatch, iterations=4, **options)
    start = SeeingTablePolicy(seed=0).pick
    assert [torch.equal(picks, start) for picks in pool.picks] == [True, True, True, False]
    assert all(not torch.equal(a, b) for a, b in zip(pool.critics, pool.critics[1:], strict=False))


def test_the_policys_rate_rises_from_its_own_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"critic_warmup": 3, "lr": 0.1, "warmup_steps": 9, "anneal_lr": False}
    data = {"update_epochs": 1, "minibatch_episodes": 128}  # one step an iteration
    _, trainer = run(
        SeeingTablePolicy(), FakePool(pays=center), tmp_path, monkeypatch, iterations=4, data=data, **options
    )
    assert trainer.callback_metrics["charts/learning_rate"].item() == pytest.approx(0.01)  # a tenth, not four


def test_the_critic_learns_what_the_policy_is_worth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = SeeingTablePolicy(seed=0)
    pool = FakePool(pays=lambda pick: int(pick[1]) == 0)
    options: dict[str, Any] = {"iterations": 10, "critic_warmup": 9, "lr": 1e-6, "critic_lr": 0.01}
    module, trainer = run(policy, pool, tmp_path, monkeypatch, **options)
    worth = policy.pick.softmax(0).view(3, 3)[:, 0].sum().item()
    maps = torch.tensor([0.0, 0.0, 0.5]).view(1, 3, 1, 1).expand(1, 3, 3, 3)
    assert module.critic(maps).item() == pytest.approx(worth, abs=0.1)
    assert trainer.callback_metrics["losses/value_loss"] < 0.25


def test_the_kl_holds_the_policy_near_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    for kl_coef in (0.0, 10.0):
        policy = SeeingTablePolicy(seed=0)
        run(policy, FakePool(pays=center), tmp_path, monkeypatch, iterations=10, lr=0.1, kl_coef=kl_coef)
        moved.append((policy.pick.softmax(0) - SeeingTablePolicy(seed=0).pick.softmax(0)).abs().sum().item())
    assert moved[1] < 0.5 * moved[0]


def test_updates_stop_for_an_iteration_where_the_policy_went_too_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    for target_kl in (None, 1e-9):
        policy = SeeingTablePolicy(seed=0)
        options: dict[str, Any] = {"iterations": 3, "lr": 0.1, "target_kl": target_kl}
        module, trainer = run(policy, FakePool(pays=center), tmp_path, monkeypatch, **options)
        steps.append(module.policy_steps)
        assert trainer.current_epoch == 3
    # 8 minibatches in each of 2 iterations. The first of each has a KL of 0, as nothing moved before it.
    assert steps == [16, 2]


@pytest.mark.parametrize("critic_warmup", [0, 1, 2])
@pytest.mark.parametrize("changes", [{}, {"target_kl": 1e-3, "data": {"norm_adv": True, "minibatch_episodes": 20}}])
def test_a_resumed_run_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], critic_warmup: int
) -> None:
    # The rate must not depend on where the first part stops.
    options: dict[str, Any] = {"lr": 0.05, "anneal_lr": False, "critic_warmup": critic_warmup, **changes}
    whole, whole_pool = SeeingTablePolicy(seed=0), FakePool(pays=center, max_steps=2)
    unbroken, _ = run(whole, whole_pool, tmp_path / "whole", monkeypatch, iterations=5, **options)
    first, first_pool = SeeingTablePolicy(seed=0), FakePool(pays=center, max_steps=2)
    run(first, first_pool, tmp_path / "part", monkeypatch, iterations=3, **options)
    second, second_pool = SeeingTablePolicy(seed=0), FakePool(pays=center, max_steps=2)
    resume = tmp_path / "part" / "last.ckpt"
    resumed, _ = run(second, second_pool, tmp_path / "rest", monkeypatch, resume=resume, iterations=5, **options)
    assert torch.equal(whole.pick, second.pick)
    assert torch.equal(whole.place, second.place)
    assert torch.equal(weights(unbroken.critic), weights(resumed.critic))
    assert not torch.equal(first.pick, second.pick)
    assert first_pool.seeds + second_pool.seeds == whole_pool.seeds  # no rollout is made and thrown away
    assert resumed.environment_steps == unbroken.environment_steps
    assert resumed.policy_steps == unbroken.policy_steps


def test_a_complete_run_that_is_resumed_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = SeeingTablePolicy(seed=0)
    run(policy, FakePool(pays=center), tmp_path, monkeypatch, iterations=2)
    again = SeeingTablePolicy(seed=0)
    run(again, FakePool(pays=center), tmp_path / "b", monkeypatch, resume=tmp_path / "last.ckpt", iterations=2)
    assert torch.equal(again.pick, policy.pick)


def test_a_policy_that_never_succeeds_is_refused_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroSuccessError, match=r"128 episodes.*algorithm=bc.*allow_zero_success=true"):
        run(SeeingTablePolicy(), FakePool(pays=lambda _: False), tmp_path, monkeypatch, iterations=2)


def test_the_refusal_can_be_lifted_and_nothing_then_moves_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, pool = SeeingTablePolicy(seed=0), FakePool(pays=lambda _: False)
    _, trainer = run(policy, pool, tmp_path, monkeypatch, iterations=3, allow_zero_success=True)
    assert trainer.current_epoch == 3
    # An untrained critic expects 0, which is what came: only the KL is left, whose gradient is 0 at the start.
    assert (policy.pick - SeeingTablePolicy(seed=0).pick).abs().max() < 1e-2


class Shifty(SeeingTablePolicy):
    """Scores actions otherwise when gradients are on, as dropout or batch statistics would."""

    def factors(self, encoded: Any, picks: Any) -> Any:
        factors = super().factors(encoded, picks)
        return replace(factors, pick=factors.pick + 0.01) if torch.is_grad_enabled() else factors


@pytest.mark.parametrize("critic_warmup", [0, 1])
def test_a_policy_that_acts_otherwise_than_it_scores_is_found_at_its_first_minibatch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, critic_warmup: int
) -> None:
    options: dict[str, Any] = {"iterations": 2, "critic_warmup": critic_warmup}
    with pytest.raises(RuntimeError, match=r"ratio of the first minibatch.*pick_log_prob"):
        run(Shifty(), FakePool(pays=center), tmp_path, monkeypatch, **options)


def test_episodes_of_several_decisions_are_learnt_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, pool = SeeingTablePolicy(seed=0), FakePool(pays=center, max_steps=2)
    before = probability(policy)
    run(policy, pool, tmp_path, monkeypatch, iterations=15, lr=0.2, kl_coef=0.0)
    assert probability(policy) > before + 0.1


def test_a_warm_up_that_leaves_no_iteration_for_the_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer iterations than there are in all"):
        Ppo(policy=SeeingTablePolicy(), critic=Critic(width=4), iterations=2, critic_warmup=2)  # type: ignore[arg-type]
