"""Faults on demand: what can go wrong between a client and a robot, made to go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from robo_rlft.driver import DriverError
from robo_rlft.sim.loopback import camera
from robo_rlft.sim.loopback.controller import Controller, Safety
from robo_rlft.sim.loopback.network import Gate, Network

STOPS = {
    "protective_stop": Safety.PROTECTIVE_STOP,
    "emergency_stop": Safety.ROBOT_EMERGENCY_STOP,
    "fault": Safety.FAULT,
}
NAMES = ("cut", "freeze", "silence", *STOPS, "unlock", *camera.FAULTS)
DEFAULT_SECONDS = 2.0


class Faults:
    """Makes faults and ends them."""

    def __init__(self, controller: Controller, gate: Gate, network: Network, eye: camera.Camera) -> None:
        self._controller, self._gate, self._network, self._camera = controller, gate, network, eye
        self._pending: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut = False

    def make(self, name: str, *, seconds: float = DEFAULT_SECONDS, after_motion_s: float | None = None) -> None:
        """Make a fault now, or so many seconds after the next motion's start.

        Args:
            name: one of `NAMES`.
            seconds: how long "cut", "freeze" and "silence" last; camera faults last until `clear`.
            after_motion_s: seconds; None is now.

        Raises:
            DriverError: there is no such fault.
        """
        if name not in NAMES:
            raise DriverError(f"expected one of the faults {', '.join(NAMES)}; got '{name}'")
        if after_motion_s is None:
            self._make(name, seconds)
            return
        self._controller.on_motion.append(lambda: self._later(after_motion_s, lambda: self._make(name, seconds)))

    async def clear(self) -> None:
        """End every fault, and forget those that were to come."""
        for handle in self._pending:
            handle.cancel()
        self._pending, self._controller.on_motion = [], []
        self._camera.fault = None
        self._gate.silent = False
        self._thaw()
        await self._mend()
        if self._controller.safety is not Safety.NORMAL:
            self._controller.unlock()

    def _make(self, name: str, seconds: float) -> None:
        controller = self._controller
        controller.ledger.event("fault_made", fault=name)
        if name in STOPS:
            controller.halt(STOPS[name], "the stage asked for it")
        elif name == "unlock":
            controller.unlock()
        elif name == "freeze":
            controller.freeze()
            self._gate.freeze()
            self._later(seconds, self._thaw)
        elif name == "silence":
            self._gate.silent = True
            self._later(seconds, self._speak)
        elif name == "cut":
            self._cut = True
            self._run(self._network.close())
            self._later(seconds, lambda: self._run(self._mend()))
        else:
            self._camera.fault = name

    def _thaw(self) -> None:
        self._controller.thaw()
        self._gate.thaw()

    def _speak(self) -> None:
        self._gate.silent = False

    async def _mend(self) -> None:
        if self._cut:
            self._cut = False
            await self._network.open()

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._pending.append(asyncio.get_running_loop().call_later(seconds, call))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
