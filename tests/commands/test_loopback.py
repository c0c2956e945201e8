"""`robo-rlft loopback` puts a task's scene on the emulated robot's table and says how to connect."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from robo_rlft.commands.loopback import check_config
from robo_rlft.config import ConfigError, compose
from robo_rlft.tasks.put_block_in_bowl import PutBlockInBowl
from tests.sim.loopback.cell import Cell, worker_host

STARTED = (
    "import sys; from rich.console import Console; from robo_rlft.config import compose; "
    "from robo_rlft.commands.loopback import run; run(compose('loopback', sys.argv[1:]), Console())"
)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scene=-1", "scene: expected a whole number of at least 0"),
        ("phase=exam", "phase: expected one of train, val, test"),
        ("split=sene", "did you mean seen"),
        ("suction_output=8", "suction_output"),
        ("serial=abc", "serial: expected digits"),
    ],
)
def test_what_cannot_work_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(compose("loopback", [override]))


@pytest.mark.realtime
def test_the_scene_of_the_task_stands_on_the_table_until_interrupted() -> None:
    host = worker_host(4)
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED, f"host={host}", "scene=3", "split=unseen"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        first, second, third = (process.stdout.readline() for _ in range(3))
        layout = PutBlockInBowl().scene(split="unseen", phase="val", seed=3)
        assert host in first and layout.instruction in second and f"robot.host={host}" in third
        seen = Cell(host, process).ask("poses")["poses"]
        assert np.allclose([p["position"] for p in seen], [p.position for p in layout.poses], atol=1e-3)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
