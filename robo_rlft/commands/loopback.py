"""`robo-rlft loopback`: an emulated UR5e on this machine, with a task's scene on its table, until Ctrl-C."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, NonNegativeInt
from rich.console import Console

from robo_rlft.commands.checks import Phase, check
from robo_rlft.config import Composed, ConfigError, build
from robo_rlft.sim.floating import HOME
from robo_rlft.sim.loopback.controller import Settings
from robo_rlft.sim.loopback.process import serve

GROUPS = ("task", "workspace")
Pin = Annotated[int, Field(ge=0, le=7)]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `loopback` takes beside its groups."""

    host: str
    serial: str | int
    scene: NonNegativeInt
    split: str
    phase: Phase
    suction_output: Pin
    vacuum_input: Pin
    trust: list[str]


def check_config(composed: Composed) -> None:
    """Refuse whatever cannot work, before anything is built."""
    serial = str(composed.values["serial"])
    problems = [] if serial.isdigit() else [f"serial: expected digits, as robots have, got '{serial}'"]
    check(composed, Arguments, GROUPS, problems=problems)


def run(composed: Composed, console: Console) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        ConfigError: for a split that the task lacks.
        DriverError: for an address that is not this machine's own, or a port that is taken.
    """
    check_config(composed)
    values = composed.values
    task, workspace = (build(values[group], trust=composed.trust, path=group) for group in GROUPS)
    try:
        layout = task.scene(split=values["split"], phase=values["phase"], seed=values["scene"])
    except ValueError as error:
        raise ConfigError(str(error)) from error
    settings = Settings(
        host=values["host"],
        serial=str(values["serial"]),
        workspace=workspace,
        suction_output=values["suction_output"],
        vacuum_input=values["vacuum_input"],
    )

    x, y, z = HOME.position  # lower, the tool would be in the camera's sight

    def ready() -> None:
        lines = (
            f"an emulated UR5e, serial number {settings.serial}, listens on {settings.host}",
            f'scene {values["scene"]} of {task.name} ({values["split"]}, {values["phase"]}): "{layout.instruction}"',
            f"connect: robot=real_ur robot.host={settings.host} camera=loopback camera.host={settings.host} "
            f"robot.tool.grip_pin={settings.suction_output} robot.tool.holding_pin={settings.vacuum_input} "
            f"robot.home=[{x},{y},{z},0.0] robot.profile=YOUR_CELL.yaml",
            "Ctrl-C ends it",
        )
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    asyncio.run(serve(settings, bodies=layout.bodies, poses=layout.poses, ready=ready))
