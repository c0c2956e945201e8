"""A policy acting in a pool of environments: rollouts for learning, as tensors.

`collect(pool, policy, ...)` gives a `Rollout` of T `Transition[N]`. Inference is batched in this process. Knows nothing
of losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    PickPlace,
    Transition,
    concatenate,
    stack,
)
from robo_rlft.rollout.jobs import Outcome
from robo_rlft.rollout.pool import EnvPool


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
