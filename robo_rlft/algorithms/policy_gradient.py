"""What the algorithms of RL share: clipped policy gradients, anchored to the policy that they started from.

Knows minibatches of decisions with their advantages, not how these were rolled out or where the advantages come from.
"""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer

from robo_rlft.algorithms.groups import GroupBatch, Stats
from robo_rlft.algorithms.losses import approx_kl, clipfrac, clipped_surrogate, factored_kl_loss
from robo_rlft.algorithms.rollouts import FreshData, iterations_done
from robo_rlft.models.precision import resolve_precision
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.records import ActionScores


class ZeroSuccessError(RuntimeError):
    """The policy to start from never succeeds, so RL has nothing to reinforce; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What a minibatch comes to; scalars with gradient."""

    policy_loss: Tensor
    kl: Tensor  # KL(pi || reference), an unbiased estimate with an unbiased gradient
    scores: ActionScores  # (B, K), under the present policy


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a minibatch asks of the policy; scalars."""

    loss: Tensor  # with gradient
    approx_kl: Tensor  # KL(pi_old || pi), by the minibatch


class PolicyGradient(LightningModule, ABC):
    """Maximise E[return] - kl_coef KL(policy || the policy at the start).

    The objective is the sum of the clipped surrogates of the pick and of the place, less `kl_coef` times the KL. One
    epoch is one iteration: a rollout and its updates. The encoder stays frozen.

    Args:
        policy: is trained in place.
        iterations: of rollout and update.
        lr: Adam's, after the warm-up.
        anneal_lr: let the rate fall linearly to 0 over the iterations; else it stays constant.
        warmup_steps: gradient steps over which the learning rate rises linearly. Adam's first steps move every weight
            by the whole learning rate, whatever its gradient: without this the first one cost 1.8 nats of KL.
        kl_coef: weight of the KL to the policy at the start.
        clip_coef: how far a factor's ratio may leave 1 before its gradient stops.
        max_grad_norm: gradients are scaled down to this norm.
        allow_zero_success: go on even if nothing in the first iteration was worth more than the rest.
    """

    def __init__(
        self,
        *,
        policy: TransporterPolicy,
        iterations: int,
        lr: float,
        anneal_lr: bool,
        warmup_steps: int,
        kl_coef: float,
        clip_coef: float,
        max_grad_norm: float,
        allow_zero_success: bool,
    ) -> None:
        super().__init__()
        policy.encoder.freeze()
        self.policy = policy
        self.reference = frozen_copy(policy)
        self.iterations = iterations
        self.lr = lr
        self.anneal_lr = anneal_lr
        self.warmup_steps = warmup_steps
        self.kl_coef = kl_coef
        self.clip_coef = clip_coef
        self.max_grad_norm = max_grad_norm
        self.allow_zero_success = allow_zero_success
        self.environment_steps = 0  # of all rollouts so far
        self._clock = time.perf_counter()

    @abstractmethod
    def check_success(self, stats: Stats) -> None:
        """Raise `ZeroSuccessError` if the first iteration's rollouts leave nothing to reinforce."""

    @property
    def policy_steps(self) -> int:
        """How many gradient steps the policy has made."""
        return self.global_step

    def losses(self, batch: GroupBatch) -> Losses:
        """Return the terms of the loss of a minibatch (B, K)."""
        # The reference has the same encoder, which is frozen: what was encoded to act is as good for both.
        encoded = self.policy.encode(batch.observation) if batch.encoded is None else batch.encoded
        compared = self.policy.compare(encoded, batch.action, reference=self.reference)
        scores = compared.scores
        surrogate = clipped_surrogate(
            scores.pick_log_prob, batch.pick_log_prob, batch.advantage, clip_coef=self.clip_coef
        ) + clipped_surrogate(scores.place_log_prob, batch.place_log_prob, batch.advantage, clip_coef=self.clip_coef)
        return Losses(
            policy_loss=-surrogate.mean(),
            kl=factored_kl_loss(compared.pick_kl, compared.place_kl, scores.pick_log_prob, batch.pick_log_prob),
            scores=scores,
        )

    @torch.no_grad()
    def divergence(self, batch: GroupBatch) -> Tensor:
        """Return KL(policy || reference) at decisions (B, K): exact, but that the pick of the place is the sampled one.

        Its mean over picks that the policy drew is unbiased.
        """
        on_device = batch.to(self.device)
        encoded = self.policy.encode(on_device.observation) if batch.encoded is None else on_device.encoded
        compared = self.policy.compare(encoded, on_device.action, reference=self.reference)
        return compared.pick_kl[:, None] + compared.place_kl

    def training_step(self, batch: GroupBatch, batch_idx: int) -> Tensor:
        """Return the loss of a minibatch (B, K)."""
        return self.objective(batch).loss

    def objective(self, batch: GroupBatch) -> Objective:
        """Return the policy's loss of a minibatch (B, K), logged by its parts."""
        losses = self.losses(batch)
        scores = losses.scores
        if self.policy_steps == 0:
            self.check_ratio(batch, scores)
        log_prob, old_log_prob = scores.log_prob.detach(), batch.pick_log_prob + batch.place_log_prob
        pick_clipped = clipfrac(scores.pick_log_prob, batch.pick_log_prob, clip_coef=self.clip_coef)
        place_clipped = clipfrac(scores.place_log_prob, batch.place_log_prob, clip_coef=self.clip_coef)
        moved = approx_kl(log_prob, old_log_prob)
        values = {
            "losses/policy_loss": losses.policy_loss,
            "losses/kl": losses.kl,
            "losses/approx_kl": moved,
            "losses/clipfrac": (pick_clipped + place_clipped) / 2.0,
            "losses/entropy_pick": scores.pick_entropy.mean(),
            "losses/entropy_place": scores.place_entropy.mean(),
        }
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(batch.advantage))
        return Objective(loss=losses.policy_loss + self.kl_coef * losses.kl, approx_kl=moved)

    def on_train_batch_end(self, outputs: Any, batch: GroupBatch, batch_idx: int) -> None:
        """Stop after the last iteration's last minibatch, whatever the trainer's own limits are."""
        if self.trainer.is_last_batch and iterations_done(self.trainer) + 1 >= self.iterations:
            self.trainer.should_stop = True

    def on_train_start(self) -> None:
        """Do nothing where a resumed run is complete already."""
        self.trainer.should_stop = iterations_done(self.trainer) >= self.iterations

    def on_train_epoch_start(self) -> None:
        """Log the iteration's rollouts; refuse to go on from a policy that never succeeds."""
        self.policy.eval()  # as in the rollouts
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, FreshData) or data.stats is None:
            return
        stats = data.stats
        if iterations_done(self.trainer) == 0 and not self.allow_zero_success:
            self.check_success(stats)
        self.environment_steps += stats.decisions
        values = {
            **stats.figures(),
            # What the rollouts of this row cost is in: it is the budget spent, not what the policy learned from.
            "charts/environment_steps": float(self.environment_steps),
        }
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=1)

    def on_train_epoch_end(self) -> None:
        """Log the speed."""
        now = time.perf_counter()
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, FreshData) and data.stats is not None:
            self.log("charts/SPS", data.stats.decisions / (now - self._clock))
        self._clock = now

    def on_fit_start(self) -> None:
        """Start the clock, before the first rollout, and tell the data how far from its start the policy is."""
        self._clock = time.perf_counter()
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, FreshData):
            data.divergence = self.divergence

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the budget spent."""
        checkpoint["environment_steps"] = self.environment_steps

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Load the budget spent; a checkpoint from before there was one starts at 0."""
        self.environment_steps = int(checkpoint.get("environment_steps", 0))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return Adam over all but the encoder, with a linear warm-up and decay."""
        optimizer = torch.optim.Adam([p for p in self.policy.parameters() if p.requires_grad], lr=self.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def rate(self, step: int) -> float:
        """Return the share of the learning rate at a gradient step."""
        rise = min(1.0, (step + 1) / (self.warmup_steps + 1))
        return rise * (1.0 - iterations_done(self.trainer) / self.iterations) if self.anneal_lr else rise

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Scale gradients down to `max_grad_norm`."""
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.log("losses/grad_norm", norm, on_step=False, on_epoch=True, batch_size=1)
        rate = float(optimizer.param_groups[0]["lr"])
        self.log("charts/learning_rate", rate, on_step=False, on_epoch=True, batch_size=1)

    def check_ratio(self, batch: GroupBatch, scores: ActionScores) -> None:
        """Raise unless acting and learning gave the actions the same probability, before any step."""
        for name in ("pick_log_prob", "place_log_prob"):
            error = ((getattr(scores, name).detach() - getattr(batch, name)).exp() - 1.0).abs()
            worst, mean = float(error.max()), float(error.mean())
            most, most_mean = ratio_tolerance(self.policy, error.device)
            if not (worst <= most and mean <= most_mean):
                raise RuntimeError(
                    f"expected every ratio of the first minibatch to be 1 within {most:g}, {most_mean:g} in the mean, "
                    f"got one off by {worst:g}, {mean:g} in the mean, in {name}: the policy scores actions otherwise "
                    "than it acts (a mask, dropout, batch statistics or precision differ between the two)"
                )


def frozen_copy(policy: TransporterPolicy) -> TransporterPolicy:
    """Return a copy that never changes; it shares the frozen encoder."""
    reference = copy.deepcopy(policy, {id(policy.encoder): policy.encoder})
    return reference.requires_grad_(False).eval()


def ratio_tolerance(policy: TransporterPolicy, device: torch.device) -> tuple[float, float]:
    """Return how far from 1 a ratio may be for reasons of rounding alone, the worst one and in the mean.

    A graphics card's kernels round otherwise for a minibatch than for all scenes at once, which a sharp distribution
    makes much of for single actions: 0.008 and 0.0006 for insertion with 36 rotations in bfloat16 on an H100. A
    forbidden action has the ratio 0.
    """
    if resolve_precision(policy.precision, device) is not torch.bfloat16:
        worst = 1e-5 if device.type == "cpu" else 1e-2
    else:
        worst = 1e-3 if device.type == "cpu" else 0.25
    return worst, worst if device.type == "cpu" else worst / 25.0
