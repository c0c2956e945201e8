"""Tables of methods by splits, from the files of results.

Knows nothing of how the results came about. Which method is compared with which is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_rlft.evaluation.files import ResultFileError, read_json, write_json
from robo_rlft.evaluation.results import EvaluationResult, read_results
from robo_rlft.evaluation.statistics import clustered_bootstrap, paired_bootstrap, success_interval

FORMAT = "robo_rlft.table"
FORMAT_VERSION = 1
Files = Mapping[str, Mapping[str, Path]]  # method -> split -> results.json


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run took, children included."""

    wall_seconds: float
    cpu_seconds: float
    peak_rss_mb: float


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two methods to compare on the same scenes: `better` minus `base`."""

    better: str
    base: str

    @property
    def name(self) -> str:
        return f"{self.better}_minus_{self.base}"


RL_MINUS_BC = Pair(better="rl", base="bc")


def build_table(files: Files, *, cost: Cost, pairs: Sequence[Pair] = (RL_MINUS_BC,)) -> dict[str, Any]:
    """Return `table.json` of one run.

    Args:
        files: The `results.json` of each method and split.
        cost: What the run took.
        pairs: Compared where both methods have the split; the paired bootstrap's difference of success.

    Raises:
        ResultFileError: A file is unusable, or its split is not the one that it is named for.
        ValueError: Paired results are not of the same scenes and sentences.
    """
    results = _read(files)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "wall_seconds": cost.wall_seconds,
        "cpu_seconds": cost.cpu_seconds,
        "peak_rss_mb": cost.peak_rss_mb,
        "table": {m: {s: _cell(r) for s, r in splits.items()} for m, splits in results.items()},
        "paired": _paired([results], pairs),
    }


def aggregate_seeds(
    files: Mapping[int, Files],
    *,
    command: str,
    commit: str,
    pairs: Sequence[Pair] = (RL_MINUS_BC,),
    costs: Mapping[int, Cost] | None = None,
) -> dict[str, Any]:
    """Return the table of several seeds of one experiment, as it is committed.

    The scenes are the same for every seed, so intervals resample scenes, jointly over the seeds: they tell how sure the
    mean is over scenes, for these seeds. `per_seed` shows how much seeds differ.

    Args:
        files: For each seed, the `results.json` of each method and split; every seed has the same.
        command: What made the runs.
        commit: Of the code that made them.
        pairs: As in `build_table`.
        costs: What each seed's run took.

    Raises:
        ResultFileError: A file is unusable.
        ValueError: There are no seeds, they have different methods or splits, or different scenes or sentences.
    """
    if not files:
        raise ValueError("expected the results of at least one seed, got none")
    seeds = sorted(files)
    results = [_read(files[seed]) for seed in seeds]
    shape = {m: list(splits) for m, splits in results[0].items()}
    for seed, other in zip(seeds, results, strict=True):
        if {m: list(splits) for m, splits in other.items()} != shape:
            raise ValueError(f"expected the methods and splits of seed {seeds[0]} in seed {seed} too: {shape}")
    table = {m: {s: _seeds_cell([r[m][s] for r in results]) for s in splits} for m, splits in shape.items()}
    data: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "command": command,
        "commit": commit,
        "seeds": seeds,
        "table": table,
        "paired": _paired(results, pairs),
    }
    if costs:
        data["costs"] = {str(seed): vars(costs[seed]) for seed in seeds if seed in costs}
    return data


def write_table(table: dict[str, Any], path: Path) -> None:
    """Write a table, whole or not at all."""
    write_json(path, table)


def read_table(path: Path) -> dict[str, Any]:
    """Read a table; raise `ResultFileError` for a missing, foreign or newer file."""
    return read_json(path, expected=FORMAT, version=FORMAT_VERSION)


def format_table(table: Mapping[str, Any]) -> str:
    """Return the table's success rates, with their intervals, as lines of text for a terminal."""
    methods: Mapping[str, Any] = table["table"]
    splits = list(dict.fromkeys(s for row in methods.values() for s in row))
    rows = [["success", *splits]]
    rows += [[m, *(_text(row[s]["success"]) if s in row else "" for s in splits)] for m, row in methods.items()]
    for name, row in table.get("paired", {}).items():
        rows.append([name.replace("_minus_", " - "), *(_text(row[s], sign="+") if s in row else "" for s in splits)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _text(interval: Mapping[str, float] | None, *, sign: str = "") -> str:
    if interval is None:
        return "unknown"
    return f"{interval['mean']:{sign}.2f} ({interval['low']:{sign}.2f} to {interval['high']:{sign}.2f})"


def _read(files: Files) -> dict[str, dict[str, EvaluationResult]]:
    results: dict[str, dict[str, EvaluationResult]] = {}
    for method, splits in files.items():
        for split, path in splits.items():
            result = read_results(path)
            if result.split != split:
                raise ResultFileError(f"{path}: expected results on split {split}, got {result.split}")
            results.setdefault(method, {})[split] = result
    return results


def _cell(result: EvaluationResult) -> dict[str, Any]:
    return {
        "success": None if result.success is None else result.success.to_json(),
        "return": None if result.return_ is None else result.return_.to_json(),
        "episodes": len(result.scenes),
        "decoding": result.decoding,
    }


def _seeds_cell(results: Sequence[EvaluationResult]) -> dict[str, Any]:
    success = _values(results, "rate")
    return {
        "success": success_interval(success, seed=0).to_json(),
        "return": clustered_bootstrap(_values(results, "return_"), seed=0).to_json(),
        "episodes": len(results[0].scenes),
        "decoding": results[0].decoding,
        "per_seed": [float(row.mean()) for row in success],
    }


def _paired(
    results: Sequence[Mapping[str, Mapping[str, EvaluationResult]]], pairs: Sequence[Pair]
) -> dict[str, dict[str, dict[str, float]]]:
    paired: dict[str, dict[str, dict[str, float]]] = {}
    for pair in pairs:
        better, base = results[0].get(pair.better, {}), results[0].get(pair.base, {})
        for split in better:
            if split in base:
                # One call for both, so that scenes and sentences are compared between the methods too.
                rows = _values(
                    [r[pair.better][split] for r in results] + [r[pair.base][split] for r in results], "rate"
                )
                a, b = rows[: len(results)], rows[len(results) :]
                paired.setdefault(pair.name, {})[split] = paired_bootstrap(a, b, seed=0).to_json()
    return paired


def _values(results: Sequence[EvaluationResult], field: str) -> npt.NDArray[np.float64]:
    """Return a field of the scored scenes, (results, scenes); all results must be of the same scenes and sentences."""
    first = [(s.seed, s.instruction) for s in results[0].scored]
    for result in results:
        if [(s.seed, s.instruction) for s in result.scored] != first:
            raise ValueError(
                f"expected the same scenes and sentences, in the same order, from {results[0].checkpoint} and "
                f"{result.checkpoint} on split {result.split}; evaluate both with the same episodes, phase and code"
            )
        if result.decoding != results[0].decoding:
            raise ValueError(f"expected one decoding, got {results[0].decoding} and {result.decoding}")
    return np.array([[float(getattr(s, field)) for s in r.scored] for r in results])
