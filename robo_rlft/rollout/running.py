"""A policy acting in a pool of environments: one record an episode, for judging.

Inference is batched in this process. Knows nothing of learning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from robo_rlft.records import Observation, OutcomeReward, PickPlace, Policy, stack
from robo_rlft.rewards.total import payment
from robo_rlft.rollout.episode import EpisodeRecord
from robo_rlft.rollout.jobs import Instruction, Outcome
from robo_rlft.rollout.pool import EnvPool
from robo_rlft.tasks.task import Attempt

_JUDGED_AT_ONCE = 64  # episodes


@torch.no_grad()
def run_episodes(
    pool: EnvPool,
    policy: Policy,
    seeds: Sequence[int],
    *,
    greedy: bool,
    generator: torch.Generator | None = None,
    batch_size: int = 25,
    instructions: Sequence[Instruction | None] | None = None,
    reward: OutcomeReward | None = None,
) -> Iterator[list[EpisodeRecord]]:
    """Run one episode a seed, yielding a list of records for each batch, in the order of the seeds.

    A `reward` judges every episode by its pictures, which are not kept. Batches have a fixed composition, and a batch's
    forward pass keeps its size until its last episode is over, so that results are bit-equal from run to run.
    """
    for begin in range(0, len(seeds), batch_size):
        part = slice(begin, begin + batch_size)
        told = None if instructions is None else instructions[part]
        yield _run_batch(pool, policy, seeds[part], told, greedy=greedy, generator=generator, reward=reward)


def _run_batch(
    pool: EnvPool,
    policy: Policy,
    seeds: Sequence[int],
    instructions: Sequence[Instruction | None] | None,
    *,
    greedy: bool,
    generator: torch.Generator | None,
    reward: OutcomeReward | None,
) -> list[EpisodeRecord]:
    starts = pool.reset(seeds, instructions)
    states = [start.state for start in starts]
    observation = stack([start.observation for start in starts])
    actions: list[list[PickPlace]] = [[] for _ in seeds]
    returns, confidence = [0.0] * len(seeds), [0.0] * len(seeds)
    attempts: list[list[Attempt]] = [[] for _ in seeds]
    success = [False] * len(seeds)
    first, last = observation, [start.observation for start in starts]
    live = list(range(len(seeds)))
    while live:
        decision = policy.act(observation, greedy=greedy, generator=generator).to("cpu")
        now = [states[i] for i in live]
        done = pool.step(now, decision.action[live], final_pictures=reward is not None)
        outcomes = dict(zip(live, done, strict=True))
        for i, outcome in outcomes.items():
            if not actions[i]:
                confidence[i] = float(decision.confidence[i])
            actions[i].append(decision.action[i])
            attempts[i].append(outcome.attempt)
            returns[i] += outcome.reward
            states[i], success[i] = outcome.state, outcome.success
            last[i] = _next(outcome, last[i])
        live = [i for i in live if not outcomes[i].done]
        if live:
            observation = stack([_next(outcomes.get(i), observation[i]) for i in range(len(seeds))])
    failed = [i for i in range(len(seeds)) if not success[i]]
    kinds = dict(zip(failed, pool.explain([states[i] for i in failed], [attempts[i] for i in failed]), strict=True))
    proxies: list[float] | None = None
    if reward is not None:  # it is the proxy: the task says what an episode came to
        ends = _judged(reward, first, last, [state.sentences for state in states])
        proxies = [paid + end for paid, end in zip(returns, ends, strict=True)]
        returns = [end.progress - start.state.progress for start, end in zip(starts, states, strict=True)]
    return [
        EpisodeRecord(
            seed=seeds[i],
            instructions=states[i].sentences,
            pick_names=tuple(goal.pick for goal in states[i].goals),
            place_names=tuple(goal.place for goal in states[i].goals),
            success=success[i],
            return_=returns[i],
            steps=len(actions[i]),
            failure=kinds.get(i),
            confidence=confidence[i],
            pick=np.stack([a.pick.numpy() for a in actions[i]]),
            place=np.stack([a.place.numpy() for a in actions[i]]),
            rotation=np.array([int(a.rotation) for a in actions[i]], dtype=np.int64),
            proxy=None if proxies is None else proxies[i],
        )
        for i in range(len(seeds))
    ]


def _judged(
    reward: OutcomeReward, first: Observation, last: Sequence[Observation], scripts: Sequence[tuple[str, ...]]
) -> list[float]:
    """Return the sum of a reward's terms for each episode; some at a time, as features are larger than pictures."""
    totals: list[float] = []
    for begin in range(0, len(last), _JUDGED_AT_ONCE):
        part = slice(begin, begin + _JUDGED_AT_ONCE)
        terms = reward.outcomes(first=first[part], last=stack(last[part]), scripts=scripts[part])
        totals += torch.as_tensor(payment(reward, terms)).tolist()
    return totals


def _next(outcome: Outcome | None, last: Observation) -> Observation:
    return last if outcome is None or outcome.observation is None else outcome.observation
