"""One emulated cell for a worker's tests, and a client of it for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from robo_rlft.driver import Pose
from tests.sim.loopback.cell import BLOCK, Cell, Client, running_cell, worker_host


@pytest.fixture(scope="session")
def emulator() -> Iterator[Cell]:
    with running_cell(worker_host()) as cell:
        yield cell


@pytest.fixture
def cell(emulator: Cell) -> Cell:
    """The cell without faults, a block on its table, its tool at home."""
    emulator.build([BLOCK], [Pose(position=(0.5, 0.2, 0.0))])
    return emulator


@pytest.fixture
def client(cell: Cell) -> Iterator[Client]:
    connected = Client(cell.host)
    yield connected
    connected.kill()
