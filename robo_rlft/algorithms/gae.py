"""Advantages and targets from a critic's values, as pure functions of tensors.

Knows nothing of policies, critics or batches. Axis letters: T steps, N episodes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def generalized_advantage(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    *,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Return the generalized advantage estimates (T, N).

    delta_t = r_t + gamma V(s_{t+1}) - V(s_t), A_t = delta_t + gamma lambda A_{t+1} (Schulman et al. 2015,
    "High-dimensional continuous control using generalized advantage estimation", equations 11 and 16). After a
    termination there is nothing to come: V(s_{t+1}) counts as 0. After a truncation there would have been: V(s_{t+1})
    stands for it. Both cut the trace, as A_{t+1} is of another episode, or of none.

    Args:
        reward: (T, N).
        value: (T, N), V(s_t).
        next_value: (T, N), V(s_{t+1}); of the last state, not of the next episode's first, where one ends.
        terminated: bool (T, N), the episode ended by the task's own rule.
        truncated: bool (T, N), the episode was cut.
        gamma: discount of a step.
        gae_lambda: lambda; 0 trusts the critic after one step, 1 not at all.
    """
    delta = reward + gamma * torch.where(terminated, 0.0, next_value) - value
    goes_on = ~(terminated | truncated)
    advantage, later = torch.empty_like(delta), torch.zeros_like(delta[0])
    for t in reversed(range(len(delta))):
        later = delta[t] + gamma * gae_lambda * torch.where(goes_on[t], later, 0.0)
        advantage[t] = later
    return advantage


def normalised(advantage: Tensor) -> Tensor:
    """Return advantages (B,) less their mean, over their standard deviation; equal ones become 0."""
    centred = advantage - advantage.mean()
    return centred / (centred.square().mean().sqrt() + 1e-8)


def value_loss(value: Tensor, returns: Tensor) -> Tensor:
    """Return half the mean squared error of values (B,) to the returns that they predict; a scalar.

    1/2 (V(s) - R)^2, the L^VF of Schulman et al. 2017, "Proximal policy optimization", equation 9. Deviation from the
    programs that go with it: values are not clipped, which was found not to help (Andrychowicz et al. 2021, "What
    matters for on-policy deep actor-critic methods?").
    """
    return 0.5 * (value - returns).square().mean()


def explained_variance(value: Tensor, returns: Tensor) -> Tensor:
    """Return which share of the returns' variance values (B,) explain; a scalar.

    1 - Var[R - V] / Var[R]: 1 is perfect, 0 no better than a constant, below 0 worse; NaN where all returns are equal.
    """
    variance = returns.var(correction=0)
    explained = 1.0 - (returns - value).var(correction=0) / variance
    return torch.where(variance > 0.0, explained, torch.nan)
