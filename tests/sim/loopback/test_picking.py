"""Suction, the vacuum switch and the force at the tool, through the real ur_rtde."""

from __future__ import annotations

import math
import time

from tests.sim.loopback.cell import Cell, Client, eventually


def test_a_block_is_picked_and_placed(cell: Cell, client: Client) -> None:
    client.move(0.5, 0.2, 0.1, speed=1.5)
    client.move(0.5, 0.2, 0.039, speed=0.2)
    client.io("setStandardDigitalOut", 0, True)
    assert eventually(lambda: bool(client.receive("getDigitalInState", 0)))
    client.move(0.5, 0.2, 0.16, speed=1.5)
    client.move(0.6, -0.2, 0.16, speed=1.5)
    assert client.receive("getDigitalInState", 0)
    client.move(0.6, -0.2, 0.041, speed=0.2)
    client.io("setStandardDigitalOut", 0, False)
    assert eventually(lambda: not client.receive("getDigitalInState", 0))
    client.move(0.6, -0.2, 0.16, speed=1.5)
    time.sleep(0.2)
    placed = cell.ask("poses")["poses"][0]["position"]
    assert math.dist(placed, (0.6, -0.2, 0.0)) < 0.003


def test_suction_over_the_bare_table_holds_nothing(cell: Cell, client: Client) -> None:
    client.move(0.6, -0.2, 0.002)
    client.io("setStandardDigitalOut", 0, True)
    time.sleep(0.2)
    assert client.receive("getDigitalOutState", 0)
    assert not client.receive("getDigitalInState", 0)


def test_pressing_on_the_table_is_felt_as_a_push_upwards(client: Client) -> None:
    client.move(0.6, -0.2, 0.05)
    assert math.hypot(*client.receive("getActualTCPForce")[:3]) < 0.5
    client.move(0.6, -0.2, -0.003, speed=0.1)
    time.sleep(0.1)
    x, y, z = client.receive("getActualTCPForce")[:3]
    assert z > 1.0 and math.hypot(x, y) < z
