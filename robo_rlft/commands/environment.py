"""Environments from configs: for commands, for worker processes, for users.

A worker gets the plain config and builds its own environment, since simulators do not travel between processes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from robo_rlft.commands.robots import is_real
from robo_rlft.config import build, compose
from robo_rlft.config.errors import ConfigError
from robo_rlft.env import TabletopEnv
from robo_rlft.geometry import Workspace

GROUPS = ("robot", "task", "reward", "workspace")
# What the environment's parts are given when they are built, beside their own values.
PROVIDED = frozenset({"workspace", "rotations", "split", "phase"})


def environment_factory(
    values: Mapping[str, Any],
    *,
    trust: Sequence[str] = (),
    workspace: Workspace | None = None,
    rotations: int | None = None,
) -> Callable[[], TabletopEnv]:
    """Return a picklable function that makes the environment of a checked config.

    Args:
        values: A command's config.
        trust: Classes outside this package that the user allowed.
        workspace: Used instead of the config's: a trained policy brings its own.
        rotations: Likewise.
    """
    if is_real(values, trust=trust):
        raise ConfigError("robot: an environment lays its scenes, and no machine can; run a policy on it with deploy")
    config = {key: values[key] for key in (*GROUPS, "split", "phase")}
    config["rotations"] = values["rotations"] if rotations is None else rotations
    if workspace is not None:
        config["workspace"] = {"_target_": "robo_rlft.geometry.Workspace", **asdict(workspace)}
    return functools.partial(make_env_from_config, config, tuple(trust))


def make_env_from_config(config: Mapping[str, Any], trust: Sequence[str] = ()) -> TabletopEnv:
    """Build an environment from plain values: a node for each of its parts, split, phase and rotations."""
    workspace = build(config["workspace"], trust=trust, path="workspace")
    context = {"workspace": workspace, "rotations": config["rotations"]}
    task, reward = (build(config[key], trust=trust, path=key, **context) for key in ("task", "reward"))
    if config["split"] not in task.splits:
        raise ConfigError(f"split: {task.name} has {', '.join(task.splits)}, got '{config['split']}'")
    return TabletopEnv(
        driver=build(config["robot"], trust=trust, path="robot", **context),
        task=task,
        reward=reward,
        workspace=workspace,
        split=config["split"],
        phase=config["phase"],
        rotations=config["rotations"],
    )


def make_env(
    task: str = "put_block_in_bowl",
    *,
    split: str = "seen",
    phase: str = "train",
    overrides: Sequence[str] = (),
    config_dirs: Sequence[Path] = (),
    render_mode: None = None,
) -> TabletopEnv:
    """Make an environment, as `robo-rlft collect task=...` would.

    Args:
        task: An option of the group `task`.
        split: Words and objects: seen, unseen, combinations, paraphrase or novel, as far as the task has them.
        phase: Scene seeds: train, val or test.
        overrides: More of them, as on the command line: ["task.blocks=2", "workspace=fine"].
        config_dirs: Folders of your own options.
        render_mode: There is none; `gymnasium.make` passes it.

    Raises:
        ConfigError: a name or value that does not exist; the message lists the choices.
    """
    told = [f"task={task}", f"split={split}", f"phase={phase}", *overrides]
    composed = compose("collect", told, config_dirs=config_dirs)
    from robo_rlft.commands.checks import check_groups

    check_groups(composed, GROUPS, provided=PROVIDED)
    return environment_factory(composed.values, trust=composed.trust)()
