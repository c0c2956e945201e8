"""Paying rollouts at the end of each episode, by a reward that looks at whole attempts.

Knows rollouts and the reward's Protocol, not what it is made of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robo_rlft.records import OutcomeReward
from robo_rlft.rewards.total import payment
from robo_rlft.rollout.collect import Rollout


@dataclass(frozen=True, kw_only=True)
class Paid:
    """A rollout with other rewards."""

    rollout: Rollout
    terms: dict[str, Tensor]  # name -> (N,), what each episode was paid at its end, before weighting


def paid_at_the_end(rollout: Rollout, reward: OutcomeReward) -> Paid:
    """Return a rollout whose episodes' last decisions are paid what the reward says of them, on top of what is there.

    The environments of a run are made from the same config as the reward: what they paid is the part of it that pays
    for steps, and nothing where it has none.

    Raises:
        ValueError: the rollout has no pictures of its episodes' ends, or its episodes are not whole.
    """
    if rollout.finals is None or rollout.branched:
        raise ValueError("expected whole episodes with a picture of each one's end")
    first = rollout.transitions[0].observation
    scripts = [start.sentences for start in rollout.starts for _ in range(rollout.samples)]
    terms = reward.outcomes(first=first, last=rollout.finals, scripts=scripts)
    total = torch.as_tensor(payment(reward, terms))
    steps = []
    for step, after in zip(rollout.transitions, (*rollout.transitions[1:], None), strict=True):
        ends = step.valid if after is None else step.valid & ~after.valid
        steps.append(replace(step, reward=step.reward + torch.where(ends, total, 0.0)))
    return Paid(rollout=replace(rollout, transitions=tuple(steps)), terms=terms)
