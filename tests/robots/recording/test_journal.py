"""The journal: nothing is lost, nothing is overwritten, nothing breaks it."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_rlft.driver import ConnectionLost, DriverError, Pose, Refused
from robo_rlft.robots.recording.journal import FORMAT, FORMAT_VERSION, Journal, JournalError, read_journal, read_view
from robo_rlft.robots.recording.recorder import record
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from tests.robots.fakes import FakeArm, FakeOperator
from tests.robots.fuzz import EXAMPLE, NOT_FINITE, NOT_NUMBERS, NOT_POSES

THERE = Pose(position=(0.5, 0.1, 0.3))


def lines(path: Path) -> list[dict[str, Any]]:
    """Return a journal's lines, strictly as JSON: no NaN, no infinity."""

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def written(path: Path, calls: int = 3) -> Path:
    """Write a journal of a header and some calls."""
    arm = record(FakeArm(), path)
    for _ in range(calls):
        arm.serial()
    arm.journal.close()
    return path


def test_a_call_is_a_line_with_arguments_result_and_times(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.jsonl"
    arm = record(FakeArm(), path)
    arm.connect()
    arm.move(THERE, speed=0.2)
    header, _, move = lines(path)
    assert (header["format"], header["format_version"], header["about"]) == (FORMAT, 1, {"driver": "FakeArm"})
    assert move["call"] == "move" and move["n"] == 2
    assert move["args"]["target"] == {"position": [0.5, 0.1, 0.3], "quaternion": [0, 0, 0, 1]}
    assert move["result"] == {"reached": move["args"]["target"], "contact": False}
    assert move["t"] >= header["t"] and move["took"] >= 0


def test_an_error_is_a_line_and_still_raised(tmp_path: Path) -> None:
    faulty = FakeArm()
    faulty.faults.raises = ConnectionLost("the cable is out")
    arm = record(faulty, tmp_path / "journal.jsonl")
    arm.connect()
    with pytest.raises(ConnectionLost):
        arm.grip()
    assert lines(tmp_path / "journal.jsonl")[-1]["error"] == {
        "kinds": ["ConnectionLost", "DriverError"],
        "message": "the cable is out",
    }


ODD = [*NOT_FINITE, *NOT_NUMBERS, *NOT_POSES, 10**5000, "\ud800", "x" * 10**6]


@pytest.mark.parametrize("n", range(len(ODD)))
def test_no_command_is_too_odd_to_be_written_down(tmp_path: Path, n: int) -> None:
    odd: Any = ODD[n]
    path = tmp_path / "journal.jsonl"
    robot = SafetyEnvelope(driver=FakeArm(), profile=EXAMPLE, journal=path)
    robot.connect()
    for target in (odd, Pose(position=odd), Pose(position=(0.4, 0.0, odd))):
        with suppress(Refused):  # a few of them are harmless in one of these places
            robot.move(target, speed=0.2)
    with suppress(Refused):
        robot.move(THERE, speed=odd)
    robot.move(THERE, speed=0.2)
    assert [line["args"] for line in lines(path) if line.get("call") == "move"]
    assert len([entry for entry in read_journal(path) if entry.call == "move"]) == 5
    assert path.stat().st_size < 100_000


def test_what_cannot_even_be_shown_is_written_down(tmp_path: Path) -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    nested: list[Any] = []
    nested.append(nested)
    journal = Journal(path=tmp_path / "journal.jsonl")
    for odd in (Hostile(), nested, {"a": {1: math.nan}}, np.full((3, 3), np.nan)):
        journal.call("move", {"target": odd}, lambda: None)
    assert len(read_journal(tmp_path / "journal.jsonl")) == 4


def test_views_lie_beside_the_journal_and_come_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    bare = FakeArm()
    arm = record(bare, path)
    arm.connect()
    (seen,) = arm.observe()
    (entry,) = (entry for entry in read_journal(path) if entry.call == "observe")
    view = read_view(path, entry.views[0])
    assert np.array_equal(view.color, seen.color) and view.color.dtype == np.uint8
    assert np.array_equal(view.depth, seen.depth) and view.depth.dtype == np.float32
    assert np.array_equal(view.world_from_camera, seen.world_from_camera)
    assert view.stamp == seen.stamp
    assert [file.name for file in (tmp_path / "views").iterdir()] == [entry.views[0]["file"]]


def test_a_view_that_was_changed_or_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    arm = record(FakeArm(), path)
    arm.connect()
    arm.observe()
    reference = read_journal(path)[-1].views[0]
    file = tmp_path / "views" / reference["file"]
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(JournalError, match="is not the view"):
        read_view(path, reference)
    with pytest.raises(JournalError, match="outside"):
        read_view(path, {"file": "../secret.npz", "sha256": ""})


@pytest.mark.parametrize("content", [b"PK", b"PK\x03\x04" + bytes(40)])
def test_a_view_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "a.npz").write_bytes(content)
    with pytest.raises(JournalError, match="cannot be read"):
        read_view(tmp_path / "journal.jsonl", {"file": "a.npz", "sha256": hashlib.sha256(content).hexdigest()})


@pytest.mark.parametrize("reference", ["a.npz", 3, {"file": "a.npz"}])
def test_a_reference_to_no_view_is_refused(tmp_path: Path, reference: Any) -> None:
    with pytest.raises(JournalError, match="names no view"):
        read_view(tmp_path / "journal.jsonl", reference)


def test_a_second_run_is_appended_as_a_session_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.jsonl", calls=3)
    before = path.read_bytes()
    written(path, calls=2)
    assert path.read_bytes().startswith(before)
    assert len(read_journal(path, session=0)) == 3
    assert len(read_journal(path)) == 2
    with pytest.raises(JournalError, match="has 2 sessions"):
        read_journal(path, session=2)


def test_two_that_write_at_once_keep_their_lines_apart(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    one, other = record(FakeArm(), path), record(FakeArm(), path)
    one.connect()
    other.connect()
    threads = [threading.Thread(target=lambda arm=arm: [arm.status() for _ in range(200)]) for arm in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(read_journal(path, session=i)) for i in (0, 1)] == [201, 201]


def test_a_torn_last_line_is_left_out_and_the_next_run_is_appended_after_it(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.jsonl", calls=3)
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read_journal(path)) == 2
    written(path, calls=4)
    assert len(read_journal(path, session=0)) == 2
    assert len(read_journal(path)) == 4


def test_a_damaged_line_in_the_middle_is_refused_with_its_number(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.jsonl", calls=4)
    parts = path.read_bytes().split(b"\n")
    parts[2] = parts[2][:-5]
    path.write_bytes(b"\n".join(parts))
    with pytest.raises(JournalError, match="line 3 is damaged"):
        read_journal(path)


@pytest.mark.parametrize("content", [b"", b"my thesis\n", b'{"format": "robo_rlft.profile"}\n', b"[1]\n", b"\xff\n"])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    with pytest.raises(JournalError):
        read_journal(path)


def test_a_file_that_is_no_journal_is_never_written_to(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("my thesis\n")
    with pytest.raises(JournalError, match="is not a journal"):
        record(FakeArm(), path).connect()
    assert path.read_text() == "my thesis\n"


def test_a_newer_journal_is_refused_by_its_version(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.jsonl")
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 2'))
    for use in (lambda: read_journal(path), lambda: written(path)):
        with pytest.raises(JournalError, match=rf"format_version 2 is newer .* \({FORMAT_VERSION}\)"):
            use()


def test_nothing_is_sent_that_cannot_be_written_down(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    arm = FakeArm()
    robot = SafetyEnvelope(driver=arm, profile=EXAMPLE, dry_run=False, operator=FakeOperator(), journal=path)
    path.mkdir()
    with pytest.raises(DriverError):
        robot.connect()
    with pytest.raises(DriverError):
        robot.move(THERE, speed=0.2)
    with pytest.raises(JournalError):
        robot.stop()
    assert [name for name, _ in arm.calls if name in ("move", "stop")] == ["stop"], "stopping needs no paper"


def test_a_command_is_written_down_before_it_is_sent_with_all_that_led_to_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    arm = FakeArm()
    operator = FakeOperator()
    robot = SafetyEnvelope(driver=arm, profile=EXAMPLE, dry_run=False, operator=operator, journal=path)
    robot.connect()
    robot.move(THERE, speed=0.2)
    header, _, asked, sent, state, move = lines(path)
    assert header["about"]["profile"]["serial"] == "20260000001" and header["about"]["limits"]["speed"] == 0.25
    assert (asked["event"], asked["who"], asked["answer"]) == ("operator", "Ada", True)
    assert asked["question"] == operator.questions[0]
    assert (sent["event"], sent["command"], sent["args"]["acceleration"]) == ("sent", "move", 0.8)
    assert (state["event"], state["state"]["mode"]) == ("state", "ok")
    assert (move["call"], move["args"]["acceleration"]) == ("move", None)
    assert arm.told("move")


def _work(path: Path, ready: Any) -> None:
    arm = record(FakeArm(), path)
    arm.connect()
    ready.set()
    while True:
        arm.status()


@pytest.mark.slow
def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_work, args=(path, ready))
    process.start()
    assert ready.wait(60.0)
    while path.stat().st_size < 20_000:
        pass
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10.0)
    assert len(read_journal(path)) > 50
    written(path, calls=2)
    assert len(read_journal(path)) == 2
