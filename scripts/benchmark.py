"""Measure what things cost and print one JSON object: CPU-seconds of one thread, at 320 x 160 pixels, one block.

`rl_iteration_cpu_s_beyond_physics` and `workers_speedup` are at 160 x 80 pixels whatever is asked for; the latter is of
wall time and wants a quiet machine with two cores.

CPU time and not wall time, so that other work on the machine matters less. `scripts/benchmark` calls this with the
environment made and every library held to one thread.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robo_rlft import make_env
from robo_rlft.algorithms.bc import BehaviorCloning
from robo_rlft.algorithms.rloo import Rloo
from robo_rlft.algorithms.rollouts import RolloutData
from robo_rlft.commands.policies import build_policy
from robo_rlft.config import compose
from robo_rlft.data.context import TrainContext
from robo_rlft.data.demonstrations import DemonstrationData
from robo_rlft.data.episodes import EpisodeWriter
from robo_rlft.env import TabletopEnv
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.records import PickPlace, stack
from robo_rlft.rollout.pool import EnvPool
from robo_rlft.tasks.demonstrators import Demonstrator

EPISODES, DECISIONS, SAMPLES = 40, 10, 80
SCENES, ROLLOUTS_PER_SCENE = 8, 4
ITERATION_SCENES, ITERATIONS, ROUNDS = 32, 3, 4
TASK = "put_block_in_bowl"


class Clock:
    """CPU-seconds spent inside `with clock:` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.count = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        begun = time.process_time()
        yield
        self.seconds += time.process_time() - begun
        self.count += 1

    @property
    def mean(self) -> float:
        return self.seconds / self.count


def cost_of(work: Callable[[], Any]) -> float:
    clock = Clock()
    with clock.running():
        work()
    return clock.seconds


def environment(env: TabletopEnv) -> dict[str, float]:
    """Return the CPU-seconds of a reset and of a pick-and-place, each with its observation."""
    reset, step = Clock(), Clock()
    expert, rng = Demonstrator(), np.random.default_rng(0)
    env.reset(seed=10**6)  # warm up
    for seed in range(EPISODES):
        with reset.running():
            env.reset(seed=seed)
        state = env.start(seed)
        action = env.to_action(expert(env.task, env.layout(state), state.poses, rng=rng))
        with step.running():
            env.step(action)
    return {"reset_cpu_s": reset.mean, "step_cpu_s": step.mean}


def demonstrations(make: Callable[[], TabletopEnv], folder: Path, task: str) -> dict[str, float]:
    """Return demonstrations a CPU-minute, written to disk, and the bytes of one frame there."""
    writer = EpisodeWriter(folder)
    sizes: list[float] = []
    with EnvPool(make_env=make) as pool:
        pool.demonstrate([10**6], Demonstrator())

        def work() -> None:
            for seed in range(EPISODES):
                (episode,) = pool.demonstrate([seed], Demonstrator())
                sizes.append(writer.write(episode).stat().st_size / len(episode.color))

        seconds = cost_of(work)
    rate = 60.0 * EPISODES / seconds
    return {f"demos_per_cpu_minute/{task}": rate, "bytes_per_frame": float(np.mean(sizes))}


def learning(policy: TransporterPolicy, context: TrainContext) -> dict[str, float]:
    """Return the cost of one example from BC's loader, of BC's step for one, and RL's rollouts with their update."""
    data = DemonstrationData(context=context, batch_size=8, steps_per_epoch=SAMPLES // 8, val_episodes=0)
    data.setup("fit")
    batches = iter(data.train_dataloader())
    first = next(batches)
    seconds = cost_of(lambda: list(batches))
    module = BehaviorCloning(policy=policy)

    def bc_step() -> None:
        pick, place = module.losses(first)
        (pick + place).backward()

    bc_step()  # warm up
    step = cost_of(bc_step) / 8
    rollouts = RolloutData(context=context, scenes=SCENES, samples=ROLLOUTS_PER_SCENE, skip_equal_groups=False)
    rollouts.setup("fit")
    rloo = Rloo(policy=policy, allow_zero_success=True)

    def iteration() -> None:
        for batch in rollouts.train_dataloader():
            losses = rloo.losses(batch)
            (losses.policy_loss + 0.02 * losses.kl).backward()

    rate = SCENES * ROLLOUTS_PER_SCENE / cost_of(iteration)
    rollouts.teardown("fit")
    return {"bc_sample_cpu_s": seconds / (SAMPLES - 8), "bc_step_sample_cpu_s": step, "rl_rollouts_per_cpu_s": rate}


def maker(*overrides: str) -> Callable[[], TabletopEnv]:
    """Return what makes an environment, in any process."""
    return functools.partial(make_env, TASK, overrides=list(overrides))


def iteration_beyond_physics(folder: Path, rotations: int, *, skip_equal_groups: bool) -> float:
    """Return the CPU-seconds of an iteration of RL, 128 one-step rollouts at 160 x 80 pixels and one pass over them.

    Reset, step and render happen in a worker, whose time is not this process's. With `skip_equal_groups`, RL's default,
    groups whose rollouts all came to the same are not learned from; the policy is CLIP's prior, which leaves some of
    both kinds.
    """
    told = ("workspace=coarse", f"rotations={rotations}")
    policy = build_policy(compose("train", list(told)))
    rloo = Rloo(policy=policy, allow_zero_success=True)
    optimizer = torch.optim.Adam([p for p in policy.parameters() if p.requires_grad], lr=1e-5)
    figures = []
    for seed in range(1 + ITERATIONS):
        context = TrainContext(
            policy=policy,
            workspace=policy.workspace,
            make_env=maker(*told),
            data_dir=None,
            run_dir=folder,
            seed=seed,
            workers=1,
        )
        data = RolloutData(
            context=context,
            scenes=ITERATION_SCENES,
            samples=ROLLOUTS_PER_SCENE,
            skip_equal_groups=skip_equal_groups,
        )
        data.setup("fit")

        def iteration(data: RolloutData = data) -> None:
            for batch in data.train_dataloader():
                losses = rloo.losses(batch)
                optimizer.zero_grad()
                (losses.policy_loss + 0.02 * losses.kl).backward()
                optimizer.step()

        figures.append(cost_of(iteration))
        data.teardown("fit")
    return float(np.median(figures[1:]))  # the first warmed up


def workers_speedup() -> float:
    """Return how many times faster, in wall time, two workers reset, step and render than one."""
    make = maker("workspace=coarse", "rotations=4")
    seeds = list(range(ITERATION_SCENES))
    env, expert, rng = make(), Demonstrator(), np.random.default_rng(0)
    states = [env.start(seed) for seed in seeds for _ in range(ROLLOUTS_PER_SCENE)]
    rows = [env.to_action(expert(env.task, env.layout(state), state.poses, rng=rng)) for state in states]
    env.close()
    chosen = torch.from_numpy(np.stack(rows))
    actions = PickPlace(pick=chosen[:, :2], place=chosen[:, 2:4], rotation=chosen[:, 4])
    seconds = {}
    for workers in (1, 2):
        with EnvPool(make_env=make, workers=workers) as pool:
            pool.reset(seeds)  # warm up
            begun = time.perf_counter()
            for _ in range(ROUNDS):
                pool.reset(seeds)
                pool.step(states, actions)
            seconds[workers] = time.perf_counter() - begun
    return seconds[1] / seconds[2]


def decisions(policy: TransporterPolicy, make: Callable[[], TabletopEnv]) -> dict[str, float]:
    """Return the CPU-seconds of one greedy decision, picture and sentence to action."""
    policy.eval()
    with EnvPool(make_env=make) as pool:
        seen = [stack([start.observation]) for start in pool.reset(range(DECISIONS + 1))]
    policy.act(seen[-1], greedy=True)
    clock = Clock()
    for observation in seen[:-1]:
        with clock.running():
            policy.act(observation, greedy=True)
    return {"decision_cpu_s": clock.mean}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", default="fine", help="an option of conf/workspace")
    parser.add_argument("--rotations", type=int, default=36)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    told = [f"workspace={arguments.workspace}", f"rotations={arguments.rotations}"]
    make = maker(*told)
    torch.manual_seed(0)
    policy = build_policy(compose("train", told))
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        env = make()
        figures |= environment(env)
        workspace = env.workspace
        env.close()
        figures |= demonstrations(make, Path(folder), TASK)
        context = TrainContext(
            policy=policy,
            workspace=workspace,
            make_env=make,
            data_dir=Path(folder),
            run_dir=Path(folder),
            seed=0,
            workers=0,
        )
        figures |= decisions(policy, make)
        figures |= learning(policy, context)
        for rotations in (4, 36):
            for learned, skip in (("mixed_groups", True), ("every_group", False)):
                name = f"rl_iteration_cpu_s_beyond_physics/{rotations}_rotations/{learned}"
                figures[name] = iteration_beyond_physics(Path(folder), rotations, skip_equal_groups=skip)
    figures["workers_speedup"] = workers_speedup()
    figures["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000.0
    json.dump(figures, sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
