"""`robo-rlft collect`: episodes in a folder, failures kept: a demonstrator's, or with `checkpoint=FILE` a policy's.

Demonstrations are for `train data=DIR`, a policy's attempts for `label from=DIR`. `demonstrator=click` is a person's:
see `collect_click`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import PositiveInt
from rich.console import Console

from robo_rlft.apps.click import ClickDemonstrator
from robo_rlft.commands.checks import Phase, RunArguments, check
from robo_rlft.commands.collect_click import collect_by_click
from robo_rlft.commands.console import ProgressLine
from robo_rlft.commands.environment import GROUPS, PROVIDED, environment_factory
from robo_rlft.commands.live import LiveArguments, acts_live, check_live, judges, live_factory, live_place
from robo_rlft.commands.policies import agree, file_sha256
from robo_rlft.commands.process import prepare, sigterm_as_ctrl_c
from robo_rlft.commands.runs import Run, folder_for, open_run
from robo_rlft.config import Composed, ConfigError, build, target_class
from robo_rlft.data.episodes import EpisodeWriter, read_episode
from robo_rlft.env import Place
from robo_rlft.policies.io import load_policy
from robo_rlft.rollout.attempts import Actor, record_attempts
from robo_rlft.rollout.episode import Episode
from robo_rlft.rollout.pool import EnvPool

SCENES_PER_SEED = 1_000_000  # scene seeds that belong to one seed of a run
_CHUNK = 10  # scenes between two lines of progress; part of what makes a policy's attempts bit-equal
_ATTEMPTS = 11  # what a random stream is for


@dataclass(frozen=True, kw_only=True)
class Arguments(RunArguments, LiveArguments):
    """What `collect` takes beside its groups."""

    episodes: PositiveInt
    checkpoint: Path | None
    tries: PositiveInt
    decoding: Literal["greedy", "sampled"]
    split: str
    phase: Phase
    rotations: PositiveInt


def check_config(composed: Composed) -> None:
    """Refuse whatever cannot work, before anything is built."""
    check(composed, Arguments, (*GROUPS, "demonstrator"), provided=PROVIDED)
    values = composed.values
    if values["checkpoint"] is None and values["tries"] > 1:
        raise ConfigError(
            f"tries: a demonstrator shows every scene once; expected 1, or a policy with checkpoint=FILE, got "
            f"{values['tries']}"
        )
    if values["tries"] > 1 and values["decoding"] == "greedy":
        raise ConfigError(f"tries: expected 1 with decoding=greedy, which tries the same again; got {values['tries']}")
    if values["checkpoint"] is not None and any(o.startswith("demonstrator") for o in composed.overrides):
        raise ConfigError("demonstrator: with checkpoint=FILE the policy acts; leave one of the two out")
    check_live(composed, judged=False)
    if acts_live(composed) and values["tries"] > 1:
        raise ConfigError(
            f"tries: on a table no scene comes back; expected 1, and more episodes instead, got {values['tries']}"
        )


def run(composed: Composed, console: Console) -> Path:
    """Write episodes; return their folder."""
    check_config(composed)
    values = composed.values
    prepare(values)
    actor = None if values["checkpoint"] is None else _actor(composed)
    who = composed.choices["demonstrator"] if actor is None else str(actor.sha256)[:8]
    folder = folder_for(values, f"collect-{composed.choices['task']}-{who}-seed{values['seed']}")
    with open_run(
        folder, command="collect", config=values, overrides=composed.overrides, overwrite=values["overwrite"]
    ) as opened:
        if opened.finished:
            console.print(f"{folder} is finished already; overwrite=true makes it anew", markup=False)
            return folder
        successes = _collect(composed, opened, console, actor)
        opened.notes |= {"episodes": values["episodes"] * values["tries"], "successes": successes}
    what = "demonstrations" if actor is None else "attempts"
    count = values["episodes"] * values["tries"]
    judged = f"{successes} of them successful"
    if actor is not None and acts_live(composed) and not judges(composed):
        judged = "nobody said whether they succeeded"
    console.print(f"{count} {what}, {judged}, in {folder}", markup=False)
    return folder


def _actor(composed: Composed) -> Actor:
    path = Path(composed.values["checkpoint"])
    policy = load_policy(path, trust=composed.trust)
    agree(composed, policy)
    policy.eval()
    return Actor(policy=policy, workspace=policy.workspace, rotations=policy.rotations, sha256=file_sha256(path))


def demonstration_seeds(seed: int, episodes: int) -> range:
    """Return the scene seeds of a run's demonstrations."""
    return range(seed * SCENES_PER_SEED, seed * SCENES_PER_SEED + episodes)


def _collect(composed: Composed, opened: Run, console: Console, actor: Actor | None) -> int:
    """Record what is not on disk yet; return how many episodes succeeded."""
    values = composed.values
    writer = EpisodeWriter(opened.path)
    seeds = demonstration_seeds(values["seed"], values["episodes"])
    if actor is None:
        demonstrator = build(values["demonstrator"], trust=composed.trust, path="demonstrator")
        if isinstance(demonstrator, ClickDemonstrator):
            return collect_by_click(composed, opened, console, demonstrator, writer=writer, seeds=seeds)
    attempts = [None] if actor is None else list(range(values["tries"]))
    live = actor is not None and acts_live(composed)
    if actor is not None and live:
        place = live_place(composed)
        factory: Any = live_factory(
            composed, folder=opened.path, workspace=actor.workspace, rotations=actor.rotations, console=console
        )
    else:
        task = str(target_class(str(values["task"]["_target_"]), trust=composed.trust).name)
        place = Place(task=task, split=values["split"], phase=values["phase"])
        factory = environment_factory(
            values,
            trust=composed.trust,
            workspace=None if actor is None else actor.workspace,
            rotations=None if actor is None else actor.rotations,
        )
    size = 1 if live else _CHUNK
    done = successes = steps = 0
    with (
        sigterm_as_ctrl_c() if live else nullcontext(),
        EnvPool(make_env=factory, workers=values["workers"]) as pool,
        ProgressLine(console, "collect") as line,
    ):
        for begin in range(0, len(seeds), size):
            chunk = seeds[begin : begin + size]
            paths = {
                seed: [writer.path(**vars(place), seed=seed, attempt=number) for number in attempts] for seed in chunk
            }
            missing = [seed for seed, files in paths.items() if not all(path.exists() for path in files)]
            there = [read_episode(path) for seed in chunk if seed not in missing for path in paths[seed]]
            if actor is not None and any(episode.policy_sha256 != actor.sha256 for episode in there):
                raise ConfigError(
                    f"checkpoint: the file has changed since {opened.path} was begun; overwrite=true begins anew"
                )
            if actor is None:
                made = pool.demonstrate(missing, demonstrator)
            elif missing:  # a batch is sampled as a whole, so that it comes out as if nothing had been there
                made = [e for e in _attempt(pool, actor, values, chunk, task=place.task) if e.seed in missing]
            else:
                made = []
            for episode in made:
                writer.write(episode)
            episodes = [*there, *made]
            done += len(episodes)
            successes += sum(episode.success for episode in episodes)
            steps += sum(episode.steps for episode in episodes)
            line.update(done, len(seeds) * len(attempts), f"success {successes / done:.2f}")
    opened.notes["environment_steps"] = steps
    return successes


def _attempt(
    pool: EnvPool, actor: Actor, values: Mapping[str, Any], seeds: Sequence[int], *, task: str
) -> list[Episode]:
    entropy = np.random.SeedSequence((values["seed"], seeds[0], _ATTEMPTS)).generate_state(1)[0]
    return record_attempts(
        pool,
        actor,
        seeds,
        task=task,
        tries=values["tries"],
        greedy=values["decoding"] == "greedy",
        generator=torch.Generator().manual_seed(int(entropy)),
    )
