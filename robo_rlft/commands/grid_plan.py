"""A grid turned into composed configs and folders that are named by their content.

What a step comes to follows from its config, from the steps that it starts from and from the weights that ship. A hash
of these names its folder, so cells share steps, and a grid that grew finds what is there. Knows not how steps are run.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robo_rlft.commands.experiment import (
    EVALUATE,
    Experiment,
    Step,
    check_known,
    for_step,
    referenced,
    refuse_people,
    with_folders,
)
from robo_rlft.commands.grid_spec import AxisValue, GridSpec, Measure
from robo_rlft.commands.policies import file_sha256, shipped_policy
from robo_rlft.commands.robots import refuse_real, refuse_real_names
from robo_rlft.commands.runs import LATER
from robo_rlft.config import Composed, ConfigError, compose
from robo_rlft.config.compose import quoted
from robo_rlft.config.errors import did_you_mean
from robo_rlft.evaluation.cells import Grid, PlannedCell
from robo_rlft.models.clip_towers import TABLETOP
from robo_rlft.models.clip_weights import SHIPPED

# Where and how a step runs is not part of what it comes to.
RUN_ONLY = ("run", "output", "overwrite", "workers", "trust")
# Nor is what computes: a graphics card rounds otherwise, and a cell says which of its steps one trained.
_ON_PROCESSOR = {"accelerator": "cpu"}
_FILES = ("init", "checkpoint", "words", "instructions", "reward_model", "reference")  # arguments that name a file
DIGITS = 16  # of a hash


@dataclass(frozen=True, kw_only=True)
class GridJob:
    """A step or an evaluation that is ready to run."""

    name: str  # "step bc", "evaluation seen"
    digest: str  # of all that its outcome follows from
    folder: Path
    needs: tuple[Path, ...]  # folders of the steps that it starts from
    told: tuple[str, ...]  # its overrides, with "{other}" for another step's folder
    composed: Composed  # without the folder

    @property
    def overrides(self) -> tuple[str, ...]:
        """What the command is called with."""
        return (*self.composed.overrides, quoted("output", self.folder))


@dataclass(frozen=True, kw_only=True)
class CellPlan:
    """What one cell takes."""

    cell: PlannedCell
    steps: dict[str, GridJob]  # each after those that it starts from
    evaluations: dict[str, GridJob]

    @property
    def jobs(self) -> tuple[GridJob, ...]:
        """Steps and evaluations, in the order in which they run."""
        return (*self.steps.values(), *self.evaluations.values())


@dataclass(frozen=True, kw_only=True)
class GridPlan:
    """What a grid takes."""

    grid: Grid
    cells: tuple[CellPlan, ...]  # in the grid's order

    @property
    def jobs(self) -> list[GridJob]:
        """Every step and evaluation, each folder once."""
        found = {job.folder: job for plan in self.cells for job in plan.jobs}
        return list(found.values())


def plan_grid(
    experiment: Experiment,
    spec: GridSpec,
    folder: Path,
    *,
    name: str,
    command: str,
    seed: int = 0,
    overrides: Sequence[str] = (),
    config_dirs: Sequence[Path] = (),
) -> GridPlan:
    """Compose every step and evaluation of every cell.

    Args:
        experiment: With the grid's steps.
        spec: The grid.
        folder: Of the experiment.
        name: Of the experiment.
        command: That fills the grid, for the record.
        seed: Of every step, where neither the file nor an axis sets another.
        overrides: Of every step that knows the key, or "STEP.key=value" for one; they win over the file's.
        config_dirs: Folders of the user's own options.

    Raises:
        ConfigError: an override that no step knows, a step that is not there or does not compose.
    """
    planner = _Planner(
        experiment=experiment, spec=spec, folder=folder, seed=seed, overrides=overrides, config_dirs=config_dirs
    )
    cells = tuple(planner.cell(axes) for axes in spec.combinations())
    grid = Grid(
        experiment=name,
        title=experiment.title,
        command=command,
        axes={axis: tuple(values) for axis, values in spec.axes.items()},
        cells=tuple(plan.cell for plan in cells),
    )
    return GridPlan(grid=grid, cells=cells)


@dataclass(kw_only=True)
class _Planner:
    experiment: Experiment
    spec: GridSpec
    folder: Path
    seed: int
    overrides: Sequence[str]
    config_dirs: Sequence[Path]
    known: dict[tuple[str, tuple[str, ...]], GridJob] = field(default_factory=dict)  # composing takes its time

    def cell(self, axes: Mapping[str, str]) -> CellPlan:
        chosen = [self.spec.axes[axis][value] for axis, value in axes.items()]
        of_values = [override for value in chosen for override in value.overrides]
        told = [*self.experiment.overrides, *of_values, *self.spec.added(axes), *self.overrides]
        commands = [(step.name, step.command) for step in self.experiment.steps]
        try:
            check_known(told, [*commands, (EVALUATE, "evaluate")])
            return _CellPlanner(planner=self, everywhere=told).plan(dict(axes), chosen)
        except ConfigError as error:
            raise ConfigError(f"cell {label(axes)}: {error}") from error

    def step(self, step: Step, told: Sequence[str], needed: Mapping[str, GridJob]) -> GridJob:
        """Return a step, composed and named by its hash."""
        return self._job(f"step {step.name}", step.command, told, needed, place=f"steps/{step.name}-")

    def evaluation(self, measure: Measure, told: Sequence[str], needed: Mapping[str, GridJob]) -> GridJob:
        """Return an evaluation, composed and named by its hash."""
        return self._job(f"evaluation {measure.name}", "evaluate", told, needed, place="evaluations/")

    def _job(
        self, name: str, command: str, told: Sequence[str], needed: Mapping[str, GridJob], *, place: str
    ) -> GridJob:
        folders = {other: job.folder for other, job in needed.items()}
        placed = tuple(with_folders(override, folders, name) for override in told)
        if (name, placed) in self.known:
            return self.known[name, placed]
        try:
            refuse_real_names(placed, where="experiments")
            composed = compose(command, placed, config_dirs=self.config_dirs)
            if composed.trust:
                raise ConfigError("trust is for the command line alone; a file cannot allow classes by itself")
            refuse_real(composed, where="experiments")
            refuse_people(composed)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error
        digest = config_digest(composed, {str(job.folder): job.digest for job in needed.values()})
        job = GridJob(
            name=name,
            digest=digest,
            folder=self.folder / f"{place}{digest}",
            needs=tuple(folders.values()),
            told=tuple(told),
            composed=composed,
        )
        self.known[name, placed] = job
        return job


@dataclass(kw_only=True)
class _CellPlanner:
    """Finds the steps that one cell needs, each after those that it starts from."""

    planner: _Planner
    everywhere: Sequence[str]  # overrides of every step that knows the key
    steps: dict[str, GridJob] = field(default_factory=dict)

    def plan(self, axes: dict[str, str], chosen: Sequence[AxisValue]) -> CellPlan:
        checkpoint = next((value.checkpoint for value in chosen if value.checkpoint != ""), None)
        for name in (name for value in chosen for name in value.steps):
            self._step(name, ())
        measures = [] if checkpoint is None else self.planner.spec.evaluate
        evaluations = {measure.name: self._evaluation(measure, str(checkpoint)) for measure in measures}
        key = cell_key(
            {name: job.digest for name, job in evaluations.items()}, [job.digest for job in self.steps.values()]
        )
        cell = PlannedCell(key=key, axes=axes, description="; ".join(v.description for v in chosen if v.description))
        return CellPlan(cell=cell, steps=self.steps, evaluations=evaluations)

    def _told(self, own: Sequence[str], name: str, command: str) -> list[str]:
        labels = [*(step.name for step in self.planner.experiment.steps), EVALUATE]
        return [f"seed={self.planner.seed}", *own, *for_step(self.everywhere, name, command, labels)]

    def _step(self, name: str, above: tuple[str, ...]) -> GridJob:
        """Return a step, and add it and all that it needs to the cell's."""
        if name in above:
            raise ConfigError(f"step {name} needs itself: {' needs '.join([*above[above.index(name) :], name])}")
        found = {step.name: step for step in self.planner.experiment.steps}
        if name not in found:
            where = f"step {above[-1]}" if above else "checkpoint"
            raise ConfigError(f"{where} names no step '{name}'{did_you_mean(name, found)}")
        if name not in self.steps:
            told = self._told(found[name].overrides, name, found[name].command)
            needed = self._needed(told, (*above, name))
            self.steps[name] = self.planner.step(found[name], told, needed)
        return self.steps[name]

    def _evaluation(self, measure: Measure, checkpoint: str) -> GridJob:
        told = self._told([f"checkpoint={checkpoint}", *measure.overrides], EVALUATE, "evaluate")
        return self.planner.evaluation(measure, told, self._needed(told, ()))

    def _needed(self, told: Sequence[str], above: tuple[str, ...]) -> dict[str, GridJob]:
        return {name: self._step(name, above) for override in told for name in referenced(override)}


def label(axes: Mapping[str, str]) -> str:
    """Return a cell's values as people read them: "task=stack_blocks method=rl seed=0"."""
    return " ".join(f"{axis}={value}" for axis, value in axes.items())


def cell_key(evaluations: Mapping[str, str], steps: Iterable[str]) -> str:
    """Return the hash that names a cell's file, from evaluation -> hash and from the steps' hashes."""
    return _sha256({"evaluations": dict(evaluations), "steps": sorted(steps)})


def config_digest(composed: Composed, steps: Mapping[str, str]) -> str:
    """Return a hash of what a command's outcome follows from.

    Args:
        composed: The command's config.
        steps: Other steps' folders -> their hashes, which take the folders' place: where they lie does not matter.
    """
    later = LATER.get(composed.command, {})
    values = {k: v for k, v in composed.values.items() if k not in RUN_ONLY and not (k in later and v == later[k])}
    if isinstance(values.get("trainer"), Mapping):
        values["trainer"] = {**values["trainer"], **_ON_PROCESSOR}
    config = _replaced(values, steps)
    return _sha256({"command": composed.command, "config": config, "files": dict(_files(composed.command, config))})


def _replaced(value: Any, steps: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _replaced(item, steps) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, steps) for item in value]
    if isinstance(value, str):
        return ",".join(_part(part, steps) for part in value.split(","))  # several folders are one text
    return value


def _part(value: str, steps: Mapping[str, str]) -> str:
    for folder, digest in steps.items():
        if value == folder or value.startswith(f"{folder}/"):
            return digest + value[len(folder) :]
    return value


def _files(command: str, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the files from outside the grid that a config names, with their SHA-256."""
    for key in _FILES:
        if isinstance(config.get(key), str) and Path(config[key]).is_file():
            yield key, _file_digest(Path(config[key]))
    if isinstance(config.get("data"), str) and Path(config["data"]).is_dir():  # of no step: those have digests by now
        for path in sorted(Path(config["data"]).glob("*.npz")):
            yield f"data/{path.name}", _file_digest(path)
    if command == "evaluate" and config.get("checkpoint") is None:
        yield "checkpoint", _file_digest(shipped_policy())
    encoder = config.get("encoder")
    pretrained = encoder.get("pretrained") if isinstance(encoder, Mapping) else None
    path = SHIPPED if pretrained == TABLETOP else Path(str(pretrained))
    if path.is_file():
        yield "encoder", _file_digest(path)


@functools.cache
def _file_digest(path: Path) -> str:
    return file_sha256(path)


def _sha256(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:DIGITS]
