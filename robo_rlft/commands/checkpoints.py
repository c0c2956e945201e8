"""Checkpoints of a training run, from which the same command goes on: whole files or none, one an epoch.

A checkpoint is read only from the run's own folder, and only as plain tensors and values.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from robo_rlft.evaluation.files import write_bytes

LAST = "last.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, to the disk, then in its place.

    Lightning's own stages the file in the temporary directory, and copies it where that is another file system: a kill
    during the copy leaves half a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint, whole or not at all; errors of the file system are raised."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(Path(path), buffer.getvalue())


class KeepLast(Callback):
    """Saves the state after every epoch, in place of the one before.

    Args:
        folder: Of the checkpoints.
        every: Epochs between two of them; the last epoch is always saved.
    """

    def __init__(self, *, folder: Path, every: int = 1) -> None:
        self._folder, self._every = folder, every

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save when it is time."""
        if (trainer.current_epoch + 1) % self._every == 0 or trainer.should_stop:
            trainer.save_checkpoint(self._folder / LAST)
            for logger in trainer.loggers:
                logger.save()


def last_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that a run goes on from, if there is one."""
    path = folder / LAST
    return path if path.exists() else None


Restore = Callable[[LightningModule], None]
