"""Policies acting in pools of environments: rollouts for learning, episodes for judging.

`collect(pool, policy, ...)` gives tensors, a `Rollout` of T `Transition[N]`; `run_episodes` gives one record an
episode. Inference is batched in this process. Knows nothing of losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from robo_rlft.env import EnvState
from robo_rlft.policies.factors import FactoredDecision
from robo_rlft.records import (
    LearningPolicy,
    Observation,
    OutcomeReward,
    PickPlace,
    Policy,
    Transition,
    concatenate,
    stack,
)
from robo_rlft.rewards.total import payment
from robo_rlft.rollout.episode import EpisodeRecord
from robo_rlft.rollout.jobs import Instruction, Outcome
from robo_rlft.rollout.pool import EnvPool
from robo_rlft.tasks.task import Attempt

_JUDGED_AT_ONCE = 64  # episodes


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """What `collect` gives; N = G K rows, those of a scene adjacent."""

    transitions: tuple[Transition, ...]  # T of (N,); what follows an episode's end has `valid` False and reward 0
    encoded: tuple[Any, ...]  # T; what the policy's `encode` gave for the pictures of a step, see `pictures`
    samples: int  # K
    branched: bool  # the K rows of a scene share their state, and so their picture, at every step
    starts: tuple[EnvState, ...]  # (G,)
    finals: Observation | None = None  # (N,), what was seen after each episode's end; None where nobody asked
    gains: tuple[Tensor, ...] | None = None  # T of (N,), by which the task's progress grew; None where no task tells it
    terms: dict[str, Tensor] = field(default_factory=dict)  # name -> (T, N), of the rewards, before weighting

    def sharing(self, step: int) -> int:
        """Return how many adjacent rows share a picture at a step: K or 1."""
        return self.samples if self.branched or step == 0 else 1

    def pictures(self, step: int) -> Tensor:
        """Return the rows (M,) whose pictures `encoded[step]` is of, in order: the first of those that share one."""
        return torch.nonzero(self.transitions[step].valid[:: self.sharing(step)])[:, 0] * self.sharing(step)


@torch.no_grad()
def collect(
    pool: EnvPool,
    policy: LearningPolicy,
    seeds: Sequence[int],
    *,
    samples: int,
    generator: torch.Generator,
    branch: np.random.Generator | None = None,
    final_pictures: bool = False,
) -> Rollout:
    """Roll out `samples` episodes of each scene, or as many decisions in each state, sampled from the policy.

    Decisions from the same state are drawn from one picture and one forward pass. Without `branch` that is so at an
    episode's start only; its rows are then the scene's episodes, each for itself. With `branch` it is so at every step:
    K decisions are tried in the state that the scene is in, and the scene goes on from one of their outcomes, drawn
    uniformly among those that are not over.

    Args:
        pool: the environments.
        policy: acts, without gradients.
        seeds: of the scenes, (G,).
        samples: K.
        generator: of the actions.
        branch: draws the outcomes to go on from.
        final_pictures: look at every episode's end too.

    Raises:
        ValueError: several episodes of a scene where none comes back.
    """
    if not pool.restores:
        if samples > 1 or branch is not None:
            raise ValueError(f"expected samples=1 where no scene comes back, got {samples}")
        if len(seeds) > 1:
            alone = [
                collect(pool, policy, [seed], samples=1, generator=generator, final_pictures=final_pictures)
                for seed in seeds
            ]
            return beside_each_other(alone)
    starts = pool.reset(seeds)
    rows = torch.arange(len(seeds)).repeat_interleave(samples)
    states = [starts[int(i)].state for i in rows]
    pictures = [starts[int(i)].observation for i in rows]
    live, share = list(range(len(rows))), samples
    steps, encodings, terms, gains = [], [], [], []
    while live:
        seen = stack([pictures[i] for i in live[::share]])
        encoded = policy.encode(seen)
        decision = _decide(policy, seen, encoded, samples=share, generator=generator)
        encodings.append(encoded)
        now = [states[i] for i in live]
        done = pool.step(now, decision.action, pictures=branch is None, final_pictures=final_pictures)
        outcomes = dict(zip(live, done, strict=True))
        steps.append(_transition(stack(pictures), decision, outcomes, rows))
        gains.append(_gains(states, outcomes))
        terms.append([outcomes[i].terms if i in outcomes else {} for i in range(len(rows))])
        for i, outcome in outcomes.items():
            states[i] = outcome.state
            pictures[i] = outcome.observation or pictures[i]
        live = [i for i in live if not outcomes[i].done]
        if branch is None:
            share = 1
        elif live:
            live = _go_on(pool, states, pictures, live, samples=samples, rng=branch)
    return Rollout(
        transitions=tuple(steps),
        encoded=tuple(encodings),
        samples=samples,
        branched=branch is not None,
        starts=tuple(start.state for start in starts),
        finals=stack(pictures) if final_pictures else None,
        terms=_by_name(terms),
        gains=tuple(gains) if pool.restores and all(start.state.goals for start in starts) else None,
    )


def beside_each_other(rollouts: Sequence[Rollout]) -> Rollout:
    """Join rollouts of single episodes into one, as if they had been acted at the same time."""
    padded = []
    for t in range(max(len(one.transitions) for one in rollouts)):
        rows = [one.transitions[t] if t < len(one.transitions) else _over(one.transitions[-1]) for one in rollouts]
        padded.append(replace(concatenate(rows), group=torch.arange(len(rollouts))))
    finals = [one.finals for one in rollouts if one.finals is not None]
    encodings = [[one.encoded[t] for one in rollouts if t < len(one.encoded)] for t in range(len(padded))]
    return Rollout(
        transitions=tuple(padded),
        encoded=tuple(concatenate(step) for step in encodings),
        samples=1,
        branched=False,
        starts=tuple(start for one in rollouts for start in one.starts),
        finals=concatenate(finals) if finals else None,
        terms=_terms_beside(rollouts, steps=len(padded)),
    )


def _terms_beside(rollouts: Sequence[Rollout], *, steps: int) -> dict[str, Tensor]:
    """Return each term as (T, N), 0 after an episode's end and where it was not paid."""
    names = dict.fromkeys(name for one in rollouts for name in one.terms)
    none = torch.zeros(0, 1)
    columns = {name: [one.terms.get(name, none) for one in rollouts] for name in names}
    return {
        name: torch.cat([F.pad(column, (0, 0, 0, steps - len(column))) for column in some], dim=1)
        for name, some in columns.items()
    }


def _over(last: Transition) -> Transition:
    """Return the padding that follows an episode's last step."""
    no = torch.zeros_like(last.valid)
    return replace(last, reward=torch.zeros_like(last.reward), terminated=no, truncated=no, valid=no)


def _by_name(steps: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, Tensor]:
    """Return each term as (T, N), 0 where it was not paid."""
    names = dict.fromkeys(name for step in steps for terms in step for name in terms)
    return {name: torch.tensor([[terms.get(name, 0.0) for terms in step] for step in steps]) for name in names}


def _decide(
    policy: LearningPolicy, seen: Observation, encoded: Any, *, samples: int, generator: torch.Generator
) -> FactoredDecision:
    """Return `samples` decisions for each of the pictures (M,), as rows (M samples,), where environments are."""
    decision = policy.act(seen, samples=samples, generator=generator, encoded=encoded)
    if not isinstance(decision, FactoredDecision):
        scores = policy.evaluate_actions(seen, decision.action, encoded=encoded)
        decision = FactoredDecision(
            action=decision.action,
            log_prob=decision.log_prob,
            confidence=decision.confidence,
            pick_log_prob=scores.pick_log_prob,
            place_log_prob=scores.place_log_prob,
        )
    action = PickPlace(**{name: value.flatten(0, 1) for name, value in vars(decision.action).items()})
    rest = {name: value.flatten() for name, value in vars(decision).items() if name != "action"}
    return FactoredDecision(action=action, **rest).to("cpu")


def _go_on(
    pool: EnvPool,
    states: list[EnvState],
    pictures: list[Observation],
    live: Sequence[int],
    *,
    samples: int,
    rng: np.random.Generator,
) -> list[int]:
    """Put every scene that goes on into one of its outcomes that are not over; return the rows of those scenes."""
    scenes = sorted({i // samples for i in live})
    chosen = [int(rng.choice([i for i in live if i // samples == scene])) for scene in scenes]
    looks = pool.look([states[i] for i in chosen])
    rows = []
    for scene, source, picture in zip(scenes, chosen, looks, strict=True):
        state = states[source]
        for row in range(scene * samples, (scene + 1) * samples):
            states[row], pictures[row] = state, picture
            rows.append(row)
    return rows


def _gains(states: Sequence[EnvState], outcomes: dict[int, Outcome]) -> Tensor:
    """Return by how much each row's progress grew over its state's, (N,), and 0 where it did not act."""
    grown = [outcomes[i].state.progress - s.progress if i in outcomes else 0.0 for i, s in enumerate(states)]
    return torch.tensor(grown)


def _next(outcome: Outcome | None, last: Observation) -> Observation:
    return last if outcome is None or outcome.observation is None else outcome.observation


def _transition(
    observation: Observation, decision: FactoredDecision, outcomes: dict[int, Outcome], group: Tensor
) -> Transition:
    """Return one step (N,) of decisions for the rows that have an outcome, in their order; the others are padding."""
    n = len(group)
    live = torch.tensor(list(outcomes))

    def column(value: Callable[[Outcome], float]) -> Tensor:
        return torch.tensor([value(outcomes[i]) if i in outcomes else 0.0 for i in range(n)])

    def spread(values: Tensor) -> Tensor:
        return values.new_zeros(n, *values.shape[1:]).index_copy(0, live, values)

    return Transition(
        observation=observation,
        action=PickPlace(**{name: spread(value) for name, value in vars(decision.action).items()}),
        symmetry=torch.ones(n, dtype=torch.int64),
        pick_log_prob=spread(decision.pick_log_prob),
        place_log_prob=spread(decision.place_log_prob),
        reward=column(lambda o: o.reward),
        terminated=column(lambda o: o.terminated) > 0,
        truncated=column(lambda o: o.truncated) > 0,
        valid=torch.tensor([i in outcomes for i in range(n)]),
        group=group,
        advantage=torch.zeros(n),
    )


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
