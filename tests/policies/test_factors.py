from __future__ import annotations

import pytest
import torch

from robo_rlft.policies.factors import Factors, draw, entropy, flat_pixel, kl_divergence, log_softmax, unflatten_pixel
from robo_rlft.records import PickPlace


def test_entropy_counts_only_what_is_possible() -> None:
    log_prob = log_softmax(torch.tensor([[0.0, 0.0, -torch.inf, 0.0, 0.0]]), 1)
    assert torch.allclose(entropy(log_prob), torch.tensor([4.0]).log())


def test_gradients_of_entropy_and_kl_are_those_of_their_sums() -> None:
    logits = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(3, 6, dtype=torch.float64).log_softmax(1)
    assert torch.autograd.gradcheck(lambda x: entropy(x.log_softmax(1)), logits)
    assert torch.autograd.gradcheck(lambda x: kl_divergence(x.log_softmax(1), reference), logits)


def test_gradients_stay_finite_beside_a_mask() -> None:
    logits = torch.tensor([[1.0, 2.0, -torch.inf]], requires_grad=True)
    log_prob = logits.log_softmax(1)
    (entropy(log_prob) + kl_divergence(log_prob, log_prob.detach())).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_kl_is_zero_for_equals_and_as_by_hand_else() -> None:
    p, q = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    assert torch.allclose(kl_divergence(p, p), torch.zeros(1))
    # 0.5 ln(0.5 / 0.25) + 0.5 ln(0.5 / 0.75) = 0.5 (0.69315 - 0.40547)
    assert torch.allclose(kl_divergence(p, q), torch.tensor([0.14384]), atol=1e-5)


def test_draws_follow_the_distribution_and_never_the_impossible() -> None:
    prob = torch.tensor([[0.0, 0.2, 0.0, 0.5, 0.3, 0.0]])
    uniform = torch.linspace(0.0, 1.0, 10_001, dtype=torch.float64)[None, :-1]
    share = torch.bincount(draw(prob.log(), uniform)[0], minlength=6) / 10_000
    assert torch.allclose(share, prob[0], atol=1e-3)
    last = torch.tensor([[0.0, 1.0 - 2.0**-53]], dtype=torch.float64)
    assert draw(prob.log(), last).tolist() == [[1, 4]]


def test_drawing_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    log_prob, uniform = torch.randn(7, 30).log_softmax(1), torch.rand(7, 5, dtype=torch.float64)
    whole = draw(log_prob, uniform)
    monkeypatch.setattr("robo_rlft.policies.factors._CHUNK", 60)
    assert torch.equal(draw(log_prob, uniform), whole)


def test_pixels_and_indices_invert_each_other() -> None:
    index = torch.arange(12)
    assert torch.equal(flat_pixel(unflatten_pixel(index, 4), (3, 4)), index)


def test_a_pixel_beside_the_grid_is_refused_and_does_not_wrap() -> None:
    with pytest.raises(ValueError, match="column from 0 to 3"):
        flat_pixel(torch.tensor([[0, 4]]), (3, 4))


def test_a_rotation_beyond_the_bins_is_refused() -> None:
    factors = Factors(pick=torch.zeros(1, 2, 2), place=torch.zeros(1, 1, 3, 2, 2))
    zero = torch.zeros(1, 1, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="rotation from 0 to 2"):
        factors.scores(PickPlace(pick=zero, place=zero, rotation=torch.tensor([[3]])))
