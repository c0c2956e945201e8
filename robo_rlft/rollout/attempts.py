"""A policy's attempts as episodes with all their pictures: what people compare, and what is learned from again.

Knows numpy episodes and pools of environments, nothing of files or learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from robo_rlft.env import EnvState
from robo_rlft.geometry import Workspace
from robo_rlft.records import ActionScores, Decision, Observation, PickPlace, Policy, stack
from robo_rlft.rollout.episode import Episode
from robo_rlft.rollout.jobs import Outcome
from robo_rlft.rollout.pool import EnvPool
from robo_rlft.tasks.task import Attempt


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acts, and on which grid."""

    policy: Policy
    workspace: Workspace
    rotations: int
    sha256: str | None  # of the policy's file


class Sharpened:
    """A policy that tries the likeliest of a few of its own samples: between sampling and the likeliest action of all.

    Wide distributions seldom succeed by a single sample, and their likeliest action shows nothing new.
    """

    def __init__(self, policy: Policy, *, among: int) -> None:
        """Wrap a policy; `among` is the number of samples, at least 1."""
        self._policy, self._among = policy, among

    def act(
        self,
        observation: Observation,
        *,
        greedy: bool = False,
        samples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Decision:
        """Choose actions, see `Policy.act`."""
        if greedy:
            return self._policy.act(observation, greedy=True, samples=samples, generator=generator)
        count = samples or 1
        drawn = self._policy.act(observation, samples=count * self._among, generator=generator)
        batch = len(drawn.log_prob)
        best = drawn.log_prob.view(batch, count, self._among).argmax(dim=2)
        rows = torch.arange(batch)[:, None]
        chosen = best + torch.arange(count) * self._among
        action = PickPlace(**{name: value[rows, chosen] for name, value in vars(drawn.action).items()})
        decision = Decision(
            action=action, log_prob=drawn.log_prob[rows, chosen], confidence=drawn.confidence[rows, chosen]
        )
        if samples is not None:
            return decision
        return Decision(
            action=PickPlace(**{name: value[:, 0] for name, value in vars(action).items()}),
            log_prob=decision.log_prob[:, 0],
            confidence=decision.confidence[:, 0],
        )

    def evaluate_actions(self, observation: Observation, action: PickPlace) -> ActionScores:
        """Score actions under the policy itself."""
        return self._policy.evaluate_actions(observation, action)


@torch.no_grad()
def record_attempts(
    pool: EnvPool,
    actor: Actor,
    seeds: Sequence[int],
    *,
    task: str,
    tries: int = 1,
    greedy: bool = False,
    generator: torch.Generator | None = None,
) -> list[Episode]:
    """Run `tries` episodes of each scene beside each other, and return them with all their pictures, failures too.

    The first decisions of a scene come from one look at it. A batch keeps its composition until its last episode is
    over, so that the same seeds and generator give bit-equal episodes.

    Args:
        pool: of environments of the task.
        actor: who acts.
        seeds: of the scenes, (G,).
        task: its name, for the episodes.
        tries: K episodes of each.
        greedy: take the likeliest actions instead of sampling.
        generator: of the samples.

    Returns:
        G K episodes, those of a scene adjacent.
    """
    if not pool.restores and (len(seeds) > 1 or tries > 1):
        raise ValueError(f"expected one attempt at a time where no scene comes back, got {len(seeds)} x {tries}")
    starts = [start for start in pool.reset(seeds) for _ in range(tries)]
    tracks = [_Track(state=start.state, pictures=[start.observation]) for start in starts]
    scenes = stack([start.observation for start in starts[::tries]])
    first = actor.policy.act(scenes, greedy=greedy, samples=tries, generator=generator)
    action = PickPlace(**{name: value.flatten(0, 1).cpu() for name, value in vars(first.action).items()})
    live = list(range(len(tracks)))
    while live:
        states = [tracks[i].state for i in live]
        outcomes = pool.step(states, action[torch.tensor(live)], pictures=True, final_pictures=True)
        for i, outcome in zip(live, outcomes, strict=True):
            tracks[i].add(action[i].to_array(), outcome)
        live = [i for i, outcome in zip(live, outcomes, strict=True) if not outcome.done]
        if live:
            seen = stack([track.pictures[-1] for track in tracks])
            action = actor.policy.act(seen, greedy=greedy, generator=generator).to("cpu").action
    failed = [track for track in tracks if not track.success]
    kinds = pool.explain([track.state for track in failed], [track.attempts for track in failed])
    failures = dict(zip(map(id, failed), kinds, strict=True))
    return [
        track.episode(
            actor,
            task=task,
            seed=seeds[i // tries],
            attempt=i % tries,
            failure=failures.get(id(track)),
            told_by=pool.told_by,
        )
        for i, track in enumerate(tracks)
    ]


@dataclass(kw_only=True)
class _Track:
    """An episode in the making."""

    state: EnvState
    pictures: list[Observation]
    success: bool = False
    before: list[EnvState] = field(default_factory=list)  # the states that were acted in
    actions: list[npt.NDArray[np.int64]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    def add(self, action: npt.NDArray[np.int64], outcome: Outcome) -> None:
        assert outcome.observation is not None
        self.before.append(self.state)
        self.actions.append(action)
        self.rewards.append(outcome.reward)
        self.attempts.append(outcome.attempt)
        self.pictures.append(outcome.observation)
        self.state, self.success = outcome.state, outcome.success

    def episode(
        self, actor: Actor, *, task: str, seed: int, attempt: int, failure: str | None, told_by: str
    ) -> Episode:
        steps = np.stack(self.actions)
        goals = [state.goal for state in self.before]
        return Episode(
            task=task,
            split=self.state.split,
            phase=self.state.phase,
            seed=seed,
            instructions=tuple(state.instruction for state in self.before),
            pick_names=tuple("unknown" if goal is None else goal.pick for goal in goals),
            place_names=tuple("unknown" if goal is None else goal.place for goal in goals),
            color=np.stack([picture.color.numpy().transpose(1, 2, 0) for picture in self.pictures]),
            height=np.stack([picture.height.numpy() for picture in self.pictures]),
            pick=steps[:, 0:2],
            place=steps[:, 2:4],
            rotation=steps[:, 4],
            symmetry=np.ones(len(steps), dtype=np.int64),
            rewards=np.array(self.rewards, dtype=np.float32),
            success=self.success,
            failure=failure,
            rotations=actor.rotations,
            workspace=actor.workspace,
            attempt=attempt,
            policy_sha256=actor.sha256,
            told_by=told_by,
            script=self.state.sentences,
        )
