"""`robo-rlft report`: the HTML report of an experiment, or of any number of evaluations beside each other.

Gathers what the report shows; how it looks is `robo_rlft.evaluation.report`'s business.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt
from rich.console import Console

from robo_rlft.commands.evaluations import RESULTS, Evaluation, chosen_run, read_evaluations
from robo_rlft.commands.experiment import Experiment, Table, evaluation_folder, read_experiment
from robo_rlft.commands.filming import Filmed, film_runs
from robo_rlft.commands.policies import ORACLE, RANDOM
from robo_rlft.commands.runs import CONFIG_FILE, read_config, read_run
from robo_rlft.config import Composed, ConfigError, UserError, check_arguments
from robo_rlft.evaluation.curves import Curve, read_curve
from robo_rlft.evaluation.files import ResultFileError
from robo_rlft.evaluation.report import (
    LearningFigure,
    ReportInput,
    count_failures,
    doubts,
    results_table,
    write_report,
)
from robo_rlft.evaluation.results import EvaluationResult, read_results
from robo_rlft.evaluation.tables import read_table

REPORT, TABLE = "report.html", "table.json"
FILMS = 8  # episodes that an experiment's report shows step by step; each takes a second or so an action


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `report` takes; `from` is a word of Python's own."""

    base: str | None
    films: NonNegativeInt
    output: Path | None
    trust: list[str]


def run(composed: Composed, console: Console) -> Path:
    """Write a report; return its path."""
    values = composed.values
    problems = check_arguments(values, Arguments, examples=composed.defaults)
    if problems:
        raise ConfigError("\n  ".join(problems))
    folders = runs_of(values["from"])
    target = folders[0] / REPORT if values["output"] is None else Path(str(values["output"]))
    records = [read_run(folder) for folder in folders]
    if len(folders) == 1 and records[0]["command"] == "run":
        config = read_config(folders[0])
        experiment = read_experiment(config["experiment"])
        base, films = values["base"], int(values["films"])
        write_experiment_report(experiment, folders[0], target=target, base=base, films=films, trust=composed.trust)
    else:
        _write_evaluations(composed, read_evaluations(folders), records[0], target)
    console.print(f"report: {target}", markup=False)
    return target


def runs_of(value: Any, key: str = "from") -> list[Path]:
    """Return the folders that `from=RUN[,RUN]` names: paths, or names under runs/."""
    if not value:
        raise UserError(f"{key}: expected folders of runs, separated by commas, got none; e.g. {key}=runs/quickstart")
    names = value if isinstance(value, list) else str(value).split(",")
    folders = []
    for name in (str(n).strip() for n in names):
        found = next((p for p in (Path(name), Path("runs") / name) if name and p.is_dir()), None)
        if found is None:
            raise UserError(
                f"{key}: expected folders of runs, separated by commas; there is no '{name}' here or in runs/"
            )
        folders.append(found)
    return folders


def result_files(table: Table, folder: Path) -> dict[str, dict[str, Path]]:
    """Return where an experiment's results are: method -> split -> file."""
    return {
        method: {split: evaluation_folder(folder, method, split) / RESULTS for split in table.splits}
        for method in table.methods
    }


def write_experiment_report(
    experiment: Experiment,
    folder: Path,
    *,
    target: Path | None = None,
    base: str | None = None,
    films: int = FILMS,
    trust: Sequence[str] = (),
) -> None:
    """Write the report of an experiment whose table is written already."""
    table = experiment.table
    if table is None:
        raise UserError(f"{folder}: the experiment has no table, so there is nothing to report")
    read = [
        Evaluation(
            folder=path.parent,
            run=method,
            column=split,
            config=read_config(path.parent),
            result=read_results(path),
        )
        for method, splits in result_files(table, folder).items()
        for split, path in splits.items()
    ]
    before, after = _compared(table)
    before = before if base is None else chosen_run(read, base)
    results = _results(read)
    filmed = film_runs(read, before=before, after=after, films=films, trust=trust)
    report = ReportInput(
        title=experiment.title or folder.name,
        summary=_summary(results, before, after),
        table=read_table(folder / TABLE),
        methods={name: method.description for name, method in table.methods.items()},
        before=before,
        after=after,
        figures=_figures(experiment, folder),
        facts=_facts(read_run(folder), [folder]),
        config=(folder / CONFIG_FILE).read_text(encoding="utf-8"),
        **_shared(results, filmed),
    )
    write_report(report, target or folder / REPORT)


def _write_evaluations(
    composed: Composed, evaluations: Sequence[Evaluation], record: Mapping[str, Any], target: Path
) -> None:
    """Write the report of evaluations beside each other."""
    results = _results(evaluations)
    before = chosen_run(evaluations, composed.values["base"])
    after = _latest(results, before)
    films = int(composed.values["films"])
    filmed = film_runs(evaluations, before=before, after=after, films=films, trust=composed.trust)
    report = ReportInput(
        title=f"Evaluation of {', '.join(results)}",
        summary=_summary(results, before, after),
        table=results_table(results),
        methods={run: _described(run, evaluations) for run in results},
        before=before,
        after=after,
        facts=_facts(record, [one.folder for one in evaluations]),
        config="\n".join(_config_text(one.folder) for one in evaluations),
        **_shared(results, filmed),
    )
    write_report(report, target)


def _shared(results: Mapping[str, Mapping[str, EvaluationResult]], filmed: Filmed) -> dict[str, Any]:
    """Return what every report shows alike."""
    return {
        "results": results,
        "failures": count_failures(results),
        "scenes": filmed.scenes,
        "episodes": filmed.episodes,
        "notes": (*doubts({name: list(splits.values()) for name, splits in results.items()}), *filmed.notes),
    }


def _results(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, EvaluationResult]]:
    found: dict[str, dict[str, EvaluationResult]] = {}
    for one in evaluations:
        found.setdefault(one.run, {})[one.column] = one.result
    return found


def _described(run: str, evaluations: Sequence[Evaluation]) -> str:
    """Say which policy a run's was, where its name does not, and how it chose its actions."""
    result = next(one.result for one in evaluations if one.run == run)
    parts = [result.checkpoint] if result.checkpoint != run else []
    return ", ".join([*parts, result.decoding])


def _latest(results: Mapping[str, Mapping[str, EvaluationResult]], before: str) -> str:
    """Return the last run that is not the base; oracle and random, which have no maps, where there is no other."""
    others = [run for run in results if run != before]
    trained = [r for r in others if next(iter(results[r].values())).checkpoint not in (ORACLE, RANDOM)]
    return (trained or others or [before])[-1]


def _config_text(folder: Path) -> str:
    return f"# {folder}\n{(folder / CONFIG_FILE).read_text(encoding='utf-8')}"


def _compared(table: Table) -> tuple[str, str]:
    names = list(table.methods)
    return (table.compare.before, table.compare.after) if table.compare else (names[0], names[-1])


def _summary(results: Mapping[str, Mapping[str, EvaluationResult]], before: str, after: str) -> str:
    parts = []
    for split, result in results[after].items():
        base = results[before].get(split)
        if result.success is None:
            continue
        first = base.success if base is not None and before != after else None
        start = f"from {first.mean:.2f} ({before}) to " if first is not None else ""
        parts.append(f"{start}{result.success.mean:.2f} ({after}) on {split}")
    return f"Success {', '.join(parts)}." if parts else "No sentence came with a goal, so success is unknown."


def _figures(experiment: Experiment, folder: Path) -> tuple[LearningFigure, ...]:
    """Return the success of every RL step's rollouts over the number of rollouts."""
    trained = [folder / step.name for step in experiment.steps if step.command == "train"]
    curves = tuple(curve for curve in map(rollout_curve, trained) if curve is not None)
    title = "Success of sampled rollouts during RL"
    return (LearningFigure(title=title, ylabel="success", curves=curves),) if curves else ()


def rollout_curve(run: Path) -> Curve | None:
    """Return the success of a run's rollouts over their number; None where it rolled nothing out."""
    data = read_config(run).get("algorithm", {}).get("data", {})
    rollouts = data.get("scenes", 0) * data.get("samples", 0)
    try:
        curve = read_curve(run / "metrics.csv", x="step", y="rollout/success", name=run.name, episodes=rollouts)
    except ResultFileError:
        return None
    return dataclasses.replace(curve, x=tuple(float(rollouts * (i + 1)) for i in range(len(curve.x))))


def _facts(record: Mapping[str, Any], folders: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    """Return how the first folder's run was made."""
    told = " ".join(shlex.quote(o) for o in record.get("overrides", []))
    versions = ", ".join(f"{name} {number}" for name, number in record.get("versions", {}).items())
    return (
        ("command", f"robo-rlft {record['command']} {told}".strip()),
        ("commit", str(record.get("commit") or "not a checkout")),
        ("folder" if len(folders) == 1 else "folders", ", ".join(map(str, folders))),
        ("started", str(record.get("started"))),
        ("threads", str(record.get("threads"))),
        ("versions", versions),
    )
