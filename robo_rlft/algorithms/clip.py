"""Training CLIP on captioned renders: every point of a picture is told in words what lies there.

The loss is CLIP's (Radford et al. 2021), at points instead of whole pictures: cross-entropy of scaled cosines between
the point's feature and the captions of all classes, with one more answer, "nothing", whose cosine is learned. So the
table's cosines with every phrase fall below that of nothing, and an object's cosine with its own phrase rises above it.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from robo_rlft.algorithms.clip_figures import ClipFigures, fit_presence, measure
from robo_rlft.algorithms.schedules import with_warmup_cosine
from robo_rlft.data.caption_batches import CaptionBatch, SceneBatch
from robo_rlft.language.vocabulary import SHAPES
from robo_rlft.models.clip import ClipEncoder


class ClipPretraining(LightningModule):
    """Trains an encoder; `encoder` is the result, frozen and calibrated after every measurement.

    Args:
        encoder: what to train.
        lr: the highest learning rate, after the warm-up; it falls to zero along a cosine.
        weight_decay: of weights, not of biases or norms.
        max_steps: gradient steps; 1200 take about eight minutes of one core.
        warmup_steps: steps over which the rate rises linearly.
        scale: factor on cosines. Fixed, so that cosines themselves must tell things apart: the policy adds them to its
            logits, times a number of this size.
        partial_weight: weight of captions that name a colour or a shape only.
        max_grad_norm: gradients are scaled down to this norm.
    """

    def __init__(
        self,
        *,
        encoder: ClipEncoder,
        lr: float = 3e-3,
        weight_decay: float = 0.02,
        max_steps: int = 1200,
        warmup_steps: int = 50,
        scale: float = 16.0,
        partial_weight: float = 0.3,
        max_grad_norm: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.lr, self.weight_decay = lr, weight_decay
        self.max_steps, self.warmup_steps = max_steps, warmup_steps
        self.scale, self.partial_weight, self.max_grad_norm = scale, partial_weight, max_grad_norm
        self.nothing = nn.Parameter(torch.tensor(0.3))
        self.figures: ClipFigures | None = None
        self._maps: list[tuple[Tensor, Tensor, Tensor]] = []
        self._train_after = False

    def on_train_start(self) -> None:
        self.encoder.unfreeze()
        self.train()

    def on_train_batch_end(self, outputs: Any, batch: CaptionBatch, batch_idx: int) -> None:
        """Stop after `max_steps`, whatever the trainer's own limits are."""
        if self.trainer.global_step >= self.max_steps:
            self.trainer.should_stop = True

    def on_train_end(self) -> None:
        self.encoder.freeze()

    def training_step(self, batch: CaptionBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        features = sample_features(self.encoder.dense(batch.color), batch.point, batch.color)
        texts = self.encoder.text([*batch.captions, *batch.color_captions, *batch.shape_captions])
        first, second = len(batch.captions), len(batch.captions) + len(batch.color_captions)
        full, colors, shapes = texts[:first], texts[first:second], texts[second:]
        label = batch.label.flatten()
        table = label == len(full)
        # CLASSES run through the shapes of one colour, then those of the next.
        color = torch.where(table, len(colors), label // len(SHAPES))
        shape = torch.where(table, len(shapes), label % len(SHAPES))
        loss = self._loss(features, full, label)
        partial = self._loss(features, colors, color) + self._loss(features, shapes, shape)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/partial_loss", partial)
        total: Tensor = loss + self.partial_weight * partial
        return total

    def _loss(self, features: Tensor, texts: Tensor, target: Tensor) -> Tensor:
        cosine = features @ texts.T
        nothing = self.nothing.expand(len(cosine), 1)
        return F.cross_entropy(self.scale * torch.cat([cosine, nothing], dim=1), target)

    def on_validation_epoch_start(self) -> None:
        self._train_after = not self.encoder.frozen
        self.encoder.freeze()
        self._maps = []

    def validation_step(self, batch: SceneBatch, batch_idx: int) -> None:
        """Keep the similarity maps of every class, (B, K, h, w), in canonical words and in others."""
        features = self.encoder.dense(batch.color)
        maps = [
            torch.einsum("bdhw,kd->bkhw", features, self.encoder.text(words))
            for words in (batch.captions, batch.synonyms)
        ]
        self._maps.append((maps[0], maps[1], batch.label))

    def on_validation_epoch_end(self) -> None:
        canonical, synonyms, label = (torch.cat(parts).cpu() for parts in zip(*self._maps, strict=True))
        self._maps = []
        self.figures = measure(canonical, synonyms, label)
        scale, bias = fit_presence(canonical, label)
        self.encoder.presence_scale.fill_(scale)
        self.encoder.presence_bias.fill_(bias)
        self.log_dict({f"val/{name}": value for name, value in self.figures.as_dict().items()})
        if self._train_after:
            self.encoder.unfreeze()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW with a linear warm-up and a cosine to zero."""
        self.encoder.unfreeze()
        parameters = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.lr, betas=(0.9, 0.98))
        return with_warmup_cosine(optimizer, warmup_steps=self.warmup_steps, max_steps=self.max_steps)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Scale gradients down to `max_grad_norm`."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.max_grad_norm)
        self.log("train/grad_norm", norm)
        self.log("charts/learning_rate", float(optimizer.param_groups[0]["lr"]))


def sample_features(features: Tensor, point: Tensor, picture: Tensor) -> Tensor:
    """Return features at points, bilinear, (B P, D).

    Cosines are linear in these, so what is trained is what an upsampled similarity map shows at that pixel.

    Args:
        features: (B, D, h, w).
        point: (B, P, 2), pixel (row, column) in the picture.
        picture: (..., H, W), what the features are of.
    """
    rows, columns = picture.shape[-2:]
    limits = point.new_tensor([columns, rows])
    grid = (point.flip(-1) + 0.5) / limits * 2.0 - 1.0  # x before y, as grid_sample wants
    sampled = F.grid_sample(features, grid[:, :, None], align_corners=False, padding_mode="border")
    return sampled[..., 0].transpose(1, 2).flatten(0, 1)
