"""Behaviour cloning: make the policy likely to do what was demonstrated.

Knows batches of demonstrated decisions, not where they come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer

from robo_rlft.algorithms.losses import pixel_label, rotation_label, soft_cross_entropy
from robo_rlft.algorithms.schedules import with_warmup_cosine
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.records import PickPlace, Transition


class BehaviorCloning(LightningModule):
    """Cross-entropy of the pick map, and of the place maps at the demonstrated pick, with blurred labels.

    Labels of a single pixel teach over-confidence, from which RL cannot start. Where turns are known to come to the
    same (`Transition.symmetry`), each is labelled, at the same place: see `rotation_label`. The weights with the least
    validation loss are the ones that stay; without validation data, the last.

    Args:
        policy: is trained in place.
        lr: AdamW's, after the warm-up.
        weight_decay: AdamW's.
        max_steps: gradient steps; the learning rate falls to zero over them along a cosine.
        warmup_steps: steps over which the learning rate rises linearly.
        pick_sigma: blur of the pick's label, pixels.
        place_sigma: blur of the place's label, pixels.
        rotation_sigma: blur of the rotation's label, bins; 0 is exact.
        max_grad_norm: gradients are scaled down to this norm.
        patience: validations without improvement after which training stops; None never stops early.
        train_encoder: train the encoder too, end to end.
    """

    def __init__(
        self,
        *,
        policy: TransporterPolicy,
        lr: float = 1e-3,
        weight_decay: float = 1e-4,
        max_steps: int = 300,
        warmup_steps: int = 10,
        pick_sigma: float = 1.0,
        place_sigma: float = 1.0,
        rotation_sigma: float = 0.0,
        max_grad_norm: float = 1.0,
        patience: int | None = None,
        train_encoder: bool = False,
    ) -> None:
        super().__init__()
        self.policy = policy
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_steps = max_steps
        self.warmup_steps = warmup_steps
        self.pick_sigma = pick_sigma
        self.place_sigma = place_sigma
        self.rotation_sigma = rotation_sigma
        self.max_grad_norm = max_grad_norm
        self.patience = patience
        self.best_nll = math.inf
        self.validations_since_best = 0
        self._best: dict[str, Tensor] | None = None
        if train_encoder:
            policy.encoder.unfreeze()  # type: ignore[attr-defined]  # not of the Protocol
        else:
            policy.encoder.freeze()

    def training_step(self, batch: Transition, batch_idx: int) -> Tensor:
        """Return the blurred cross-entropy of a batch (B,)."""
        pick_loss, place_loss = self.losses(batch)
        loss = pick_loss + place_loss
        size = len(batch.reward)
        self.log("train/loss", loss, prog_bar=True, batch_size=size)
        self.log("train/pick_loss", pick_loss, batch_size=size)
        self.log("train/place_loss", place_loss, batch_size=size)
        return loss

    def losses(self, batch: Transition) -> tuple[Tensor, Tensor]:
        """Return the mean cross-entropies of the pick and of the place with its rotation; scalars."""
        action = batch.action
        factors = self.policy.factors(self.policy.encode(batch.observation), action.pick)
        pick, place = factors.pick, factors.place[:, 0]  # (B, H, W) and (B, R, H, W)
        shape = (pick.shape[1], pick.shape[2])
        pick_label = pixel_label(action.pick, shape, sigma=self.pick_sigma)
        turn = rotation_label(action.rotation, place.shape[1], sigma=self.rotation_sigma, symmetry=batch.symmetry)
        place_label = turn[:, :, None, None] * pixel_label(action.place, shape, sigma=self.place_sigma)[:, None]
        return soft_cross_entropy(pick, pick_label).mean(), soft_cross_entropy(place, place_label).mean()

    def validation_step(self, batch: Transition, batch_idx: int) -> None:
        """Log the exact negative log-likelihood of what was demonstrated, equal turns taken together."""
        action = batch.action
        factors = self.policy.factors(self.policy.encode(batch.observation), action.pick)
        scores = factors.scores(action[:, None])[:, 0]
        log_prob = scores.pick_log_prob + equal_turns_log_prob(factors.place[:, 0], action, batch.symmetry)
        possible = log_prob > -1e4  # a demonstrator's slip may be an action that the mask rules out
        nll = -log_prob[possible].mean() if possible.any() else log_prob.new_zeros(())
        self.log("val/nll", nll, prog_bar=True, batch_size=max(1, int(possible.sum())))
        self.log("val/pick_entropy", scores.pick_entropy.mean(), batch_size=len(possible))
        self.log("val/place_entropy", scores.place_entropy.mean(), batch_size=len(possible))

    def on_train_epoch_start(self) -> None:
        """Log what a data module that acts has come to."""
        told = getattr(getattr(self.trainer, "datamodule", None), "told", None)
        if told:
            self.log_dict(told, on_step=False, on_epoch=True, batch_size=1)

    def on_validation_epoch_end(self) -> None:
        """Keep the weights where they are the best so far; stop where they have not been for long."""
        if self.trainer.sanity_checking:
            return
        nll = float(self.trainer.callback_metrics["val/nll"])
        if nll < self.best_nll:
            self.best_nll, self.validations_since_best = nll, 0
            self._best = {name: value.detach().clone() for name, value in self._trained().items()}
        else:
            self.validations_since_best += 1
            if self.patience is not None and self.validations_since_best >= self.patience:
                self.trainer.should_stop = True

    def on_train_batch_end(self, outputs: Any, batch: Transition, batch_idx: int) -> None:
        """Stop after `max_steps`, whatever the trainer's own limits are."""
        if self.trainer.global_step >= self.max_steps:
            self.trainer.should_stop = True

    def on_train_end(self) -> None:
        """Leave the policy with its best weights."""
        if self._best is not None:
            self.policy.load_state_dict(self._best, strict=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW with a linear warm-up and a cosine to zero."""
        parameters = [p for p in self.policy.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay)
        return with_warmup_cosine(optimizer, warmup_steps=self.warmup_steps, max_steps=self.max_steps)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Scale gradients down to `max_grad_norm`."""
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.log("train/grad_norm", norm)
        self.log("charts/learning_rate", float(optimizer.param_groups[0]["lr"]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save what early stopping remembers."""
        checkpoint["best"] = {
            "nll": self.best_nll,
            "validations_since": self.validations_since_best,
            "weights": self._best,
        }

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Load what early stopping remembers."""
        best = checkpoint["best"]
        self.best_nll, self.validations_since_best = best["nll"], best["validations_since"]
        self._best = best["weights"]

    def _trained(self) -> dict[str, Tensor]:
        """Return the policy's weights that training changes."""
        frozen = {name for name, p in self.policy.named_parameters() if not p.requires_grad}
        return {name: value for name, value in self.policy.state_dict().items() if name not in frozen}


def equal_turns_log_prob(place: Tensor, action: PickPlace, symmetry: Tensor) -> Tensor:
    """Return the log-probability (B,) of placing as in actions (B,), or with a turn that comes to the same.

    Args:
        place: (B, R, H, W), log-probabilities of place and rotation.
        action: what was demonstrated.
        symmetry: int64 (B,), see `rotation_label`.
    """
    rows = torch.arange(len(place), device=place.device)
    turns = place[rows, :, action.place[:, 0], action.place[:, 1]]  # (B, R)
    equal = rotation_label(action.rotation, place.shape[1], sigma=0.0, symmetry=symmetry) > 0.0
    return turns.masked_fill(~equal, -torch.inf).logsumexp(dim=1)
