"""Single episodes of fresh scenes as training data, credited by a critic.

No state is asked for twice, so it works where a scene cannot be put back: on a real table, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from robo_rlft.algorithms.gae import explained_variance, generalized_advantage, normalised
from robo_rlft.algorithms.groups import GroupBatch, Stats
from robo_rlft.algorithms.paying import paid_at_the_end
from robo_rlft.algorithms.rollouts import ACTIONS, SHUFFLE, Cut, FreshData, cut, draw, scene_seed
from robo_rlft.data.context import TrainContext
from robo_rlft.models.critic import Critic, critic_maps
from robo_rlft.policies.parts import Encoded
from robo_rlft.records import PickPlace, concatenate
from robo_rlft.rollout.collect import Rollout

_AT_ONCE = 32  # scenes that a critic sees at a time


@dataclass(frozen=True, kw_only=True)
class EpisodeBatch(GroupBatch):
    """Decisions with a picture each, K = 1, and what the critic should have said of the pictures."""

    returns: Tensor  # float32 (B,), advantage plus value, of the critic as it was before the iteration's updates


@dataclass(frozen=True, kw_only=True)
class EpisodeStats(Stats):
    """What an iteration's episodes came to."""

    returns_differ: bool
    explained_variance: float  # of the returns by the critic, before the iteration's updates

    def figures(self) -> dict[str, float]:
        """Return what is logged of them."""
        return {**super().figures(), "losses/explained_variance": self.explained_variance}


class EpisodeData(FreshData):
    """Episodes of scenes of their own, fresh ones for every epoch.

    Args:
        context: the run; `context.policy` is the one that acts.
        critic: says what a state is worth.
        episodes: of an iteration, each in another scene.
        minibatch_episodes: of a gradient step, at most, as many decisions as they have together.
        update_epochs: passes over an iteration's decisions. Each has a picture of its own to look at, so that a pass
            costs about as much as four over groups of four.
        gamma: discount of a step.
        gae_lambda: how far rewards are credited beyond what the critic expects after the next step, 0 to 1.
        norm_adv: divide an iteration's advantages, less their mean, by their standard deviation.
        bootstrap_truncated: after an episode's last allowed step, count what the critic says of its end. Without, the
            limit of steps is a part of the task, as it is for success; with it, no step is worth less for being late,
            and the critic judges pictures that no episode starts or goes on from.
        record: keep the decisions that were paid for, in the run's folder `decisions`; `algorithm=filtered_bc` learns
            from them.
    """

    acts_live = True  # needs no scene twice

    def __init__(
        self,
        *,
        context: TrainContext,
        critic: Critic,
        episodes: int = 128,
        minibatch_episodes: int = 16,
        update_epochs: int = 1,
        gamma: float = 1.0,
        gae_lambda: float = 0.95,
        norm_adv: bool = False,
        bootstrap_truncated: bool = False,
        record: bool = False,
    ) -> None:
        super().__init__(context=context, record=record)
        if episodes < 1 or minibatch_episodes < 1 or update_epochs < 1:
            raise ValueError(
                "expected episodes, minibatch_episodes and update_epochs of at least 1, got "
                f"{episodes}, {minibatch_episodes} and {update_epochs}"
            )
        if not (0.0 <= gamma <= 1.0 and 0.0 <= gae_lambda <= 1.0):
            raise ValueError(f"expected gamma and gae_lambda from 0 to 1, got {gamma} and {gae_lambda}")
        if bootstrap_truncated and context.reward is not None:
            raise ValueError(
                "bootstrap_truncated: a reward that is paid at the end of an episode judges it as it ended, so nothing "
                "is to come after; expected algorithm.data.bootstrap_truncated=false"
            )
        self.critic = critic
        self.episodes = episodes
        self.minibatch_episodes = minibatch_episodes
        self.update_epochs = update_epochs
        self.gamma = gamma
        self.gae_lambda = gae_lambda
        self.norm_adv = norm_adv
        self.bootstrap_truncated = bootstrap_truncated

    def make_cuts(self, iteration: int) -> list[Cut]:
        """Roll out episodes and cut their decisions into minibatches."""
        seeds = [scene_seed(self.context.seed, iteration, index) for index in range(self.episodes)]
        generator = torch.Generator().manual_seed(draw(self.context.seed, iteration, 0, ACTIONS))
        ends = self.bootstrap_truncated
        rollout = self.roll_out(seeds, samples=1, generator=generator, final_pictures=ends)
        success = float(column(rollout, "terminated").any(dim=0).float().mean())
        terms = {name: value.sum(dim=0).mean().item() for name, value in rollout.terms.items()}
        if self.context.reward is not None:
            paid = paid_at_the_end(rollout, self.context.reward)
            rollout = paid.rollout
            terms |= {name: terms.get(name, 0.0) + value.mean().item() for name, value in paid.terms.items()}
        self.keep_decisions([rollout], iteration)
        value = self._values(rollout)
        advantage = self._advantages(rollout, value)
        valid, returns = column(rollout, "valid") > 0, advantage + value
        total = column(rollout, "reward").sum(dim=0)
        self.stats = EpisodeStats(
            rollouts=self.episodes,
            scenes=self.episodes,
            decisions=int(valid.sum()),
            episodic_return=total.mean().item(),
            success=success,
            terms=terms,
            true_return=None if rollout.gains is None else torch.stack(rollout.gains).sum(dim=0).mean().item(),
            returns_differ=bool(total.max() - total.min() > 1e-6),
            explained_variance=explained_variance(value[valid], returns[valid]).item(),
        )
        whole = flattened(rollout, advantage, returns)
        if self.divergence is not None:
            # An episode's divergence is the sum of its decisions'.
            apart = [self.divergence(whole[i : i + _AT_ONCE]) for i in range(0, len(returns[valid]), _AT_ONCE)]
            self.stats = replace(self.stats, kl=torch.cat(apart).sum().item() / self.episodes)
        if self.norm_adv:
            advantage[valid] = normalised(advantage[valid])
            whole = flattened(rollout, advantage, returns)
        rng = np.random.default_rng((self.context.seed, iteration, SHUFFLE))
        limit = self.minibatch_episodes * len(rollout.encoded)
        return [one for _ in range(self.update_epochs) for one in cut(whole, limit, rng)]

    def _values(self, rollout: Rollout) -> Tensor:
        """Return the critic's values of what was seen before each decision, (T, N); 0 after an episode's end."""
        value = torch.zeros(len(rollout.encoded), len(rollout.starts))
        for t, encoded in enumerate(rollout.encoded):
            value[t, rollout.pictures(t)] = judged(self.critic, encoded)
        return value

    def _advantages(self, rollout: Rollout, value: Tensor) -> Tensor:
        """Return the advantages (T, N); 0 after an episode's end."""
        following = torch.cat([value[1:], torch.zeros_like(value[:1])])
        terminated, truncated = column(rollout, "terminated") > 0, column(rollout, "truncated") > 0
        if self.bootstrap_truncated:
            assert rollout.finals is not None
            cut_short = torch.nonzero(truncated.any(dim=0))[:, 0]
            if len(cut_short):
                last = judged(self.critic, self.context.policy.encode(rollout.finals[cut_short]))
                following = torch.where(
                    truncated, torch.zeros(value.shape[1]).index_copy(0, cut_short, last), following
                )
        else:
            terminated, truncated = terminated | truncated, torch.zeros_like(truncated)
        return generalized_advantage(
            column(rollout, "reward"),
            value,
            following,
            terminated=terminated,
            truncated=truncated,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
        )


def column(rollout: Rollout, name: str) -> Tensor:
    """Return one field of all steps, float32 (T, N), 0 after an episode's end."""
    return torch.stack([getattr(step, name) * step.valid for step in rollout.transitions]).float()


def seen(encoded: Encoded) -> Tensor:
    """Return what a critic sees of scenes (B,)."""
    return critic_maps(encoded.dense, encoded.phrases, encoded.image[:, -1]).float()


@torch.no_grad()
def judged(critic: Critic, encoded: Encoded) -> Tensor:
    """Return the critic's values of scenes (B,), where environments are."""
    parts = [encoded[i : i + _AT_ONCE] for i in range(0, len(encoded.dense), _AT_ONCE)]
    return torch.cat([critic(seen(part)) for part in parts]).float().cpu()


def flattened(rollout: Rollout, advantage: Tensor, returns: Tensor) -> EpisodeBatch:
    """Return all decisions of episodes (T, N) as one batch, step by step."""
    parts = []
    for t, encoded in enumerate(rollout.encoded):
        rows, step = rollout.pictures(t), rollout.transitions[t]
        parts.append(
            EpisodeBatch(
                observation=step.observation[rows],
                action=PickPlace(**{name: value[rows][:, None] for name, value in vars(step.action).items()}),
                pick_log_prob=step.pick_log_prob[rows][:, None],
                place_log_prob=step.place_log_prob[rows][:, None],
                advantage=advantage[t, rows][:, None],
                returns=returns[t, rows],
                encoded=encoded,
            )
        )
    return parts[0] if len(parts) == 1 else concatenate(parts)
