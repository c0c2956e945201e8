"""The protocol of every evaluation: which scenes, in which batches, and what is kept when it is killed.

Test scenes are scene seeds of the pool's phase, from 0 on unless told otherwise, whatever the run's seed. Batches have
a fixed composition, since a network's results for one row may depend, in the last bit, on the rows beside it. Knows
nothing of configs and files of policies.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from robo_rlft.evaluation.instructions import InstructionLine, read_instructions
from robo_rlft.evaluation.judged import JudgedTry
from robo_rlft.evaluation.partial import PartialResults
from robo_rlft.evaluation.results import EvaluationResult, SceneResult, read_results, write_results
from robo_rlft.records import ActionScores, Decision, Observation, OutcomeReward, PickPlace, Policy
from robo_rlft.rollout.episode import EpisodeRecord
from robo_rlft.rollout.jobs import Instruction
from robo_rlft.rollout.pool import EnvPool
from robo_rlft.rollout.running import run_episodes
from robo_rlft.tasks.task import Goal

__all__ = [
    "Checkpoint",
    "EvaluationResult",
    "InstructionLine",
    "Progress",
    "SceneResult",
    "evaluate",
    "read_instructions",
    "read_results",
    "scene_result",
    "write_results",
]

BETWEEN = "; "  # the sentences of one episode


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What is evaluated, as the results name it."""

    name: str  # a file, or oracle, zero_shot, random
    sha256: str | None = None  # None where there is no file


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A reward that is asked about every try."""

    reward: OutcomeReward
    identity: str  # of its file and its settings


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an evaluation is."""

    done: int  # episodes, those of a killed run included
    total: int
    successes: int  # among the scored ones so far
    scored: int


def evaluate(
    pool: EnvPool,
    policy: Policy,
    *,
    task: str,
    split: str,
    phase: str,
    episodes: int,
    greedy: bool,
    batch_size: int,
    checkpoint: Checkpoint,
    first_scene: int = 0,
    seed: int = 0,
    tries: int = 1,
    instructions: Sequence[InstructionLine] | None = None,
    unknown_words: Callable[[str], tuple[str, ...]] = lambda sentence: (),
    judge: Judge | None = None,
    partial: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> EvaluationResult:
    """Run a policy on held-out scenes.

    Args:
        pool: Of environments of `task`, `split` and `phase`.
        policy: Chooses the actions.
        task: Its name, for the results, as `split` and `phase` are.
        split: Words and objects.
        phase: Scene seeds.
        episodes: How many scenes, one after the other. Ignored where `instructions` are given.
        greedy: Whether the most probable action is taken, instead of sampling.
        batch_size: Episodes that run beside each other; part of what makes results bit-equal.
        checkpoint: What the results call the policy.
        first_scene: Seed of the first scene.
        seed: Of sampling; scenes do not depend on it.
        tries: Episodes of each scene, sampled independently of each other.
        instructions: The user's own scenes and sentences; one without a goal is run, but neither scored nor averaged.
        unknown_words: Names the words of a sentence that the text encoder does not know.
        judge: Says of each try what a learned reward would pay for it, beside what is true of it.
        partial: A file of JSON lines that keeps finished batches, so that a killed evaluation goes on where it was.
        progress: Called after every batch.

    Raises:
        ValueError: There is nothing to run, or several tries would all be the same.
        ResultFileError: `partial` belongs to another evaluation.
    """
    trials = (
        _Trials(range(first_scene, first_scene + episodes), None) if instructions is None else _Trials.of(instructions)
    )
    if not trials.seeds or batch_size < 1:
        count = len(trials.seeds)
        raise ValueError(f"expected at least one episode and a batch size above 0, got {count} and {batch_size}")
    decoding = "greedy" if greedy else "sampled"
    if tries < 1 or (greedy and tries > 1):
        raise ValueError(f"expected one try of each scene, or several that are sampled; got {tries}, {decoding}")
    identity = {
        **{"task": task, "split": split, "phase": phase, "decoding": decoding, "batch_size": batch_size},
        **{"checkpoint": checkpoint.name, "checkpoint_sha256": checkpoint.sha256, "seed": None if greedy else seed},
        **({} if tries == 1 else {"tries": tries}),
        **({} if judge is None else {"judge": judge.identity}),
    }
    store = None if partial is None else PartialResults(partial, identity)
    scenes: list[SceneResult] = []
    for index, batch in enumerate(trials.batches(batch_size, tries)):
        finished = None if store is None else store.get(batch.key)
        if finished is None:
            # A function of seed and batch alone, so that a resumed evaluation samples as an unbroken one.
            generator = torch.Generator().manual_seed(_batch_seed(seed, index))
            finished = _run(
                pool, policy, batch, greedy=greedy, generator=generator, unknown_words=unknown_words, judge=judge
            )
            if store is not None:
                store.add(batch.key, finished)
        if batch.first == 0:
            scenes.extend(finished)
        else:  # further tries of scenes that are there
            scenes[-len(finished) :] = [a.joined(b) for a, b in zip(scenes[-len(finished) :], finished, strict=True)]
        if progress is not None:
            progress(_progress(scenes, len(trials.seeds) * tries))
    return EvaluationResult(
        task=task,
        split=split,
        phase=phase,
        decoding=decoding,
        checkpoint=checkpoint.name,
        checkpoint_sha256=checkpoint.sha256,
        scenes=tuple(scenes),
        tries=tries,
        told_by=pool.told_by,
    )


def _run(
    pool: EnvPool,
    policy: Policy,
    batch: _Trials,
    *,
    greedy: bool,
    generator: torch.Generator,
    unknown_words: Callable[[str], tuple[str, ...]],
    judge: Judge | None,
) -> tuple[SceneResult, ...]:
    """Run a batch; the tries of a scene are adjacent, so that an environment renders its first picture once."""
    rows = [i for i in range(len(batch.seeds)) for _ in range(batch.tries)]
    (records,) = run_episodes(
        pool,
        policy if batch.tries == 1 else _SharedStart(policy, tries=batch.tries),
        [batch.seeds[i] for i in rows],
        greedy=greedy,
        generator=generator,
        batch_size=len(rows),
        instructions=None if batch.instructions is None else [batch.instructions[i] for i in rows],
        reward=None if judge is None else judge.reward,
    )
    results = [
        scene_result(record, scored=batch.scored[i], unknown_words=_unknown(record, unknown_words))
        for i, record in zip(rows, records, strict=True)
    ]
    groups = [results[i : i + batch.tries] for i in range(0, len(results), batch.tries)]
    return tuple(functools.reduce(SceneResult.joined, group) for group in groups)


class _SharedStart:
    """A policy for one batch whose rows begin in groups of equal scenes: it looks at each first picture once."""

    def __init__(self, policy: Policy, *, tries: int) -> None:
        self._policy, self._tries, self._begun = policy, tries, False

    def act(
        self,
        observation: Observation,
        *,
        greedy: bool = False,
        samples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Decision:
        if self._begun:
            return self._policy.act(observation, greedy=greedy, samples=samples, generator=generator)
        self._begun = True
        scenes = observation[:: self._tries]
        decision = self._policy.act(scenes, greedy=greedy, samples=self._tries, generator=generator)
        action = decision.action
        return Decision(
            action=PickPlace(
                pick=action.pick.flatten(0, 1), place=action.place.flatten(0, 1), rotation=action.rotation.flatten(0, 1)
            ),
            log_prob=decision.log_prob.flatten(0, 1),
            confidence=decision.confidence.flatten(0, 1),
        )

    def evaluate_actions(self, observation: Observation, action: PickPlace) -> ActionScores:
        return self._policy.evaluate_actions(observation, action)


def _unknown(record: EpisodeRecord, unknown_words: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for sentence in record.instructions for word in unknown_words(sentence)))


def scene_result(record: EpisodeRecord, *, scored: bool = True, unknown_words: tuple[str, ...] = ()) -> SceneResult:
    """Return what is kept of an episode; without a goal (`scored` False) its success is unknown."""
    return SceneResult(
        seed=int(record.seed),
        instruction=BETWEEN.join(record.instructions),
        pick=BETWEEN.join(record.pick_names) if scored else None,
        place=BETWEEN.join(record.place_names) if scored else None,
        success=bool(record.success) if scored else None,
        return_=float(record.return_) if scored else None,
        steps=int(record.steps),
        failure=record.failure if scored else None,
        confidence=float(record.confidence),
        unknown_words=unknown_words,
        judged=_judged(record) if scored else (),
    )


def _judged(record: EpisodeRecord) -> tuple[JudgedTry, ...]:
    if record.proxy is None:
        return ()
    return (JudgedTry(proxy=float(record.proxy), success=bool(record.success), return_=float(record.return_)),)


@dataclass(frozen=True)
class _Trials:
    """Scenes to run, with the user's sentences where there are any, and which of their tries."""

    seeds: Sequence[int]
    instructions: Sequence[Instruction] | None
    first: int = 0  # try
    tries: int = 1  # from the first one on

    @classmethod
    def of(cls, lines: Sequence[InstructionLine]) -> _Trials:
        goals = [None if x.pick is None or x.place is None else Goal(pick=x.pick, place=x.place) for x in lines]
        told = [Instruction(sentence=x.sentence, goal=g) for x, g in zip(lines, goals, strict=True)]
        return cls([x.scene_seed for x in lines], told)

    def batches(self, size: int, tries: int) -> Iterator[_Trials]:
        """Yield parts of at most `size` episodes, all tries of a scene in one where they fit."""
        scenes = max(1, size // tries)
        for start in range(0, len(self.seeds), scenes):
            part = slice(start, start + scenes)
            told = None if self.instructions is None else self.instructions[part]
            for first in range(0, tries, size):
                yield _Trials(self.seeds[part], told, first, min(size, tries - first))

    @property
    def scored(self) -> list[bool]:
        """Which have a goal to be judged by."""
        told = self.instructions
        return [True] * len(self.seeds) if told is None else [x.goal is not None for x in told]

    @property
    def key(self) -> str:
        """A hash of the composition; instructions are dataclasses of plain values, which `repr` shows whole."""
        told = None if self.instructions is None else list(self.instructions)
        several = () if self.tries == 1 and self.first == 0 else (self.first, self.tries)
        return hashlib.sha256(repr((list(self.seeds), told, *several)).encode()).hexdigest()[:16]


def _batch_seed(seed: int, index: int) -> int:
    return int.from_bytes(hashlib.sha256(f"evaluate/{seed}/{index}".encode()).digest()[:7], "big")


def _progress(scenes: Sequence[SceneResult], total: int) -> Progress:
    scored = [s for s in scenes if s.success is not None]
    return Progress(
        done=sum(s.tries for s in scenes),
        total=total,
        successes=sum(s.successes or 0 for s in scored),
        scored=sum(s.tries for s in scored),
    )
