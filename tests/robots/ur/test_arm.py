from types import SimpleNamespace
from typing import Any

import pytest

from robo_rlft.robots.ur.arm import PLAYING, ArmLink, LinkError

POSE = [0.5, 0.0, 0.3, 3.14, 0.0, 0.0]


class FakeController:
    """What ur_rtde's three interfaces say and do; `watches` is whether its watchdog works."""

    def __init__(self) -> None:
        self.time = 0.0
        self.playing = False
        self.watches = True
        self.kicked: float | None = None  # the last kick of an armed watchdog
        self.calls: list[str] = []
        self.takes = True
        self.frozen_at: float | None = None

    def clock(self) -> float:
        """Let time pass with every look, and the watchdog with it."""
        self.time += 0.002
        if self.playing and self.watches and self.kicked is not None and self.time - self.kicked > 0.1:
            self.playing, self.kicked = False, None
        return self.time

    def receive(self) -> Any:
        return SimpleNamespace(
            getTimestamp=lambda: self.time if self.frozen_at is None else self.frozen_at,
            isConnected=lambda: True,
            getActualQ=lambda: [0.0] * 6,
            getActualTCPPose=lambda: POSE,
            getActualTCPSpeed=lambda: [0.0] * 6,
            getActualTCPForce=lambda: [0.0] * 6,
            getRobotMode=lambda: 7,
            getSafetyStatusBits=lambda: 1,
            getRuntimeState=lambda: PLAYING if self.playing else 1,
            getActualDigitalInputBits=lambda: 0,
            getActualDigitalOutputBits=lambda: 0,
        )

    def control(self) -> Any:
        self.calls.append("control")
        progress = SimpleNamespace(value=lambda: 0, isAsyncOperationRunning=lambda: False)
        return SimpleNamespace(
            isProgramRunning=lambda: self.playing,
            getAsyncOperationProgressEx=lambda: progress,
            reuploadScript=lambda: self._does("upload", playing=True, kicked=None),
            setWatchdog=lambda hz: self._does("arm", kicked=self.time),
            kickWatchdog=lambda: self._does("kick", kicked=self.time),
            setTcp=lambda tcp: self._does("tcp"),
            setPayload=lambda mass, cog: self._does("payload"),
            moveL=lambda *_: self._does("move", kicked=self.time),
            stopL=lambda *_: self._does("stop", kicked=self.time),
            stopScript=lambda: self._does("end", playing=False),
        )

    def output(self) -> Any:
        self.calls.append("output")
        return SimpleNamespace(setStandardDigitalOut=lambda pin, level: self._does("switch"))

    def _does(self, call: str, **changes: Any) -> bool:
        self.calls.append(call)
        vars(self).update(changes)
        return self.takes


@pytest.fixture
def fake():
    return FakeController()


@pytest.fixture
def link(fake):
    return ArmLink(fake, clock=fake.clock)


def _pass(fake: FakeController, link: ArmLink, seconds: float) -> None:
    """Let time pass as the process does that nobody asks."""
    end = fake.time + seconds
    while fake.time < end:
        link.idle()


def test_looking_starts_nothing(fake, link):
    link.ask("state")
    _pass(fake, link, 1.0)
    assert fake.calls == []


def test_the_watchdog_is_proved_before_the_arm_may_move(fake, link):
    answer = link.ask("control", watchdog_hz=10.0, outputs=True)
    assert fake.calls == ["output", "control", "upload", "arm", "upload", "arm", "kick"]
    assert answer["watchdog_ended_after"] == pytest.approx(0.1, abs=0.01)
    assert answer["controlled"]
    assert answer["playing"]


def test_a_watchdog_that_ends_nothing_is_found_out_and_the_program_ended(fake, link):
    fake.watches = False
    with pytest.raises(LinkError, match="did not end the program") as caught:
        link.ask("control", watchdog_hz=10.0)
    assert caught.value.kind == "watchdog"
    assert fake.calls[-1] == "end"
    with pytest.raises(LinkError, match="does not run"):
        link.ask("move", pose=POSE, speed=0.1, acceleration=0.5)


def test_a_watchdog_that_is_not_taken_is_an_error(fake, link):
    link.ask("control", watchdog_hz=10.0)
    fake.playing, fake.takes = False, False
    with pytest.raises(LinkError, match="took no script"):
        link.ask("control", watchdog_hz=10.0)


def test_somebody_elses_program_is_not_ended(fake, link):
    fake.playing = True
    with pytest.raises(LinkError, match="runs on the controller already") as caught:
        link.ask("control", watchdog_hz=10.0)
    assert caught.value.kind == "busy"
    assert fake.calls == []


def test_tcp_and_payload_are_set_in_the_program_that_moves(fake, link):
    link.ask("control", watchdog_hz=10.0, tcp=[0.0] * 6, payload=[0.5, 0, 0, 0.05])
    assert fake.calls[-5:] == ["upload", "tcp", "payload", "arm", "kick"]


def test_a_standing_arms_watchdog_is_kicked_by_itself(fake, link):
    link.ask("control", watchdog_hz=10.0)
    _pass(fake, link, 2.0)
    assert fake.playing
    assert link.ask("state")["ended"] == ""


def test_a_moving_arms_watchdog_is_kicked_by_the_callers_ticks_alone(fake, link):
    link.ask("control", watchdog_hz=10.0)
    link.ask("move", pose=POSE, speed=0.1, acceleration=0.5)
    for _ in range(50):
        link.ask("tick")
        fake.clock()
    assert fake.playing
    fake.calls.clear()
    _pass(fake, link, 0.2)  # nobody ticks
    assert fake.calls == ["stop"]  # asked for shortly before the watchdog would have ended the program
    _pass(fake, link, 0.2)
    assert not fake.playing
    assert link.ask("state")["ended"] == "late"


def test_after_a_motion_it_is_kicked_by_itself_again(fake, link):
    link.ask("control", watchdog_hz=10.0)
    link.ask("move", pose=POSE, speed=0.1, acceleration=0.5)
    link.ask("rest")
    _pass(fake, link, 1.0)
    assert fake.playing


def test_parked_it_is_not_kicked(fake, link):
    link.ask("control", watchdog_hz=10.0)
    link.ask("park")
    _pass(fake, link, 0.2)
    assert not fake.playing


def test_a_program_that_somebody_ends_is_told_from_one_that_we_let_end(fake, link):
    link.ask("control", watchdog_hz=10.0)
    fake.playing = False
    _pass(fake, link, 0.1)
    assert link.ask("state")["ended"] == "stopped"
    link.ask("control", watchdog_hz=10.0)
    fake.time += 0.15  # this process slept
    _pass(fake, link, 0.1)
    assert link.ask("state")["ended"] == "late"


def test_a_controller_whose_clock_stands_still_grows_old(fake, link):
    link.ask("state")
    fake.frozen_at = fake.time
    link.ask("state")
    fake.time += 0.3
    assert link.ask("state")["age"] == pytest.approx(0.3, abs=0.01)


def test_a_caller_that_is_gone_in_a_motion_stops_the_arm(fake, link):
    link.ask("control", watchdog_hz=10.0)
    link.abandon()
    assert "stop" not in fake.calls  # nothing moved
    link.ask("move", pose=POSE, speed=0.1, acceleration=0.5)
    link.abandon()
    assert fake.calls[-1] == "stop"


def test_leaving_ends_our_program_and_no_other(fake, link):
    fake.playing = True
    link.ask("end")
    assert fake.playing
    fake.playing = False
    link.ask("control", watchdog_hz=10.0)
    link.ask("end")
    assert not fake.playing
