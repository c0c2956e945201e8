"""PPO: policy gradients from single episodes with a critic as the baseline, for scenes that cannot be put back.

Schulman et al. 2017, "Proximal policy optimization algorithms". Knows minibatches of decisions with advantages and
returns, not how they were rolled out. There is no bonus for entropy: over the 50,000 places and turns of a scene it
spreads a policy out before any reward is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer

from robo_rlft.algorithms.episodes import EpisodeBatch, EpisodeStats, seen
from robo_rlft.algorithms.gae import value_loss
from robo_rlft.algorithms.groups import GroupBatch, Stats
from robo_rlft.algorithms.policy_gradient import PolicyGradient, ZeroSuccessError
from robo_rlft.algorithms.rollouts import iterations_done
from robo_rlft.models.critic import Critic
from robo_rlft.policies.transporter import TransporterPolicy


class Ppo(PolicyGradient):
    """Policy gradients with generalized advantages from a critic of its own, see `PolicyGradient`.

    The critic shares no weight with the policy, so that its errors do not move what the policy sees. In the first
    iterations it learns alone: a baseline that knows nothing yet costs the policy more than it gives.

    Args:
        policy: is trained in place.
        critic: likewise; it is kept in checkpoints, not in the policy's file.
        iterations: of rollout and update, those in which the critic learns alone included.
        critic_warmup: of these, the first ones, in which the policy stands still.
        lr: Adam's for the policy, after the warm-up.
        critic_lr: Adam's for the critic.
        anneal_lr: let the policy's rate fall linearly to 0 over the iterations.
        warmup_steps: the policy's gradient steps over which its rate rises linearly.
        kl_coef: weight of the KL to the policy at the start.
        clip_coef: how far a factor's ratio may leave 1 before its gradient stops.
        vf_coef: weight of the critic's loss. As the critic has an Adam and a limit of the gradient for itself, it
            matters for that limit alone; `critic_lr` is what makes it learn faster.
        target_kl: leave out an iteration's remaining updates from the first minibatch on whose `approx_kl` is above
            this; None: never.
        max_grad_norm: gradients of the policy, and of the critic, are scaled down to this norm.
        allow_zero_success: go on even if no episode of the first iteration was worth more than another.
    """

    def __init__(
        self,
        *,
        policy: TransporterPolicy,
        critic: Critic,
        iterations: int = 60,
        critic_warmup: int = 2,
        lr: float = 5e-4,
        critic_lr: float = 1e-3,
        anneal_lr: bool = True,
        warmup_steps: int = 10,
        kl_coef: float = 0.02,
        clip_coef: float = 0.2,
        vf_coef: float = 0.5,
        target_kl: float | None = None,
        max_grad_norm: float = 1.0,
        allow_zero_success: bool = False,
    ) -> None:
        super().__init__(
            policy=policy,
            iterations=iterations,
            lr=lr,
            anneal_lr=anneal_lr,
            warmup_steps=warmup_steps,
            kl_coef=kl_coef,
            clip_coef=clip_coef,
            max_grad_norm=max_grad_norm,
            allow_zero_success=allow_zero_success,
        )
        if not 0 <= critic_warmup < iterations:
            raise ValueError(
                "critic_warmup: expected fewer iterations than there are in all, so that the policy learns too, got "
                f"{critic_warmup} of {iterations}"
            )
        self.critic = critic
        self.critic_warmup = critic_warmup
        self.critic_lr = critic_lr
        self.vf_coef = vf_coef
        self.target_kl = target_kl
        self._policy_steps = 0
        self._far = False  # the present iteration's policy is beyond target_kl

    @property
    def policy_steps(self) -> int:
        """How many gradient steps the policy has made."""
        return self._policy_steps

    @property
    def warming_up(self) -> bool:
        """Whether the critic learns alone."""
        return iterations_done(self.trainer) < self.critic_warmup

    def training_step(self, batch: GroupBatch, batch_idx: int) -> Tensor:
        """Return the loss of a minibatch (B, 1): the critic's, and the policy's unless it stands still."""
        assert isinstance(batch, EpisodeBatch)
        if self._far:
            return self._nothing()
        objective = None if self.warming_up else self.objective(batch)
        if objective is not None and self.target_kl is not None:
            self._far = bool(objective.approx_kl > self.target_kl)
            if self._far:
                return self._nothing()
        encoded = self.policy.encode(batch.observation) if batch.encoded is None else batch.encoded
        of_values = value_loss(self.critic(seen(encoded)), batch.returns)
        self.log("losses/value_loss", of_values, on_step=False, on_epoch=True, batch_size=len(batch.returns))
        if objective is None:
            return self.vf_coef * of_values
        self._policy_steps += 1
        return objective.loss + self.vf_coef * of_values

    def _nothing(self) -> Tensor:
        """Return a loss without a gradient: Adam leaves alone what has none, and Lightning counts the minibatch."""
        return torch.zeros((), device=self.device, requires_grad=True)

    def on_train_epoch_start(self) -> None:
        """Begin an iteration."""
        self._far = False
        super().on_train_epoch_start()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the counters."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["policy_steps"] = self._policy_steps

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Load the counters."""
        super().on_load_checkpoint(checkpoint)
        self._policy_steps = int(checkpoint["policy_steps"])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return Adam with a rate for the policy, which rises and falls, and one for the critic, which stays."""
        weights = [p for p in self.policy.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(
            [{"params": weights, "lr": self.lr}, {"params": list(self.critic.parameters()), "lr": self.critic_lr}]
        )
        rates = [lambda _: self.rate(self.policy_steps), lambda _: 1.0]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rates)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Scale the policy's gradients down to `max_grad_norm`, and the critic's for themselves."""
        if self._far:
            return
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        torch.nn.utils.clip_grad_norm_(self.critic.parameters(), self.max_grad_norm)

    def check_success(self, stats: Stats) -> None:
        """Raise `ZeroSuccessError` if no episode succeeded and none was worth more than another."""
        assert isinstance(stats, EpisodeStats)
        if stats.success > 0.0 or stats.returns_differ:
            return
        raise ZeroSuccessError(
            f"expected a policy that succeeds at least now and then, but none of its first {stats.rollouts} episodes "
            "did, and all of them came to the same: there is nothing to reinforce. Start from a better policy "
            "(init=FILE of one trained with algorithm=bc, on more demonstrations or with wider labels), roll out more "
            "(algorithm.data.episodes), or go on regardless with algorithm.allow_zero_success=true"
        )
