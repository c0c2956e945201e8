"""Demonstrations by clicks on a table that nobody can build: an arm in memory inside a safety envelope."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robo_rlft.apps.click import Desk
from robo_rlft.commands.cli import main
from robo_rlft.commands.collect_click import LiveTable
from robo_rlft.geometry import Workspace
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from robo_rlft.rollout.episode import Episode
from tests.robots.fakes import FakeArm, FakeOperator, Faults
from tests.robots.fuzz import EXAMPLE

WORKSPACE = Workspace(pixel_size=0.025)  # 40 x 20
SHOWN = {"sentence": "put the red cup on the plate", "pick": [20, 8], "place": [28, 8], "rotation": 0}
FAR = {**SHOWN, "place": [0, 19]}  # x 0.74, y -0.49: beyond the example's reach of 0.85 m


def table(arm: FakeArm, operator: FakeOperator) -> LiveTable:
    robot = SafetyEnvelope(driver=arm, profile=EXAMPLE, dry_run=False, operator=operator)
    made = LiveTable(driver=robot, workspace=WORKSPACE, rotations=4, approve=operator.approve)
    made.connect()
    return made


def record(made: LiveTable, answers: list[dict[str, Any] | Callable[[], dict[str, Any]]]) -> tuple[Episode, list[str]]:
    """Record one episode while these answers come from the page; return it and what the page said."""
    desk = Desk(workspace=WORKSPACE, rotations=4)
    episodes: list[Episode] = []
    thread = threading.Thread(target=lambda: episodes.append(made.record(desk, 7, "1 of 1")), daemon=True)
    thread.start()
    said = []
    for answer in answers:
        while (state := desk.state())["kind"] not in ("click", "outcome"):
            assert thread.is_alive()
            time.sleep(0.005)
        said.append(str(state["text"]))
        desk.receive({"number": state["number"], **(answer() if callable(answer) else answer)})
    thread.join(5)
    return episodes[0], said


def test_what_is_shown_is_done_and_judged_by_the_person() -> None:
    arm, operator = FakeArm(faults=Faults(contact_at=0.03)), FakeOperator()
    episode, _ = record(table(arm, operator), [SHOWN, {"success": True}])
    assert (episode.task, episode.split, episode.phase, episode.seed) == ("real_table", "seen", "train", 7)
    assert (episode.pick_names, episode.place_names) == (("red cup",), ("plate",))
    assert episode.pick.tolist() == [[20, 8]] and episode.success and episode.rewards.tolist() == [1.0]
    assert len(arm.told("grip")) == 1 and any("pick up at" in question for question in operator.questions)


def test_a_failed_grip_is_kept_as_what_it_is() -> None:
    episode, _ = record(
        table(FakeArm(faults=Faults(grips=False)), FakeOperator()), [SHOWN, {"success": False, "failure": "slipped"}]
    )
    assert not episode.success and episode.failure == "no_grasp"


def test_a_new_picture_is_taken_when_the_table_was_laid_anew() -> None:
    arm = FakeArm()
    episode, _ = record(table(arm, FakeOperator()), [{"look": True}, SHOWN, {"success": True}])
    assert (
        len([name for name, _ in arm.calls if name == "observe"]) == 4
    )  # two for the person, one when it is to move, one after it
    assert episode.steps == 1


def test_what_is_out_of_reach_is_refused_on_the_page_before_anything_is_gripped() -> None:
    arm = FakeArm()

    def again() -> dict[str, Any]:
        assert arm.told("move", "grip") == []
        return SHOWN

    _, said = record(table(arm, FakeOperator()), [FAR, again, {"success": True}])
    assert "Refused" in said[1] and "reach" in said[1]
    assert not any("Moving home" in text for text in said), "it had moved when it asked"


@pytest.mark.parametrize(
    ("override", "word"), [("robot.dry_run=true", "dry run does none"), ("robot.dry_run=false", "a pipe is no person")]
)
def test_a_real_robot_that_rehearses_or_that_nobody_watches_is_refused(
    override: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = ["collect", "demonstrator=click", "robot=real_ur", "camera=loopback", "robot.host=127.0.0.9"]
    told += [f"robot.profile={EXAMPLE}"]
    assert main([*told, override, "threads=1"]) == 2
    assert word in capsys.readouterr().err
