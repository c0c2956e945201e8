"""The asking desk: one question at a time, each answered once; nothing of it needs a browser."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from robo_rlft.apps.ask import RECENT, AskDesk, AskError, AskPage, Choice
from robo_rlft.apps.desk import NotAsked
from robo_rlft.commands.errors import is_user_error

DONE, FAILED, SKIP = Choice("yes", "done", "y"), Choice("no", "not done", "n"), Choice("skip", "can't tell", "x")
CHOICES = (DONE, FAILED, SKIP)


class Asked:
    """A question that a thread of its own waits for."""

    def __init__(self, desk: AskDesk | AskPage, question: str, **pictures: Any) -> None:
        self.answer: str | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._ask, args=(desk, question), kwargs=pictures, daemon=True)
        self._thread.start()

    def _ask(self, desk: AskDesk | AskPage, question: str, **pictures: Any) -> None:
        try:
            self.answer = desk.ask(question, CHOICES, **pictures)
        except Exception as error:
            self.error = error

    def result(self) -> str:
        self._thread.join(timeout=10.0)
        if self.error is not None:
            raise self.error
        assert self.answer is not None, "still waiting"
        return self.answer

    @property
    def waits(self) -> bool:
        return self._thread.is_alive()


def wait(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < until, "waited for too long"
        time.sleep(0.002)


def asked(desk: AskDesk, question: str, **pictures: Any) -> Asked:
    """Ask, and return as soon as the page would show it."""
    waiting = Asked(desk, question, **pictures)
    wait(lambda: (desk.state()["question"] or {}).get("text") == question)
    return waiting


@pytest.fixture
def desk() -> Iterator[AskDesk]:
    desk = AskDesk()
    yield desk
    desk.close()


def test_a_question_waits_for_its_answer(desk: AskDesk) -> None:
    waiting = asked(desk, "was it done?")
    question = desk.state()["question"]
    assert question["number"] == 1
    assert question["choices"][1] == {"value": "no", "label": "not done", "key": "n"}
    assert waiting.waits
    desk.answer(1, "no")
    assert waiting.result() == "no"
    assert desk.state()["question"] is None


def test_an_answer_to_an_earlier_question_is_not_taken_for_the_present_one(desk: AskDesk) -> None:
    first = asked(desk, "first?")
    desk.answer(1, "yes")
    assert first.result() == "yes"
    second = asked(desk, "second?")
    desk.answer(1, "yes")  # a double click
    with pytest.raises(NotAsked, match="question 1 was answered already: done"):
        desk.answer(1, "no")  # another tab
    with pytest.raises(NotAsked, match="question 3 is not asked now"):
        desk.answer(3, "yes")
    assert second.waits and desk.state()["question"]["number"] == 2
    desk.answer(2, "skip")
    assert second.result() == "skip"


def test_only_the_choices_are_answers(desk: AskDesk) -> None:
    waiting = asked(desk, "was it done?")
    with pytest.raises(NotAsked, match="expected one of yes, no, skip, got 'done'"):
        desk.answer(1, "done")
    assert waiting.waits


def test_closing_tells_whoever_waits_and_whoever_asks_later(desk: AskDesk) -> None:
    waiting = asked(desk, "was it done?")
    desk.close()
    with pytest.raises(AskError, match="closed before question 1 was answered: 'was it done"):
        waiting.result()
    with pytest.raises(AskError, match="nobody can be asked 'again"):
        desk.ask("again?", CHOICES)
    with pytest.raises(NotAsked, match="not asked now"):
        desk.answer(1, "yes")
    assert is_user_error(waiting.error or ValueError())


def test_two_threads_take_turns(desk: AskDesk) -> None:
    first = asked(desk, "first?")
    second = Asked(desk, "second?")
    time.sleep(0.05)
    assert desk.state()["question"]["text"] == "first?"
    desk.answer(1, "yes")
    assert first.result() == "yes"
    wait(lambda: desk.state()["question"])
    assert desk.state()["question"]["text"] == "second?" and second.waits
    desk.answer(2, "no")
    assert second.result() == "no"


def test_whatever_the_page_shows_has_a_version_that_grows(desk: AskDesk) -> None:
    versions = [desk.state()["version"]]
    for number in (1, 2):
        waiting = asked(desk, f"question {number}?")
        versions.append(desk.state()["version"])
        desk.answer(number, "yes")
        versions.append(desk.state()["version"])
        assert waiting.result() == "yes"
        assert desk.state()["version"] == versions[-1]
    assert versions == sorted(set(versions))


def test_the_last_answers_are_listed_newest_first(desk: AskDesk) -> None:
    for number in range(1, RECENT + 3):
        waiting = asked(desk, f"question {number}?")
        desk.answer(number, "no")
        waiting.result()
    state = desk.state()
    assert state["answered"] == RECENT + 2
    assert [one["number"] for one in state["recent"]] == list(range(RECENT + 2, 2, -1))
    assert state["recent"][0] == {"number": RECENT + 2, "question": f"question {RECENT + 2}?", "answer": "not done"}


def test_pictures_come_exactly_and_only_while_they_are_asked_about(desk: AskDesk) -> None:
    before = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    waiting = asked(desk, "done?", pictures=[("before", before), ("after", 255 - before)])
    shown = desk.state()["question"]["pictures"]
    assert [(one["name"], one["height"], one["width"]) for one in shown] == [("before", 6, 4), ("after", 6, 4)]
    for one, expected in zip(shown, (before, 255 - before), strict=True):
        data = desk.picture(one["file"])
        assert data is not None
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), expected)
    desk.answer(1, "yes")
    waiting.result()
    again = asked(desk, "and now?", pictures=[("after", before)])
    assert desk.picture(shown[0]["file"]) is None
    desk.answer(2, "yes")
    again.result()
    assert desk.picture("2-0") is None


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4, 3)), np.zeros((4, 4), dtype=np.uint8), np.zeros((0, 4, 3), dtype=np.uint8)],
    ids=["float", "gray", "empty"],
)
def test_what_is_no_picture_is_refused_before_it_is_asked(desk: AskDesk, image: Any) -> None:
    with pytest.raises(ValueError, match=r"pictures: after: expected uint8 \(H, W, 3\)"):
        desk.ask("done?", CHOICES, pictures=[("after", image)])
    assert desk.state()["question"] is None


@pytest.mark.parametrize(
    "choices",
    [(), (DONE, Choice("yes", "also", "a")), (DONE, Choice("a", "done", "a")), (DONE, Choice("a", "also", "Y"))],
    ids=["none", "values", "labels", "keys"],
)
def test_choices_that_cannot_be_told_apart_are_refused(desk: AskDesk, choices: tuple[Choice, ...]) -> None:
    with pytest.raises(ValueError, match="of its own"):
        desk.ask("done?", choices)


@pytest.mark.parametrize("texts", [("", "done", "y"), ("yes", "d" * 101, "y"), ("yes", "done \ud800", "y")])
def test_a_choice_needs_texts_that_can_be_shown(texts: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match="expected 1 to 100 characters"):
        Choice(*texts)


def test_half_a_character_in_a_question_does_no_harm(desk: AskDesk) -> None:
    waiting = Asked(desk, "put \ud800 there?")
    wait(lambda: desk.state()["question"])
    assert desk.state()["question"]["text"] == "put ? there?"
    desk.answer(1, "yes")
    waiting.result()


INTERRUPTED = """
import os, signal, threading, time
from robo_rlft.apps.ask import AskPage, Choice

def stop():
    while page._desk.state()["question"] is None:
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

with AskPage() as page:
    threading.Thread(target=stop).start()
    try:
        page.ask("ready?", [Choice("yes", "ready", "Enter")])
    except KeyboardInterrupt:
        print("interrupted", page._desk.state()["question"])
"""


def test_ctrl_c_ends_the_wait_and_withdraws_the_question() -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120.0)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["interrupted", "None"]


def test_without_the_server_s_packages_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "robo_rlft.apps.ask_server", None)
    with pytest.raises(AskError, match=r"pip install 'robo_rlft\[label\]'"):
        AskPage()
