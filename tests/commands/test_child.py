"""A command in a process of its own ends as it ends, and never outlives the process that started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from robo_rlft.commands import child
from robo_rlft.commands.child import Child, ChildError, start_child

# The grid's own way of running and stopping what it started.
PARENT = """
import time
from pathlib import Path
from rich.console import Console
from robo_rlft.commands.experiment import read_experiment
from robo_rlft.commands.grid import Filler
from robo_rlft.commands.grid_plan import plan_grid
told = ["episodes=20000", "workspace.pixel_size=0.025", "threads=1"]
node = {
    "steps": [
        {"name": "demos", "command": "collect", "overrides": told},
        {"name": "bc", "command": "train", "overrides": ["algorithm=bc", "data={demos}"]},
    ],
    "grid": {
        "results": "results",
        "axes": {"method": {"bc": {"checkpoint": "{bc}/policy.safetensors"}}},
        "evaluate": [{"name": "seen", "overrides": ["split=seen"]}],
    },
}
experiment = read_experiment(node)
plan = plan_grid(experiment, experiment.grid, Path("."), name="tiny", command="robo-rlft run")
Filler(plan=plan, results=Path("results"), console=Console(), lanes=LANES).fill()
"""


def finish(started: Child) -> None:
    while not started.ended():
        time.sleep(0.1)


def begun(parent: subprocess.Popen[bytes], folder: Path, *, most: float = 120.0) -> None:
    """Wait until the child has written its first episodes."""
    end = time.monotonic() + most
    while time.monotonic() < end and parent.poll() is None and not any(folder.glob("steps/demos-*/*.npz")):
        time.sleep(0.1)
    assert any(folder.glob("steps/demos-*/*.npz"))


def gone(process: psutil.Process, *, most: float = 20.0) -> bool:
    end = time.monotonic() + most
    while time.monotonic() < end and alive(process):
        time.sleep(0.05)
    return not alive(process)


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_command_that_works_returns(capfd: pytest.CaptureFixture[str]) -> None:
    finish(start_child("collect", ["--help"]))
    assert "usage: robo-rlft collect" in capfd.readouterr().out


def test_a_command_that_fails_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ChildError, match="colect ended with code 2"):
        finish(start_child("colect", []))
    assert "did you mean collect" in capfd.readouterr().err


def test_what_a_child_says_is_added_to_its_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "logs" / "collect.log"
    for _ in range(2):
        finish(start_child("collect", ["--help"], log=log))
    assert log.read_text().count("usage: robo-rlft collect") == 2
    assert capfd.readouterr().out == ""


def test_a_child_that_finds_its_parent_gone_does_nothing() -> None:
    code = subprocess.run([sys.executable, "-m", "robo_rlft.commands.child", "1", "collect", "--help"]).returncode
    assert code == child.STOPPED


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_child_ends_with_its_parent(number: signal.Signals, lanes: int, tmp_path: Path) -> None:
    program = PARENT.replace("LANES", str(lanes))
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.DEVNULL) as parent:
        begun(parent, tmp_path)
        (process,) = psutil.Process(parent.pid).children()
        os.kill(parent.pid, number)
        parent.wait(60)
        assert gone(process)
    # Told in time, it wrote down what it had cost; killed, its lock is a dead process's.
    (demos,) = (tmp_path / "steps").glob("demos-*/")
    assert (demos / "lock").exists() == (number == signal.SIGKILL)
    assert ("cpu_seconds" in json.loads((demos / "run.json").read_text())) == (number != signal.SIGKILL)
    assert (demos.with_name(f"{demos.name}.log")).exists() == (lanes > 1)
