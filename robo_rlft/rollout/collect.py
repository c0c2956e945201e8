"""Policies acting in pools of environments: rollouts for learning, episodes for judging.

`collect(pool, policy, ...)` gives tensors `Transition[T N]`; `run_episodes` gives one record an episode. Inference is
batched in this process. Knows nothing of losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from robo_rlft.records import LearningPolicy, Observation, PickPlace, Policy, Transition, stack
from robo_rlft.rollout.episode import EpisodeRecord
from robo_rlft.rollout.pool import EnvPool, Instruction, Outcome
from robo_rlft.tasks.task import Attempt


@torch.no_grad()
def collect(
    pool: EnvPool, policy: LearningPolicy, seeds: Sequence[int], *, samples: int, generator: torch.Generator
) -> Transition:
    """Roll out `samples` episodes of each scene, actions sampled from the policy.

    The first actions of a scene's episodes are drawn from one picture and one forward pass.

    Args:
        pool: the environments.
        policy: acts, without gradients.
        seeds: of the scenes.
        samples: K, episodes a scene.
        generator: of the actions.

    Returns:
        Transitions (T, N), N = len(seeds) * K, the rows of a scene adjacent, `group` the scene's index. T is the
        longest episode's length; what follows an episode's end has `valid` False and reward 0.
    """
    starts = pool.reset(seeds)
    scenes = stack([start.observation for start in starts])
    encoded = policy.encode(scenes)
    decision = policy.act(scenes, samples=samples, generator=generator, encoded=encoded)
    scores = policy.evaluate_actions(scenes, decision.action, encoded=encoded)
    rows = torch.arange(len(seeds)).repeat_interleave(samples)
    observation, action = scenes[rows], _rows(decision.action)
    picks, places = scores.pick_log_prob.flatten(), scores.place_log_prob.flatten()
    states = [starts[int(i)].state for i in rows]
    alive = torch.ones(len(rows), dtype=torch.bool)
    steps: list[Transition] = []
    while True:
        live = torch.nonzero(alive)[:, 0].tolist()
        outcomes = dict(zip(live, pool.step([states[i] for i in live], action[alive]), strict=True))
        steps.append(_transition(observation, action, picks, places, outcomes, rows))
        for i, outcome in outcomes.items():
            states[i] = outcome.state
            alive[i] = not outcome.done
        if not bool(alive.any()):
            return stack(steps)
        observation = stack([_next(outcomes.get(i), observation[i]) for i in range(len(rows))])
        encoded = policy.encode(observation)
        action = policy.act(observation, generator=generator, encoded=encoded).action
        scores = policy.evaluate_actions(observation, action, encoded=encoded)
        picks, places = scores.pick_log_prob, scores.place_log_prob


def _next(outcome: Outcome | None, last: Observation) -> Observation:
    return last if outcome is None or outcome.observation is None else outcome.observation


def _rows(action: PickPlace) -> PickPlace:
    """(B, K, ...) to (B K, ...)."""
    return PickPlace(
        pick=action.pick.flatten(0, 1), place=action.place.flatten(0, 1), rotation=action.rotation.flatten(0, 1)
    )


def _transition(
    observation: Observation,
    action: PickPlace,
    picks: Tensor,
    places: Tensor,
    outcomes: dict[int, Outcome],
    group: Tensor,
) -> Transition:
    n = len(group)

    def column(value: Callable[[Outcome], float]) -> Tensor:
        return torch.tensor([value(outcomes[i]) if i in outcomes else 0.0 for i in range(n)])

    return Transition(
        observation=observation,
        action=action,
        pick_log_prob=picks,
        place_log_prob=places,
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
) -> Iterator[list[EpisodeRecord]]:
    """Run one episode a seed, yielding a list of records for each batch, in the order of the seeds.

    Batches have a fixed composition, and a batch's forward pass keeps its size until its last episode is over, so that
    results are bit-equal from run to run.
    """
    for begin in range(0, len(seeds), batch_size):
        part = slice(begin, begin + batch_size)
        told = None if instructions is None else instructions[part]
        yield _run_batch(pool, policy, seeds[part], told, greedy=greedy, generator=generator)


def _run_batch(
    pool: EnvPool,
    policy: Policy,
    seeds: Sequence[int],
    instructions: Sequence[Instruction | None] | None,
    *,
    greedy: bool,
    generator: torch.Generator | None,
) -> list[EpisodeRecord]:
    starts = pool.reset(seeds, instructions)
    states = [start.state for start in starts]
    observation = stack([start.observation for start in starts])
    actions: list[list[PickPlace]] = [[] for _ in seeds]
    returns, confidence = [0.0] * len(seeds), [0.0] * len(seeds)
    attempts: list[list[Attempt]] = [[] for _ in seeds]
    success = [False] * len(seeds)
    live = list(range(len(seeds)))
    while live:
        decision = policy.act(observation, greedy=greedy, generator=generator)
        outcomes = dict(zip(live, pool.step([states[i] for i in live], decision.action[live]), strict=True))
        for i, outcome in outcomes.items():
            if not actions[i]:
                confidence[i] = float(decision.confidence[i])
            actions[i].append(decision.action[i])
            attempts[i].append(outcome.attempt)
            returns[i] += outcome.reward
            states[i], success[i] = outcome.state, outcome.success
        live = [i for i in live if not outcomes[i].done]
        if live:
            observation = stack([_next(outcomes.get(i), observation[i]) for i in range(len(seeds))])
    failed = [i for i in range(len(seeds)) if not success[i]]
    kinds = dict(zip(failed, pool.explain([states[i] for i in failed], [attempts[i] for i in failed]), strict=True))
    return [
        EpisodeRecord(
            seed=seeds[i],
            instruction=states[i].instruction,
            pick_name="" if (goal := states[i].goal) is None else goal.pick,
            place_name="" if goal is None else goal.place,
            success=success[i],
            return_=returns[i],
            steps=len(actions[i]),
            failure=kinds.get(i),
            confidence=confidence[i],
            pick=np.stack([a.pick.numpy() for a in actions[i]]),
            place=np.stack([a.place.numpy() for a in actions[i]]),
            rotation=np.array([int(a.rotation) for a in actions[i]], dtype=np.int64),
        )
        for i in range(len(seeds))
    ]
