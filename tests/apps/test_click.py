"""The click page over HTTP, and the episodes that come of it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_rlft.apps.click import Answer, Clicked, Desk
from robo_rlft.apps.click_server import MAX_BODY, ClickPage
from robo_rlft.commands.cli import main
from robo_rlft.data.episodes import EpisodeWriter, read_episodes
from robo_rlft.geometry import Workspace
from tests.simulated import make_env

WORKSPACE = Workspace(pixel_size=0.025)  # 40 x 20
COLOR = np.zeros((*WORKSPACE.shape, 3), dtype=np.uint8)
SHOWN = {"pick": [3, 4], "place": [30, 10], "rotation": 2}


@pytest.fixture
def desk() -> Desk:
    return Desk(workspace=WORKSPACE, rotations=4)


@pytest.fixture
def page(desk: Desk) -> Iterator[ClickPage]:
    with ClickPage(desk) as opened:
        yield opened


def get(url: str, *, headers: dict[str, str] | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=5) as answer:
        return bytes(answer.read())


def post(url: str, data: Any, *, kind: str = "application/json", origin: str | None = None) -> dict[str, Any]:
    headers = {"Content-Type": kind} | ({} if origin is None else {"Origin": origin})
    request = urllib.request.Request(url, data=json.dumps(data).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        result: dict[str, Any] = json.loads(answer.read())
    return result


def refused(call: Callable[[], object]) -> int:
    with pytest.raises(urllib.error.HTTPError) as error:
        call()
    return error.value.code


def ask(desk: Desk, question: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Ask from another thread, and wait until the question is on the desk."""
    answers: list[Any] = []
    before = desk.state()["number"]
    thread = threading.Thread(target=lambda: answers.append(question()), daemon=True)
    thread.start()
    while desk.state()["number"] == before:
        time.sleep(0.005)
    return thread, answers


def clicks(desk: Desk, *, editable: bool = False) -> tuple[threading.Thread, list[Any]]:
    return ask(desk, lambda: desk.clicks(COLOR, sentence="put a in b", editable=editable, title="Scene 1 of 2"))


def test_what_is_clicked_reaches_the_program(desk: Desk, page: ClickPage) -> None:
    thread, answers = clicks(desk)
    state = json.loads(get(page.url + "state"))
    assert state["kind"] == "click" and state["sentence"] == "put a in b" and state["rotations"] == 4
    assert get(page.url + "picture").startswith(b"\x89PNG")
    post(page.url + "answer", {"number": state["number"], **SHOWN})
    thread.join(5)
    assert answers == [Clicked(sentence="put a in b", pick=(3, 4), place=(30, 10), rotation=2)]


def test_the_page_is_one_file_that_loads_nothing_else(page: ClickPage) -> None:
    text = get(page.url).decode()
    assert "<script>" in text and "<style>" in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text


@pytest.mark.parametrize(
    "change",
    [
        {"pick": [40, 0]},
        {"place": [0, -1]},
        {"pick": [1.0, 2]},
        {"pick": None},
        {"rotation": 4},
        {"rotation": True},
        {"number": 0},
    ],
)
def test_an_answer_that_cannot_be_is_refused_and_asked_again(desk: Desk, page: ClickPage, change: Any) -> None:
    thread, answers = clicks(desk)
    number = desk.state()["number"]
    assert refused(lambda: post(page.url + "answer", {"number": number, **SHOWN, **change})) == 400
    post(page.url + "answer", {"number": number, **SHOWN})
    thread.join(5)
    assert len(answers) == 1


def test_nobody_without_the_token_another_host_or_another_origin_gets_in(desk: Desk, page: ClickPage) -> None:
    thread, answers = clicks(desk)
    number = desk.state()["number"]
    root = page.url.rsplit("/", 2)[0]
    assert refused(lambda: get(f"{root}/state")) == 404
    assert refused(lambda: get(f"{root}/{'x' * 24}/state")) == 404
    assert refused(lambda: get(page.url + "state", headers={"Host": "elsewhere.example"})) == 404
    wrong: dict[str, Any] = {"number": number, **SHOWN}
    assert refused(lambda: post(page.url + "answer", wrong, origin="http://elsewhere.example")) == 403
    assert refused(lambda: post(page.url + "answer", wrong, kind="text/plain")) == 403
    assert refused(lambda: post(page.url + "answer", {**wrong, "sentence": "x" * MAX_BODY})) == 413
    assert answers == [] and thread.is_alive()
    post(page.url + "answer", wrong)
    thread.join(5)


def test_a_person_types_the_sentence_of_a_real_scene_and_may_look_again(desk: Desk, page: ClickPage) -> None:
    thread, answers = clicks(desk, editable=True)
    number = desk.state()["number"]
    with pytest.raises(urllib.error.HTTPError) as error:
        post(page.url + "answer", {"number": number, **SHOWN, "sentence": "hello"})
    assert "names what to pick" in json.loads(error.value.read())["error"]
    post(page.url + "answer", {"number": number, "look": True})
    thread.join(5)
    assert answers == [None]
    thread, answers = clicks(desk, editable=True)
    told = {"number": desk.state()["number"], **SHOWN, "sentence": " put the red cup on the plate "}
    post(page.url + "answer", told)
    thread.join(5)
    assert answers[0].sentence == "put the red cup on the plate"


def test_the_outcome_is_asked_with_the_kind_of_failure(desk: Desk, page: ClickPage) -> None:
    thread, answers = ask(desk, lambda: desk.outcome(COLOR, sentence="put a in b", title=""))
    number = desk.state()["number"]
    assert refused(lambda: post(page.url + "answer", {"number": number, "success": False})) == 400
    post(page.url + "answer", {"number": number, "success": False, "failure": "slipped"})
    thread.join(5)
    assert answers == [Answer(success=False, failure="slipped")]


def test_the_robot_can_be_stopped_from_the_page() -> None:
    stopped: list[bool] = []
    desk = Desk(workspace=WORKSPACE, rotations=1, on_stop=lambda: stopped.append(True))
    with ClickPage(desk) as page:
        post(page.url + "stop", {})
    assert stopped == [True]


def interrupted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that ends as if Ctrl-C had been pressed right after it."""

    def call(*arguments: Any) -> None:
        function(*arguments)
        raise KeyboardInterrupt

    return call


class Person(threading.Thread):
    """Clicks what the task's expert would do, as soon as the page is there, for a number of scenes."""

    def __init__(self, scenes: list[int], capture: pytest.CaptureFixture[str]) -> None:
        super().__init__(daemon=True)
        self.scenes, self.capture, self.out = scenes, capture, ""

    def run(self) -> None:
        env = make_env(pixel_size=0.025)
        while "http://" not in self.out:
            self.out += self.capture.readouterr().out
            time.sleep(0.02)
        url = next(word for word in self.out.split() if word.startswith("http://"))
        last = -1
        for seed in self.scenes:
            state = env.start(seed)
            action = env.to_action(env.task.demonstrate(env.layout(state), state.poses)).tolist()
            while (seen := json.loads(get(url + "state")))["kind"] != "click" or seen["number"] == last:
                time.sleep(0.02)
            last = seen["number"]
            answer = {"number": last, "pick": action[:2], "place": action[2:4], "rotation": action[4]}
            post(url + "answer", answer)
        env.close()
        with contextlib.suppress(OSError):  # the page is closed once it has shown that all is done
            while json.loads(get(url + "state"))["kind"] != "end":
                time.sleep(0.02)


def test_collect_records_what_a_person_shows_and_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = ["collect", "episodes=2", "run=shown", "rotations=4", "threads=1", "workspace.pixel_size=0.025"]
    with monkeypatch.context() as patch:
        patch.setattr(EpisodeWriter, "write", interrupted(EpisodeWriter.write))
        Person([0], capsys).start()
        assert main([*told, "demonstrator=click"]) == 130
    person = Person([1], capsys)
    person.start()
    assert main([*told, "demonstrator=click"]) == 0
    person.join(10)
    clicked = read_episodes(tmp_path / "runs/shown")
    assert [episode.seed for episode in clicked] == [0, 1]
    # The expert's own clicks give the expert's own episodes.
    told[2] = "run=expert"
    assert main(told) == 0
    for one, other in zip(clicked, read_episodes(tmp_path / "runs/expert"), strict=True):
        assert one.success == other.success and one.instructions == other.instructions
        np.testing.assert_array_equal(one.color, other.color)
        np.testing.assert_array_equal(one.pick, other.pick)
