"""Each fault on demand is what a client of a real robot would see."""

from __future__ import annotations

import socket
import time

import pytest

from robo_rlft.sim.loopback.faults import NAMES
from tests.sim.loopback.cell import Cell, Client, array, eventually


@pytest.mark.parametrize(
    ("fault", "safety_mode", "words"),
    [
        ("protective_stop", 3, "PROTECTIVE_STOP"),
        ("emergency_stop", 7, "ROBOT_EMERGENCY_STOP"),
        ("fault", 9, "FAULT"),
    ],
)
def test_a_stop_ends_the_motion_and_every_interface_says_so(
    cell: Cell, client: Client, fault: str, safety_mode: int, words: str
) -> None:
    last = cell.last()
    cell.ask("fault", name=fault, after_motion_s=0.2)
    assert not client.move(0.5, -0.45, 0.3, speed=0.3)
    made, ended = cell.wait_for("fault_made", after=last), cell.wait_for("motion_ended", after=last)
    assert ended["t"] - made["t"] < 0.2 and not ended["completed"]
    assert client.receive("getSafetyMode") == safety_mode
    assert words in client.dashboard("safetystatus")
    assert client.dashboard("running") is False
    assert not client.control("isProgramRunning")
    assert client.receive("getRuntimeState") != 2


def test_after_an_unlock_the_program_must_be_started_anew(cell: Cell, client: Client) -> None:
    cell.ask("fault", name="protective_stop")
    assert eventually(lambda: client.receive("getSafetyMode") == 3)
    cell.ask("fault", name="unlock")
    assert eventually(lambda: client.receive("getSafetyMode") == 1)
    assert not client.control("isProgramRunning")
    client.control("reuploadScript")
    assert eventually(lambda: bool(client.control("isProgramRunning")))
    assert client.move(0.5, 0.1, 0.5)


def test_no_program_starts_in_a_protective_stop(cell: Cell, client: Client) -> None:
    cell.ask("fault", name="protective_stop")
    last = cell.last()
    client.control("reuploadScript")
    assert cell.wait_for("program_refused", after=last)


def test_an_unlock_from_the_dashboard_is_counted_and_comes_too_early(cell: Cell, client: Client) -> None:
    cell.ask("fault", name="protective_stop")
    before, last = cell.counts()["dashboard_unlocks"], cell.last()
    client.dashboard("unlockProtectiveStop")
    assert cell.counts()["dashboard_unlocks"] == before + 1
    assert cell.events("dashboard_unlock", after=last)
    assert cell.ask("state")["mode"] == "PROTECTIVE_STOP"


def test_a_frozen_controller_says_nothing_and_moves_nothing(cell: Cell, client: Client) -> None:
    client.move(0.5, -0.45, 0.3, speed=0.1, wait=False)
    time.sleep(0.2)
    cell.ask("fault", name="freeze", seconds=0.6)
    time.sleep(0.05)
    stamp, pose = client.receive("getTimestamp"), cell.ask("state")["tool_pose"]
    time.sleep(0.3)
    assert client.receive("getTimestamp") == stamp
    assert cell.ask("state")["tool_pose"] == pose
    assert eventually(lambda: client.receive("getTimestamp") > stamp, seconds=2)
    assert cell.ask("state")["moving"]


def test_a_silent_controller_moves_on(cell: Cell, client: Client) -> None:
    client.move(0.5, -0.45, 0.3, speed=0.1, wait=False)
    time.sleep(0.1)
    cell.ask("fault", name="silence", seconds=5.0)
    time.sleep(0.05)
    stamp, pose = client.receive("getTimestamp"), cell.ask("state")["tool_pose"]
    time.sleep(0.3)
    assert client.receive("getTimestamp") == stamp
    assert cell.ask("state")["tool_pose"] != pose
    cell.ask("clear")
    assert eventually(lambda: client.receive("getTimestamp") > stamp, seconds=1)


def test_a_cut_closes_every_connection_and_refuses_new_ones_for_a_while(cell: Cell) -> None:
    streams = [socket.create_connection((cell.host, port)) for port in (29999, 30003, 30004)]
    cell.ask("fault", name="cut", seconds=0.6)
    assert all(_closed(stream) for stream in streams)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((cell.host, 30004))
    assert eventually(lambda: _listens(cell.host), seconds=3)


def test_what_goes_wrong_with_the_camera(cell: Cell) -> None:
    good = cell.ask("view")
    assert array(good["color"]).shape == (160, 80, 3) and time.monotonic() - good["stamp"] < 1.0
    cell.ask("fault", name="camera_freeze")
    assert cell.ask("view")["stamp"] == cell.ask("view")["stamp"]
    cell.ask("fault", name="camera_frozen_restamped")
    first, second = cell.ask("view"), cell.ask("view")
    assert second["stamp"] > first["stamp"] and second["color"] == first["color"]
    cell.ask("fault", name="camera_nan")
    assert not (array(cell.ask("view")["depth"]) == array(cell.ask("view")["depth"])).all()
    cell.ask("fault", name="camera_wrong_size")
    assert array(cell.ask("view")["color"]).shape == (152, 72, 3)
    cell.ask("fault", name="camera_drop")
    assert not cell.ask("view")["ok"]
    cell.ask("clear")
    assert cell.ask("view")["ok"]


def test_an_unknown_fault_is_refused_with_the_list(cell: Cell) -> None:
    answer = cell.ask("fault", name="rust")
    assert not answer["ok"] and all(name in answer["error"] for name in NAMES)


def _listens(host: str) -> bool:
    try:
        socket.create_connection((host, 30004)).close()
    except ConnectionRefusedError:
        return False
    return True


def _closed(stream: socket.socket) -> bool:
    """Tell whether the other side closes a connection within a second."""
    stream.settimeout(1.0)
    try:
        while stream.recv(4096):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
