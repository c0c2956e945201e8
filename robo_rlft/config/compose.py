"""Compose a command's config from conf/, the user's own folders and overrides, and refuse names that do not exist.

Knows files and names, not what the values mean: `nodes.py` checks those against the constructors.
"""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from robo_rlft.config.errors import ConfigError, did_you_mean
from robo_rlft.config.nodes import TARGET, parameters_of

_SEVERAL = ("from", "data", "earlier")  # arguments that take several folders, separated by commas


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A command's config, as plain values."""

    command: str
    values: dict[str, Any]  # what the overrides made of it
    defaults: dict[str, Any]  # the same choices of options, without the overridden values: examples for messages
    overrides: tuple[str, ...]
    config_dirs: tuple[Path, ...]
    choices: dict[str, str | None]  # the option taken of every group
    trust: tuple[str, ...]  # classes outside this package that the user allowed, on the command line only


def conf_dir() -> Path:
    """Return the folder of the shipped options: inside the package when installed from a wheel, else beside it."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if folder.is_dir():
            return folder
    raise ConfigError(f"the folder conf/ is missing beside or inside {package}; reinstall robo_rlft")


def commands_with_config() -> list[str]:
    """Return the names of the root configs."""
    return sorted(p.stem for p in conf_dir().glob("*.yaml"))


def groups(config_dirs: Sequence[Path] = ()) -> dict[str, list[str]]:
    """Return every group of options and the names in it, the user's own included."""
    found: dict[str, set[str]] = {}
    for root in (conf_dir(), *config_dirs):
        for file in root.rglob("*.yaml"):
            group = file.parent.relative_to(root).as_posix()
            if group != ".":
                found.setdefault(group, set()).add(file.stem)
    return {group: sorted(names) for group, names in sorted(found.items())}


def root_groups(command: str) -> dict[str, str | None]:
    """Return the groups that a command's root config chooses from, and the option each takes by default."""
    root = yaml.safe_load((conf_dir() / f"{command}.yaml").read_text(encoding="utf-8"))
    pairs = [next(iter(entry.items())) for entry in root.get("defaults", []) if isinstance(entry, Mapping)]
    return {str(key).split("@")[0].split()[-1]: option for key, option in pairs}


@functools.lru_cache(maxsize=16)
def root_keys(command: str) -> frozenset[str]:
    """Return a command's groups and arguments."""
    root = yaml.safe_load((conf_dir() / f"{command}.yaml").read_text(encoding="utf-8"))
    return frozenset({*root, *root_groups(command)} - {"defaults"})


def compose(command: str, overrides: Sequence[str] = (), *, config_dirs: Sequence[Path] = ()) -> Composed:
    """Compose the config of `command`.

    Raises:
        ConfigError: an override cannot be read, or names a group, an option or a key that does not exist.
    """
    folders = tuple(_checked_folder(folder) for folder in config_dirs)
    parsed = _parse([_runs_as_text(override) for override in overrides])
    for override in parsed:
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: several values for one key are a sweep; add -m to run them all")
    options = groups(folders)
    usable = root_groups(command)
    choices = [o for o in parsed if _is_choice(o, options, command, usable)]
    base = _compose(command, [str(o.input_line) for o in choices], folders)
    trust = next((o.value() for o in reversed(parsed) if o.key_or_group == "trust"), ())
    names = tuple(str(t) for t in (trust if isinstance(trust, list | tuple) else [trust]))
    values = [_placed(o, base, command, usable, names) for o in parsed if o not in choices]
    composed = _compose(command, [str(o.input_line) for o in choices], folders, values)
    return Composed(
        command=command,
        values=composed,
        defaults=base,
        overrides=tuple(overrides),
        config_dirs=folders,
        choices={**usable, **{o.key_or_group: _name(o) for o in choices if o.package in (None, o.key_or_group)}},
        trust=names,
    )


def sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Return one list of overrides for every combination of the swept values, in order."""
    try:
        batches = BasicSweeper.split_arguments(_parse(overrides), max_batch_size=None)
    except HydraException as error:
        raise ConfigError(f"cannot sweep {' '.join(overrides)}: {_first_line(error)}") from error
    return [list(job) for job in batches[0]]


def swept_keys(overrides: Sequence[str]) -> list[str]:
    """Return the keys that have several values."""
    return [o.get_key_element() for o in _parse(overrides) if o.is_sweep_override()]


def quoted(key: str, value: str | Path) -> str:
    """Return an override `key='value'` whose value is taken as it is, whatever characters it holds."""
    # Hydra reads backslashes as they are, except before a quote.
    escaped = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), str(value))
    return f"{key}='{escaped}'"


def _runs_as_text(override: str) -> str:
    """Return `from=RUN,RUN` as one text: there a comma does not begin a sweep."""
    key, _, value = override.partition("=")
    return quoted(key, value) if key in _SEVERAL and "," in value and value[0] not in "'\"[" else override


def _checked_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise ConfigError(f"--config-dir: expected a folder of option files, got '{folder}', which is not one")
    return folder.resolve()


def _parse(overrides: Sequence[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for text in overrides:
        try:
            parsed.append(parser.parse_override(text))
        except HydraException as error:
            key, _, value = text.partition("=")
            advice = quoted(key, value) if value else "key=value"
            raise ConfigError(
                f"cannot read '{text}': expected key=value; quote values with special characters, for the shell too: "
                f'"{advice}" ({_first_line(error)})'
            ) from error
    return parsed


def _is_choice(
    override: Override, options: Mapping[str, list[str]], command: str, usable: Mapping[str, str | None]
) -> bool:
    """Tell whether an override chooses an option of a group; refuse it when the option is not there."""
    group = override.key_or_group
    if group.startswith("hydra"):
        raise ConfigError(f"{group}: hydra's own settings are fixed here; run=NAME or output=DIR name the folder")
    if group not in options or (override.is_add() and group not in usable):
        return False
    if override.package is not None and group == "robot":  # what is refused by its place must have but one
        raise ConfigError(f"robot: expected the one that acts, as robot=NAME; got {override.input_line}")
    if group not in usable:
        raise ConfigError(f"{command} has no choice of '{group}'; it chooses: {', '.join(sorted(usable))}")
    value = override.value()
    if value is not None and (not isinstance(value, str) or value not in options[group]):
        hint = did_you_mean(str(value), options[group])
        raise ConfigError(f"{group}: expected one of {', '.join(options[group])}, got '{value}'{hint}")
    return True


def _name(override: Override) -> str | None:
    value = override.value()
    return None if value is None else str(value)


def _placed(
    override: Override,
    base: Mapping[str, Any],
    command: str,
    usable: Mapping[str, str | None],
    trust: Sequence[str],
) -> str:
    """Return the override as hydra wants it; refuse one whose key has no place in the config."""
    line = str(override.input_line)
    if override.is_add() or override.is_force_add() or override.is_delete():
        return line
    parent: Any = base
    keys = override.key_or_group.split(".")
    for depth, key in enumerate(keys):
        if isinstance(parent, Mapping) and key in parent:
            parent = parent[key]
            continue
        accepted = _accepted(parent, trust)
        # Names in a mapping that ships empty are the user's.
        if depth == len(keys) - 1 and (key in accepted or (depth > 0 and parent == {})):
            return f"++{line}"
        where = ".".join(keys[:depth])
        known = sorted(set(parent if isinstance(parent, Mapping) else ()) | set(accepted) - {"context", "policy"})
        known = [f"{where}.{k}" if where else k for k in known if k != TARGET]
        known += [] if where else [g for g in usable if g not in known]
        name = ".".join(keys[: depth + 1])
        hint = did_you_mean(name, known)
        raise ConfigError(f"{command} has no '{name}' (from {line}){hint} Known here: {', '.join(known) or 'nothing'}")
    return line


def _accepted(node: Any, trust: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments that a node's constructor takes, were they in its YAML or not."""
    if not isinstance(node, Mapping) or TARGET not in node:
        return ()
    try:
        return tuple(parameters_of(str(node[TARGET]), trust=trust))
    except ConfigError:
        return ()


def _compose(
    command: str, choices: Sequence[str], folders: tuple[Path, ...], overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the config that the choices of options and the overrides of values make, as plain values."""
    if command not in commands_with_config():
        raise ConfigError(f"there is no conf/{command}.yaml; there are: {', '.join(commands_with_config())}")
    try:
        config = copy.deepcopy(_chosen(command, tuple(choices), folders))
        ConfigLoaderImpl._apply_overrides_to_config(_parse(overrides), config)
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"the config of '{command}' does not compose: {inspect.cleandoc(str(error))}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"conf/{command}.yaml is not a mapping")
    return {str(key): value for key, value in values.items()}


@functools.lru_cache(maxsize=256)  # a grid composes hundreds of configs from few choices, and Hydra takes 0.1 s for one
def _chosen(command: str, choices: tuple[str, ...], folders: tuple[Path, ...]) -> DictConfig:
    search = [f"hydra.searchpath=[{','.join(repr(f'file://{folder}') for folder in folders)}]"] if folders else []
    with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
        return hydra_compose(config_name=command, overrides=[*search, *choices])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
