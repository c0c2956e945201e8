"""The protocol of every evaluation: which scenes, in which batches, and what is kept when it is killed.

Test scenes are the scene seeds 0 to N - 1 of the pool's phase, whatever the run's seed. Batches have a fixed
composition, since a network's results for one row may depend, in the last bit, on the rows beside it. Knows nothing of
configs and files of policies.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from robo_rlft.evaluation.files import ResultFileError, check_format
from robo_rlft.evaluation.instructions import InstructionLine, read_instructions
from robo_rlft.evaluation.results import EvaluationResult, SceneResult, read_results, write_results
from robo_rlft.records import Policy
from robo_rlft.rollout.collect import run_episodes
from robo_rlft.rollout.episode import EpisodeRecord
from robo_rlft.rollout.pool import EnvPool, Instruction
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

PARTIAL_FORMAT = "robo_rlft.partial_results"
PARTIAL_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What is evaluated, as the results name it."""

    name: str  # a file, or oracle, zero_shot, random
    sha256: str | None = None  # None where there is no file


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
    seed: int = 0,
    instructions: Sequence[InstructionLine] | None = None,
    unknown_words: Callable[[str], tuple[str, ...]] = lambda sentence: (),
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
        episodes: How many: scenes 0 to `episodes` - 1. Ignored where `instructions` are given.
        greedy: Whether the most probable action is taken, instead of sampling.
        batch_size: Episodes that run beside each other; part of what makes results bit-equal.
        checkpoint: What the results call the policy.
        seed: Of sampling; scenes do not depend on it.
        instructions: The user's own scenes and sentences; one without a goal is run, but neither scored nor averaged.
        unknown_words: Names the words of a sentence that the text encoder does not know.
        partial: A file of JSON lines that keeps finished batches, so that a killed evaluation goes on where it was.
        progress: Called after every batch.

    Raises:
        ValueError: There is nothing to run.
        ResultFileError: `partial` belongs to another evaluation.
    """
    trials = _Trials(range(episodes), None) if instructions is None else _Trials.of(instructions)
    if not trials.seeds or batch_size < 1:
        count = len(trials.seeds)
        raise ValueError(f"expected at least one episode and a batch size above 0, got {count} and {batch_size}")
    decoding = "greedy" if greedy else "sampled"
    identity = {
        **{"task": task, "split": split, "phase": phase, "decoding": decoding, "batch_size": batch_size},
        **{"checkpoint": checkpoint.name, "checkpoint_sha256": checkpoint.sha256, "seed": None if greedy else seed},
    }
    store = None if partial is None else PartialResults(partial, identity)
    scenes: list[SceneResult] = []
    for index, start in enumerate(range(0, len(trials.seeds), batch_size)):
        batch = trials[start : start + batch_size]
        finished = None if store is None else store.get(batch.key)
        if finished is None:
            # A function of seed and batch alone, so that a resumed evaluation samples as an unbroken one.
            generator = torch.Generator().manual_seed(_batch_seed(seed, index))
            (records,) = run_episodes(
                pool,
                policy,
                list(batch.seeds),
                greedy=greedy,
                generator=generator,
                batch_size=batch_size,
                instructions=batch.instructions,
            )
            finished = tuple(
                scene_result(record, scored=scored, unknown_words=unknown_words(record.instruction))
                for record, scored in zip(records, batch.scored, strict=True)
            )
            if store is not None:
                store.add(batch.key, finished)
        scenes.extend(finished)
        if progress is not None:
            progress(_progress(scenes, len(trials.seeds)))
    return EvaluationResult(
        task=task,
        split=split,
        phase=phase,
        decoding=decoding,
        checkpoint=checkpoint.name,
        checkpoint_sha256=checkpoint.sha256,
        scenes=tuple(scenes),
    )


def scene_result(record: EpisodeRecord, *, scored: bool = True, unknown_words: tuple[str, ...] = ()) -> SceneResult:
    """Return what is kept of an episode; without a goal (`scored` False) its success is unknown."""
    return SceneResult(
        seed=int(record.seed),
        instruction=record.instruction,
        pick=record.pick_name if scored else None,
        place=record.place_name if scored else None,
        success=bool(record.success) if scored else None,
        return_=float(record.return_) if scored else None,
        steps=int(record.steps),
        failure=record.failure if scored else None,
        confidence=float(record.confidence),
        unknown_words=unknown_words,
    )


@dataclass(frozen=True)
class _Trials:
    """Scenes to run, with the user's sentences where there are any."""

    seeds: Sequence[int]
    instructions: Sequence[Instruction] | None

    @classmethod
    def of(cls, lines: Sequence[InstructionLine]) -> _Trials:
        goals = [None if x.pick is None or x.place is None else Goal(pick=x.pick, place=x.place) for x in lines]
        told = [Instruction(sentence=x.sentence, goal=g) for x, g in zip(lines, goals, strict=True)]
        return cls([x.scene_seed for x in lines], told)

    def __getitem__(self, index: slice) -> _Trials:
        return _Trials(self.seeds[index], None if self.instructions is None else self.instructions[index])

    @property
    def scored(self) -> list[bool]:
        """Which have a goal to be judged by."""
        told = self.instructions
        return [True] * len(self.seeds) if told is None else [x.goal is not None for x in told]

    @property
    def key(self) -> str:
        """A hash of the composition; instructions are dataclasses of plain values, which `repr` shows whole."""
        told = None if self.instructions is None else list(self.instructions)
        return hashlib.sha256(repr((list(self.seeds), told)).encode()).hexdigest()[:16]


class PartialResults:
    """Finished batches in a file of JSON lines: a header that says whose they are, then one line a batch."""

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self._path = path
        self._header = {"format": PARTIAL_FORMAT, "format_version": PARTIAL_VERSION, **identity}
        self._batches: dict[str, tuple[SceneResult, ...]] = {}
        lines = self._whole_lines()
        if not lines:
            self._append(self._header)
            return
        found = self._parse(lines[0])
        check_format(found, where=str(path), expected=PARTIAL_FORMAT, version=PARTIAL_VERSION)
        different = sorted(k for k in {**found, **self._header} if found.get(k) != self._header.get(k))
        if different:
            what = ", ".join(f"{k} {found.get(k)!r} instead of {self._header.get(k)!r}" for k in different)
            raise ResultFileError(f"{path}: holds another evaluation's results ({what}); move it away to start anew")
        for line in lines[1:]:
            data = self._parse(line)
            try:
                self._batches[data["batch"]] = tuple(SceneResult.from_json(s) for s in data["scenes"])
            except (KeyError, TypeError, ValueError) as error:
                raise ResultFileError(f"{path}: expected a batch: {error}; move it away to start anew") from None

    def get(self, key: str) -> tuple[SceneResult, ...] | None:
        """Return a finished batch, None where it is missing."""
        return self._batches.get(key)

    def add(self, key: str, scenes: tuple[SceneResult, ...]) -> None:
        """Keep a finished batch."""
        self._batches[key] = scenes
        self._append({"batch": key, "scenes": [s.to_json() for s in scenes]})

    def _whole_lines(self) -> list[str]:
        """Return the lines that were written whole, and cut off one that a kill left torn."""
        if not self._path.exists():
            return []
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self._path, len(whole))
        return whole.decode(errors="replace").split("\n")[:-1]

    def _parse(self, line: str) -> dict[str, Any]:
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            raise ResultFileError(f"{self._path}: expected JSON lines: {error}; move it away to start anew") from None
        if not isinstance(data, dict):
            raise ResultFileError(f"{self._path}: expected JSON objects, got {line[:60]!r}; move it away to start anew")
        return data

    def _append(self, data: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write((json.dumps(data, allow_nan=False) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())


def _batch_seed(seed: int, index: int) -> int:
    return int.from_bytes(hashlib.sha256(f"evaluate/{seed}/{index}".encode()).digest()[:7], "big")


def _progress(scenes: Sequence[SceneResult], total: int) -> Progress:
    scored = [s for s in scenes if s.success is not None]
    return Progress(done=len(scenes), total=total, successes=sum(bool(s.success) for s in scored), scored=len(scored))
