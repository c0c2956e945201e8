"""Evaluations read from their folders, and what a report that compares them calls each run and each column.

Knows nothing of pages and policies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robo_rlft.commands.runs import read_config, read_run
from robo_rlft.config import UserError
from robo_rlft.config.errors import did_you_mean
from robo_rlft.evaluation.results import EvaluationResult, read_results

RESULTS = "results.json"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One evaluation's folder, read."""

    folder: Path
    run: str  # what the report calls it; those of one policy on several splits share a name
    column: str  # the split, and what else sets its scenes apart from those of other evaluations
    config: Mapping[str, Any]
    result: EvaluationResult


def read_evaluations(folders: Sequence[Path]) -> list[Evaluation]:
    """Return the evaluations in some folders; one of an experiment stands for all of its evaluations.

    Raises:
        UserError: A folder is neither.
    """
    found: list[Evaluation] = []
    for folder in folders:
        command = read_run(folder)["command"]
        if command == "evaluate":
            found.append(_read(folder, _plain(folder.name, read_results(folder / RESULTS).split)))
        elif command == "run":
            inner = sorted(path.parent for path in folder.glob(f"evaluate/*/*/{RESULTS}"))
            found += [_read(path, f"{folder.name}/{path.parent.name}") for path in inner]
        else:
            raise UserError(f"from: expected folders of evaluations or experiments, got {folder} ({command})")
    if not found:
        raise UserError("from: the experiment has no evaluations yet; let it finish, or name others")
    return _named(_with_columns(found))


def chosen_run(evaluations: Sequence[Evaluation], base: str | None) -> str:
    """Return the name of the run that `base` names: a run's name or a folder's; the first one by default.

    Raises:
        UserError: There is none of that name.
    """
    if base is None:
        return evaluations[0].run
    for one in evaluations:
        if base.rstrip("/") in (one.run, one.folder.name, str(one.folder)):
            return one.run
    names = list(dict.fromkeys(one.run for one in evaluations))
    raise UserError(f"base: expected one of {', '.join(names)}; got '{base}'{did_you_mean(base, names)}")


def _read(folder: Path, run: str) -> Evaluation:
    result = read_results(folder / RESULTS)
    return Evaluation(folder=folder, run=run, column=result.split, config=read_config(folder), result=result)


def _plain(name: str, split: str) -> str:
    """Return a folder's name without its split: "rl-unseen" and "rl-seen" are one policy's."""
    return re.sub(rf"(^|[-_.]){re.escape(split)}(?=$|[-_.])", "", name).strip("-_.") or name


def _named(evaluations: list[Evaluation]) -> list[Evaluation]:
    """Give runs of different policies, or of one column, names of their own."""
    if len(evaluations) == 1:
        return [replace(evaluations[0], run=evaluations[0].result.checkpoint)]
    named = []
    for one in evaluations:
        same = [other for other in evaluations if other.run == one.run]
        columns = {other.column for other in same}
        policies = {(x.result.checkpoint, x.result.checkpoint_sha256, x.result.decoding) for x in same}
        unclear = len(columns) < len(same) or len(policies) > 1
        full = [other.folder.name for other in evaluations]
        own = one.folder.name if full.count(one.folder.name) == 1 else str(one.folder)
        named.append(replace(one, run=own) if unclear else one)
    return named


def _with_columns(evaluations: list[Evaluation]) -> list[Evaluation]:
    """Say what sets the scenes of equal splits apart: the task, its numbers, the phase, the sentences."""
    facts = [_facts(one) for one in evaluations]
    tasks = {row["task"] for row in facts}
    phases = {row["phase"] for row in facts}
    made = []
    for one, row in zip(evaluations, facts, strict=True):
        like = [other for other in facts if other["task"] == row["task"]]
        differing = [key for key in row if len({str(other.get(key)) for other in like}) > 1]
        parts = [row["task"]] if len(tasks) > 1 else []
        parts += [row["phase"]] if len(phases) > 1 else []
        parts += [f"{key} {row[key]}" for key in differing if key not in ("task", "phase")]
        made.append(replace(one, column=", ".join([*map(str, parts), one.result.split])))
    return made


def _facts(one: Evaluation) -> dict[str, Any]:
    numbers = {k: v for k, v in one.config.get("task", {}).items() if k != "_target_" and v is not None}
    told = one.config.get("instructions")
    own = {} if told is None else {"instructions": Path(str(told)).name}
    return {"task": one.result.task, "phase": one.result.phase, **numbers, **own}
