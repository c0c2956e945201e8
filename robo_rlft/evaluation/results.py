"""What an evaluation came to: one `EvaluationResult`, and its file `results.json`.

Knows nothing of policies and simulators.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robo_rlft.evaluation.files import ResultFileError, read_json, write_json
from robo_rlft.evaluation.judged import JudgedTry, judged_from_json, judged_to_json
from robo_rlft.evaluation.statistics import Interval, bootstrap_mean, wilson

FORMAT = "robo_rlft.results"
FORMAT_VERSION = 2  # 2 tells of several tries of a scene; with one, files are version 1 as ever
LOW_CONFIDENCE = 0.5  # below it, the scene more likely than not lacks something that the sentence names


@dataclass(frozen=True, kw_only=True)
class SceneResult:
    """One scene: one episode, or several tries that differ by what was sampled alone."""

    seed: int  # the scene's
    instruction: str
    pick: str | None  # what was to be picked; None where nobody said what the sentence asks for
    place: str | None
    success: bool | None  # of the first try; None where there was no goal to judge by
    return_: float | None  # final progress in [0, 1], mean of the tries; None likewise
    steps: int  # of the first try
    failure: str | None  # kind of the first try's failure; None for success or without a goal
    confidence: float  # [0, 1], at the first decision
    unknown_words: tuple[str, ...] = ()  # of the sentence, to the text encoder
    tries: int = 1
    more_successes: int = 0  # among the tries after the first
    more_failures: tuple[str, ...] = ()  # kinds of their failures
    judged: tuple[JudgedTry, ...] = ()  # every try, where a reward was asked about it and the truth is known

    @property
    def successes(self) -> int | None:
        """Of all tries; None without a goal."""
        return None if self.success is None else int(self.success) + self.more_successes

    @property
    def rate(self) -> float | None:
        """Successes out of tries; None without a goal."""
        return None if self.successes is None else self.successes / self.tries

    @property
    def failures(self) -> tuple[str, ...]:
        """Kinds of the failures of all tries; none without a goal."""
        return (*([] if self.success in (None, True) else [self.failure or "unknown"]), *self.more_failures)

    def joined(self, later: SceneResult) -> SceneResult:
        """Return this scene's tries with later ones of the same scene."""
        if (self.seed, self.instruction) != (later.seed, later.instruction):
            raise ValueError(f"expected tries of scene {self.seed}, {self.instruction!r}; got {later}")
        tries = self.tries + later.tries
        known = self.return_ is not None and later.return_ is not None
        total = (self.return_ or 0.0) * self.tries + (later.return_ or 0.0) * later.tries
        return replace(
            self,
            return_=total / tries if known else None,
            tries=tries,
            more_successes=self.more_successes + (later.successes or 0),
            more_failures=(*self.more_failures, *later.failures),
            judged=(*self.judged, *later.judged),
        )

    def to_json(self) -> dict[str, Any]:
        several = {"successes": self.successes, "failures": list(self.failures)}
        return {
            "seed": self.seed,
            "instruction": self.instruction,
            "pick": self.pick,
            "place": self.place,
            "success": self.success,
            "return": self.return_,
            "steps": self.steps,
            "failure": self.failure,
            "confidence": self.confidence,
            "unknown_words": list(self.unknown_words),
            **(several if self.tries > 1 else {}),
            **({"judged": judged_to_json(self.judged)} if self.judged else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, tries: int = 1) -> SceneResult:
        """Read what `to_json` wrote; raise `ValueError` when a field is missing or has another type."""
        several: dict[str, Any] = {}
        if tries > 1:
            several = _tries_from_json(data, tries)
        try:
            scene = cls(
                seed=data["seed"],
                instruction=data["instruction"],
                pick=data["pick"],
                place=data["place"],
                success=data["success"],
                return_=data["return"],
                steps=data["steps"],
                failure=data["failure"],
                confidence=float(data["confidence"]),
                unknown_words=tuple(data["unknown_words"]),
                judged=judged_from_json(data.get("judged"), tries),
                **several,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"expected a scene's results, got {data!r}: {error}") from None
        if not isinstance(scene.seed, int) or scene.success not in (None, True, False):
            raise ValueError(f"expected a whole seed and true, false or null for success, got {data!r}")
        if scene.return_ is not None and not isinstance(scene.return_, int | float):
            raise ValueError(f"expected a number or null for return, got {data!r}")
        return scene


def _tries_from_json(data: Mapping[str, Any], tries: int) -> dict[str, Any]:
    """Return the fields of a scene's later tries."""
    if data.get("success") is None:
        return {"tries": tries}
    first, successes, failures = data["success"], data.get("successes"), data.get("failures")
    if (
        not isinstance(successes, int)
        or not isinstance(failures, list)
        or successes + len(failures) != tries
        or not (successes if first else failures)
    ):
        raise ValueError(f"expected successes and failures of {tries} tries, got {data!r}")
    return {
        "tries": tries,
        "more_successes": successes - int(first),
        "more_failures": tuple(failures if first else failures[1:]),
    }


@dataclass(frozen=True, kw_only=True)
class InstructionResult:
    """The scored episodes of one sentence."""

    instruction: str
    episodes: int
    success: Interval
    return_: Interval


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """An evaluation of one policy on one split."""

    task: str
    split: str
    phase: str
    decoding: str  # "greedy" or "sampled"
    checkpoint: str  # the file's name, or oracle, zero_shot, random
    checkpoint_sha256: str | None  # None where there is no file
    scenes: tuple[SceneResult, ...]
    tries: int = 1  # of each scene
    told_by: str = "task"  # who said what succeeded: one of `rollout.episode.JUDGES`

    @property
    def scored(self) -> tuple[SceneResult, ...]:
        """The episodes that had a goal; means are over these alone."""
        return tuple(s for s in self.scenes if s.success is not None)

    @property
    def success(self) -> Interval | None:
        """Rate of success; None where no episode had a goal.

        Wilson's interval; with several tries the bootstrap's over scenes, since tries of one scene are not independent.
        """
        return _success(self.scored) if self.scored else None

    @property
    def return_(self) -> Interval | None:
        """Mean return, bootstrap interval; None where no episode had a goal."""
        return _return(self.scored) if self.scored else None

    @property
    def per_instruction(self) -> tuple[InstructionResult, ...]:
        """One row a sentence, in the order of the alphabet."""
        groups: dict[str, list[SceneResult]] = {}
        for scene in self.scored:
            groups.setdefault(scene.instruction, []).append(scene)
        return tuple(
            InstructionResult(instruction=s, episodes=len(g), success=_success(g), return_=_return(g, resamples=1000))
            for s, g in sorted(groups.items())
        )

    @property
    def failures(self) -> dict[str, int]:
        """Count of each kind of failure among the scored tries, the most frequent first."""
        kinds = [kind for s in self.scored for kind in s.failures]
        return {k: kinds.count(k) for k in sorted(set(kinds), key=lambda k: (-kinds.count(k), k))}

    @property
    def low_confidence(self) -> int:
        """Number of episodes in which the policy doubted that the scene holds what the sentence names."""
        return sum(s.confidence < LOW_CONFIDENCE for s in self.scenes)

    @property
    def unknown_words(self) -> dict[str, int]:
        """Number of episodes for each word that the text encoder does not know."""
        words = [w for s in self.scenes for w in set(s.unknown_words)]
        return {w: words.count(w) for w in sorted(set(words))}

    def to_json(self) -> dict[str, Any]:
        """Return what `results.json` holds; everything but `scenes` can be computed from them."""
        several = self.tries > 1
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION if several else 1,
            "task": self.task,
            "split": self.split,
            "phase": self.phase,
            "decoding": self.decoding,
            "checkpoint": self.checkpoint,
            "checkpoint_sha256": self.checkpoint_sha256,
            "episodes": len(self.scenes),
            **({"tries": self.tries} if several else {}),
            **({} if self.told_by == "task" else {"told_by": self.told_by}),
            "without_goal": len(self.scenes) - len(self.scored),
            "success": _json(self.success),
            "return": _json(self.return_),
            "low_confidence": self.low_confidence,
            "low_confidence_below": LOW_CONFIDENCE,
            "unknown_words": self.unknown_words,
            "failures": self.failures,
            "per_instruction": [
                {
                    "instruction": row.instruction,
                    "episodes": row.episodes,
                    "success": row.success.to_json(),
                    "return": row.return_.to_json(),
                }
                for row in self.per_instruction
            ],
            "scenes": [scene.to_json() for scene in self.scenes],
        }


def write_results(result: EvaluationResult, path: Path) -> None:
    """Write `results.json`, whole or not at all."""
    for scene in result.scenes:
        if not math.isfinite(scene.confidence) or (scene.return_ is not None and not math.isfinite(scene.return_)):
            raise ValueError(f"scene {scene.seed}: expected finite return and confidence, got {scene}")
    write_json(path, result.to_json())


def read_results(path: Path) -> EvaluationResult:
    """Read a `results.json`; the summary is computed anew from its scenes.

    Raises:
        ResultFileError: The file is missing, foreign, newer than this package, or damaged.
    """
    data = read_json(path, expected=FORMAT, version=FORMAT_VERSION)
    try:
        tries = data["tries"] if data["format_version"] > 1 else 1
        if not isinstance(tries, int) or isinstance(tries, bool) or tries < 1:
            raise ValueError(f"expected a whole number above 0 as tries, got {tries!r}")
        scenes = tuple(SceneResult.from_json(s, tries=tries) for s in data["scenes"])
        return EvaluationResult(
            task=data["task"],
            split=data["split"],
            phase=data["phase"],
            decoding=data["decoding"],
            checkpoint=data["checkpoint"],
            checkpoint_sha256=data["checkpoint_sha256"],
            scenes=scenes,
            tries=tries,
            told_by=str(data.get("told_by", "task")),
        )
    except KeyError as error:
        raise ResultFileError(f"{path}: expected the field {error}, found none; the file is damaged") from None
    except (TypeError, ValueError) as error:
        raise ResultFileError(f"{path}: {error}; the file is damaged") from None


def _success(scenes: Sequence[SceneResult]) -> Interval:
    if scenes[0].tries == 1:
        return wilson(sum(bool(s.success) for s in scenes), len(scenes))
    return bootstrap_mean([s.rate or 0.0 for s in scenes], seed=0)


def _return(scenes: Sequence[SceneResult], *, resamples: int = 10_000) -> Interval:
    return bootstrap_mean([float(s.return_ or 0.0) for s in scenes], seed=0, resamples=resamples)


def _json(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval.to_json()
