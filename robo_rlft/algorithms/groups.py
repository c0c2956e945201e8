"""Groups of decisions as batches to learn from, and what a rollout came to.

Knows rollouts and credit, nothing of losses or of how rollouts are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from robo_rlft.algorithms.credit import Credit, Rewards, advantages, credited, mixed, value
from robo_rlft.records import Observation, PickPlace, TensorRecord, concatenate
from robo_rlft.rollout.collect import Rollout


@dataclass(frozen=True, kw_only=True)
class GroupBatch(TensorRecord):
    """K decisions for each of B observations; one forward pass of the picture serves all K."""

    observation: Observation  # (B,)
    action: PickPlace  # (B, K)
    pick_log_prob: Tensor  # float32 (B, K), under the policy that acted
    place_log_prob: Tensor  # float32 (B, K), under the policy that acted
    advantage: Tensor  # float32 (B, K)
    encoded: Any = None  # (B,), what the policy's `encode` gave when it acted; None where nobody kept it


@dataclass(frozen=True, kw_only=True)
class Stats:
    """What an iteration's rollouts came to."""

    rollouts: int  # episodes
    scenes: int  # different ones
    decisions: int  # steps of an environment
    episodic_return: float  # mean, of the policy as it acted
    success: float  # share of episodes that the task itself ended; with credit "state" an unbiased estimate of it
    terms: dict[str, float] = field(default_factory=dict)  # of the rewards: name -> mean over episodes, unweighted
    true_return: float | None = None  # mean increase of the task's progress; None where nobody knows it
    kl: float | None = None  # of an episode, from the policy at the start, nats; None where nobody measured it

    def figures(self) -> dict[str, float]:
        """Return what is logged of them."""
        known = {"rollout/true_return": self.true_return, "rollout/kl": self.kl}
        return {
            "rollout/episodic_return": self.episodic_return,
            "rollout/success": self.success,
            **{name: value for name, value in known.items() if value is not None},
            **{f"reward/{name}": value for name, value in self.terms.items()},
        }


@dataclass(frozen=True, kw_only=True)
class RolloutStats(Stats):
    """What an iteration's groups came to, resampled ones included; `rollouts` are scenes times K."""

    mixed_groups: float  # share of groups whose K values are not all equal
    groups: int  # scenes, or visited states with credit "state"

    def figures(self) -> dict[str, float]:
        """Return what is logged of them."""
        groups = {"rollout/mixed_groups": self.mixed_groups, "rollout/groups": float(self.groups)}
        return {**super().figures(), **groups}


def rewards(rollout: Rollout) -> Rewards:
    """Return what a rollout was paid, (T, G, K)."""

    def column(name: str) -> Tensor:
        return torch.stack([getattr(step, name).view(-1, rollout.samples) for step in rollout.transitions])

    valid, terminated = column("valid"), column("terminated")
    return Rewards(
        reward=column("reward") * valid,
        valid=valid,
        terminated=terminated,
        done=terminated | column("truncated"),
    )


def mixed_groups(paid: Rewards, credit: Credit) -> Tensor:
    """Tell which groups are not all equal: (1, G), scenes by their returns, or (T, G), states that were visited."""
    values = credited(paid, credit)
    return mixed(values if credit == "state" else values[:1])


def summarise(rollouts: Sequence[Rollout], credit: Credit) -> RolloutStats:
    """Return the figures of an iteration."""
    paid = [rewards(rollout) for rollout in rollouts]
    values = [value(one, branched=credit == "state") for one in paid]
    groups = [_existing(one, mixed_groups(one, credit)) for one in paid]
    gains = [_in_place(one, rollout.gains) for one, rollout in zip(paid, rollouts, strict=True) if rollout.gains]
    return RolloutStats(
        rollouts=sum(one.reward[0].numel() for one in paid),
        scenes=sum(one.reward.shape[1] for one in paid),
        decisions=int(sum(one.valid.sum() for one in paid)),
        episodic_return=torch.cat([one.episodic_return for one in values]).mean().item(),
        success=torch.cat([one.success for one in values]).mean().item(),
        mixed_groups=torch.cat(groups).float().mean().item(),
        groups=sum(map(len, groups)),
        terms=_terms(rollouts, paid, credit),
        true_return=_expected(gains, credit) if len(gains) == len(paid) else None,
    )


def _terms(rollouts: Sequence[Rollout], paid: Sequence[Rewards], credit: Credit) -> dict[str, float]:
    """Return what episodes came to in each term of their rewards, as `value` has it."""
    means = {}
    for name in dict.fromkeys(name for rollout in rollouts for name in rollout.terms):
        scenes = []
        for rollout, one in zip(rollouts, paid, strict=True):
            term = rollout.terms[name].view_as(one.reward) if name in rollout.terms else torch.zeros_like(one.reward)
            scenes.append(value(replace(one, reward=term), branched=credit == "state").episodic_return)
        means[name] = torch.cat(scenes).mean().item()
    return means


def _in_place(paid: Rewards, values: Sequence[Tensor]) -> Rewards:
    """Return a rollout's rewards with T other values of its rows (N,) in their place."""
    return replace(paid, reward=torch.stack(list(values)).view_as(paid.reward) * paid.valid)


def _expected(paid: Sequence[Rewards], credit: Credit) -> float:
    returns = [value(one, branched=credit == "state").episodic_return for one in paid]
    return torch.cat(returns).mean().item()


def episodic_kl(
    rollouts: Sequence[Rollout],
    folded: Sequence[Sequence[Part]],
    credit: Credit,
    divergence: Callable[[GroupBatch], Tensor],
) -> float:
    """Return KL(policy || reference) of a whole episode, in nats, estimated without bias.

    An episode's log-ratio is the sum of its decisions', as the world is the same under both policies; so its KL is the
    expected sum, over the steps, of the divergences in the states that the policy visits.

    Args:
        rollouts: of the policy itself.
        folded: of each of them, what `fold` gave.
        credit: with "state" a scene is a chain, whose steps count as in `algorithms.credit.value`.
        divergence: KL(policy || reference) at each decision (B, K), without bias over the decisions.
    """
    found = []
    for rollout, parts in zip(rollouts, folded, strict=True):
        values = [torch.zeros(len(step.valid)) for step in rollout.transitions]
        for t, part in enumerate(parts):
            values[t][decisions(rollout, t)] = divergence(part.batch).flatten().cpu()
        found.append(_in_place(rewards(rollout), values))
    return _expected(found, credit)


def decisions(rollout: Rollout, step: int) -> Tensor:
    """Return the rows that decide at a step, those that share a picture adjacent."""
    return (rollout.pictures(step)[:, None] + torch.arange(rollout.sharing(step))).flatten()


def _existing(paid: Rewards, groups: Tensor) -> Tensor:
    return groups[paid.valid[: len(groups)].any(dim=-1)]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Decisions of one step."""

    batch: GroupBatch  # (B, K') with K' = K, or 1 for those that have a picture each
    mixed: Tensor  # bool (B,), whether the values that a row was compared among differ


def fold(rollout: Rollout, credit: Credit) -> list[Part]:
    """Fold a rollout into batches of decisions with their advantages, one for each step.

    Decisions that share their picture become one row of K: all first ones do, and with credit "state" all. Later ones
    of episodes that go their own way have each their own: rows of 1.
    """
    paid = rewards(rollout)
    advantage, values = advantages(paid, credit), credited(paid, credit)
    parts = []
    for t, encoded in enumerate(rollout.encoded):
        step, share, first = rollout.transitions[t], rollout.sharing(t), rollout.pictures(t)
        rows = decisions(rollout, t)
        action = PickPlace(**{n: v[rows].unflatten(0, (-1, share)) for n, v in vars(step.action).items()})
        batch = GroupBatch(
            observation=step.observation[first],
            action=action,
            pick_log_prob=step.pick_log_prob[rows].view(-1, share),
            place_log_prob=step.place_log_prob[rows].view(-1, share),
            advantage=advantage[t].flatten()[rows].view(-1, share),
            encoded=encoded,
        )
        parts.append(Part(batch=batch, mixed=mixed(values[t])[first // rollout.samples]))
    return parts


def joined(parts: Sequence[Part], kept: Sequence[Tensor]) -> list[GroupBatch]:
    """Join the kept rows of all parts that have the same number of decisions a row.

    What is left out counts as zero for the return: skipping saves time and leaves that gradient's expectation as it
    was. The KL is averaged over what is kept, so it holds the policy back the more, the fewer groups differ.
    """
    found = []
    sizes = [part.batch.advantage.shape[1] for part in parts]
    for size in dict.fromkeys(sizes):
        some = [(part.batch, keep) for part, keep, own in zip(parts, kept, sizes, strict=True) if own == size]
        count, total = sum(int(keep.sum()) for _, keep in some), sum(len(keep) for _, keep in some)
        if count:
            pieces = [batch if keep.all() else batch[keep] for batch, keep in some if keep.any()]
            whole = pieces[0] if len(pieces) == 1 else concatenate(pieces)
            found.append(replace(whole, advantage=whole.advantage * (count / total)))
    return found
