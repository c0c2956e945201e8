"""The emulated controller as a process: all servers and the physics on one event loop, in real time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence

from robo_rlft.driver import Pose
from robo_rlft.records import BodySpec
from robo_rlft.sim.loopback.camera import Camera
from robo_rlft.sim.loopback.controller import Controller, Settings
from robo_rlft.sim.loopback.dashboard import Dashboard
from robo_rlft.sim.loopback.faults import Faults
from robo_rlft.sim.loopback.network import Gate, Network, loopback_address
from robo_rlft.sim.loopback.rtde import RtdeServer
from robo_rlft.sim.loopback.scripts import Scripts
from robo_rlft.sim.loopback.stage import Stage
from robo_rlft.sim.world import TIMESTEP

DASHBOARD_PORT, SCRIPT_PORTS, RTDE_PORT, STAGE_PORT = 29999, (30001, 30002, 30003), 30004, 29000
LATEST = 0.1  # seconds of physics that are made up for; what is later is dropped
PARENT_PERIOD = 0.5  # seconds between two looks at whether the parent lives


async def serve(
    settings: Settings,
    *,
    bodies: Sequence[BodySpec] = (),
    poses: Sequence[Pose] = (),
    ready: Callable[[], None] = lambda: None,
    with_parent: bool = False,
) -> None:
    """Run an emulated controller until it is told to quit.

    Args:
        settings: the cell.
        bodies: on the table at first.
        poses: theirs.
        ready: called when every port listens.
        with_parent: end when standard input closes or the parent process dies.

    Raises:
        DriverError: a port is taken, or the address is not a loopback address.
    """
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loopback_address(settings.host)
    controller, gate = Controller(settings), Gate()
    if bodies:
        controller.build(bodies, poses)
    scripts = Scripts(controller, gate)
    handlers = {
        RTDE_PORT: RtdeServer(controller, gate).serve,
        DASHBOARD_PORT: Dashboard(controller, gate).serve,
        **dict.fromkeys(SCRIPT_PORTS, scripts.serve),
    }
    network = Network(settings.host, handlers, controller.ledger)
    camera = Camera(controller.arm)
    stage = Stage(controller, camera, Faults(controller, gate, network, camera), over.set)
    backstage = Network(settings.host, {STAGE_PORT: stage.serve}, controller.ledger)
    work = [asyncio.create_task(_tick(controller))]
    try:
        await network.open()
        await backstage.open()
        if with_parent:
            loop.add_reader(sys.stdin, lambda: None if os.read(sys.stdin.fileno(), 4096) else over.set())
            work.append(asyncio.create_task(_watch_parent(over)))
        ready()
        waiting = asyncio.create_task(over.wait())
        done, _ = await asyncio.wait([waiting, *work], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # an error of the physics ends the process with its traceback
    finally:
        for task in work:
            task.cancel()
        await network.close()
        await backstage.close()


async def _tick(controller: Controller) -> None:
    """Advance the physics as the wall clock does."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due = max(due + TIMESTEP, loop.time() - LATEST)
        await asyncio.sleep(due - loop.time())
        if not controller.frozen:
            controller.tick()


async def _watch_parent(over: asyncio.Event) -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), PARENT_PERIOD)
            return
    over.set()
