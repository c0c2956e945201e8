"""`robo-rlft report`: the HTML report of an experiment, or of some evaluations.

Gathers what the report shows; how it looks is `robo_rlft.evaluation.report`'s business.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from robo_rlft.commands.environment import environment_factory
from robo_rlft.commands.experiment import Experiment, Table, evaluation_folder, read_experiment
from robo_rlft.commands.runs import CONFIG_FILE, read_config, read_run
from robo_rlft.config import Composed, ConfigError, UserError, check_arguments
from robo_rlft.evaluation.curves import Curve, read_curve
from robo_rlft.evaluation.files import ResultFileError
from robo_rlft.evaluation.report import (
    LearningFigure,
    PolicyView,
    ReportInput,
    SceneComparison,
    Similarity,
    compare_failures,
    doubts,
    write_report,
)
from robo_rlft.evaluation.results import EvaluationResult, SceneResult, read_results
from robo_rlft.evaluation.tables import Cost, Files, build_table, read_table
from robo_rlft.evaluation.video import encode_mp4
from robo_rlft.language.phrases import find_phrases
from robo_rlft.policies.io import load_policy
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.records import Observation, stack
from robo_rlft.rollout.pool import EnvPool, Start

REPORT, TABLE, RESULTS = "report.html", "table.json", "results.json"
SCENES_PER_SPLIT = 2


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `report` takes; `from` is a word of Python's own."""

    output: Path | None


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
        write_experiment_report(read_experiment(config["experiment"]), folders[0], target=target)
    elif all(record["command"] == "evaluate" for record in records):
        _write_evaluations(folders, target)
    else:
        kinds = ", ".join(f"{f} ({r['command']})" for f, r in zip(folders, records, strict=True))
        raise UserError(f"from: expected one experiment's folder or folders of evaluations, got {kinds}")
    console.print(f"report: {target}", markup=False)
    return target


def runs_of(value: Any) -> list[Path]:
    """Return the folders that `from=RUN[,RUN]` names: paths, or names under runs/."""
    if not value:
        raise UserError("from: expected folders of runs, separated by commas, got none; e.g. from=runs/quickstart")
    names = value if isinstance(value, list) else str(value).split(",")
    folders = []
    for name in (str(n).strip() for n in names):
        found = next((p for p in (Path(name), Path("runs") / name) if name and p.is_dir()), None)
        if found is None:
            raise UserError(
                f"from: expected folders of runs, separated by commas; there is no '{name}' here or in runs/"
            )
        folders.append(found)
    return folders


def result_files(table: Table, folder: Path) -> dict[str, dict[str, Path]]:
    """Return where an experiment's results are: method -> split -> file."""
    return {
        method: {split: evaluation_folder(folder, method, split) / RESULTS for split in table.splits}
        for method in table.methods
    }


def write_experiment_report(experiment: Experiment, folder: Path, *, target: Path | None = None) -> None:
    """Write the report of an experiment whose table is written already."""
    table = experiment.table
    if table is None:
        raise UserError(f"{folder}: the experiment has no table, so there is nothing to report")
    results = _read(result_files(table, folder))
    before, after = _compared(table)
    record = read_run(folder)
    title = experiment.title or folder.name
    report = ReportInput(
        title=title,
        summary=_summary(results, before, after),
        table=read_table(folder / TABLE),
        methods={name: method.description for name, method in table.methods.items()},
        before=before,
        after=after,
        figures=_figures(experiment, folder),
        scenes=_scenes(table, folder, results) if before != after else (),
        failures=tuple(
            compare_failures(results[before][split], results[after][split]) for split in table.splits if before != after
        ),
        notes=doubts({name: list(splits.values()) for name, splits in results.items()}),
        facts=_facts(record, folder),
        config=(folder / CONFIG_FILE).read_text(encoding="utf-8"),
    )
    write_report(report, target or folder / REPORT)


def _write_evaluations(folders: Sequence[Path], target: Path) -> None:
    """Write the report of evaluations: a table, failures, notes."""
    files: dict[str, dict[str, Path]] = {}
    for folder in folders:
        result = read_results(folder / RESULTS)
        name = result.checkpoint if len(folders) == 1 else folder.name
        files.setdefault(name, {})[result.split] = folder / RESULTS
    results = _read(files)
    records = [read_run(folder) for folder in folders]
    cost = Cost(
        wall_seconds=sum(r["wall_seconds"] for r in records),
        cpu_seconds=sum(r["cpu_seconds"] for r in records),
        peak_rss_mb=max(r["peak_rss_mb"] for r in records),
    )
    first, last = next(iter(files)), list(files)[-1]
    shared = [split for split in files[first] if split in files[last]] if first != last else []
    report = ReportInput(
        title=f"Evaluation of {', '.join(files)}",
        summary=_summary(results, first, last),
        table=build_table(files, cost=cost, pairs=[]),
        methods=dict.fromkeys(files, ""),
        before=first,
        after=last,
        failures=tuple(compare_failures(results[first][s], results[last][s]) for s in shared),
        notes=doubts({name: list(splits.values()) for name, splits in results.items()}),
        facts=_facts(records[0], folders[0]),
        config=(folders[0] / CONFIG_FILE).read_text(encoding="utf-8"),
    )
    write_report(report, target)


def _read(files: Files) -> dict[str, dict[str, EvaluationResult]]:
    return {name: {split: read_results(path) for split, path in splits.items()} for name, splits in files.items()}


def _compared(table: Table) -> tuple[str, str]:
    names = list(table.methods)
    return (table.compare.before, table.compare.after) if table.compare else (names[0], names[-1])


def _summary(results: Mapping[str, Mapping[str, EvaluationResult]], before: str, after: str) -> str:
    parts = []
    for split, result in results[after].items():
        base = results[before].get(split)
        if result.success is None or base is None or base.success is None:
            continue
        start = f"from {base.success.mean:.2f} ({before}) to " if before != after else ""
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


def _facts(record: Mapping[str, Any], folder: Path) -> tuple[tuple[str, str], ...]:
    told = " ".join(shlex.quote(o) for o in record.get("overrides", []))
    versions = ", ".join(f"{name} {number}" for name, number in record.get("versions", {}).items())
    facts = [
        ("command", f"robo-rlft {record['command']} {told}".strip()),
        ("commit", str(record.get("commit") or "not a checkout")),
        ("folder", str(folder)),
        ("started", str(record.get("started"))),
        ("threads", str(record.get("threads"))),
        ("versions", versions),
    ]
    return tuple(facts)


def _scenes(
    table: Table, folder: Path, results: Mapping[str, Mapping[str, EvaluationResult]]
) -> tuple[SceneComparison, ...]:
    """Return what both policies make of the same scenes, for a few scenes of every split."""
    before, after = _compared(table)
    found: list[SceneComparison] = []
    for split in table.splits:
        config = read_config(evaluation_folder(folder, after, split))
        paths = [read_config(evaluation_folder(folder, name, split))["checkpoint"] for name in (before, after)]
        if not all(path is not None and Path(str(path)).is_file() for path in paths):
            continue  # a baseline has no maps to show
        policies = [load_policy(Path(str(path))).eval() for path in paths]
        make_env = environment_factory(config, workspace=policies[1].workspace, rotations=policies[1].rotations)
        pairs = list(zip(results[before][split].scenes, results[after][split].scenes, strict=True))
        torch.set_num_threads(int(config["threads"]))
        with EnvPool(make_env=make_env) as pool:
            for old, new in telling(pairs, SCENES_PER_SPLIT):
                start = pool.reset([new.seed])[0]
                views = [
                    _view(policy, start.observation, result, film=_film(pool, start, policy))
                    for policy, result in zip(policies, (old, new), strict=True)
                ]
                found.append(
                    SceneComparison(
                        title=f"{split}, scene {new.seed}",
                        instruction=new.instruction,
                        color=start.observation.color.numpy().transpose(1, 2, 0),
                        before=views[0],
                        after=views[1],
                    )
                )
    return tuple(found)


def telling(pairs: Sequence[tuple[SceneResult, SceneResult]], count: int) -> list[tuple[SceneResult, SceneResult]]:
    """Return the scenes that show most: the first that was mended, the first that still fails, then the first ones."""
    mended = [p for p in pairs if not p[0].success and p[1].success]
    failing = [p for p in pairs if not p[1].success]
    chosen: list[tuple[SceneResult, SceneResult]] = []
    for pair in (*mended[:1], *failing[:1], *mended[1:], *pairs):
        if pair not in chosen:
            chosen.append(pair)
    return chosen[:count]


def _film(pool: EnvPool, start: Start, policy: TransporterPolicy) -> bytes | None:
    """Return a film of a policy's greedy episode; None where the robot cannot be filmed."""
    frames: list[npt.NDArray[np.uint8]] = []
    state, seen = start.state, start.observation
    while True:
        action = policy.act(stack([seen]), greedy=True).action
        frames += pool.film([state], action)[0]
        (outcome,) = pool.step([state], action)
        if outcome.done or outcome.observation is None:
            return encode_mp4(frames) if frames else None
        state, seen = outcome.state, outcome.observation


def _view(
    policy: TransporterPolicy, observation: Observation, result: SceneResult, *, film: bytes | None
) -> PolicyView:
    """Return what a policy makes of a scene; the outcome is that of the evaluation."""
    decision = policy.act(observation, greedy=True)
    maps = policy.maps(observation)
    phrases = find_phrases(str(observation.instruction))
    pick, place = (tuple(int(v) for v in pixel) for pixel in (decision.action.pick, decision.action.place))
    return PolicyView(
        pick_probability=maps.pick.numpy(),
        place_probability=maps.place.sum(dim=0).numpy(),
        similarities=tuple(
            Similarity(phrase=phrase, cosine=maps.similarity[i].numpy())
            for i, phrase in enumerate((phrases.pick, phrases.place))
        ),
        pick=(pick[0], pick[1]),
        place=(place[0], place[1]),
        success=result.success,
        failure=result.failure,
        confidence=float(decision.confidence),
        film=film,
    )
