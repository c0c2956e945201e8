"""What an experiment file says: steps, each one a command with overrides, and the table or the grid to make of them.

Knows how to turn that into composed configs, not how to run them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from robo_rlft.commands.grid_spec import GridSpec, check_grid, plain_grid
from robo_rlft.commands.robots import refuse_real, refuse_real_names
from robo_rlft.config import Composed, ConfigError, compose
from robo_rlft.config.compose import quoted, root_keys
from robo_rlft.config.errors import did_you_mean

EVALUATE = "evaluate"  # the step name that overrides of every evaluation go by
STEP_COMMANDS = ("collect", "label", "distill", "train", "evaluate")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of an experiment."""

    name: str
    command: str
    overrides: list[str] = field(default_factory=list)  # "{other}" in a value stands for another step's folder


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of the table."""

    checkpoint: str
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two methods of the table to compare on the same scenes."""

    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """What is evaluated at the end: every method on every split."""

    methods: dict[str, Method]
    splits: list[str]
    overrides: list[str] = field(default_factory=list)
    compare: Comparison | None = None


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A pipeline, and its table or its grid."""

    steps: list[Step]
    title: str = ""
    overrides: list[str] = field(default_factory=list)  # of every step that knows the key
    pretrain: Step | None = None  # trains an encoder for the other steps, where the user asks for it
    table: Table | None = None
    grid: GridSpec | None = None  # many pipelines, in place of one and its table


@dataclass(frozen=True, kw_only=True)
class Job:
    """A step that is ready to run."""

    name: str
    folder: Path
    composed: Composed


def read_experiment(node: Any) -> Experiment:
    """Return the experiment that a config describes.

    Raises:
        ConfigError: a field is missing, unknown or of another type; a name is used twice or does not exist.
    """
    if not isinstance(node, Mapping):
        raise ConfigError("experiment: expected a mapping with steps; choose experiment=NAME")
    node = {**node, "grid": plain_grid(node["grid"])} if "grid" in node else node
    try:
        experiment = TypeAdapter(Experiment).validate_python(node, strict=False, extra="forbid")
    except ValidationError as error:
        lines = [f"experiment.{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
        raise ConfigError("\n  ".join(lines)) from error
    steps = [*([experiment.pretrain] if experiment.pretrain else []), *experiment.steps]
    names = [step.name for step in steps]
    for step in steps:
        if step.command not in STEP_COMMANDS:
            raise ConfigError(f"step {step.name}: expected one of {', '.join(STEP_COMMANDS)}, got '{step.command}'")
        if names.count(step.name) > 1 or not re.fullmatch(r"[A-Za-z0-9_]+", step.name) or step.name == EVALUATE:
            raise ConfigError(f"step '{step.name}': a step needs a plain name of its own, and not '{EVALUATE}'")
    table = experiment.table
    for method in (table.compare.before, table.compare.after) if table and table.compare else ():
        if table is not None and method not in table.methods:
            raise ConfigError(f"experiment.table.compare: no method '{method}'{did_you_mean(method, table.methods)}")
    if experiment.grid is not None:
        if table is not None or experiment.pretrain is not None:
            raise ConfigError("experiment: a grid takes the place of table and pretrain; leave one or the other out")
        check_grid(experiment.grid, names)
    return experiment


def jobs(
    experiment: Experiment,
    folder: Path,
    *,
    seed: int,
    pretrain: bool = False,
    overrides: Sequence[str] = (),
    config_dirs: Sequence[Path] = (),
) -> list[Job]:
    """Return every step, composed, in the order in which they run; the table's evaluations come last.

    Args:
        experiment: What to run.
        folder: Of the experiment.
        seed: Of every step.
        pretrain: Train the encoder first, and let the other steps start from it instead of the shipped one.
        overrides: Of every step that knows the key, or "STEP.key=value" for one.
        config_dirs: Folders of the user's own options.

    Raises:
        ConfigError: an override that no step knows, or a step that does not compose.
    """
    listed, first = experiment.steps, []
    if pretrain:
        if experiment.pretrain is None:
            raise ConfigError("pretrain: this experiment has no step to train an encoder; leave pretrain=true out")
        listed = [experiment.pretrain, *listed]
        first = [f"encoder.pretrained={{{experiment.pretrain.name}}}/encoder.safetensors"]
    folders = {step.name: folder / step.name for step in listed}
    steps = [(step.name, step.name, step.command, step.overrides) for step in listed]
    if experiment.table is not None:
        for (name, method), split in itertools.product(experiment.table.methods.items(), experiment.table.splits):
            told = [f"checkpoint={method.checkpoint}", f"split={split}", *experiment.table.overrides]
            steps.append((f"{EVALUATE}/{name}/{split}", EVALUATE, "evaluate", told))
    everywhere = [*experiment.overrides, *overrides]
    check_known(everywhere, [(label, command) for _, label, command, _ in steps])
    made = []
    for name, label, command, own in steps:
        labels = [s[1] for s in steps]
        before = [] if name == labels[0] else for_step(first, label, command, labels)
        told = [*before, *own, *for_step(everywhere, label, command, labels), f"seed={seed}"]
        told = [with_folders(override, folders, name) for override in told]
        try:
            refuse_real_names(told, where="experiments")
            composed = compose(command, [*told, quoted("output", folder / name)], config_dirs=config_dirs)
            if composed.trust:
                raise ConfigError("trust is for the command line alone; a file cannot allow classes by itself")
            refuse_real(composed, where="experiments")
            refuse_people(composed)
        except ConfigError as error:
            raise ConfigError(f"step {name}: {error}") from error
        made.append(Job(name=name, folder=folder / name, composed=composed))
    return made


def refuse_people(composed: Composed) -> None:
    """Refuse a step that waits for a person: nobody sits before an experiment.

    Raises:
        ConfigError: for labels or demonstrations of a person's.
    """
    for command, group, option in (("label", "labeler", "page"), ("collect", "demonstrator", "click")):
        if composed.command == command and composed.choices.get(group) == option:
            raise ConfigError(f"{group}: {option} waits for a person, for whom an experiment cannot; choose another")


def evaluation_folder(folder: Path, method: str, split: str) -> Path:
    """Return where the results of a method on a split are."""
    return folder / EVALUATE / method / split


def _key(override: str) -> list[str]:
    # What stands after an @ is where an option of the group before it goes.
    return override.lstrip("+~").split("=", 1)[0].split("@")[0].split(".")


def check_known(overrides: Sequence[str], steps: Sequence[tuple[str, str]]) -> None:
    """Refuse an override that is for no step."""
    known = {key for _, command in steps for key in root_keys(command)}
    labels = {label for label, _ in steps}
    for override in overrides:
        first = _key(override)[0]
        if first not in known and first not in labels:
            hint = did_you_mean(first, known | labels)
            raise ConfigError(
                f"no step knows '{first}' (from {override}){hint} Known: {', '.join(sorted(known | labels))}"
            )
        if first in ("output", "run", "overwrite", "trust"):
            raise ConfigError(f"{override}: '{first}' cannot be set for steps")


def for_step(overrides: Sequence[str], label: str, command: str, labels: Sequence[str]) -> list[str]:
    """Return those overrides that a step knows; "rl.algorithm.lr=1e-4" is for the step `rl` alone."""
    chosen = []
    for override in overrides:
        keys = _key(override)
        if keys[0] == label and len(keys) > 1:
            chosen.append(override.replace(f"{label}.", "", 1))
        elif keys[0] in root_keys(command) and keys[0] not in labels:
            chosen.append(override)
    return chosen


def referenced(override: str) -> list[str]:
    """Return the names of steps that stand in braces in an override's value."""
    return re.findall(r"\{([A-Za-z0-9_]+)\}", override.partition("=")[2])


def with_folders(override: str, folders: Mapping[str, Path], step: str) -> str:
    """Put the folders of other steps in place of their names in braces."""
    key, equals, value = override.partition("=")
    used = referenced(override)
    if not used:
        return override
    for name in used:
        if name not in folders:
            raise ConfigError(f"step {step}: {override} names no step '{name}'{did_you_mean(name, folders)}")
        value = value.replace(f"{{{name}}}", str(folders[name]))
    return quoted(key, value) if equals else override
