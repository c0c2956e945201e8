"""The emulator as a process: where it listens, and that it never outlives whoever started it."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from typing import Any

import pytest

from robo_rlft.driver import DriverError
from robo_rlft.sim.loopback.controller import Settings
from robo_rlft.sim.loopback.network import loopback_address
from tests.sim.loopback.cell import Cell, Client, running_cell, worker_host


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "8.8.8.8", "localhost", "::1", "128.0.0.1", ""])
def test_only_a_loopback_address_will_do(host: str) -> None:
    with pytest.raises(DriverError, match="127.0.0.0/8 only"):
        loopback_address(host)


@pytest.mark.parametrize("wrong", [{"serial": "UR-1"}, {"suction_output": 8}, {"vacuum_input": -1}])
def test_a_cell_that_no_client_could_read_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="digit"):
        Settings(**wrong)


def test_a_refused_address_is_one_line_and_exit_code_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "robo_rlft.sim.loopback", "--host", "0.0.0.0"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "127.0.0.0/8 only" in done.stderr and "Traceback" not in done.stderr


def test_a_taken_address_is_told_of(cell: Cell) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "robo_rlft.sim.loopback", "--host", cell.host], capture_output=True, text=True
    )
    assert done.returncode == 2 and "another emulated robot may be there" in done.stderr


@pytest.mark.parametrize("port", [29000, 29999, 30001, 30003, 30004])
def test_what_cannot_be_read_harms_nobody_else(cell: Cell, port: int) -> None:
    rng = random.Random(port)
    for size in (1, 40, 3000, 70000):
        with socket.create_connection((cell.host, port)) as stream:
            stream.sendall(rng.randbytes(size) + b"\n")
    client = Client(cell.host)
    assert client.move(0.5, 0.0, 0.6)
    client.kill()


@pytest.mark.realtime
def test_it_ends_when_its_parent_lets_go() -> None:
    with running_cell(worker_host(2)) as cell:
        assert cell.process.stdin is not None
        cell.process.stdin.close()
        assert cell.process.wait(timeout=30) == 0


@pytest.mark.realtime
def test_it_ends_when_the_stage_says_so() -> None:
    with running_cell(worker_host(3)) as cell:
        assert cell.ask("quit")["ok"]
        assert cell.process.wait(timeout=30) == 0
