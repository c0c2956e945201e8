"""`python -m robo_rlft.sim.loopback`: an emulated UR5e over an empty table; prints "ready HOST" when it listens."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from robo_rlft.driver import DriverError
from robo_rlft.geometry import Workspace
from robo_rlft.sim.loopback.network import loopback_address


def main(argv: Sequence[str] | None = None) -> int:
    """Run the emulator until it is told to quit; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m robo_rlft.sim.loopback", description=__doc__)
    parser.add_argument("--host", default="127.0.0.2", help="an address in 127.0.0.0/8")
    parser.add_argument("--serial", default="20260000001", help="the robot's serial number, digits")
    parser.add_argument("--workspace-pixel", type=float, default=Workspace.pixel_size, help="metres")
    parser.add_argument("--suction-output", type=int, default=0, help="standard digital output, 0 to 7")
    parser.add_argument("--vacuum-input", type=int, default=0, help="standard digital input, 0 to 7")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes or the parent dies")
    asked = parser.parse_args(argv)
    try:
        loopback_address(asked.host)  # before the imports that take seconds
        from robo_rlft.sim.loopback.controller import Settings
        from robo_rlft.sim.loopback.process import serve

        settings = Settings(
            host=asked.host,
            serial=asked.serial,
            workspace=Workspace(pixel_size=asked.workspace_pixel),
            suction_output=asked.suction_output,
            vacuum_input=asked.vacuum_input,
        )
        asyncio.run(serve(settings, ready=lambda: _say(f"ready {asked.host}"), with_parent=asked.with_parent))
    except (DriverError, ValueError) as error:
        sys.stderr.write(f"robo_rlft.sim.loopback: {error}\n")
        return 2
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
