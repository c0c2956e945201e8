from __future__ import annotations

import pytest
import torch

from robo_rlft.models.fusion import SimilarityFusion
from robo_rlft.policies.linear_probe import LinearProbePolicy
from tests.policies.fakes import SQUARE, ColorEncoder, scenes
from tests.policies.test_transporter import make


def probe(*, trained: bool = True, crop_size: float = 0.15) -> LinearProbePolicy:
    torch.manual_seed(0)
    policy = LinearProbePolicy(
        encoder=ColorEncoder(stride=1),
        fusion=SimilarityFusion(),
        workspace=SQUARE,
        rotations=4,
        crop_size=crop_size,
        precision="float32",
    )
    if trained:
        for layer in (policy.pick_head.output, policy.place_head.bias.output, policy.place_head.key):
            torch.nn.init.normal_(layer.weight, std=0.3)
    return policy.eval()


def test_an_untrained_probe_is_the_zero_shot_policy() -> None:
    scene = scenes(SQUARE, 3, seed=2)
    picks = torch.tensor([[3, 4], [10, 20], [31, 0]])
    ours, theirs = probe(trained=False), make(trained=False)
    assert torch.equal(ours.pick_logits(ours.encode(scene)), theirs.pick_logits(theirs.encode(scene)))
    assert torch.equal(ours.place_logits(ours.encode(scene), picks), theirs.place_logits(theirs.encode(scene), picks))


def test_a_pick_logit_is_linear_in_its_own_pixels_and_reads_no_others() -> None:
    policy, scene = probe(), scenes(SQUARE, 1)
    encoded = policy.encode(scene)

    def learnt(image: torch.Tensor) -> torch.Tensor:
        features = torch.cat([torch.nn.functional.pixel_unshuffle(image, 2), torch.zeros(1, 2, 16, 16)], dim=1)
        return policy.pick_head(features)

    zero, image = torch.zeros_like(encoded.image), encoded.image
    other = image.flip(-1)
    mixed = learnt(0.25 * image + 0.75 * other) - learnt(zero)
    expected = 0.25 * (learnt(image) - learnt(zero)) + 0.75 * (learnt(other) - learnt(zero))
    assert torch.allclose(mixed, expected, atol=1e-4)
    one = zero.clone()
    one[..., 8, 12] = 1.0  # of the cell of rows 8, 9 and columns 12, 13
    assert (learnt(one) != learnt(zero))[0].nonzero().tolist() == [[8, 12], [8, 13], [9, 12], [9, 13]]


def test_without_a_crop_no_turn_is_likelier_than_another_and_a_greedy_one_is_none() -> None:
    policy, scene = probe(crop_size=0.0), scenes(SQUARE, 2)
    place = policy.place_logits(policy.encode(scene), torch.tensor([[3, 4], [10, 20]]))
    assert torch.allclose(place, place[:, :1].expand_as(place), atol=1e-5)
    assert place[:, 0].flatten(1).std(dim=1).min() > 0.1
    assert policy.act(scene, greedy=True).action.rotation.tolist() == [0, 0]


def test_with_a_crop_turns_differ() -> None:
    policy, scene = probe(), scenes(SQUARE, 1)
    place = policy.place_logits(policy.encode(scene), torch.tensor([[3, 4]]))
    assert (place - place[:, :1]).abs().max() > 0.1


def test_it_learns_a_few_numbers_only() -> None:
    trained = {n: p.numel() for n, p in probe().named_parameters() if not n.startswith("encoder.")}
    # 6 inputs: the heights of 2 x 2 pixels and two similarities. Two maps of 4 outputs each, 32 key and 8 query
    # channels, each with its bias.
    assert sum(trained.values()) == 2 * (6 * 4 + 4) + (6 * 32 + 32) + (6 * 8 + 8)


@pytest.mark.parametrize("crop_size", [0.0, 0.15])
def test_every_number_gets_a_gradient_within_two_steps(crop_size: float) -> None:
    policy, scene = probe(trained=False, crop_size=crop_size), scenes(SQUARE, 2)
    action = policy.act(scene, generator=torch.Generator().manual_seed(0)).action
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        (-policy.evaluate_actions(scene, action).log_prob.sum()).backward()
        optimizer.step()
    still = [n for n, p in policy.named_parameters() if "encoder" not in n and (p.grad is None or not p.grad.any())]
    assert still == []
