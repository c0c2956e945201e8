"""The mathematics of BC and RLOO, against hand-derived numbers and against enumeration."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from robo_rlft.algorithms.losses import (
    approx_kl,
    clipfrac,
    clipped_surrogate,
    factored_kl_loss,
    leave_one_out_advantage,
    pixel_label,
    rotation_label,
    soft_cross_entropy,
)
from tests.algorithms.table_policy import PLACES, TablePolicy, actions, observations


def test_leave_one_out_advantage_is_the_return_minus_the_mean_of_the_others() -> None:
    # (1, 0, 0, 0): 1 - 0 = 1 and three times 0 - 1/3. (2, 5): 2 - 5 = -3 and 5 - 2 = 3.
    torch.testing.assert_close(
        leave_one_out_advantage(torch.tensor([[1.0, 0.0, 0.0, 0.0]])), torch.tensor([[1.0, -1 / 3, -1 / 3, -1 / 3]])
    )
    torch.testing.assert_close(leave_one_out_advantage(torch.tensor([[2.0, 5.0]])), torch.tensor([[-3.0, 3.0]]))


def test_equal_returns_give_no_advantage_and_a_constant_changes_nothing() -> None:
    assert leave_one_out_advantage(torch.full((3, 4), 0.7)).abs().max() < 1e-6
    returns = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(leave_one_out_advantage(returns + 3.0), leave_one_out_advantage(returns))


def test_a_group_of_one_has_no_baseline() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        leave_one_out_advantage(torch.ones(4, 1))


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        # d(ratio A)/d(log_prob) = ratio A where the clip does not hold, else 0.
        (1.0, 2.0, 2.0, 2.0),
        (1.1, 2.0, 2.2, 2.2),
        (1.5, 2.0, 2.4, 0.0),  # 1.2 * 2: nothing to gain from more
        (0.5, 2.0, 1.0, 1.0),  # the smaller of 0.5 * 2 and 0.8 * 2: pulled back up
        (1.5, -2.0, -3.0, -3.0),  # the smaller of -3 and -2.4: pushed down
        (0.5, -2.0, -1.6, 0.0),  # 0.8 * -2
    ],
)
def test_the_surrogate_is_clipped_on_the_side_of_gain(
    ratio: float, advantage: float, value: float, slope: float
) -> None:
    log_prob = torch.tensor(math.log(ratio), requires_grad=True)
    surrogate = clipped_surrogate(log_prob, torch.tensor(0.0), torch.tensor(advantage), clip_coef=0.2)
    assert surrogate.item() == pytest.approx(value, rel=1e-5)
    surrogate.backward()
    assert log_prob.grad is not None
    assert log_prob.grad.item() == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_approx_kl_and_clipfrac_by_hand() -> None:
    # Ratios 1, 2 and 0.5: (2 - 1 - ln 2) + (0.5 - 1 + ln 2) = 0.5, over three.
    old = torch.zeros(3)
    log_prob = torch.tensor([0.0, math.log(2.0), -math.log(2.0)])
    assert approx_kl(log_prob, old).item() == pytest.approx(0.5 / 3)
    assert clipfrac(log_prob, old, clip_coef=0.2).item() == pytest.approx(2 / 3)
    assert clipfrac(log_prob, old, clip_coef=0.6).item() == pytest.approx(1 / 3)


def all_scores(policy: TablePolicy) -> tuple[Tensor, Tensor]:
    """Return the two log-probabilities of all 162 actions of a policy, each (162,)."""
    index = torch.arange(9 * PLACES)
    scores = policy.evaluate_actions(observations(1), actions(index // PLACES, index % PLACES)[None])
    return scores.pick_log_prob[0], scores.place_log_prob[0]


def gradients(loss: Tensor, policy: TablePolicy) -> Tensor:
    """Return d loss / d (pick, place), flat."""
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [policy.pick, policy.place], retain_graph=True)])


def test_rloo_over_all_pairs_of_actions_is_the_policy_gradient() -> None:
    policy = TablePolicy(seed=1, dtype=torch.float64)
    reward = torch.rand(162, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    pick, place = all_scores(policy)
    probability = (pick + place).exp()
    assert probability.sum().item() == pytest.approx(1.0, abs=1e-12)
    exact = gradients((probability * reward).sum(), policy)

    first, second = torch.cartesian_prod(torch.arange(162), torch.arange(162)).unbind(1)
    pair = torch.stack([first, second], dim=1)  # every ordered pair, (26244, 2)
    advantage = leave_one_out_advantage(reward[pair])
    objective = sum(clipped_surrogate(f[pair], f[pair].detach(), advantage, clip_coef=0.2) for f in (pick, place))
    assert isinstance(objective, Tensor)
    weight = (probability[first] * probability[second]).detach()
    averaged = gradients((weight * objective.mean(dim=1)).sum(), policy)
    assert (averaged - exact).abs().max() < 1e-12
    assert exact.abs().max() > 1e-3


def kl(policy: TablePolicy, reference: TablePolicy, picks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors' KL at picks (9, 2): (9,) and (9, 1)."""
    seen = observations(9)
    return policy.factors(seen, picks).kl(reference.factors(seen, picks))


def test_the_kl_over_all_picks_is_exact_in_value_and_gradient() -> None:
    policy, reference = TablePolicy(seed=1, dtype=torch.float64), TablePolicy(seed=2, dtype=torch.float64)
    pick, place = all_scores(policy)
    reference_pick, reference_place = all_scores(reference)
    joint, reference_joint = pick + place, (reference_pick + reference_place).detach()
    exact = (joint.exp() * (joint - reference_joint)).sum()  # over all 162 actions

    cells = torch.arange(9)
    picks = torch.stack([cells // 3, cells % 3], dim=-1)
    pick_kl, place_kl = kl(policy, reference, picks)
    log_prob = policy.pick.log_softmax(0)
    total = sum(
        log_prob[p].exp().detach()
        * factored_kl_loss(
            pick_kl[p : p + 1], place_kl[p : p + 1], log_prob[p].view(1, 1), log_prob[p].detach().view(1, 1)
        )
        for p in range(9)
    )
    assert isinstance(total, Tensor)
    assert total.item() == pytest.approx(exact.item(), abs=1e-12)
    assert (gradients(total, policy) - gradients(exact, policy)).abs().max() < 1e-12

    # Without the score-function term the gradient would be another one.
    naive = sum(log_prob[p].exp().detach() * (pick_kl[p] + place_kl[p, 0]) for p in range(9))
    assert isinstance(naive, Tensor)
    assert (gradients(naive, policy) - gradients(exact, policy)).abs().max() > 1e-3


def test_the_kl_is_right_for_picks_of_an_older_policy() -> None:
    policy, reference = TablePolicy(seed=1, dtype=torch.float64), TablePolicy(seed=2, dtype=torch.float64)
    old = TablePolicy(seed=3, dtype=torch.float64).pick.log_softmax(0).detach()
    pick_kl, place_kl = kl(policy, reference, torch.cartesian_prod(torch.arange(3), torch.arange(3)))
    log_prob = policy.pick.log_softmax(0)
    exact = pick_kl[0] + (log_prob.exp() * place_kl[:, 0]).sum()
    total = sum(
        old[p].exp()
        * factored_kl_loss(pick_kl[p : p + 1], place_kl[p : p + 1], log_prob[p].view(1, 1), old[p].view(1, 1))
        for p in range(9)
    )
    assert isinstance(total, Tensor)
    assert (gradients(total, policy) - gradients(exact, policy)).abs().max() < 1e-12


def test_a_pixel_label_sums_to_one_and_falls_off_as_a_gaussian() -> None:
    label = pixel_label(torch.tensor([[5, 6]]), (11, 13), sigma=1.5)
    assert label.shape == (1, 11, 13)
    assert label.sum().item() == pytest.approx(1.0, abs=1e-5)
    # One pixel away: exp(-1 / (2 * 1.5^2)); diagonally two rows and one column away: exp(-5 / 4.5).
    assert (label[0, 5, 7] / label[0, 5, 6]).item() == pytest.approx(math.exp(-1 / 4.5), rel=1e-5)
    assert (label[0, 3, 7] / label[0, 5, 6]).item() == pytest.approx(math.exp(-5 / 4.5), rel=1e-5)


def test_a_label_at_the_corner_still_sums_to_one_and_sigma_zero_is_exact() -> None:
    assert pixel_label(torch.tensor([[0, 0]]), (8, 8), sigma=2.0).sum().item() == pytest.approx(1.0, abs=1e-5)
    exact = pixel_label(torch.tensor([[2, 3]]), (4, 5), sigma=0.0)
    assert exact[0, 2, 3] == 1.0
    assert exact.sum() == 1.0


@pytest.mark.parametrize("rotations", [1, 2, 5, 36])
def test_rotation_labels_go_round_the_circle(rotations: int) -> None:
    label = rotation_label(torch.tensor([0]), rotations, sigma=1.0)
    assert label.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert label[0].argmax() == 0
    assert label[0, 1 % rotations].item() == pytest.approx(label[0, -1 % rotations].item())
    assert rotation_label(torch.tensor([rotations - 1]), rotations, sigma=0.0)[0].tolist() == [0.0] * (
        rotations - 1
    ) + [1.0]


def test_a_blurred_rotation_label_wraps_at_the_end_of_the_circle() -> None:
    # Around bin 7 of 8: bins 6 and 0 are one away, bin 1 is two: exp(-1/2) and exp(-4/2) of the middle.
    label = rotation_label(torch.tensor([7]), 8, sigma=1.0)[0]
    assert label.sum().item() == pytest.approx(1.0)
    for bin_, away in ((6, 1), (0, 1), (1, 2), (5, 2), (2, 3)):
        assert (label[bin_] / label[7]).item() == pytest.approx(math.exp(-(away**2) / 2), rel=1e-5)


@pytest.mark.parametrize(
    ("rotation", "rotations", "symmetry", "expected"),
    [
        # k R / n bins on, k = 0 .. n - 1, to the nearest bin, round the circle.
        (1, 8, 1, {1: 1.0}),
        (1, 8, 2, {1: 1 / 2, 5: 1 / 2}),
        (7, 8, 4, {7: 1 / 4, 1: 1 / 4, 3: 1 / 4, 5: 1 / 4}),
        (35, 36, 2, {35: 1 / 2, 17: 1 / 2}),
        (0, 8, 3, {0: 1 / 3, 3: 1 / 3, 5: 1 / 3}),  # 2.67 and 5.33 bins on
        (3, 5, 2, {3: 1 / 2, 1: 1 / 2}),  # 2.5 bins on, up to 3
        (1, 2, 4, {1: 1 / 2, 0: 1 / 2}),  # 0.5, 1 and 1.5 bins on: 1, 1, 2; a bin holds several turns
    ],
)
def test_equal_turns_share_the_label(rotation: int, rotations: int, symmetry: int, expected: dict[int, float]) -> None:
    label = rotation_label(torch.tensor([rotation]), rotations, sigma=0.0, symmetry=torch.tensor([symmetry]))[0]
    assert {i: pytest.approx(p) for i, p in enumerate(label.tolist()) if p > 0.0} == expected


def test_each_row_has_its_own_symmetry_and_blur_goes_round_each_turn() -> None:
    label = rotation_label(torch.tensor([0, 0, 0]), 8, sigma=1.0, symmetry=torch.tensor([1, 4, 3]))
    torch.testing.assert_close(label[0], rotation_label(torch.tensor([0]), 8, sigma=1.0)[0])
    # Four turns two bins apart: what is two bins on is the same again.
    torch.testing.assert_close(label[1], label[1].roll(2))
    torch.testing.assert_close(label[2:], rotation_label(torch.tensor([0]), 8, sigma=1.0, symmetry=torch.tensor([3])))
    assert label.sum(dim=1).tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_cross_entropy_of_a_label_with_itself_is_its_entropy() -> None:
    label = torch.tensor([[0.5, 0.25, 0.25, 0.0]])
    # 0.5 ln 2 + 2 * 0.25 ln 4 = 1.5 ln 2.
    assert soft_cross_entropy(label.log(), label).item() == pytest.approx(1.5 * math.log(2.0))


def test_what_the_mask_rules_out_is_cut_from_the_label() -> None:
    log_prob = torch.tensor([[math.log(0.25), math.log(0.75), -math.inf], [math.log(0.5), math.log(0.5), -math.inf]])
    log_prob.requires_grad_()
    label = torch.tensor([[0.2, 0.2, 0.6], [0.0, 0.0, 1.0]])
    cost = soft_cross_entropy(log_prob, label)
    # Row 0: the rest is (1/2, 1/2): -(ln 0.25 + ln 0.75) / 2. Row 1: nothing possible is left.
    assert cost.tolist() == pytest.approx([-(math.log(0.25) + math.log(0.75)) / 2, 0.0])
    cost.sum().backward()
    assert log_prob.grad is not None
    assert torch.isfinite(log_prob.grad).all()
