"""Environments in this process or in workers, driven by values: states in, outcomes out.

A worker keeps nothing that matters between jobs, so any worker may do any job, in any order, with bit-equal results.
Workers step environments only; policies stay in the parent. Knows nothing of learning.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from robo_rlft.env import EnvState, Place
from robo_rlft.records import Observation, PickPlace
from robo_rlft.rollout.episode import Episode
from robo_rlft.rollout.jobs import JOBS, Env, Instruction, Outcome, Start
from robo_rlft.tasks.demonstrators import Demonstrator
from robo_rlft.tasks.task import Attempt

TIMEOUT = 120.0  # seconds that a worker may take for its share of a call


class WorkerError(RuntimeError):
    """A worker died, hung or failed; the message names it and what it was doing."""


class EnvPool:
    """Environments for batches of jobs; a context manager."""

    def __init__(self, *, make_env: Callable[[], Env], workers: int = 0) -> None:
        """Make a pool.

        Args:
            make_env: makes one environment; picklable, as each worker calls it.
            workers: processes; 0 steps one environment in this one.
        """
        self._env: Env | None = make_env() if workers == 0 else None
        self._workers = [_Worker(make_env, index) for index in range(workers)]

    @property
    def restores(self) -> bool:
        """Whether a scene can be acted in more than once: on a real table it cannot, and one comes after the other."""
        return self._env is None or self._env.restores

    @property
    def told_by(self) -> str:
        """Who says whether episodes succeed: "task", "person", "classifier" or "nobody"."""
        return "task" if self._env is None else self._env.told_by

    @property
    def place(self) -> Place:
        """What the episodes of the environment in this process are said to be of."""
        if self._env is None:
            raise WorkerError("environments in workers are not asked what they are of: expected workers=0")
        return self._env.place

    def __enter__(self) -> EnvPool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def reset(self, seeds: Sequence[int], instructions: Sequence[Instruction | None] | None = None) -> list[Start]:
        """Start an episode for each seed."""
        told = [None] * len(seeds) if instructions is None else list(instructions)
        return self._map("reset", list(zip(seeds, told, strict=True)))

    def step(
        self,
        states: Sequence[EnvState],
        actions: PickPlace,
        *,
        pictures: bool = True,
        final_pictures: bool = False,
    ) -> list[Outcome]:
        """Act once from each state.

        Args:
            states: (N,).
            actions: (N,).
            pictures: look at every outcome that is not the end of its episode.
            final_pictures: look at those that are.
        """
        rows = actions.to_array()
        return self._map("step", [(s, row, pictures, final_pictures) for s, row in zip(states, rows, strict=True)])

    def look(self, states: Sequence[EnvState]) -> list[Observation]:
        """Return what is seen of each state, without a batch dimension."""
        return self._map("look", [(state,) for state in states])

    def explain(self, states: Sequence[EnvState], attempts: Sequence[Sequence[Attempt]]) -> list[str]:
        """Return the kind of failure of each episode that ended in one of the states."""
        return self._map("explain", list(zip(states, attempts, strict=True)))

    def demonstrate(self, seeds: Sequence[int], demonstrator: Demonstrator) -> list[Episode]:
        """Record one episode of a demonstrator for each seed, failures kept."""
        return self._map("demonstrate", [(seed, demonstrator) for seed in seeds])

    def film(self, states: Sequence[EnvState], actions: PickPlace) -> list[list[Any]]:
        """Act once from each state and return the pictures of it, (height, width, 3) uint8 each, for people."""
        return self._map("film", list(zip(states, actions.to_array(), strict=True)))

    def close(self) -> None:
        """End the workers; safe to call twice."""
        if self._env is not None:
            self._env.close()
            self._env = None
        for worker in self._workers:
            worker.close()
        self._workers = []

    def _map(self, job: str, arguments: list[Any]) -> list[Any]:
        """Do jobs in equal, contiguous shares: the K actions of one scene stay with the worker that has its picture."""
        if self._env is not None:
            return [JOBS[job](self._env, *argument) for argument in arguments]
        if not self._workers:
            raise WorkerError("the pool is closed: make a new one")
        shares = np.array_split(np.arange(len(arguments)), len(self._workers))
        for worker, share in zip(self._workers, shares, strict=True):
            worker.send(job, [arguments[i] for i in share])
        # All answers are taken before an error is raised: one left in its pipe would answer the next call.
        answers = [worker.receive() for worker in self._workers]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [result for answer in answers for result in answer]


class _Worker:
    def __init__(self, make_env: Callable[[], Env], index: int) -> None:
        # Forking a process that runs torch's threads can hang; the fork server is forked from before they exist.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["robo_rlft.env", "robo_rlft.rollout.pool", "robo_rlft.sim.floating"])
        self.index = index
        self.job = "start"
        self.connection, child = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(child, make_env), daemon=True)
        self.process.start()
        child.close()

    def send(self, job: str, arguments: list[Any]) -> None:
        self.job = job
        try:
            self.connection.send((job, arguments))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise WorkerError(f"worker {self.index} died before {job}") from error

    def receive(self) -> Any:
        """Return the results, or the error that kept them."""
        if not self.connection.poll(TIMEOUT):
            return WorkerError(f"worker {self.index} has not answered to {self.job} for {TIMEOUT:.0f} s; use fewer")
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            return WorkerError(f"worker {self.index} died during {self.job}; if memory ran out, use fewer workers")

    def close(self) -> None:
        self.connection.close()
        self.process.join(timeout=5.0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(connection: Connection, make_env: Callable[[], Env]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    env: Env | None = None
    with contextlib.suppress(EOFError, ConnectionError):  # the parent is gone
        while True:
            job, arguments = connection.recv()
            answer: Any
            try:
                env = env or make_env()
                answer = [JOBS[job](env, *argument) for argument in arguments]
            except Exception as error:  # it belongs to the parent, which raises it
                answer = _portable(error)
            connection.send(answer)
    if env is not None:
        env.close()


def _portable(error: Exception) -> Exception:
    """Return an error that reaches the parent, with the lines that led to it as a note."""
    where = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = WorkerError(f"{type(error).__name__}: {error}")
    error.add_note(where)
    return error
