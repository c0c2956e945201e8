"""Check a whole composed config before anything is built."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from robo_rlft.commands.robots import robot_problems
from robo_rlft.config import Composed, ConfigError, check_arguments, check_node, target_class
from robo_rlft.config.errors import did_you_mean

Phase = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """The arguments that every command with a run folder takes."""

    seed: NonNegativeInt
    workers: NonNegativeInt
    threads: PositiveInt
    run: str | int | None
    output: Path | None
    overwrite: bool
    trust: list[str]


def check_groups(composed: Composed, groups: Sequence[str], *, provided: Collection[str] = ()) -> None:
    """Check the nodes of some groups against their constructors.

    Raises:
        ConfigError: with every problem found, one a line.
    """
    _raise(_group_problems(composed, groups, provided))


def check(
    composed: Composed,
    arguments: type[Any],
    groups: Sequence[str],
    *,
    provided: Collection[str] = (),
    problems: Sequence[str] = (),
) -> None:
    """Check a command's arguments and groups together.

    Args:
        composed: The config.
        arguments: A dataclass whose fields are the command's own arguments.
        groups: The groups that hold one node each.
        provided: Constructor arguments that the command gives itself.
        problems: What was found elsewhere already.

    Raises:
        ConfigError: with every problem found, one a line.
    """
    found = check_arguments(composed.values, arguments, examples=composed.defaults)
    known = {field.name for field in fields(arguments)} | set(composed.choices)
    unknown = [key for key in composed.values if key not in known]
    found += [f"{composed.command} has no '{key}'{did_you_mean(key, known)}" for key in unknown]
    if not any(line.startswith("split") for line in found):
        found += _split_problems(composed)
    _raise([*found, *_group_problems(composed, groups, provided), *problems])


def _group_problems(composed: Composed, groups: Sequence[str], provided: Collection[str]) -> list[str]:
    problems = []
    for group in groups:
        if group == "robot":
            problems += robot_problems(composed, provided=provided)
        else:
            node, examples = composed.values.get(group), composed.defaults.get(group)
            problems += check_node(group, node, provided=provided, trust=composed.trust, examples=examples)
    return problems


def _split_problems(composed: Composed) -> list[str]:
    """Refuse a split that the task lacks, with the list of those that it has."""
    task, split = composed.values.get("task"), composed.values.get("split")
    if split is None or not isinstance(task, dict) or "_target_" not in task:
        return []
    try:
        splits = getattr(target_class(str(task["_target_"]), trust=composed.trust), "splits", None)
    except ConfigError:
        return []  # told of with the task's own problems
    if splits is None or split in splits:
        return []
    return [
        f"split: {composed.choices.get('task')} has {', '.join(splits)}; got '{split}'{did_you_mean(split, splits)}"
    ]


def _raise(problems: Sequence[str]) -> None:
    if problems:
        raise ConfigError("\n  ".join(problems))
