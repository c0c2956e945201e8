"""Episodes of an evaluation run again, so that people can see them: what was seen, thought and done, and a film.

Knows how to build an evaluation's policy and scenes from its folder; how they are shown is the report's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt
import torch

from robo_rlft.commands.environment import environment_factory
from robo_rlft.commands.policies import ORACLE, Candidate, candidate
from robo_rlft.config import Composed, UserError, build
from robo_rlft.env import EnvState
from robo_rlft.evaluation.report import Similarity, StepView
from robo_rlft.evaluation.results import EvaluationResult, SceneResult
from robo_rlft.evaluation.video import FPS, caption, encode_mp4
from robo_rlft.geometry import bin_to_angle
from robo_rlft.language.phrases import find_phrases
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.records import Observation, PickPlace, stack
from robo_rlft.rollout.jobs import Instruction, Outcome, Start
from robo_rlft.rollout.pool import EnvPool
from robo_rlft.tasks.task import Goal

Chooser = Callable[[int, Observation], PickPlace]  # step and observation -> actions (1,)


@dataclass(frozen=True, kw_only=True)
class Replay:
    """One episode, run again."""

    steps: tuple[StepView, ...]
    film: bytes | None  # None where the robot cannot be filmed
    starts: tuple[float, ...]  # seconds of the film at which the steps begin
    outcome: str | None  # "success" or the kind of failure; None without a goal
    confidence: float  # at the first decision


class Player:
    """Runs an evaluation's episodes again, one at a time; made by `open_player`."""

    def __init__(self, *, pool: EnvPool, chosen: Candidate, config: Mapping[str, Any], trust: Sequence[str]) -> None:
        self._pool, self._chosen, self._config, self._trust = pool, chosen, config, trust

    @property
    def has_maps(self) -> bool:
        """Whether the policy can show where it would pick and place."""
        return isinstance(self._chosen.policy, TransporterPolicy)

    def play(self, scene: SceneResult) -> Replay:
        """Run a scene's episode again, to its end."""
        torch.set_num_threads(int(self._config["threads"]))
        start = self._pool.reset([scene.seed], [self._told(scene)])[0]
        choose, confidence = self._chooser(scene, start.observation)
        state, seen = start.state, start.observation
        steps: list[StepView] = []
        frames: list[npt.NDArray[Any]] = []
        starts: list[float] = []
        outcomes: list[Outcome] = []
        while True:
            action = choose(len(steps), seen)
            starts.append(len(frames) / FPS)
            count = f"{len(steps) + 1}. " if steps or len(state.sentences) > 1 else ""
            frames += caption(self._pool.film([state], action)[0], f"{count}{state.instruction}")
            (outcome,) = self._pool.step([state], action)
            outcomes.append(outcome)
            steps.append(self._step(state, seen, action[0], outcome.state))
            if outcome.done or outcome.observation is None:
                break
            state, seen = outcome.state, outcome.observation
        return Replay(
            steps=tuple(steps),
            film=encode_mp4(frames) if frames else None,
            starts=tuple(starts) if frames else (),
            outcome=self._outcome(start, outcomes),
            confidence=confidence,
        )

    def _told(self, scene: SceneResult) -> Instruction | None:
        if self._config.get("instructions") is None:
            return None
        known = scene.pick is not None and scene.place is not None
        goal = Goal(pick=str(scene.pick), place=str(scene.place)) if known else None
        return Instruction(sentence=scene.instruction, goal=goal)

    def _chooser(self, scene: SceneResult, first: Observation) -> tuple[Chooser, float]:
        """Return what chooses the actions, and its confidence at the first of them."""
        if self._chosen.checkpoint.name == ORACLE:
            demonstrator = build(self._config["demonstrator"], trust=self._trust, path="demonstrator")
            (shown,) = self._pool.demonstrate([scene.seed], demonstrator)
            pick, place, turn = (torch.as_tensor(x) for x in (shown.pick, shown.place, shown.rotation))
            return lambda i, seen: PickPlace(
                pick=pick[i : i + 1], place=place[i : i + 1], rotation=turn[i : i + 1]
            ), 1.0
        policy, greedy = self._chosen.policy, self._config["decoding"] == "greedy"
        generator = torch.Generator().manual_seed(scene.seed)

        def choose(number: int, seen: Observation) -> PickPlace:
            return policy.act(stack([seen]), greedy=greedy, generator=generator).action

        return choose, float(policy.act(stack([first]), greedy=True).confidence[0])

    def _step(self, state: EnvState, seen: Observation, action: PickPlace, after: EnvState) -> StepView:
        pick, place = ((int(p[0]), int(p[1])) for p in (action.pick, action.place))
        view = StepView(
            instruction=state.instruction,
            color=seen.color.numpy().transpose(1, 2, 0),
            pick=pick,
            place=place,
            turn=float(bin_to_angle(int(action.rotation), self._chosen.rotations)),
            progress=after.progress - state.progress if state.goals else None,
        )
        policy = self._chosen.policy
        if not isinstance(policy, TransporterPolicy):
            return view
        maps = policy.maps(seen, action.pick)
        phrases = find_phrases(str(seen.instruction))
        similar = zip((phrases.pick, phrases.place), maps.similarity.numpy(), strict=True)
        return replace(
            view,
            pick_probability=maps.pick.numpy(),
            place_probability=maps.place.sum(dim=0).numpy(),
            similarities=tuple(Similarity(phrase=phrase, cosine=cosine) for phrase, cosine in similar),
        )

    def _outcome(self, start: Start, outcomes: Sequence[Outcome]) -> str | None:
        if not start.state.goals:
            return None
        if outcomes[-1].success:
            return "success"
        return self._pool.explain([outcomes[-1].state], [[o.attempt for o in outcomes]])[0]


@contextmanager
def open_player(config: Mapping[str, Any], result: EvaluationResult, *, trust: Sequence[str] = ()) -> Iterator[Player]:
    """Build an evaluation's policy and scenes anew.

    Args:
        config: The evaluation's resolved config.
        result: What it came to.
        trust: Classes outside this package that the user allowed, now: a folder cannot allow them by itself.

    Raises:
        UserError: Something that the config names cannot be built.
        PolicyFileError: The policy's file cannot be loaded.
        OSError: It is not there.
    """
    values = dict(config)
    composed = Composed(
        command="evaluate",
        values=values,
        defaults=values,
        overrides=(),
        config_dirs=(),
        choices={},
        trust=tuple(trust),
    )
    chosen = candidate(composed)
    if chosen.checkpoint.sha256 != result.checkpoint_sha256:
        raise UserError(f"{chosen.checkpoint.name} has changed since it was evaluated")
    make_env = environment_factory(values, trust=trust, workspace=chosen.workspace, rotations=chosen.rotations)
    with EnvPool(make_env=make_env) as pool:
        yield Player(pool=pool, chosen=chosen, config=values, trust=trust)
