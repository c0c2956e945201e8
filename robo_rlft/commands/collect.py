"""`robo-rlft collect`: a demonstrator's episodes, failures kept, in a folder for `train data=DIR`.

`demonstrator=click` is a person's: see `collect_click`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import PositiveInt
from rich.console import Console

from robo_rlft.apps.click import ClickDemonstrator
from robo_rlft.commands.checks import Phase, RunArguments, check
from robo_rlft.commands.collect_click import collect_by_click
from robo_rlft.commands.console import ProgressLine
from robo_rlft.commands.environment import GROUPS, PROVIDED, environment_factory
from robo_rlft.commands.process import prepare
from robo_rlft.commands.runs import Run, folder_for, open_run
from robo_rlft.config import Composed, build, target_class
from robo_rlft.data.episodes import EpisodeWriter, read_episode
from robo_rlft.rollout.pool import EnvPool

SCENES_PER_SEED = 1_000_000  # scene seeds that belong to one seed of a run
_CHUNK = 10  # episodes between two lines of progress


@dataclass(frozen=True, kw_only=True)
class Arguments(RunArguments):
    """What `collect` takes beside its groups."""

    episodes: PositiveInt
    split: str
    phase: Phase
    rotations: PositiveInt


def check_config(composed: Composed) -> None:
    """Refuse whatever cannot work, before anything is built."""
    check(composed, Arguments, (*GROUPS, "demonstrator"), provided=PROVIDED)


def run(composed: Composed, console: Console) -> Path:
    """Write demonstrations; return their folder."""
    check_config(composed)
    values = composed.values
    prepare(values)
    name = f"collect-{composed.choices['task']}-{composed.choices['demonstrator']}-seed{values['seed']}"
    folder = folder_for(values, name)
    with open_run(
        folder, command="collect", config=values, overrides=composed.overrides, overwrite=values["overwrite"]
    ) as opened:
        if opened.finished:
            console.print(f"{folder} is finished already; overwrite=true makes it anew", markup=False)
            return folder
        successes = _collect(composed, opened, console)
        opened.notes |= {"episodes": values["episodes"], "successes": successes}
    console.print(f"{values['episodes']} demonstrations, {successes} of them successful, in {folder}", markup=False)
    return folder


def demonstration_seeds(seed: int, episodes: int) -> range:
    """Return the scene seeds of a run's demonstrations."""
    return range(seed * SCENES_PER_SEED, seed * SCENES_PER_SEED + episodes)


def _collect(composed: Composed, opened: Run, console: Console) -> int:
    """Record what is not on disk yet; return how many episodes succeeded."""
    values = composed.values
    writer = EpisodeWriter(opened.path)
    demonstrator = build(values["demonstrator"], trust=composed.trust, path="demonstrator")
    seeds = demonstration_seeds(values["seed"], values["episodes"])
    if isinstance(demonstrator, ClickDemonstrator):
        return collect_by_click(composed, opened, console, demonstrator, writer=writer, seeds=seeds)
    task = target_class(str(values["task"]["_target_"]), trust=composed.trust).name
    place = {"task": task, "split": values["split"], "phase": values["phase"]}
    paths = {seed: writer.path(**place, seed=seed) for seed in seeds}
    there = [read_episode(path) for path in paths.values() if path.exists()]
    missing = [seed for seed, path in paths.items() if not path.exists()]
    done, successes = len(there), sum(episode.success for episode in there)
    steps = sum(episode.steps for episode in there)
    make_env = environment_factory(values, trust=composed.trust)
    with EnvPool(make_env=make_env, workers=values["workers"]) as pool, ProgressLine(console, "collect") as line:
        for begin in range(0, len(missing), _CHUNK):
            for episode in pool.demonstrate(missing[begin : begin + _CHUNK], demonstrator):
                writer.write(episode)
                done, successes, steps = done + 1, successes + episode.success, steps + episode.steps
            line.update(done, len(seeds), f"success {successes / done:.2f}")
    opened.notes["environment_steps"] = steps
    return successes
