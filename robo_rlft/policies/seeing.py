"""What a policy does with an observation before its own weights come in: check it, read it, see what is there.

Knows encoders and records, nothing of actions. Axis letters: B scenes, D feature size, h w rows and columns of the
dense features.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from robo_rlft.geometry import Workspace
from robo_rlft.language.instruction import check_instruction
from robo_rlft.language.phrases import Phrases, find_phrases
from robo_rlft.models.fusion import similarity
from robo_rlft.policies.parts import Encoder
from robo_rlft.records import Observation


def batched(observation: Observation) -> Observation:
    """Return observations (B,); one without a batch dimension becomes a batch of one."""
    if not isinstance(observation.instruction, str | tuple):
        check_instruction(observation.instruction)  # refuses it
    if isinstance(observation.instruction, str):
        color, height = observation.color[None], observation.height[None]
        return Observation(color=color, height=height, instruction=(observation.instruction,))
    return observation


def check_maps(scene: Observation, workspace: Workspace) -> None:
    """Refuse maps that are not of the workspace's shape, and heights that are none.

    Raises:
        ValueError: saying what was expected and what came.
    """
    expected = len(scene.instruction), *workspace.shape
    if tuple(scene.height.shape) != expected or tuple(scene.color.shape) != (expected[0], 3, *expected[1:]):
        raise ValueError(
            f"expected {expected[0]} sentences with height maps of {expected} and colours of 3 channels for the"
            f" policy's workspace, got height {tuple(scene.height.shape)} and colour {tuple(scene.color.shape)};"
            " make the environment with the policy's workspace"
        )
    bad = int((~torch.isfinite(scene.height)).sum())
    if bad:
        raise ValueError(f"expected heights in metres; got {bad} that are NaN or infinite: mend them in the driver")


def read(encoder: Encoder, sentences: str | tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Return the features (B, 2, D) of both phrases and (B, D) of the sentences; equal texts are encoded once."""
    found = [_phrases(sentence) for sentence in sentences]
    texts = [text for p, s in zip(found, sentences, strict=True) for text in (p.pick, p.place, s)]
    unique = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    features = encoder.text(list(unique))[[unique[text] for text in texts]].view(len(found), 3, -1)
    return features[:, :2], features[:, 2]


@torch.no_grad()
def confidence(encoder: Encoder, dense: Tensor, phrases: Tensor, mask: Tensor) -> Tensor:
    """Return the lesser of the probabilities that the two phrases' things are there, (B,)."""
    maps = similarity(dense, phrases)
    cells = F.adaptive_max_pool2d(mask[:, None].to(maps.dtype), maps.shape[-2:]) > 0
    best = maps.masked_fill(~cells, -1.0).flatten(2).amax(dim=2)
    return encoder.presence(best).to(maps.dtype).amin(dim=1)


@lru_cache(maxsize=4096)
def _phrases(sentence: str) -> Phrases:
    return find_phrases(sentence)
