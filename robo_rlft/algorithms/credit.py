"""Which decision is credited with which reward, and how good the policy was, from groups of rollouts.

Pure functions of tensors (T, G, K): T steps, G scenes, K decisions of a scene at the same step. Knows nothing of
policies or environments. Baselines and skipped groups never bias the return's gradient: a baseline is made of the
other K - 1 decisions' rewards, and what is skipped has an advantage of 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robo_rlft.algorithms.losses import leave_one_out_advantage, reward_to_go

Credit = Literal["episode", "to_go", "state"]
EQUAL = 1e-6  # values that differ by less are the same


@dataclass(frozen=True, kw_only=True)
class Rewards:
    """What a rollout was paid; its rows are the K decisions of each scene."""

    reward: Tensor  # float32 (T, G, K), 0 where not valid
    valid: Tensor  # bool (T, G, K), False after the end
    terminated: Tensor  # bool (T, G, K), ended by the task's own rule, which is success
    done: Tensor  # bool (T, G, K), ended by that or by the limit of steps


@dataclass(frozen=True, kw_only=True)
class Value:
    """How good a policy was in a scene, without bias; each (G,)."""

    episodic_return: Tensor
    success: Tensor


def credited(rewards: Rewards, credit: Credit) -> Tensor:
    """Return what each decision is worth, (T, G, K), before a baseline.

    - "episode": the return of its episode. The gradient is that of the expected return.
    - "to_go": the rewards from its step on; earlier ones do not depend on it. The same gradient, with less noise. An
      episode that is over counts as 0 among those that its group goes on with.
    - "state": its own reward alone. The gradient is that of the sum of immediate rewards over the visited states, with
      their distribution held fixed: myopic, so right where a reward says what a decision was worth, as the increase of
      progress does, and wrong where a good deed is paid later only.

    With one step all three are the same.
    """
    if credit == "episode":
        return rewards.reward.sum(dim=0, keepdim=True).expand_as(rewards.reward)
    return reward_to_go(rewards.reward) if credit == "to_go" else rewards.reward


def advantages(rewards: Rewards, credit: Credit) -> Tensor:
    """Return leave-one-out advantages (T, G, K) among the K decisions of a scene at a step."""
    return leave_one_out_advantage(credited(rewards, credit))


def mixed(values: Tensor) -> Tensor:
    """Tell which groups (...) have values (..., K) that are not all equal."""
    return values.amax(dim=-1) - values.amin(dim=-1) > EQUAL


def value(rewards: Rewards, *, branched: bool) -> Value:
    """Return the means over a scene's K episodes, or, `branched`, what they are expected to be.

    A branched scene is a chain: of K outcomes at a step a share is over, and the chain goes on from one of the others.
    Step t therefore counts with the product of the earlier steps' shares that went on. Both sums are unbiased
    estimates of the policy's own return and success, as the chain's states are distributed as the policy's.
    """
    if not branched:
        ended = (rewards.terminated & rewards.valid).any(dim=0)
        return Value(episodic_return=rewards.reward.sum(dim=0).mean(dim=-1), success=ended.float().mean(dim=-1))
    went_on = (rewards.valid & ~rewards.done).float().mean(dim=-1)  # (T, G)
    weight = torch.cat([torch.ones_like(went_on[:1]), went_on[:-1].cumprod(dim=0)])
    paid, ended = rewards.reward.mean(dim=-1), (rewards.terminated & rewards.valid).float().mean(dim=-1)
    return Value(episodic_return=(weight * paid).sum(dim=0), success=(weight * ended).sum(dim=0))
