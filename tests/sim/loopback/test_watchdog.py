"""What happens to a motion when its client is killed, with the watchdog and without."""

from __future__ import annotations

import time

from tests.sim.loopback.cell import Cell, Client


def test_a_killed_client_is_noticed_and_the_arm_stops(cell: Cell, client: Client) -> None:
    client.control("setWatchdog", 10.0)
    last = cell.last()
    client.move(0.5, -0.45, 0.3, speed=0.1, wait=False)
    for _ in range(8):
        client.control("kickWatchdog")
        time.sleep(0.05)
    assert not cell.events("watchdog_expired", after=last)
    client.kill()
    killed = time.monotonic()
    expired = cell.wait_for("watchdog_expired", after=last)
    ended = cell.wait_for("motion_ended", after=last)
    assert expired["t"] - killed < 0.3 and ended["t"] - killed < 0.6
    assert not ended["completed"]
    state = cell.ask("state")
    assert state["runtime"] == "STOPPED" and state["speed"] < 0.001


def test_a_cut_line_is_noticed_too(cell: Cell, client: Client) -> None:
    client.control("setWatchdog", 10.0)
    last = cell.last()
    client.move(0.5, -0.45, 0.3, speed=0.1, wait=False)
    cell.ask("fault", name="cut", seconds=1.0)
    cut = cell.wait_for("fault_made", after=last)["t"]
    assert cell.wait_for("motion_ended", after=last)["t"] - cut < 0.6
    cell.ask("clear")


def test_without_a_watchdog_a_killed_client_stops_nothing(cell: Cell, client: Client) -> None:
    last = cell.last()
    client.move(0.5, -0.2, 0.6, speed=0.2, wait=False)
    client.kill()
    assert cell.wait_for("motion_ended", after=last)["completed"]


def test_the_next_client_takes_over(cell: Cell, client: Client) -> None:
    client.kill()
    following = Client(cell.host)
    assert following.move(0.5, 0.1, 0.5)
    following.kill()
