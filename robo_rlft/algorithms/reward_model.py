"""Learning a reward from what people said of attempts: an ensemble, by Bradley-Terry with ties or as a classifier.

Knows labels and the reward that it trains, not how attempts were made. Stiennon et al. 2020, "Learning to summarize
from human feedback", for robots.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from robo_rlft.algorithms.preferences import accuracy, calibration, comparison_log_probs, normalised
from robo_rlft.algorithms.schedules import with_warmup_cosine
from robo_rlft.data.comparisons import ComparisonData, LabelBatch, TruePairs
from robo_rlft.models.outcomes import outcome_maps, turned
from robo_rlft.rewards.learned import Judged, LearnedReward, save_reward

_AT_ONCE = 32  # attempts that are seen at a time when all are
_WOBBLE = 0.3  # radians, the most that an attempt is turned beside half a turn


class RewardModel(LightningModule):
    """Trains a learned reward; the encoder stays as it is.

    Every member learns from its own resampling of the labels, and they begin from weights of their own: where they
    disagree, nobody was asked. The weights with the least validation loss stay; then a reward from comparisons is
    brought to mean 0 and deviation 1 on the attempts that were labelled.

    Args:
        reward: what to train; its kind must fit the labels' mode.
        lr: AdamW's, after the warm-up.
        weight_decay: AdamW's.
        max_steps: gradient steps; the learning rate falls to zero over them along a cosine.
        warmup_steps: steps over which the rate rises linearly.
        max_grad_norm: gradients are scaled down to this norm.
        turn: turn attempts by half a turn or not, and a little, and shift them, at random, both pictures alike. Not by
            any angle: on a table twice as long as wide that would turn what matters out of the picture.
        max_shift: largest shift as a share of the grid's rows and columns.
        seed: of the members' resampling and of the turns.
    """

    def __init__(
        self,
        *,
        reward: LearnedReward,
        lr: float = 2e-3,
        weight_decay: float = 1e-3,
        max_steps: int = 400,
        warmup_steps: int = 20,
        max_grad_norm: float = 1.0,
        turn: bool = True,
        max_shift: float = 0.05,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.reward = reward
        self.log_tie = nn.Parameter(torch.zeros(()))
        self.lr, self.weight_decay = lr, weight_decay
        self.max_steps, self.warmup_steps, self.max_grad_norm = max_steps, warmup_steps, max_grad_norm
        self.turn, self.max_shift, self.seed = turn, max_shift, seed
        self.best_loss = math.inf
        self._best: dict[str, Tensor] | None = None
        self._judged: Judged | None = None
        self._rows: list[Tensor] = []  # of each attempt
        self._weights = torch.ones(0, 0)  # (M, labels)
        self.figures: dict[str, Any] = {}  # what the test pairs come to

    def on_fit_start(self) -> None:
        """Look at every attempt once: the encoder is frozen."""
        data = self._data()
        expected = {"compare": "preference", "success": "success"}[data.mode]
        if self.reward.kind != expected:
            raise ValueError(
                f"algorithm.reward.kind: labels with mode={data.mode} make a reward of kind {expected}, got "
                f"{self.reward.kind}"
            )
        attempts = data.attempts
        assert attempts is not None
        first, last = self.reward.see(attempts.first), self.reward.see(attempts.last)
        self._judged = self.reward.judged(first, last, attempts.scripts)
        self._rows = [torch.nonzero(self._judged.attempt == i)[:, 0] for i in range(len(attempts.scripts))]
        generator = torch.Generator().manual_seed(self.seed)
        members = len(self.reward.judges.members)
        drawn = torch.randint(data.size, (members, data.size), generator=generator)
        counts = torch.zeros(members, data.size)
        self._weights = counts.scatter_add(1, drawn, torch.ones_like(counts)) if members > 1 else counts + 1.0

    def training_step(self, batch: LabelBatch, batch_idx: int) -> Tensor:
        """Return the mean over members of their weighted losses."""
        weights = self._weights[:, batch.number]
        losses = self.losses(batch, moved=self.turn)
        loss = ((losses * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)).mean()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.said))
        return loss

    def losses(self, batch: LabelBatch, *, moved: bool = False) -> Tensor:
        """Return every member's negative log-likelihood of every label, (M, B)."""
        values = self._values(torch.cat([batch.left, batch.right]), moved=moved)
        left, right = values.chunk(2, dim=1)
        if self.reward.kind == "success":
            said = batch.said.to(left.dtype).expand_as(left)
            return F.binary_cross_entropy_with_logits(left, said, reduction="none")
        told = comparison_log_probs(left - right, self.log_tie)  # (M, B, 3)
        return -told.gather(-1, batch.said.expand(len(told), -1)[..., None])[..., 0]

    def validation_step(self, batch: LabelBatch, batch_idx: int) -> None:
        """Log the loss of the labels that are held out."""
        losses = self.losses(batch)
        self.log("val/nll", losses.mean(), prog_bar=True, batch_size=len(batch.said))

    def on_validation_epoch_end(self) -> None:
        """Keep the weights where they are the best so far."""
        if self.trainer.sanity_checking:
            return
        loss = float(self.trainer.callback_metrics["val/nll"])
        if loss < self.best_loss:
            self.best_loss = loss
            self._best = {name: value.detach().clone() for name, value in self._trained().items()}

    def on_train_batch_end(self, outputs: Any, batch: LabelBatch, batch_idx: int) -> None:
        """Stop after `max_steps`, whatever the trainer's own limits are."""
        if self.trainer.global_step >= self.max_steps:
            self.trainer.should_stop = True

    def on_train_end(self) -> None:
        """Leave the best weights, calibrated."""
        if self._best is not None:
            self.load_state_dict(self._best, strict=False)
        assert self._judged is not None
        if self.reward.kind == "preference":
            with torch.no_grad():
                everyone = torch.split(torch.arange(len(self._rows)), _AT_ONCE)
                values = torch.cat([self._values(some) for some in everyone], dim=1)
            mean, deviation = normalised(values)
            # Of the ensemble's mean, too: members that disagree would leave it less than 1.
            together = ((values - mean[:, None]) / deviation[:, None]).mean(dim=0).std(correction=0)
            self.reward.mean = mean
            self.reward.deviation = deviation * (together if float(together) > 1e-6 else 1.0)
        test = self._data().test
        if test is not None:
            self.figures = self._measure(test)

    @torch.no_grad()
    def _measure(self, test: TruePairs) -> dict[str, Any]:
        """Return how often the ensemble's mean puts the pairs in order, and how sure the members are of theirs."""
        attempts = test.attempts
        parts = []
        for some in torch.split(torch.arange(len(attempts.scripts)), _AT_ONCE):
            seen = self.reward.see(attempts.first[some]), self.reward.see(attempts.last[some])
            parts.append(self.reward.raw(self.reward.judged(*seen, [attempts.scripts[int(i)] for i in some])))
        raw = torch.cat(parts, dim=1).double()
        scores = ((raw - self.reward.mean[:, None]) / self.reward.deviation[:, None]).mean(dim=0)
        members = raw.mean(dim=0)  # in the units in which the comparisons' probabilities are
        return {
            "test/accuracy": float(accuracy(scores[test.left] - scores[test.right], test.gap)),
            "test/pairs": len(test.gap),
            "test/calibration": vars(calibration(members[test.left] - members[test.right], test.gap)),
        }

    def save(self, folder: Path, *, metadata: Mapping[str, Any]) -> Path:
        """Write what was trained into a folder; return its file."""
        path = folder / "reward.safetensors"
        save_reward(self.reward, path, metadata={**metadata, "measured": self.figures})
        return path

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW over the judges and the tie, with a linear warm-up and a cosine to zero."""
        parameters = [*self.reward.judges.parameters(), self.log_tie]
        optimizer = torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay)
        return with_warmup_cosine(optimizer, warmup_steps=self.warmup_steps, max_steps=self.max_steps)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Scale gradients down to `max_grad_norm`."""
        torch.nn.utils.clip_grad_norm_(self.reward.judges.parameters(), self.max_grad_norm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the best weights so far."""
        checkpoint["best"] = {"loss": self.best_loss, "weights": self._best}

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Load them."""
        self.best_loss, self._best = checkpoint["best"]["loss"], checkpoint["best"]["weights"]

    def _values(self, attempts: Tensor, *, moved: bool = False) -> Tensor:
        """Return the members' raw rewards (M, B) of attempts (B,), turned and shifted at random if `moved`."""
        assert self._judged is not None
        rows = [self._rows[int(i)] for i in attempts]
        of = torch.cat([torch.full((len(some),), i) for i, some in enumerate(rows)])
        judged = Judged(
            cosines=self._judged.cosines[torch.cat(rows)], heights=self._judged.heights[attempts], attempt=of
        )
        if not moved:
            return self.reward.raw(judged)
        maps = outcome_maps(judged.cosines, judged.heights[of])
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        half = torch.randint(2, (len(attempts),), generator=generator) * math.pi
        angle = half + (2.0 * torch.rand(len(attempts), generator=generator) - 1.0) * _WOBBLE
        size = torch.tensor(maps.shape[-2:])
        shift = (2.0 * torch.rand(len(attempts), 2, generator=generator) - 1.0) * self.max_shift * size
        values: Tensor = self.reward.judges(turned(maps, angle[of], shift[of]))
        return values.new_zeros(len(values), len(attempts)).index_add(1, of, values)

    def _trained(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.state_dict().items() if not name.startswith("reward.encoder.")}

    def _data(self) -> ComparisonData:
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, ComparisonData):
            raise TypeError(f"expected ComparisonData as algorithm.data, got {type(data).__name__}")
        return data
