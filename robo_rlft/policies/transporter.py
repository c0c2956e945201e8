"""The transporter policy: a map of where to pick, and a correlation of where and how far turned to place.

Puts the parts of `robo_rlft.models` together over records. Knows nothing of robots, tasks or learning. Axis letters:
B scenes, K actions of one scene, D feature size, R rotations, H W rows and columns, h w those of the dense features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from robo_rlft.geometry import Workspace
from robo_rlft.models.fusion import similarity, upsample
from robo_rlft.models.heads import MapHead, PlaceHead
from robo_rlft.models.spec import Recorded
from robo_rlft.models.streams import compute_dtype, space_to_depth
from robo_rlft.policies.factors import (
    Comparison,
    FactoredDecision,
    Factors,
    check_index,
    draw,
    entropy,
    flat_pixel,
    kl_divergence,
    log_softmax,
    unflatten_pixel,
)
from robo_rlft.policies.parts import Encoded, Encoder, Fusion, PolicyMaps, Seen, Stream
from robo_rlft.policies.places import PlaceFactor, choose_places, score_places
from robo_rlft.policies.seeing import batched, check_maps, confidence, read
from robo_rlft.records import ActionScores, Observation, PickPlace, concatenate

_HEIGHT_SCALE = 0.1  # metres; heights of a table scene become of order 1
_CHANNELS = {"height": 1, "rgbd": 4}  # of what the stream sees of a scene
_SCENES = 4  # seen at once by a processor: what comes between the layers should stay in its cache


class TransporterPolicy(Recorded, nn.Module):
    """Scores pick-and-place actions for what a sentence asks; implements `robo_rlft.records.Policy`.

    An untrained policy is exactly the fusion's prior: the last layer of every head starts at zero. Nothing depends on
    the rest of a batch.

    Args:
        encoder: image and text features.
        fusion: how the two meet.
        stream: the trunk at half resolution.
        workspace: the grid of pixels.
        rotations: R, bins of the whole turn.
        picture: what the stream sees of a scene beside what the fusion gives. "height": the height map alone, so that
            colours reach it through CLIP only, and what it learns in some colours holds in others. "rgbd": red, green
            and blue too, for a camera whose depth is poor.
        crop_size: side of the square around a pick that is correlated, metres.
        place_channels: channels of that correlation.
        height_mask: picks are allowed where the height map is above this, metres; anywhere if it is nowhere.
        precision: "auto" (bfloat16 convolutions where the processor has them), "float32" (the parameters' own type) or
            "bfloat16". Logits and their normalisation are in the parameters' type always.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        fusion: Fusion,
        stream: Stream,
        workspace: Workspace,
        rotations: int = 36,
        picture: str = "height",
        crop_size: float = 0.15,
        place_channels: int = 8,
        height_mask: float = 0.005,
        precision: str = "auto",
    ) -> None:
        super().__init__()
        self.encoder, self.fusion, self.stream = encoder, fusion, stream
        self.workspace, self.rotations, self.picture = workspace, rotations, picture
        self.height_mask, self.precision = height_mask, precision
        if picture not in _CHANNELS:
            raise ValueError(f"picture is one of {', '.join(_CHANNELS)}; got {picture!r}")
        fusion.connect(dim=encoder.dim)
        stream.connect(image=4 * _CHANNELS[picture], fused=fusion.channels)
        cells = crop_cells(crop_size, workspace.pixel_size)
        self.pick_head = MapHead(width=stream.width)
        self.place_head = PlaceHead(width=stream.width, channels=place_channels, cells=cells, rotations=rotations)
        compute_dtype(precision, self._parameter)  # refuses unknown names

    # The frozen part ------------------------------------------------------------------------------------------------

    def encode(self, observation: Observation) -> Encoded:
        """Return what does not change while the encoder is frozen; one observation becomes a batch of one.

        Raises:
            InstructionError: A sentence does not name what to pick and where to place it.
            ValueError: The maps are not of the workspace's shape.
        """
        scene = batched(observation)
        check_maps(scene, self.workspace)
        like = self._parameter
        color = scene.color.to(like.device)
        parts = torch.split(color, _at_once(color))
        dense = torch.cat([self.encoder.dense(part, pixel_size=self.workspace.pixel_size) for part in parts])
        dense = dense.to(like.dtype)
        phrases, sentence = read(self.encoder, scene.instruction)
        height = scene.height.to(like)
        mask = height > self.height_mask
        mask = mask | ~mask.flatten(1).any(dim=1)[:, None, None]
        return Encoded(
            image=self._image(color, height),
            dense=dense,
            phrases=phrases.to(like),
            sentence=sentence.to(like),
            mask=mask,
            confidence=confidence(self.encoder, dense, phrases.to(like), mask),
        )

    def _image(self, color: Tensor, height: Tensor) -> Tensor:
        """Return what the stream sees of scenes (B, 3, H, W) and (B, H, W)."""
        scaled = height[:, None] / _HEIGHT_SCALE
        return scaled if self.picture == "height" else torch.cat([color.to(height.dtype) / 255.0, scaled], dim=1)

    # Maps -----------------------------------------------------------------------------------------------------------

    def pick_logits(self, encoded: Encoded) -> Tensor:
        """Return logits (B, H, W); -inf where a pick is not allowed."""
        return self._pick(self._perceive(encoded), encoded)

    def place_logits(self, encoded: Encoded, picks: Tensor) -> Tensor:
        """Return logits (B, R, H, W) for picks (B, 2), or (B, K, R, H, W) for picks (B, K, 2)."""
        logits = self._place(self._perceive(encoded), _per_scene(picks))
        return logits if picks.ndim == 3 else logits[:, 0]

    def factors(self, encoded: Encoded, picks: Tensor) -> Factors:
        """Return both factors' log-probabilities, with gradient, from one pass of the trunk.

        Args:
            encoded: (B,).
            picks: int64 (B, K, 2), or (B, 2) for K = 1.
        """
        seen = self._perceive(encoded)
        place = self._place(seen, _per_scene(picks))
        return Factors(pick=log_softmax(self._pick(seen, encoded), 2), place=log_softmax(place, 3))

    def maps(
        self, observation: Observation, pick: Tensor | None = None, *, encoded: Encoded | None = None
    ) -> PolicyMaps:
        """Return probability and similarity maps, at a pick (..., 2) or else the likeliest; without gradient."""
        with torch.no_grad():
            scene = self._encoded(observation, encoded)
            seen = self._perceive(scene)
            log_pick = log_softmax(self._pick(seen, scene), 2)
            if pick is None:
                chosen = unflatten_pixel(log_pick.flatten(1).argmax(dim=1), self.workspace.columns)
            else:
                chosen = torch.as_tensor(pick, device=log_pick.device).reshape(-1, 2)
            result = PolicyMaps(
                pick=log_pick.exp(),
                place=log_softmax(self._place(seen, chosen[:, None])[:, 0], 3).exp(),
                chosen=chosen,
                similarity=upsample(similarity(scene.dense, scene.phrases), self.workspace.shape),
                confidence=scene.confidence,
            )
        return result[0] if isinstance(observation.instruction, str) else result

    def _perceive(self, encoded: Encoded) -> Seen:
        fused = self.fusion(encoded.dense, encoded.phrases, encoded.sentence, self.workspace.shape)
        inputs = torch.cat([space_to_depth(encoded.image), fused.channels], dim=1)
        dtype = self._compute_dtype
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            features = self.stream(inputs)
        return Seen(features=features.to(inputs.dtype), fused=fused)

    def _pick(self, seen: Seen, encoded: Encoded) -> Tensor:
        rows, columns = self.workspace.shape
        logits: Tensor = self.pick_head(seen.features)[:, :rows, :columns] + seen.fused.pick
        return logits.masked_fill(~encoded.mask, -torch.inf)

    def _place(self, seen: Seen, picks: Tensor) -> Tensor:
        rows, columns = self.workspace.shape
        logits: Tensor = self.place_head(seen.features, picks, self._compute_dtype)[..., :rows, :columns]
        return logits + seen.fused.place[:, None, None]

    # Acting and scoring ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def act(
        self,
        observation: Observation | Mapping[str, Any],
        *,
        greedy: bool = False,
        samples: int | None = None,
        generator: torch.Generator | None = None,
        encoded: Encoded | None = None,
    ) -> FactoredDecision:
        """Choose actions (B,), or (B, K) with `samples=K`, from one pass of encoder and trunk.

        Args:
            observation: (B,), or one without a batch dimension, as environments give it too, which gives a decision
                without one.
            greedy: take the likeliest pick, then the likeliest place and rotation given it; else sample both.
            samples: K.
            generator: of the samples.
            encoded: of `encode`, where it is known already; the observation's pictures are not read then.
        """
        observation = Observation.of(observation)
        scene = self._encoded(observation, encoded)
        batch, count = len(scene.confidence), samples or 1
        uniform = torch.rand(2, batch, count, generator=generator, dtype=torch.float64).to(scene.confidence.device)
        size = _at_once(scene.confidence)
        starts = range(0, batch, size)
        parts = [self._decide(scene[i : i + size], uniform[:, i : i + size], greedy=greedy) for i in starts]
        decision = concatenate(parts) if len(parts) > 1 else parts[0]
        decision = decision[:, 0] if samples is None else decision
        return decision[0] if isinstance(observation.instruction, str) else decision

    def _decide(self, scene: Encoded, uniform: Tensor, *, greedy: bool) -> FactoredDecision:
        """Return decisions (B, K) by numbers (2, B, K) in [0, 1)."""
        seen = self._perceive(scene)
        log_pick = log_softmax(self._pick(seen, scene), 2).flatten(1)
        index = _choose(log_pick, uniform[0], greedy=greedy)
        picks = unflatten_pixel(index, self.workspace.columns)
        chosen = choose_places(self._places(seen, picks), uniform[1], greedy=greedy)
        place = unflatten_pixel(chosen.place, self.workspace.columns)
        pick_log_prob = log_pick.gather(1, index)
        return FactoredDecision(
            action=PickPlace(pick=picks, place=place, rotation=chosen.rotation),
            log_prob=pick_log_prob + chosen.log_prob,
            confidence=scene.confidence[:, None].expand(index.shape),
            pick_log_prob=pick_log_prob,
            place_log_prob=chosen.log_prob,
        )

    def evaluate_actions(
        self, observation: Observation, action: PickPlace, *, encoded: Encoded | None = None
    ) -> ActionScores:
        """Score actions (B,) or (B, K) for observations (B,), with gradients; one observation takes () or (K,).

        A pick that the mask forbids has log-probability -inf.

        Raises:
            ValueError: A pixel or a rotation lies outside the maps.
        """
        single = isinstance(observation.instruction, str)
        action = action[None] if single else action
        many = action.rotation.ndim == 2
        action = action if many else action[:, None]
        scores = self.compare(self._encoded(observation, encoded), action).scores
        scores = scores if many else scores[:, 0]
        return scores[0] if single else scores

    def kl(
        self,
        observation: Observation,
        reference: TransporterPolicy,
        picks: Tensor,
        *,
        encoded: Encoded | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return KL(self || reference) of the pick factor (B,) and of the place factor (B, K) at each pick (B, K, 2).

        Both are exact sums in nats, with gradients for this policy alone.
        """
        own = self._encoded(observation, encoded)
        with torch.no_grad():
            same = ("encoder", "picture", "height_mask")
            shared = all(getattr(reference, name) == getattr(self, name) for name in same)
            theirs = reference.factors(own if shared else reference.encode(observation), picks)
        return self.factors(own, picks).kl(theirs)

    def compare(self, encoded: Encoded, action: PickPlace, *, reference: TransporterPolicy | None = None) -> Comparison:
        """Score actions (B, K), with gradients, and tell how far the factors are from a reference's.

        Equal to what `factors` gives, without a map of placing in memory.

        Args:
            encoded: (B,), of this policy; the reference's, too.
            action: (B, K).
            reference: a policy with the same encoder, picture and action mask; without one the divergences are 0.

        Raises:
            ValueError: A pixel or a rotation lies outside the maps.
        """
        flat_pixel(action.pick, self.workspace.shape)  # refuses what is outside, as do the next two
        flat_pixel(action.place, self.workspace.shape)
        check_index(action.rotation, self.rotations, "rotation")
        size = 2 * _at_once(encoded.confidence)
        starts = range(0, max(1, len(encoded.confidence)), size)
        parts = [self._compare(encoded[i : i + size], action[i : i + size], reference) for i in starts]
        return concatenate(parts) if len(parts) > 1 else parts[0]

    def _compare(self, encoded: Encoded, action: PickPlace, reference: TransporterPolicy | None) -> Comparison:
        pick = flat_pixel(action.pick, self.workspace.shape)
        seen = self._perceive(encoded)
        log_pick = log_softmax(self._pick(seen, encoded), 2).flatten(1)
        pick_kl, theirs = torch.zeros_like(log_pick[:, 0]), None
        if reference is not None:
            with torch.no_grad():
                shown = reference._perceive(encoded)
                their_pick = log_softmax(reference._pick(shown, encoded), 2).flatten(1)
                theirs = reference._places(shown, action.pick)
            pick_kl = kl_divergence(log_pick, their_pick)
        places = score_places(self._places(seen, action.pick), action.place, action.rotation, reference=theirs)
        return Comparison(
            scores=ActionScores(
                pick_log_prob=log_pick.gather(1, pick),
                place_log_prob=places.log_prob,
                pick_entropy=entropy(log_pick)[:, None].expand(pick.shape),
                place_entropy=places.entropy,
            ),
            pick_kl=pick_kl,
            place_kl=places.kl,
        )

    def _places(self, seen: Seen, picks: Tensor) -> PlaceFactor:
        return PlaceFactor.of(self.place_head.parts(seen.features, picks, self._compute_dtype), seen.fused.place)

    # Small things ---------------------------------------------------------------------------------------------------

    @property
    def _parameter(self) -> Tensor:
        return self.pick_head.output.weight

    @property
    def _compute_dtype(self) -> torch.dtype:
        return compute_dtype(self.precision, self._parameter)

    def _encoded(self, observation: Observation, encoded: Encoded | None) -> Encoded:
        if encoded is None:
            return self.encode(observation)
        return encoded[None] if encoded.confidence.ndim == 0 else encoded


def crop_cells(crop_size: float, pixel_size: float) -> int:
    """Return the least odd number of half-resolution cells that covers `crop_size` metres."""
    cells = math.ceil(crop_size / (2.0 * pixel_size) - 1e-6)
    return max(1, cells + 1 - cells % 2)


def _at_once(like: Tensor) -> int:
    return max(1, len(like)) if like.is_cuda else _SCENES


def _per_scene(picks: Tensor) -> Tensor:
    return picks if picks.ndim == 3 else picks[:, None]


def _choose(log_prob: Tensor, uniform: Tensor, *, greedy: bool) -> Tensor:
    """Return indices (N, S) from log-probabilities (N, M), by `uniform` (N, S) or the likeliest."""
    if greedy:
        return log_prob.argmax(dim=1, keepdim=True).expand(uniform.shape)
    return draw(log_prob, uniform)
