"""CLIP as the policy uses it: dense image features and text features in one space, frozen by default.

Knows nothing of tasks or policies. The `clip_*` modules beside it are the only importers of open_clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robo_rlft.language.vocabulary import COLORS, SHAPES, SYNONYMS
from robo_rlft.models import clip_tokens, clip_towers, clip_weights
from robo_rlft.models.precision import resolve_precision
from robo_rlft.models.spec import Recorded

_OTHER_WORDS = ("a", "an", "the", "object", "thing", "one")  # captioned beside the vocabulary
_TABLETOP_PIXEL_SIZE = 0.00625  # metres; what captioned renders have unless their config says otherwise
_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's training images
_STD = (0.26862954, 0.26130258, 0.27577711)


class ClipEncoder(Recorded, nn.Module):
    """Image and text features of an open_clip model.

    Args:
        architecture: "tabletop", the small model of this project, or one of open_clip's ResNets and vision
            transformers.
        pretrained: "tabletop" (the shipped weights), a file, one of open_clip's tags, or None for random numbers.
        precision: of the image tower, "auto", "float32" or "bfloat16"; features are float32 always.
        pixel_size: metres per pixel that the tower is to see, see `dense`. None takes what the tabletop's weights were
            trained at, and leaves images as they are for open_clip's own models.
        download: let open_clip fetch a tag's weights from the network.

    The encoder is frozen when it is made: no gradients, normalisation statistics that never move, whatever `train()`
    says. `unfreeze` lifts both.

    Raises:
        ValueError: an unknown architecture, tag, precision or file.
        WeightsError: weights that are not on this machine.
    """

    def __init__(
        self,
        *,
        architecture: str = clip_towers.TABLETOP,
        pretrained: str | None = "tabletop",
        precision: str = "auto",
        pixel_size: float | None = None,
        download: bool = False,
    ) -> None:
        super().__init__()
        resolve_precision(precision)  # refuses unknown names
        self.architecture, self.precision = architecture, precision
        self.metadata: dict[str, Any] = {}
        state: dict[str, Tensor] | None = None
        if architecture == clip_towers.TABLETOP:
            self.model = clip_towers.build_tabletop(vocabulary_tokens())
            if pretrained is not None:
                path = clip_weights.SHIPPED if pretrained == clip_towers.TABLETOP else Path(pretrained)
                state, self.metadata = clip_weights.load_encoder(path)
        else:
            weights = None
            if pretrained is not None:
                weights = clip_weights.find_open_clip_weights(architecture, pretrained, download=download)
            self.model = clip_towers.build_open_clip(architecture, weights)
        self._register_constants()
        if state is not None:
            self.load_state_dict(state)
        if pixel_size is None and architecture == clip_towers.TABLETOP:
            pixel_size = float(self.metadata.get("pixel_size", _TABLETOP_PIXEL_SIZE))
        self.pixel_size = pixel_size
        self.dim = int(self.model.text_projection.shape[-1])
        self.stride = clip_towers.tower_stride(self.model.visual)
        self.frozen = False
        self._texts: dict[str, Tensor] = {}
        self._hash: str | None = None
        if resolve_precision(precision) is torch.bfloat16:
            self.model.visual.to(memory_format=torch.channels_last)
        self.freeze()

    def _register_constants(self) -> None:
        visual = self.model.visual
        mean, std = getattr(visual, "image_mean", None) or _MEAN, getattr(visual, "image_std", None) or _STD
        self.mean: Tensor
        self.std: Tensor
        self.presence_scale: Tensor
        self.presence_bias: Tensor
        self.register_buffer("mean", torch.tensor(mean)[:, None, None] * 255.0, persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None] * 255.0, persistent=False)
        self.register_buffer("presence_scale", torch.zeros(()))
        self.register_buffer("presence_bias", torch.zeros(()))

    # Images ---------------------------------------------------------------------------------------------------------

    def dense(self, color: Tensor, *, pixel_size: float | None = None) -> Tensor:
        """Return one unit vector per cell.

        The cells divide the whole image evenly: cell (i, j) covers rows i H / h to (i + 1) H / h, and columns likewise.
        An image that is not a multiple of the stride is resized to the nearest multiple.

        Args:
            color: RGB images, uint8 (B, 3, H, W).
            pixel_size: metres per pixel of `color`. Where it is given and the encoder has a `pixel_size` of its own,
                the image is resized to that first, as what a small encoder learned of sizes holds at one scale only.

        Returns:
            float32 (B, D, h, w); h w are the resized image's rows and columns divided by `stride`.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            image = (self._fit(color.to(self.mean.dtype), pixel_size) - self.mean) / self.std
            dtype = resolve_precision(self.precision, image.device)
            if dtype is torch.bfloat16:
                image = image.contiguous(memory_format=torch.channels_last)
            with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
                features = clip_towers.dense_features(self.model.visual, image)
            return F.normalize(features.float(), dim=1)

    def _fit(self, image: Tensor, pixel_size: float | None) -> Tensor:
        factor = pixel_size / self.pixel_size if pixel_size is not None and self.pixel_size is not None else 1.0
        size = [max(1, math.floor(n * factor / self.stride + 0.5)) * self.stride for n in image.shape[-2:]]
        if size == list(image.shape[-2:]):
            return image
        return F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)

    # Texts ----------------------------------------------------------------------------------------------------------

    def text(self, phrases: Sequence[str]) -> Tensor:
        """Return one unit vector per phrase, float32 (N, D); remembered while the encoder is frozen.

        Raises:
            InstructionError: A phrase is empty, has more tokens than the encoder reads, or holds control tokens.
        """
        if not self.frozen:
            return self._encode_text(phrases)
        missing = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._texts]
        if missing:
            with torch.no_grad():
                # One at a time: a phrase's vector must not depend on what was asked beside it.
                self._texts.update({phrase: self._encode_text([phrase])[0] for phrase in missing})
        if not phrases:
            return self.mean.new_zeros(0, self.dim)
        return torch.stack([self._texts[phrase] for phrase in phrases])

    def _encode_text(self, phrases: Sequence[str]) -> Tensor:
        ids = clip_tokens.tokenize(phrases, self.model.context_length).to(self.mean.device)
        with torch.autocast(ids.device.type, enabled=False):
            return clip_towers.text_features(self.model, ids)

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """Return the words of a text that hold a token this encoder never learned; none for open_clip's own weights."""
        table = self.model.token_embedding
        if not isinstance(table, clip_tokens.TokenTable):
            return ()
        words = [word for word in clip_tokens.split_words(text) if any(c.isalnum() for c in word)]
        return tuple(w for w in dict.fromkeys(words) if not all(table.knows(t) for t in clip_tokens.word_tokens(w)))

    def presence(self, similarity: Tensor) -> Tensor:
        """Return the probability that a thing is in the scene, from its phrase's largest cosine there; any shape.

        It was fitted on validation renders; 0.5 for an encoder where nothing was fitted.
        """
        return torch.sigmoid(self.presence_scale * similarity + self.presence_bias)

    # State ----------------------------------------------------------------------------------------------------------

    def freeze(self) -> None:
        """Stop gradients and normalisation statistics, and remember texts from now on."""
        self.requires_grad_(False)
        self.frozen = True
        self.forget()
        self.eval()

    def unfreeze(self) -> None:
        """Let gradients through; in `train()` mode normalisation statistics move too."""
        self.requires_grad_(True)
        self.frozen = False
        self.forget()

    def train(self, mode: bool = True) -> ClipEncoder:
        """Set the mode as usual; a frozen encoder stays in evaluation mode."""
        return super().train(mode and not getattr(self, "frozen", False))

    def forget(self) -> None:
        """Drop the remembered texts and hash; call it after changing weights in place."""
        self._texts = {}
        self._hash = None

    @property
    def sha256(self) -> str:
        """The SHA-256 of the weights' names and numbers, whatever file they came from."""
        if self._hash is None or not self.frozen:
            self._hash = clip_weights.state_sha256(self.state_dict())
        return self._hash

    @contextmanager
    def unfrozen(self) -> Iterator[None]:
        """Be unfrozen within a block, and frozen as before after it."""
        before = self.frozen
        self.unfreeze()
        try:
            yield
        finally:
            if before:
                self.freeze()

    def save(self, path: Path, *, metadata: dict[str, Any]) -> None:
        """Write the weights of a tabletop encoder; `metadata` are plain values to keep with them."""
        own = {
            "architecture": self.architecture,
            "pixel_size": self.pixel_size,
            "stride": self.stride,
            "dim": self.dim,
            "vocabulary": [*vocabulary_words(), *self.metadata.get("taught", {})],
        }
        clip_weights.save_encoder(self.state_dict(), path, metadata={**self.metadata, **metadata, **own})

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._texts = {}
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # of torch

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._texts, self._hash = {}, None
        super()._load_from_state_dict(*args, **kwargs)


def vocabulary_words() -> tuple[str, ...]:
    """Return every word that captions use."""
    synonyms = [word for words in SYNONYMS.values() for word in words]
    return tuple(dict.fromkeys([*COLORS, *SHAPES, *synonyms, *_OTHER_WORDS]))


def vocabulary_tokens() -> tuple[int, ...]:
    """Return the ids of every token that captions use, marks included."""
    ids = {token for word in vocabulary_words() for token in clip_tokens.word_tokens(word)}
    return tuple(sorted(ids | set(clip_tokens.special_tokens())))
