"""The mathematics of behaviour cloning and of RLOO, as pure functions of tensors.

Knows nothing of policies, batches or Lightning. Axis letters: G groups, K rollouts of one group, B observations,
H W rows and columns, R rotation bins. Logarithms are natural; everything expects float32 or float64.
"""

from __future__ import annotations

import torch
from torch import Tensor


def leave_one_out_advantage(returns: Tensor) -> Tensor:
    """Return the advantages (G, K) of K rollouts of the same scene from their returns (G, K).

    A_k = r_k - 1/(K-1) sum_{j != k} r_j, the baseline of Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for
    free", and of RLOO (Ahmadian et al. 2024, "Back to basics"). The baseline does not depend on rollout k, so the
    policy gradient stays unbiased. There is no division by the group's standard deviation.
    """
    samples = returns.shape[-1]
    if samples < 2:
        raise ValueError(f"a leave-one-out baseline needs groups of at least 2 rollouts, got {samples}")
    return (returns - returns.mean(dim=-1, keepdim=True)) * (samples / (samples - 1))


def reward_to_go(reward: Tensor) -> Tensor:
    """Return the sums of rewards (T, ...) from each step on, undiscounted.

    What came before a decision does not depend on it, so its gradient needs the rest alone: causality, Williams 1992.
    """
    return reward.flip(0).cumsum(dim=0).flip(0)


def clipped_surrogate(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, *, clip_coef: float) -> Tensor:
    """Return the clipped objective of one factor of the action, elementwise; larger is better.

    min(rho A, clip(rho, 1 - c, 1 + c) A) with rho = pi / pi_old (Schulman et al. 2017, "Proximal policy optimization",
    equation 7). Deviation: an action has two factors, the pick and the place given the pick. Each has its own rho and
    its own clip, and the objectives are added; at rho = 1 the gradient is A grad log pi of the whole action.
    """
    ratio = (log_prob - old_log_prob).exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip_coef, 1.0 + clip_coef) * advantage)


def factored_kl_loss(pick_kl: Tensor, place_kl: Tensor, pick_log_prob: Tensor, old_pick_log_prob: Tensor) -> Tensor:
    """Return an unbiased estimate of KL(pi || reference), whose gradient is unbiased too; a scalar.

    KL = KL_pick + E_{p ~ pi_pick}[KL_place(p)] (chain rule). Both divergences are exact sums; only the expectation over
    picks is sampled. Since the distribution of p depends on the weights,

        grad E_p[KL_place(p)] = E_p[grad KL_place(p) + KL_place(p) grad log pi_pick(p)].

    Weighting KL_place(p) by rho = pi_pick(p) / pi_pick_old(p) gives value and gradient at once, for picks drawn from an
    older policy also; at rho = 1 the gradient of rho is the score function.

    Args:
        pick_kl: (B,), KL of the pick factor, exact.
        place_kl: (B, K), KL of the place factor at each sampled pick, exact.
        pick_log_prob: (B, K), log-probability of the sampled picks, with gradient.
        old_pick_log_prob: (B, K), the same under the policy that sampled them.
    """
    ratio = (pick_log_prob - old_pick_log_prob.detach()).exp()
    return pick_kl.mean() + (ratio * place_kl).mean()


def approx_kl(log_prob: Tensor, old_log_prob: Tensor) -> Tensor:
    """Return an estimate of KL(pi_old || pi) from actions of pi_old; a scalar, never negative.

    mean(rho - 1 - log rho), estimator k3 of Schulman 2020, "Approximating KL divergence".
    """
    log_ratio = log_prob - old_log_prob
    return (log_ratio.exp() - 1.0 - log_ratio).mean()


def clipfrac(log_prob: Tensor, old_log_prob: Tensor, *, clip_coef: float) -> Tensor:
    """Return the share of ratios outside [1 - c, 1 + c]; a scalar."""
    ratio = (log_prob - old_log_prob).exp()
    return ((ratio - 1.0).abs() > clip_coef).float().mean()


def pixel_label(pixel: Tensor, shape: tuple[int, int], *, sigma: float) -> Tensor:
    """Return Gaussian labels (B, H, W), each summing to 1, around pixels (B, 2) in (row, column).

    Args:
        pixel: int64 (B, 2).
        shape: (H, W).
        sigma: standard deviation in pixels; 0 labels the pixel alone.
    """
    row = _gaussian(torch.arange(shape[0], device=pixel.device) - pixel[:, :1], sigma)
    column = _gaussian(torch.arange(shape[1], device=pixel.device) - pixel[:, 1:], sigma)
    return row[:, :, None] * column[:, None, :]


def rotation_label(rotation: Tensor, rotations: int, *, sigma: float, symmetry: Tensor | None = None) -> Tensor:
    """Return labels (B, R), each summing to 1, around bins (B,) and the turns that come to the same.

    The place is not moved with the turn. That is exact where the pick is the centre of symmetry; a pick beside it by d
    would need a place further by up to 2 d for the other turns. Demonstrators that err by design claim no equal turns
    therefore; the expert's own picks are off by half a pixel at most in each direction, about the blur of the label.

    Args:
        rotation: int64 (B,), bins of a circle.
        rotations: R.
        sigma: standard deviation in bins; 0 labels the bin alone.
        symmetry: int64 (B,), n of which turns k / n of a whole one apart come to the same; None is 1 everywhere. Where
            n does not divide R, the nearest bins are labelled.
    """
    count = 1 if symmetry is None else int(symmetry.max())
    total = torch.zeros(len(rotation), rotations, device=rotation.device)
    for k in range(count):
        n = torch.ones_like(rotation) if symmetry is None else symmetry
        center = rotation + ((2 * k * rotations + n) // (2 * n))  # + round(k R / n)
        offset = torch.arange(rotations, device=rotation.device) - center[:, None]
        circular = (offset + rotations // 2) % rotations - rotations // 2
        total += _gaussian(circular, sigma) * (k < n)[:, None]
    return total / total.sum(dim=1, keepdim=True)


def _gaussian(offset: Tensor, sigma: float) -> Tensor:
    """Return normalised weights over the last dimension from integer offsets."""
    if sigma <= 0.0:
        return (offset == 0).float()
    weight = torch.exp(-0.5 * (offset.float() / sigma) ** 2)
    return weight / weight.sum(dim=-1, keepdim=True)


def soft_cross_entropy(log_prob: Tensor, label: Tensor) -> Tensor:
    """Return -sum label log_prob (B,), over all dimensions but the first.

    Labels are blurred without regard to the action mask. What falls on impossible actions (log-probability -inf or
    as low as makes no difference) is cut off and the rest renormalised; a label without any possible action costs 0.

    Args:
        log_prob: (B, ...), summing to 1 in probability.
        label: (B, ...), non-negative.
    """
    possible = log_prob > -1e4
    label = torch.where(possible, label, torch.zeros_like(label)).flatten(1)
    mass = label.sum(dim=1)
    safe = torch.where(possible, log_prob, torch.zeros_like(log_prob)).flatten(1)
    cost = -(label * safe).sum(dim=1)
    return torch.where(mass > 1e-6, cost / mass.clamp(min=1e-6), torch.zeros_like(cost))
