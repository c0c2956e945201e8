"""What rewards need of an encoder: where pictures look like what a sentence names.

Knows encoders, pictures and sentences, not what is made of them. Axis letters: N pictures, S sentences, D feature
size, h w rows and columns of the dense features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from robo_rlft.language.phrases import find_phrases


class SeeingAndReading(Protocol):
    """What of an encoder is needed; `robo_rlft.models.clip.ClipEncoder` has it."""

    def dense(self, color: Tensor, *, pixel_size: float | None = None) -> Tensor: ...

    def text(self, phrases: Sequence[str]) -> Tensor: ...

    def freeze(self) -> None: ...


@torch.no_grad()
def see(encoder: SeeingAndReading, color: Tensor, *, pixel_size: float, at_once: int = 8) -> Tensor:
    """Return the dense features (N, D, h, w), float32 unit vectors, of pictures uint8 (N, 3, H, W)."""
    parts = torch.split(color, at_once)
    return torch.cat([encoder.dense(part, pixel_size=pixel_size) for part in parts]).float()


@torch.no_grad()
def read(encoder: SeeingAndReading, sentences: Sequence[str]) -> Tensor:
    """Return the features (S, 2, D) of what each sentence names to pick, and where to place it.

    Raises:
        InstructionError: A sentence names no such things.
    """
    found = [find_phrases(sentence) for sentence in sentences]
    texts = [text for phrases in found for text in (phrases.pick, phrases.place)]
    unique = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    features = encoder.text(list(unique))[[unique[text] for text in texts]]
    return features.view(len(found), 2, -1).float()
