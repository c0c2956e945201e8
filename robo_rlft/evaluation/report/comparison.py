"""Runs beside each other: success, differences on the same scenes, failures, and the outcome of every scene.

Knows nothing of pages and policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robo_rlft.evaluation.report.records import FailureCounts, Results
from robo_rlft.evaluation.results import LOW_CONFIDENCE, EvaluationResult, SceneResult
from robo_rlft.evaluation.statistics import Interval, paired_bootstrap


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A run against the base, on the scenes and sentences that both were scored on."""

    interval: Interval | None  # of success, run minus base; None where they share no scene
    shared: int  # scenes
    better: int  # scenes on which the run succeeded more often
    worse: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one try of a scene came to."""

    status: str  # "success", "failure" or "unknown"
    kind: str | None  # of the failure


@dataclass(frozen=True, kw_only=True)
class SceneRow:
    """One scene and sentence with what every run made of it."""

    split: str
    seed: int
    instruction: str
    outcomes: Mapping[str, tuple[Outcome, ...]]  # run -> tries

    @property
    def failed(self) -> int:
        """Number of runs that failed at least once."""
        return sum(any(o.status == "failure" for o in tries) for tries in self.outcomes.values())


def results_table(results: Results) -> dict[str, Any]:
    """Return success and return of every run and split, in the shape of `tables.build_table`."""
    return {
        "table": {
            run: {
                split: {
                    "success": None if result.success is None else result.success.to_json(),
                    "return": None if result.return_ is None else result.return_.to_json(),
                    "episodes": len(result.scenes),
                    "decoding": result.decoding,
                }
                for split, result in splits.items()
            }
            for run, splits in results.items()
        }
    }


def build_comparison(results: Results, base: str) -> dict[str, dict[str, Difference]]:
    """Return the difference of every other run from the base: run -> split, where both have the split."""
    return {
        run: {split: _difference(result, results[base][split]) for split, result in splits.items() if split in first}
        for run, splits in results.items()
        for first in [results.get(base, {})]
        if run != base and any(split in first for split in splits)
    }


def count_failures(results: Results) -> tuple[FailureCounts, ...]:
    """Return the kinds of failure of every run, split by split."""
    splits = dict.fromkeys(split for row in results.values() for split in row)
    found = []
    for split in splits:
        here = {run: row[split] for run, row in results.items() if split in row}
        found.append(
            FailureCounts(
                split=split,
                episodes={run: sum(s.tries for s in result.scored) for run, result in here.items()},
                kinds={run: result.failures for run, result in here.items()},
            )
        )
    return tuple(found)


def scene_rows(results: Results) -> list[SceneRow]:
    """Return every scene with what the runs made of it: split by split, those that most runs failed on first."""
    found: dict[tuple[str, int, str], dict[str, tuple[Outcome, ...]]] = {}
    for run, splits in results.items():
        for split, result in splits.items():
            for scene in result.scenes:
                key = (split, scene.seed, scene.instruction)
                tries = found.setdefault(key, {})
                tries[run] = (*tries.get(run, ()), *outcomes(scene))
    rows = [
        SceneRow(split=split, seed=seed, instruction=instruction, outcomes=tries)
        for (split, seed, instruction), tries in found.items()
    ]
    order = list(dict.fromkeys(row.split for row in rows))
    return sorted(rows, key=lambda row: (order.index(row.split), -row.failed, row.seed, row.instruction))


def outcomes(scene: SceneResult) -> tuple[Outcome, ...]:
    """Return what each try of a scene came to."""
    if scene.success is None:
        return (Outcome(status="unknown", kind=None),) * scene.tries
    failed = tuple(Outcome(status="failure", kind=kind) for kind in scene.failures)
    return (Outcome(status="success", kind=None),) * (scene.tries - len(failed)) + failed


def doubts(results: Mapping[str, Sequence[EvaluationResult]]) -> tuple[str, ...]:
    """Return sentences about low confidence and unknown words, for each method that has any."""
    notes = []
    for method, evaluations in results.items():
        for result in evaluations:
            where = f"{method} on {result.split}"
            if result.low_confidence:
                notes.append(
                    f"{where}: in {result.low_confidence} of {len(result.scenes)} episodes the policy doubted that the "
                    f"scene holds what the sentence names (confidence below {LOW_CONFIDENCE})."
                )
            if result.unknown_words:
                words = ", ".join(f"{word} ({count})" for word, count in result.unknown_words.items())
                notes.append(f"{where}: words that the text encoder never learned, with episodes: {words}.")
            if len(result.scored) < len(result.scenes):
                count = len(result.scenes) - len(result.scored)
                notes.append(f"{where}: {count} sentences came without a goal; they were run but not scored.")
    return tuple(notes)


def _difference(result: EvaluationResult, base: EvaluationResult) -> Difference:
    ours, theirs = _rates(result), _rates(base)
    shared = [key for key in ours if key in theirs]
    a, b = [ours[key] for key in shared], [theirs[key] for key in shared]
    return Difference(
        interval=paired_bootstrap(a, b, seed=0) if shared else None,
        shared=len(shared),
        better=sum(x > y for x, y in zip(a, b, strict=True)),
        worse=sum(x < y for x, y in zip(a, b, strict=True)),
    )


def _rates(result: EvaluationResult) -> dict[tuple[int, str], float]:
    """Return each scored scene's rate of success; a scene told twice in the same words counts once, as their mean."""
    found: dict[tuple[int, str], list[float]] = {}
    for scene in result.scored:
        found.setdefault((scene.seed, scene.instruction), []).append(scene.rate or 0.0)
    return {key: sum(rates) / len(rates) for key, rates in found.items()}
