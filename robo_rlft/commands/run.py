"""`robo-rlft run`: the steps of an experiment in one process, then its table and its report; or the cells of its grid.

Each step has its own folder and resumes on its own, so an interrupted experiment goes on where it was.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from rich.console import Console

from robo_rlft.commands.experiment import Experiment, Job, jobs, read_experiment
from robo_rlft.commands.grid import Filler
from robo_rlft.commands.grid_plan import GridJob, GridPlan, plan_grid
from robo_rlft.commands.grid_spec import GridSpec, read_only
from robo_rlft.commands.report import result_files, write_experiment_report
from robo_rlft.commands.runs import Run, folder_for, lock, open_run, read_run
from robo_rlft.commands.train import FORMAT, FORMAT_VERSION
from robo_rlft.config import Composed, ConfigError, check_arguments, compose
from robo_rlft.config.compose import quoted, root_keys
from robo_rlft.evaluation.files import read_json
from robo_rlft.evaluation.tables import Cost, Pair, build_table, format_table, read_table, write_table

TABLE_FILE, REPORT_FILE = "table.json", "report.html"
GRID_ONLY = ("lanes", "max_minutes", "only", "results")
# What a grid's cells do not depend on.
_APART = (*GRID_ONLY, "run", "output", "workers")
_ACCELERATOR = "trainer.accelerator"  # also of one step: rl.trainer.accelerator
_CHOICE = "experiment="


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `run` takes beside its groups."""

    overrides: list[str]
    pretrain: bool
    seed: NonNegativeInt
    run: str | int | None
    output: Path | None
    overwrite: bool
    max_minutes: PositiveFloat | None
    only: str | None
    results: Path | None
    lanes: PositiveInt | None


def compose_run(overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> Composed:
    """Compose the config of an experiment; overrides that `run` itself does not know are for the steps."""
    # only=axis:value,axis:value is one text: there a comma does not begin a sweep.
    overrides = [quoted("only", o[5:]) if o.startswith("only=") and "," in o and "'" not in o else o for o in overrides]
    own = [o for o in overrides if _key(o) in root_keys("run")]
    composed = compose("run", own, config_dirs=config_dirs)
    others = [o for o in overrides if o not in own]
    composed.values["overrides"] = [*composed.values["overrides"], *others]
    return dataclasses.replace(composed, overrides=tuple(overrides))


def check_config(composed: Composed) -> None:
    """Refuse whatever cannot work in any step, before the first begins."""
    problems = check_arguments(composed.values, Arguments, examples=composed.defaults)
    if problems:
        raise ConfigError("\n  ".join(problems))
    spec = read_experiment(composed.values["experiment"]).grid
    if spec is None:
        for key in GRID_ONLY:
            if composed.values[key] is not None:
                raise ConfigError(f"{key}: is for experiments with a grid, which this is not; leave it out")
        _check(_jobs(composed))
    else:
        _planned(composed, spec)


def run(composed: Composed, console: Console) -> Path:
    """Run an experiment; return its folder, or that of its grid's cells."""
    begun = time.monotonic()
    values = composed.values
    experiment, folder = read_experiment(values["experiment"]), _folder(composed)
    if experiment.grid is not None:
        return _fill(composed, experiment.grid, console, begun=begun)
    check_config(composed)
    queue = _jobs(composed)
    with open_run(
        folder,
        command="run",
        config={key: value for key, value in values.items() if key not in GRID_ONLY},
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


def _fill(composed: Composed, spec: GridSpec, console: Console, *, begun: float) -> Path:
    """Fill cells of a grid; return the folder of their files."""
    values = composed.values
    plan = _planned(composed, spec)
    results, folder = _results(composed, spec), _folder(composed)
    folder.mkdir(parents=True, exist_ok=True)
    # Never finished for good, as the grid may grow; the folders in it are runs of their own.
    with lock(folder):
        Filler(
            plan=plan,
            results=results,
            console=console,
            only=read_only(values["only"], spec),
            lanes=values["lanes"] or 1,
            share=values["results"] is None,  # another folder is for making them anew
            deadline=None if values["max_minutes"] is None else begun + 60.0 * values["max_minutes"],
        ).fill()
    return results


def _planned(composed: Composed, spec: GridSpec) -> GridPlan:
    """Return a grid's plan; refuse whatever cannot work in any step of it."""
    problems = check_arguments(composed.values, Arguments, examples=composed.defaults)
    if problems:
        raise ConfigError("\n  ".join(problems))
    if composed.values["overwrite"] or composed.values["pretrain"]:
        raise ConfigError(
            "overwrite and pretrain are not for grids: results=DIR run=NAME makes cells anew, in another folder; name "
            "the encoder's training as a step"
        )
    read_only(composed.values["only"], spec)
    plan = _plan(composed, spec)
    _check(plan.jobs)
    if composed.values["results"] is None and _changes(composed):
        plain = compose_run([o for o in composed.overrides if o.startswith(_CHOICE)], composed.config_dirs)
        own = _plan(plain, _grid(plain)).grid.cells
        if [cell.key for cell in own] != [cell.key for cell in plan.grid.cells]:
            raise ConfigError(
                f"these overrides make other cells than the experiment's, whose folder is {spec.results}; say where "
                "they go with results=DIR"
            )
    return plan


def _plan(composed: Composed, spec: GridSpec) -> GridPlan:
    values = composed.values
    name = str(composed.choices["experiment"])
    return plan_grid(
        read_experiment(values["experiment"]),
        spec,
        _folder(composed),
        name=name,
        command=shlex.join(["robo-rlft", "run", f"experiment={name}", *_changes(composed)]),
        seed=int(values["seed"]),
        overrides=values["overrides"],
        config_dirs=composed.config_dirs,
    )


def _changes(composed: Composed) -> list[str]:
    """Return the overrides that may make other cells than the experiment's own."""
    apart = [o for o in composed.overrides if _key(o) in _APART or _name(o).endswith(_ACCELERATOR)]
    return [o for o in composed.overrides if o not in apart and not o.startswith(_CHOICE)]


def _grid(composed: Composed) -> GridSpec:
    spec = read_experiment(composed.values["experiment"]).grid
    if spec is None:
        raise ConfigError("experiment: expected one with a grid")
    return spec


def _results(composed: Composed, spec: GridSpec) -> Path:
    told = composed.values["results"]
    return Path(spec.results if told is None else str(told)).expanduser()


def _check(jobs: Sequence[Job | GridJob]) -> None:
    """Refuse whatever cannot work in any step, before the first begins."""
    for job in jobs:
        try:
            _module(job).check_config(job.composed)
        except ConfigError as error:
            raise ConfigError(f"{'' if isinstance(job, GridJob) else 'step '}{job.name}: {error}") from error


def _name(override: str) -> str:
    return override.lstrip("+~").split("=", 1)[0]


def _key(override: str) -> str:
    return _name(override).split(".")[0]


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


def _module(job: Job | GridJob) -> Any:
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
