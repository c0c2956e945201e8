"""What environments are asked to do, by values: states in, outcomes out. Knows nothing of processes or learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from robo_rlft.env import SUCCESS, EnvState, Place, StepResult, TabletopEnv
from robo_rlft.records import Observation
from robo_rlft.rollout.episode import Episode
from robo_rlft.tasks.demonstrators import Demonstrator
from robo_rlft.tasks.task import Attempt, Goal


class Env(Protocol):
    """What a policy acts in: `robo_rlft.env.TabletopEnv`, or `robo_rlft.live.LiveEnv` with one state, the present."""

    @property
    def restores(self) -> bool: ...
    @property
    def told_by(self) -> str: ...
    @property
    def place(self) -> Place: ...
    def start(self, seed: int, *, sentence: str | None = None, goal: Goal | None = None) -> EnvState: ...
    def look(self, state: EnvState) -> Observation: ...
    def act(self, state: EnvState, action: npt.ArrayLike) -> StepResult: ...
    def explain(self, state: EnvState, attempts: Sequence[Attempt]) -> str: ...
    def film(self, state: EnvState, action: npt.ArrayLike) -> list[Any]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """A sentence of the user's own for a scene, with the goal that it means, if known."""

    sentence: str
    goal: Goal | None


@dataclass(frozen=True, kw_only=True)
class Start:
    """An episode's beginning."""

    state: EnvState
    observation: Observation  # without a batch dimension


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an action came to."""

    state: EnvState
    observation: Observation | None  # None where nobody asked, as at an episode's end
    reward: float
    terms: dict[str, float]
    terminated: bool
    truncated: bool
    attempt: Attempt

    @property
    def done(self) -> bool:
        return self.terminated or self.truncated

    @property
    def success(self) -> bool:
        return self.state.progress > SUCCESS


def _reset(env: Env, seed: int, instruction: Instruction | None) -> Start:
    if instruction is None:
        state = env.start(seed)
    else:
        state = env.start(seed, sentence=instruction.sentence, goal=instruction.goal)
    return Start(state=state, observation=env.look(state))


def _look(env: Env, state: EnvState) -> Observation:
    return env.look(state)


def _step(env: Env, state: EnvState, action: Any, picture: bool, final_picture: bool) -> Outcome:
    result = env.act(state, action)
    wanted = final_picture if result.terminated or result.truncated else picture
    return Outcome(
        state=result.state,
        observation=env.look(result.state) if wanted else None,
        reward=result.reward,
        terms=result.terms,
        terminated=result.terminated,
        truncated=result.truncated,
        attempt=result.attempt,
    )


def _demonstrate(env: TabletopEnv, seed: int, demonstrator: Demonstrator) -> Episode:
    rng = np.random.default_rng([seed, 7])  # the demonstrator's own errors, apart from the scene's randomness

    def choose(state: EnvState) -> Chosen:
        intent = demonstrator(env.task, env.layout(state), state.poses, rng=rng)
        return Chosen(action=env.to_action(intent), symmetry=intent.symmetry)

    return record_episode(env, seed, choose)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """An action that somebody chose."""

    action: npt.NDArray[np.int64]  # as the environment takes it
    symmetry: int = 1  # how many turns, equal parts of a whole one apart, come to the same


def record_episode(env: TabletopEnv, seed: int, choose: Callable[[EnvState], Chosen]) -> Episode:
    """Act in a scene until its episode is over, and return the record.

    Args:
        env: the environment.
        seed: of the scene.
        choose: gives the action for a state.
    """
    state = env.start(seed)
    pictures, chosen, goals, sentences, rewards, attempts = [env.look(state)], [], [], [], [], []
    while True:
        goals.append(state.goals[state.line])
        sentences.append(state.instruction)
        chosen.append(choose(state))
        result = env.act(state, chosen[-1].action)
        state = result.state
        rewards.append(result.reward)
        attempts.append(result.attempt)
        pictures.append(env.look(state))
        if result.terminated or result.truncated:
            break
    success = state.progress > SUCCESS
    steps = np.stack([one.action for one in chosen])
    return Episode(
        task=env.task.name,
        split=env.split,
        phase=env.phase,
        seed=seed,
        instructions=tuple(sentences),
        pick_names=tuple(goal.pick for goal in goals),
        place_names=tuple(goal.place for goal in goals),
        color=np.stack([picture.color.numpy().transpose(1, 2, 0) for picture in pictures]),
        height=np.stack([picture.height.numpy() for picture in pictures]),
        pick=steps[:, 0:2],
        place=steps[:, 2:4],
        rotation=steps[:, 4],
        symmetry=np.array([one.symmetry for one in chosen], dtype=np.int64),
        rewards=np.array(rewards, dtype=np.float32),
        success=success,
        failure=None if success else env.explain(state, attempts),
        rotations=env.rotations,
        workspace=env.workspace,
    )


def _film(env: Env, state: EnvState, action: Any) -> list[Any]:
    return env.film(state, action)


def _explain(env: Env, state: EnvState, attempts: Sequence[Attempt]) -> str:
    return env.explain(state, attempts)


JOBS: dict[str, Callable[..., Any]] = {
    "reset": _reset,
    "step": _step,
    "look": _look,
    "explain": _explain,
    "demonstrate": _demonstrate,
    "film": _film,
}
