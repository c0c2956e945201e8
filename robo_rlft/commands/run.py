"""`robo-rlft run`: the steps of an experiment in one process, then its table and its report.

Each step has its own folder and resumes on its own, so an interrupted experiment goes on where it was.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt
from rich.console import Console

from robo_rlft.commands.experiment import Experiment, Job, jobs, read_experiment
from robo_rlft.commands.report import result_files, write_experiment_report
from robo_rlft.commands.runs import Run, folder_for, open_run, read_run
from robo_rlft.commands.train import FORMAT, FORMAT_VERSION
from robo_rlft.config import Composed, ConfigError, check_arguments, compose
from robo_rlft.config.compose import root_keys
from robo_rlft.evaluation.files import read_json
from robo_rlft.evaluation.tables import Cost, Pair, build_table, format_table, read_table, write_table

TABLE_FILE, REPORT_FILE = "table.json", "report.html"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `run` takes beside its groups."""

    overrides: list[str]
    pretrain: bool
    seed: NonNegativeInt
    run: str | int | None
    output: Path | None
    overwrite: bool


def compose_run(overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> Composed:
    """Compose the config of an experiment; overrides that `run` itself does not know are for the steps."""
    own = [o for o in overrides if o.lstrip("+~").split("=", 1)[0].split(".")[0] in root_keys("run")]
    composed = compose("run", own, config_dirs=config_dirs)
    others = [o for o in overrides if o not in own]
    composed.values["overrides"] = [*composed.values["overrides"], *others]
    return dataclasses.replace(composed, overrides=tuple(overrides))


def check_config(composed: Composed) -> None:
    """Refuse whatever cannot work in any step, before the first begins."""
    problems = check_arguments(composed.values, Arguments, examples=composed.defaults)
    if problems:
        raise ConfigError("\n  ".join(problems))
    for job in _jobs(composed):
        try:
            _module(job).check_config(job.composed)
        except ConfigError as error:
            raise ConfigError(f"step {job.name}: {error}") from error


def run(composed: Composed, console: Console) -> Path:
    """Run an experiment; return its folder."""
    check_config(composed)
    values = composed.values
    experiment, folder, queue = read_experiment(values["experiment"]), _folder(composed), _jobs(composed)
    with open_run(
        folder,
        command="run",
        config=values,
        overrides=composed.overrides,
        overwrite=values["overwrite"],
        whole_process=True,
    ) as opened:
        if opened.finished:
            console.print(f"{folder} is finished already; overwrite=true runs it anew", markup=False)
        else:
            for number, job in enumerate(queue, start=1):
                console.print(f"[{number}/{len(queue)}] {job.name}", markup=False)
                _module(job).run(job.composed, console)
                gc.collect()  # a step's environments and networks must not outlive it
            if experiment.table is not None:
                _conclude(experiment, opened, pretrained=values["pretrain"])
    _show(experiment, folder, console, pretrained=values["pretrain"])
    return folder


def _folder(composed: Composed) -> Path:
    seed = int(composed.values["seed"])
    return folder_for(composed.values, f"{composed.choices['experiment']}{f'-seed{seed}' if seed else ''}")


def _jobs(composed: Composed) -> list[Job]:
    values = composed.values
    return jobs(
        read_experiment(values["experiment"]),
        _folder(composed),
        seed=int(values["seed"]),
        pretrain=values["pretrain"],
        overrides=values["overrides"],
        config_dirs=composed.config_dirs,
    )


def _module(job: Job) -> Any:
    return importlib.import_module(f"robo_rlft.commands.{job.composed.command}")


def _conclude(experiment: Experiment, opened: Run, *, pretrained: bool) -> None:
    """Write the table and the report; training the encoder does not count as a cost of the table."""
    table = experiment.table
    if table is None:
        return
    files = result_files(table, opened.path)
    pairs = [Pair(better=table.compare.after, base=table.compare.before)] if table.compare else []
    # Twice: the report shows the table, and the table counts what the report took.
    for last in (False, True):
        cost = _cost(experiment, opened, pretrained=pretrained)
        write_table(build_table(files, cost=cost, pairs=pairs), opened.path / TABLE_FILE)
        if not last:
            write_experiment_report(experiment, opened.path)


def _cost(experiment: Experiment, opened: Run, *, pretrained: bool) -> Cost:
    """Return what the experiment took so far, without the training of an encoder."""
    used = opened.usage()
    spent = read_run(opened.path / experiment.pretrain.name) if pretrained and experiment.pretrain else {}
    return Cost(
        wall_seconds=used.wall_seconds - spent.get("wall_seconds", 0.0),
        cpu_seconds=used.cpu_seconds - spent.get("cpu_seconds", 0.0),
        peak_rss_mb=used.peak_rss_mb,
    )


def _show(experiment: Experiment, folder: Path, console: Console, *, pretrained: bool) -> None:
    if experiment.table is None:
        return
    table = read_table(folder / TABLE_FILE)
    console.print()
    console.print(format_table(table), markup=False)
    console.print()
    seconds, cpu, memory = table["wall_seconds"], table["cpu_seconds"], table["peak_rss_mb"]
    console.print(f"{seconds:.0f} s, {cpu:.0f} CPU-seconds, at most {memory:.0f} MB", markup=False)
    if pretrained and experiment.pretrain is not None:
        spent = read_run(folder / experiment.pretrain.name)
        seconds, cpu = spent["wall_seconds"], spent["cpu_seconds"]
        console.print(f"and before that, training the encoder: {seconds:.0f} s, {cpu:.0f} CPU-seconds", markup=False)
        metrics = read_json(folder / experiment.pretrain.name / "results.json", expected=FORMAT, version=FORMAT_VERSION)
        figures = ", ".join(f"{name} {value:.3f}" for name, value in metrics["metrics"].items() if "val/" in name)
        console.print(f"  {figures}", markup=False)
    console.print(f"report: {folder / REPORT_FILE}", markup=False)
