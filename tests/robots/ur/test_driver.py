import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from robo_rlft.driver import (
    ConnectionLost,
    DriverError,
    Mode,
    OperatorNeeded,
    RobotDriver,
    RobotStopped,
)
from robo_rlft.robots.ur import RealUr
from robo_rlft.robots.ur import dashboard as ur_dashboard
from robo_rlft.robots.ur import driver as ur_driver
from robo_rlft.robots.ur.tool import UrTool
from tests.robots.ur.fakes import HERE, THERE, FakeLink


def test_it_is_a_robot_driver(make_ur):
    assert isinstance(make_ur(), RobotDriver)


def test_connecting_starts_nothing_that_could_move(make_ur, ur_links):
    driver = make_ur()
    driver.connect()
    assert driver.tool_pose().position == pytest.approx(HERE.position)
    assert driver.serial() == "20260000001"
    assert len(ur_links) == 1
    assert set(ur_links[0].ops()) <= {"state"}


def test_a_stale_state_is_no_state(make_ur, ur_links):
    driver = make_ur()
    ur_links[0].said["age"] = 0.21
    assert driver.status().mode is Mode.DISCONNECTED
    with pytest.raises(ConnectionLost, match="0.21 s"):
        driver.tool_pose()
    assert not ur_links[0].alive


def test_recovering_connects_anew_and_proves_the_watchdog_again(make_ur, ur_links):
    driver = make_ur()
    ur_links[0].silent = True
    with pytest.raises(ConnectionLost):
        driver.tool_pose()
    driver.recover(operator="Ada")
    driver.move(THERE, speed=0.2)
    assert len(ur_links) == 2
    assert "control" in ur_links[1].ops()


def test_a_new_connection_after_an_error_listens_and_still_needs_an_operator(make_ur, ur_links):
    driver = make_ur()
    ur_links[0].silent = True
    with pytest.raises(ConnectionLost):
        driver.tool_pose()
    driver.close()
    driver.connect()
    assert driver.status().mode is Mode.OK
    with pytest.raises(OperatorNeeded):
        driver.move(driver.tool_pose(), speed=0.1)
    driver.recover(operator="Ada")
    driver.move(driver.tool_pose(), speed=0.1)


def test_a_robot_that_is_still_stopped_is_not_recovered(make_ur, ur_links, monkeypatch):
    driver = make_ur()
    ur_links[0].silent = True
    with pytest.raises(ConnectionLost):
        driver.tool_pose()
    monkeypatch.setattr(FakeLink, "_state", lambda self: {"safety": 1 << 2}, raising=False)
    with pytest.raises(DriverError, match="protective stop.*by hand"):
        driver.recover(operator="Ada")
    with pytest.raises(OperatorNeeded):
        driver.move(THERE, speed=0.2)


def test_a_program_that_was_ended_at_the_pendant_needs_an_operator(make_ur, ur_links):
    driver = make_ur()
    driver.move(THERE, speed=0.2)
    ur_links[0].said |= {"playing": False, "controlled": False, "ended": "stopped"}
    with pytest.raises(RobotStopped, match="between two motions"):
        driver.move(THERE, speed=0.2)


def test_an_arm_that_is_not_in_remote_control_says_so_and_nothing_is_sent(make_ur, ur_links, monkeypatch):
    driver = make_ur()
    monkeypatch.setattr(ur_dashboard, "remote_control", lambda host: False)
    with pytest.raises(DriverError, match="not in remote control"):
        driver.move(THERE, speed=0.2)
    assert "control" not in ur_links[0].ops()
    assert driver.tool_pose() is not None


def test_a_watchdog_that_does_not_work_forbids_motion(make_ur, ur_links):
    driver = make_ur()
    ur_links[0].refuse["control"] = "the watchdog did not end the program"
    with pytest.raises(DriverError, match="cannot be commanded.*watchdog"):
        driver.move(THERE, speed=0.2)
    assert "move" not in ur_links[0].ops()


def test_a_tcp_that_disagrees_with_the_pendant_forbids_motion(make_ur, ur_links):
    driver = make_ur(tool=UrTool(tcp=(0, 0, 0.1, 0, 0, 0)))

    def control(**_: Any) -> dict[str, Any]:
        ur_links[0].said |= {"playing": True, "controlled": True, "operation": [0, 0]}
        ur_links[0].said["pose"] = [0.5, 0.0, 0.2, math.pi, 0, 0]
        return {"watchdog_ended_after": 0.1}

    ur_links[0]._control = control
    with pytest.raises(DriverError, match="100.0 mm"):
        driver.move(THERE, speed=0.2)
    assert "move" not in ur_links[0].ops()


def test_gripping_switches_the_output_and_is_believed_without_a_switch(make_ur, ur_links):
    driver = make_ur(tool=UrTool(grip_pin=3, grip_on=True, grip_seconds=0.0, release_seconds=0.0))
    driver.grip()
    assert ur_links[0].said["outputs"] == 0b1000
    assert driver.is_holding()
    driver.release()
    assert ur_links[0].said["outputs"] == 0
    assert not driver.is_holding()


def test_a_vacuum_switch_is_believed_over_the_command(make_ur, ur_links):
    driver = make_ur(tool=UrTool(holding_pin=2, grip_seconds=0.0))
    driver.grip()
    assert not driver.is_holding()
    ur_links[0].said["inputs"] = 0b100
    assert driver.is_holding()


def test_looking_needs_a_camera_and_asks_nothing_of_the_robot(make_ur, ur_links):
    driver = make_ur()
    before = len(ur_links[0].asked)
    with pytest.raises(DriverError, match="no camera"):
        driver.observe()
    assert len(ur_links[0].asked) == before


def test_after_close_nothing_is_known(make_ur, ur_links):
    driver = make_ur()
    driver.close()
    driver.close()
    assert not ur_links[0].alive
    assert driver.status().mode is Mode.DISCONNECTED
    with pytest.raises(DriverError, match="connect"):
        driver.tool_pose()


def test_without_ur_rtde_it_says_what_to_install(make_ur, monkeypatch):
    driver = make_ur()
    driver.close()
    monkeypatch.setattr(ur_driver.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DriverError, match=r'pip install ".\[ur\]"'):
        driver.connect()


def test_nothing_in_the_driver_can_unlock_or_power_a_robot():
    folder = Path(ur_driver.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for path in folder.glob("ur*.py")).lower().replace(" ", "")
    for command in ("unlockprotectivestop", "brakerelease", "poweron", "poweroff", "restartsafety", "closesafetypopup"):
        assert command not in code.replace('"poweroff"', "").replace('"poweron"', "")


def test_the_public_driver_refuses_a_home_faster_than_its_limits():
    with pytest.raises(ValueError, match="home_speed"):
        RealUr(host="127.0.0.1", profile=None, limits={"speed": 0.1}, home_speed=0.2)


@pytest.mark.parametrize(
    "weak",
    [{"watchdog_hz": 0.1}, {"deceleration": 0.01}, {"contact_force": math.nan}, {"acceleration": -1.0}],
    ids=str,
)
def test_what_ends_motions_cannot_be_configured_away(weak):
    with pytest.raises(ValueError, match=next(iter(weak))):
        RealUr(host="127.0.0.1", profile=None, **weak)


def test_the_public_driver_connects_to_nothing_without_a_profile():
    with pytest.raises(DriverError, match="profile"):
        RealUr(host="127.0.0.1", profile=None).connect()


@pytest.mark.parametrize(
    "fields", [{"grip_pin": 8}, {"holding_pin": -1}, {"tcp": (0, 0, 0)}, {"payload": (1.0,)}], ids=str
)
def test_a_tool_that_cannot_be_is_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        UrTool(**fields)


def test_the_config_names_every_argument_that_a_user_can_give():
    path = Path(__file__).parents[3] / "conf" / "robot" / "real_ur.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    provided = {"self", "operator", "journal", "cameras"}
    assert config.keys() - {"_target_"} == inspect.signature(RealUr.__init__).parameters.keys() - provided
    defaults = {name: argument.default for name, argument in inspect.signature(RealUr.__init__).parameters.items()}
    assert all(config[name] == defaults[name] for name in ("dry_run", "confirm", "stale", "watchdog_hz", "home_speed"))
    assert UrTool(**config["tool"]) == UrTool()
