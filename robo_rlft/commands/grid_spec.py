"""What an experiment file says of its grid: axes, what is measured of each cell, where the results go.

Knows names and overrides, not configs: `grid_plan` composes them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from robo_rlft.config import ConfigError
from robo_rlft.config.errors import did_you_mean

_NAME = re.compile(r"[A-Za-z0-9_.+-]+")  # stands in only=axis:value,axis:value


@dataclass(frozen=True, kw_only=True)
class AxisValue:
    """What one value of an axis brings to its cells."""

    overrides: list[str] = field(default_factory=list)  # of every step that knows the key, or STEP.key=value for one
    description: str = ""
    checkpoint: str | None = ""  # what is evaluated; None evaluates nothing, "" leaves that to another axis
    steps: list[str] = field(default_factory=list)  # that the cell needs beside those that its checkpoint names


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One evaluation of every cell's checkpoint."""

    name: str
    overrides: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Addition:
    """Overrides for the cells that have all of these values; they win over the axes' own."""

    where: dict[str, str]  # axis -> value
    overrides: list[str]


@dataclass(frozen=True, kw_only=True)
class GridSpec:
    """Every combination of the axes' values is a cell."""

    results: str  # folder of the cells' files
    axes: dict[str, dict[str, AxisValue]]
    evaluate: list[Measure] = field(default_factory=list)
    exclude: list[dict[str, str]] = field(default_factory=list)  # axis -> value: cells with all of them are left out
    also: list[Addition] = field(default_factory=list)

    def added(self, cell: Mapping[str, str]) -> list[str]:
        """Return the overrides that a combination has beside those of its values."""
        return [override for one in self.also if _matches(cell, one.where) for override in one.overrides]

    def combinations(self) -> Iterator[dict[str, str]]:
        """Return axis -> value of every cell; the last axis changes slowest, so all of its first value come first."""
        names = list(self.axes)
        for values in itertools.product(*(self.axes[name] for name in reversed(names))):
            cell = dict(zip(names, reversed(values), strict=True))
            if not any(_matches(cell, out) for out in self.exclude):
                yield cell


def plain_grid(node: Any) -> Any:
    """Return a grid's node with text for every value of an axis, and a mapping for a mere list of overrides.

    YAML reads `seed: {0: [seed=0]}` with a number for a name. `exclude: {method: rl, seed: [1, 2]}` is short for one
    combination each.
    """
    if not isinstance(node, Mapping):
        return node
    plain = dict(node)
    if isinstance(node.get("axes"), Mapping):
        plain["axes"] = {
            str(axis): {str(value): _brought(told) for value, told in values.items()}
            if isinstance(values, Mapping)
            else values
            for axis, values in node["axes"].items()
        }
    if isinstance(node.get("exclude"), list):
        plain["exclude"] = [one for out in node["exclude"] for one in _each(out)]
    if isinstance(node.get("also"), list):
        plain["also"] = [
            {**one, "where": _named(one.get("where"))} if isinstance(one, Mapping) else one for one in node["also"]
        ]
    return plain


def check_grid(spec: GridSpec, steps: Collection[str]) -> None:
    """Refuse axes, values and names that cannot work together.

    Args:
        spec: The grid.
        steps: Names of the experiment's steps.
    """
    for axis, values in spec.axes.items():
        if not values:
            raise ConfigError(f"experiment.grid.axes.{axis}: expected at least one value, got none")
        for name in (axis, *values):
            if not _NAME.fullmatch(name):
                raise ConfigError(f"experiment.grid.axes: expected a plain name for an axis or a value, got '{name}'")
    _check_checkpoints(spec, steps)
    names = [measure.name for measure in spec.evaluate]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"experiment.grid.evaluate: '{name}' is there twice; each evaluation needs its own name")
    for name, some in (("exclude", spec.exclude), ("also", [one.where for one in spec.also])):
        for found in some:
            for axis, value in found.items():
                check_value(spec, axis, value, where=f"experiment.grid.{name}")
    if not any(True for _ in spec.combinations()):
        raise ConfigError("experiment.grid: expected at least one cell, but there is no axis, or all is excluded")


def check_value(spec: GridSpec, axis: str, value: str, *, where: str) -> None:
    """Refuse an axis or a value that the grid does not have."""
    if axis not in spec.axes:
        raise ConfigError(
            f"{where}: expected one of the axes {', '.join(spec.axes)}, got '{axis}'{did_you_mean(axis, spec.axes)}"
        )
    if value not in spec.axes[axis]:
        raise ConfigError(
            f"{where}: expected one of {axis}'s values {', '.join(spec.axes[axis])}, got '{value}'"
            f"{did_you_mean(value, spec.axes[axis])}"
        )


def read_only(text: str | None, spec: GridSpec) -> dict[str, set[str]]:
    """Return axis -> wanted values from "axis:value,axis:value"; an axis that is not named is not restricted."""
    wanted: dict[str, set[str]] = {}
    for part in [] if text is None else text.split(","):
        axis, colon, value = (piece.strip() for piece in part.partition(":"))
        if not colon:
            raise ConfigError(f"only: expected axis:value,axis:value, got '{text}', where '{part}' has no colon")
        check_value(spec, axis, value, where="only")
        wanted.setdefault(axis, set()).add(value)
    return wanted


def _matches(cell: Mapping[str, str], values: Mapping[str, str]) -> bool:
    return all(cell[axis] == value for axis, value in values.items())


def _named(values: Any) -> Any:
    return {str(axis): str(value) for axis, value in values.items()} if isinstance(values, Mapping) else values


def _each(values: Any) -> list[Any]:
    """Return the combinations that a mapping with lists of values stands for."""
    if not isinstance(values, Mapping):
        return [values]
    listed = {axis: told if isinstance(told, list) else [told] for axis, told in values.items()}
    return [_named(dict(zip(listed, one, strict=True))) for one in itertools.product(*listed.values())]


def _brought(told: Any) -> Any:
    if told is None:
        return {}
    return {"overrides": told} if isinstance(told, list) else told


def _check_checkpoints(spec: GridSpec, steps: Collection[str]) -> None:
    """Refuse a grid in which not every cell says once what is evaluated."""
    naming = [axis for axis, values in spec.axes.items() if any(v.checkpoint != "" for v in values.values())]
    if len(naming) != 1:
        raise ConfigError(
            "experiment.grid.axes: expected exactly one axis whose values name a checkpoint, as in "
            f"'method: {{bc: {{checkpoint: \"{{bc}}/policy.safetensors\"}}}}', got {', '.join(naming) or 'none'}"
        )
    for name, value in spec.axes[naming[0]].items():
        if value.checkpoint == "":
            raise ConfigError(
                f"experiment.grid.axes.{naming[0]}.{name}: expected a checkpoint, as its axis has, got none"
            )
        if value.checkpoint is None and not value.steps:
            raise ConfigError(
                f"experiment.grid.axes.{naming[0]}.{name}: with checkpoint: null nothing is evaluated; name the steps "
                "that are run, as in steps: [demonstrations]"
            )
        if value.checkpoint is not None and not spec.evaluate:
            raise ConfigError("experiment.grid.evaluate: expected what is measured of each checkpoint, got nothing")
    for values in spec.axes.values():
        for value in values.values():
            for step in value.steps:
                if step not in steps:
                    raise ConfigError(f"experiment.grid.axes: no step '{step}'{did_you_mean(step, steps)}")
