import math
import threading
import time
from typing import Any

import pytest

from robo_rlft.driver import (
    ConnectionLost,
    DeadlineExceeded,
    Mode,
    OperatorNeeded,
    Pose,
    Refused,
    RobotStopped,
)
from robo_rlft.robots.ur import dashboard as ur_dashboard
from tests.robots.ur.fakes import THERE


def test_the_control_program_starts_before_the_first_motion_and_not_again(make_ur, ur_links):
    driver = make_ur()
    driver.move(THERE, speed=0.2)
    driver.move(THERE, speed=0.2)
    assert ur_links[0].ops().count("control") == 1
    assert driver.watchdog_ended_after == 0.1


def test_a_motion_returns_what_was_reached(make_ur, ur_links):
    motion = make_ur().move(THERE, speed=0.2, acceleration=0.7)
    assert motion.reached.position == pytest.approx(THERE.position)
    assert not motion.contact
    (sent,) = [arguments for op, arguments in ur_links[0].asked if op == "move"]
    assert sent["speed"] == 0.2
    assert sent["acceleration"] == 0.7
    assert sent["pose"] == pytest.approx([0.5, 0.1, 0.2, math.pi, 0, 0])


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e400])
def test_what_is_not_finite_is_never_asked_for(make_ur, ur_links, value):
    driver = make_ur()
    before = len(ur_links[0].asked)
    with pytest.raises(Refused, match="finite"):
        driver.move(Pose(position=(value, 0, 0.2)), speed=0.2)
    assert len(ur_links[0].asked) == before


def test_a_push_along_the_motion_is_contact_and_one_across_is_not(make_ur, ur_links):
    driver = make_ur()
    below = Pose(position=(0.5, 0.0, 0.1))
    ur_links[0].said["force"] = [30.0, 0, 7.0, 0, 0, 0]  # a bias, which the tare takes off
    ur_links[0].at_tick = lambda count: ur_links[0].said.update(force=[37.0, 0, 13.0 if count == 3 else 7.0, 0, 0, 0])
    ur_links[0].ticks = 6
    motion = driver.move(below, speed=0.05, stop_on_contact=True)
    assert motion.contact
    assert ur_links[0].ops().count("stop") == 1
    assert driver.move(below, speed=0.05).contact is False


def test_too_hard_a_push_ends_any_motion(make_ur, ur_links):
    driver = make_ur()
    ur_links[0].at_tick = lambda count: ur_links[0].said.update(force=[0, 41.0, 0, 0, 0, 0])
    with pytest.raises(RobotStopped, match=r"41.0 N.*40 N"):
        driver.move(THERE, speed=0.2)
    assert "stop" in ur_links[0].ops()


def test_a_missed_deadline_stops_the_arm_and_needs_an_operator(make_ur, ur_links):
    driver = make_ur()
    ur_links[0].ticks = 1000
    with pytest.raises(DeadlineExceeded, match="0.05 s"):
        driver.move(THERE, speed=0.2, deadline=0.05)
    assert ur_links[0].ops()[-2:] == ["tick", "park"] or "stop" in ur_links[0].ops()
    with pytest.raises(OperatorNeeded, match="recover"):
        driver.move(THERE, speed=0.2)
    with pytest.raises(OperatorNeeded, match="recover"):
        driver.grip()


def test_a_motion_that_ends_elsewhere_is_an_error(make_ur, ur_links):
    driver = make_ur()
    ur_links[0].reaches = False
    with pytest.raises(RobotStopped, match="141.4 mm"):  # sqrt(0.1^2 + 0.1^2) m
        driver.move(THERE, speed=0.2)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"age": 0.21}, ConnectionLost, "nothing new"),
        ({"connected": False}, ConnectionLost, "closed the connection"),
        ({"safety": 1 << 2 | 1 << 10}, RobotStopped, "protective stop"),
        ({"safety": 1 << 7}, RobotStopped, "emergency stop"),
        ({"robot_mode": 3}, RobotStopped, "power off"),
        ({"ended": "late"}, RobotStopped, "too late"),
        ({"ended": "stopped"}, RobotStopped, "pendant"),
        ({"pose": [math.nan] * 6}, ConnectionLost, "no state"),
    ],
)
def test_what_happens_in_a_motion_ends_it_and_needs_an_operator(make_ur, ur_links, change, kind, words):
    driver = make_ur()
    ur_links[0].at_tick = lambda count: ur_links[0].said.update(change)
    with pytest.raises(kind, match=words):
        driver.move(THERE, speed=0.2)
    with pytest.raises(OperatorNeeded):
        driver.move(THERE, speed=0.2)


def test_a_stopped_robots_program_is_ended_so_that_play_resumes_nothing(make_ur, ur_links, monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(ur_dashboard, "stop_program", lambda host: ended.set())
    driver = make_ur()
    ur_links[0].at_tick = lambda count: ur_links[0].said.update(safety=1 << 2)
    with pytest.raises(RobotStopped):
        driver.move(THERE, speed=0.2)
    assert ended.wait(1.0)


def test_a_silent_controller_is_lost_and_no_state_is_remembered(make_ur, ur_links):
    driver = make_ur()
    ur_links[0].at_tick = lambda count: setattr(ur_links[0], "silent", True)
    with pytest.raises(ConnectionLost):
        driver.move(THERE, speed=0.2)
    for call in (driver.tool_pose, driver.force, driver.is_holding):
        with pytest.raises(ConnectionLost, match="recover"):
            call()
    assert driver.status().mode is Mode.DISCONNECTED
    with pytest.raises(OperatorNeeded):
        driver.connect()


def test_a_program_that_we_let_end_between_motions_is_started_and_proved_again(make_ur, ur_links):
    driver = make_ur()
    driver.move(THERE, speed=0.2)
    ur_links[0].said |= {"playing": False, "controlled": False, "ended": "late"}
    ur_links[0]._control_was = ur_links[0]._control
    ur_links[0]._control = lambda **_: ur_links[0].said.update(ended="") or ur_links[0]._control_was()
    driver.move(THERE, speed=0.2)
    assert ur_links[0].ops().count("control") == 2


def test_stop_ends_the_motion_under_way_from_another_thread(make_ur, ur_links):
    driver = make_ur()
    ur_links[0].ticks = 10_000
    threading.Timer(0.1, driver.stop).start()
    began = time.monotonic()
    with pytest.raises(RobotStopped, match="stop"):
        driver.move(THERE, speed=0.2)
    assert time.monotonic() - began < 0.5
    assert "stop" in ur_links[0].ops()


def test_a_stop_before_the_motion_was_sent_keeps_it_from_being_sent(make_ur, ur_links, monkeypatch):
    driver = make_ur()
    control = ur_links[0]._control
    monkeypatch.setattr(ur_links[0], "_control", lambda **told: (control(**told), driver._stopped.set())[0])
    with pytest.raises(RobotStopped, match="stop"):
        driver.move(THERE, speed=0.2)
    assert "move" not in ur_links[0].ops()


def test_stop_of_an_arm_that_stands_does_nothing(make_ur, ur_links):
    driver = make_ur()
    driver.stop()
    assert "stop" not in ur_links[0].ops()
    assert driver.move(THERE, speed=0.2).reached.position == pytest.approx(THERE.position)


def test_an_interrupted_motion_is_stopped_and_parked(make_ur, ur_links):
    driver = make_ur()

    def interrupt(count: int) -> None:
        ur_links[0].at_tick = lambda count: None
        raise KeyboardInterrupt

    ur_links[0].at_tick = interrupt
    with pytest.raises(KeyboardInterrupt):
        driver.move(THERE, speed=0.2)
    assert "stop" in ur_links[0].ops()
    assert ur_links[0].ops()[-1] == "park"


def test_home_rises_off_the_table_before_it_travels_and_no_higher(make_ur, ur_links):
    driver = make_ur()
    driver.move(Pose(position=(0.5, 0.1, 0.02)), speed=0.2)
    driver.home()
    sent = [arguments["pose"][:3] for op, arguments in ur_links[0].asked if op == "move"]
    assert sent[1:] == [pytest.approx([0.5, 0.1, 0.16]), pytest.approx([0.3, 0.0, 0.4])]
    driver.home()
    assert ur_links[0].ops().count("move") == 4, "from up there it is one line"


def test_states_are_told_while_it_moves_and_not_too_often(make_ur, ur_links):
    driver = make_ur()
    told: list[dict[str, Any]] = []
    driver.on_state = told.append
    ur_links[0].ticks = 20  # 0.2 s
    driver.move(THERE, speed=0.2)
    assert 3 <= len(told) <= 14  # at most 50 a second
    assert set(told[0]) == {"t", "joints", "position", "quaternion", "speed", "force", "mode", "age"}
