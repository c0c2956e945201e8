"""The live line of a training run."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

from robo_rlft.commands.console import ProgressLine

# What a line tells, the first of these that a run logs, and how it is called there.
_FIGURES = (("rollout/success", "success"), ("val/accuracy", "accuracy"), ("val/nll", "validation nll"))


class TrainingProgress(Callback):
    """Shows how much is done, how well it goes and when it ends."""

    def __init__(self, console: Console, title: str) -> None:
        self._line = ProgressLine(console, title)
        self._open = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the line."""
        self._line.__enter__()
        self._open = True

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Say how far it is."""
        done, total = extent(trainer, pl_module)
        self._line.update(done, total, figures(trainer))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the line, leaving its last state."""
        if self._open:
            self._line.update(*extent(trainer, pl_module), figures(trainer))
            self._line.__exit__(None, None, None)
            self._open = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the line when training fails or is stopped."""
        if self._open:
            self._line.__exit__(type(exception), exception, None)
            self._open = False


def extent(trainer: Trainer, module: LightningModule) -> tuple[int, int]:
    """Return how many steps or iterations are done, and how many there will be."""
    if isinstance(getattr(module, "iterations", None), int):
        total = int(getattr(module, "iterations", 0))
        return min(trainer.current_epoch + (1 if trainer.is_last_batch else 0), total), total
    own = getattr(module, "max_steps", None)
    if isinstance(own, int):
        return trainer.global_step, own if trainer.max_steps < 0 else min(own, trainer.max_steps)
    if trainer.max_steps > 0:
        return trainer.global_step, trainer.max_steps
    return trainer.current_epoch, max(trainer.max_epochs or 0, trainer.current_epoch)


def figures(trainer: Trainer) -> str:
    """Return the figure that tells most, in words; the loss where there is none."""
    metrics = trainer.callback_metrics
    for name, words in (*_FIGURES, ("train/loss", "loss")):
        if name in metrics:
            return f"{words} {float(metrics[name]):.3f}"
    return ""
