"""Learning rates over the steps of a training run.

Knows optimizers, nothing of losses or data.
"""

from __future__ import annotations

import math

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer


def with_warmup_cosine(optimizer: Optimizer, *, warmup_steps: int, max_steps: int) -> OptimizerLRScheduler:
    """Return what Lightning wants to know of an optimizer whose rate follows `warmup_cosine` step by step."""
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, warmup_steps=warmup_steps, max_steps=max_steps)
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def warmup_cosine(step: int, *, warmup_steps: int, max_steps: int) -> float:
    """Return the share of the learning rate at a step: a linear rise from near 0 to 1, then half a cosine to 0."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    done = min(1.0, (step - warmup_steps) / max(1, max_steps - warmup_steps))
    return 0.5 * (1.0 + math.cos(math.pi * done))
