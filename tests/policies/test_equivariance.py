"""Turning the scene and the action together turns the maps."""

from __future__ import annotations

import torch
from torch import Tensor

from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.records import Observation
from tests.policies.fakes import SQUARE, scenes
from tests.policies.test_transporter import make


def turn(maps: Tensor) -> Tensor:
    """Turn maps (..., H, W) by +90 degrees about +z in the world, which takes +column to +row."""
    return torch.rot90(maps, -1, (-2, -1))


def turn_pixel(pixel: Tensor, side: int) -> Tensor:
    """(x, y) about the centre goes to (-y, x): column' = side - 1 - row, row' = column."""
    return torch.stack([pixel[..., 1], side - 1 - pixel[..., 0]], dim=-1)


def made_isotropic(policy: TransporterPolicy) -> TransporterPolicy:
    """Average every kernel over its four turns, and every layer at the resolution's border over the four pixels."""
    for module in policy.modules():
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3):
            weight = module.weight.data
            module.weight.data = sum(torch.rot90(weight, k, (2, 3)) for k in range(4)) / 4.0  # type: ignore[assignment]
    stem = policy.stream.stem.weight.data  # type: ignore[attr-defined]
    pixels = stem[:, :-2].unflatten(1, (-1, 4))  # but the two similarities
    stem[:, :-2] = pixels.mean(dim=2, keepdim=True).expand_as(pixels).flatten(1, 2)
    for layer in (policy.pick_head.output, policy.place_head.bias.output):
        layer.weight.data[:] = layer.weight.data.mean(dim=0, keepdim=True)
        layer.bias.data[:] = layer.bias.data.mean()  # type: ignore[union-attr]
    key = policy.place_head.key
    for data in (key.weight.data, key.bias.data):  # type: ignore[union-attr]
        phases = data.unflatten(0, (policy.place_head.channels, 4))
        data[:] = phases.mean(dim=1, keepdim=True).expand_as(phases).flatten(0, 1)
    return policy


def test_turning_scene_and_action_together_turns_the_maps() -> None:
    policy = made_isotropic(make(rotations=4).double())
    scene = scenes(SQUARE, 2, seed=4)
    turned = Observation(color=turn(scene.color), height=turn(scene.height), instruction=scene.instruction)
    encoded, encoded_turned = policy.encode(scene), policy.encode(turned)
    assert torch.allclose(policy.pick_logits(encoded_turned), turn(policy.pick_logits(encoded)), atol=1e-9)
    picks = torch.tensor([[[5, 9], [20, 13]], [[30, 1], [16, 16]]])
    place = policy.place_logits(encoded, picks)
    place_turned = policy.place_logits(encoded_turned, turn_pixel(picks, SQUARE.rows))
    assert place.std() > 0.1
    assert torch.allclose(place_turned, turn(place), atol=1e-9)
    assert not torch.allclose(place_turned, turn(place).roll(1, dims=2), atol=1e-3)  # rotations matter here


def test_turning_the_picked_things_surroundings_shifts_the_rotation_by_one_bin() -> None:
    # A query turned by +90 degrees needs one turn less to come to the same fit.
    policy = made_isotropic(make(rotations=4).double())
    seen = policy._perceive(policy.encode(scenes(SQUARE, 1)))
    head = policy.place_head
    pick = torch.tensor([[[12, 19]]])
    plain = head(seen.features, pick, torch.float64)
    queried = head.query

    class Turned(torch.nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return turn(queried(features))

    head.query = Turned()  # type: ignore[assignment]
    turned = head(seen.features, turn_pixel(pick, SQUARE.rows), torch.float64)
    assert torch.allclose(turned, plain.roll(-1, dims=2), atol=1e-9)
