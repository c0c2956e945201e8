import contextlib
import os
import signal
import socket
import threading
import time

import pytest

from robo_rlft.driver import ConnectionLost
from robo_rlft.robots.ur import process as ur_process
from robo_rlft.robots.ur.process import AskFailed, ProcessLink
from tests.robots.controller import free_host

ANSWERS = """
import json, socket, sys, time
line = socket.socket(fileno=0)
def say(**answer): line.sendall(json.dumps(answer).encode() + b"\\n")
say(ok=True)
for text in line.makefile():
    asked = json.loads(text)
    if asked["op"] == "hang": time.sleep(60)
    if asked["op"] == "late": time.sleep(0.15)
    if asked["op"] == "die": sys.exit(3)
    if asked["op"] == "fail":
        sys.stderr.write("the vendor's words")
        sys.stderr.flush()
        say(ok=False, kind="busy", error="no")
    else: say(ok=True, echo=asked)
"""


@pytest.fixture
def link(monkeypatch, tmp_path):
    (tmp_path / "answering_machine.py").write_text(ANSWERS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(ur_process, "SERVER", "answering_machine")
    made = ProcessLink("nowhere", hz=1.0)
    yield made
    made.kill()


def test_an_answer_comes_back(link):
    assert link.ask("state", timeout=1.0, pin=3) == {"echo": {"op": "state", "pin": 3}}


def test_a_process_that_hangs_is_killed_in_time(link):
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match="does not answer in time"):
        link.ask("hang", timeout=0.1)
    assert time.monotonic() - began < 0.3
    assert not link.alive


def test_a_process_that_dies_is_a_lost_connection(link):
    with pytest.raises(ConnectionLost, match="broke"):
        link.ask("die", timeout=1.0)
    with pytest.raises(ConnectionLost):
        link.ask("state", timeout=1.0)


def test_a_no_is_told_with_what_the_process_said_and_leaves_it_alive(link):
    with pytest.raises(AskFailed, match="no; ur_rtde says: the vendor's words") as caught:
        link.ask("fail", timeout=1.0)
    assert caught.value.kind == "busy"
    assert link.alive


def test_a_line_that_is_busy_for_too_long_is_given_up(link):
    def occupy():
        with contextlib.suppress(ConnectionLost):
            link.ask("hang", timeout=5.0)

    threading.Thread(target=occupy, daemon=True).start()
    time.sleep(0.05)
    with pytest.raises(ConnectionLost, match="busy"):
        link.ask("state", timeout=0.1)
    assert not link.alive


def test_the_answer_to_an_interrupted_question_is_never_taken_for_the_next_ones(link):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            link.ask("late", timeout=2.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert link.ask("state", timeout=2.0, pin=3) == {"echo": {"op": "state", "pin": 3}}


def test_what_is_not_finite_does_not_pass(link):
    with pytest.raises(ValueError, match="JSON"):
        link.ask("move", timeout=1.0, speed=float("nan"))


def test_a_controller_that_accepts_and_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(ur_process, "CONNECT_SECONDS", 0.5)
    host = free_host()
    with socket.create_server((host, 30004)):
        began = time.monotonic()
        with pytest.raises(ConnectionLost, match="does not answer in time"):
            ProcessLink(host, hz=125.0)
        assert time.monotonic() - began < 1.0


def test_the_process_leaves_our_process_group_so_that_ctrl_c_does_not_end_it(link):
    assert os.getpgid(link._process.pid) != os.getpgid(0)
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN  # ours is untouched
