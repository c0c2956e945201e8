"""The desk asks in order, keeps answers, takes them back and forgets films; nothing of it needs a page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from robo_rlft.apps.desk import NotAsked
from robo_rlft.apps.label import Films, LabelDesk
from robo_rlft.data.labels import LabelLog, Question, read_labels

QUESTIONS = [
    Question(episodes=("a.npz", "b.npz")),
    Question(episodes=("c.npz", "b.npz")),
    Question(episodes=("b.npz", "a.npz"), repeat=1),
    Question(episodes=("c.npz", "d.npz")),
]
SENTENCES = {f"{name}.npz": (f"do {name}",) for name in "abcd"}


class Made:
    """Makes films of their names, and remembers which."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.threads: set[int] = set()
        self.fails = False

    def __call__(self, name: str) -> bytes:
        self.names.append(name)
        self.threads.add(threading.get_ident())
        if self.fails:
            raise OSError("no simulator")
        return name.encode()


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
def films(tmp_path: Path, made: Made) -> Iterator[Films]:
    films = Films(tmp_path / "films", made)
    yield films
    films.close()


def desk(tmp_path: Path, films: Films) -> LabelDesk:
    log = LabelLog(tmp_path / "labels.jsonl", mode="compare", episodes="runs/tries", digest="ab")
    return LabelDesk(log=log, questions=QUESTIONS, sentences=SENTENCES, films=films)


def test_questions_come_in_order_until_all_are_answered(tmp_path: Path, films: Films) -> None:
    opened = desk(tmp_path, films)
    seen = []
    while (state := opened.state())["question"] is not None:
        assert not opened.wait(0.0)
        seen.append((state["films"], state["sentences"], state["answered"], state["total"]))
        opened.answer(state["question"], "left", 1.0)
    assert seen[0] == (["a", "b"], ["do a"], 0, 4)
    assert [films for films, *_ in seen] == [["a", "b"], ["c", "b"], ["b", "a"], ["c", "d"]]
    assert opened.wait(0.0)
    assert (state["films"], state["answered"]) == ([], 4)
    # Left twice with the sides changed: not the same attempt.
    assert (state["agreed"], state["repeats"]) == (0, 1)


def test_the_same_answer_twice_is_one_and_another_is_refused(tmp_path: Path, films: Films) -> None:
    opened = desk(tmp_path, films)
    key = QUESTIONS[0].key
    opened.answer(key, "left", 1.0)
    opened.answer(key, "left", 7.0)  # its first reply was lost, and the page sent it again
    with pytest.raises(NotAsked, match="answered with 'left'"):
        opened.answer(key, "right", 1.0)
    (only,) = read_labels(tmp_path).labels
    assert (only.answer, only.seconds) == ("left", 1.0)


@pytest.mark.parametrize(("key", "answer"), [("x|y|0", "left"), (QUESTIONS[0].key, "deleted"), (QUESTIONS[0].key, "")])
def test_what_is_no_answer_is_refused(tmp_path: Path, films: Films, key: str, answer: str) -> None:
    opened = desk(tmp_path, films)
    with pytest.raises(NotAsked):
        opened.answer(key, answer, None)
    assert opened.state()["answered"] == 0


def test_undo_asks_the_last_one_again(tmp_path: Path, films: Films) -> None:
    opened = desk(tmp_path, films)
    with pytest.raises(NotAsked, match="no answer"):
        opened.undo()
    opened.answer(QUESTIONS[0].key, "left", None)
    opened.answer(QUESTIONS[1].key, "same", None)
    opened.undo()
    assert opened.state()["question"] == QUESTIONS[1].key
    assert len(read_labels(tmp_path).labels) == 1


def test_a_desk_that_is_opened_again_goes_on(tmp_path: Path, films: Films) -> None:
    desk(tmp_path, films).answer(QUESTIONS[0].key, "left", None)
    again = desk(tmp_path, films)
    assert again.state()["question"] == QUESTIONS[1].key
    assert again.state()["can_undo"]


def test_films_are_made_by_one_thread_ahead_and_once(tmp_path: Path, films: Films, made: Made) -> None:
    opened = desk(tmp_path, films)
    assert [opened.film(name).read_bytes() for name in "abcd"] == [b"a.npz", b"b.npz", b"c.npz", b"d.npz"]
    assert sorted(made.names) == ["a.npz", "b.npz", "c.npz", "d.npz"]
    assert len(made.threads) == 1
    assert opened.film("../labels") is None
    assert opened.film("labels.jsonl") is None
    again = Films(tmp_path / "films", made)
    assert again.want("a.npz").result().read_bytes() == b"a.npz"
    again.close()
    assert len(made.names) == 4


def test_a_film_that_could_not_be_made_is_tried_again(tmp_path: Path, films: Films, made: Made) -> None:
    made.fails = True
    opened = desk(tmp_path, films)
    with pytest.raises(OSError, match="no simulator"):
        opened.film("d")
    made.fails = False
    assert opened.film("d") is not None


def test_deleted_films_are_gone_and_their_attempts_asked_about_no_more(tmp_path: Path, films: Films) -> None:
    opened = desk(tmp_path, films)
    opened.answer(QUESTIONS[0].key, "left", None)
    assert opened.film("b") is not None
    opened.delete(QUESTIONS[1].key)  # of b and c, which are in every question
    assert not (tmp_path / "films" / "b.mp4").exists()
    assert not (tmp_path / "films" / "c.mp4").exists()
    assert opened.film("b") is None
    state = opened.state()
    assert (state["question"], state["answered"], state["total"]) == (None, 0, 0)
    assert desk(tmp_path, films).state()["question"] is None
    kept = {label.question: label.answer for label in read_labels(tmp_path).labels}
    assert kept == {QUESTIONS[0]: "left", QUESTIONS[1]: "deleted"}


def test_an_answer_about_films_that_were_deleted_since_is_not_taken_back(tmp_path: Path, films: Films) -> None:
    opened = desk(tmp_path, films)
    opened.answer(QUESTIONS[0].key, "left", None)
    opened.delete(QUESTIONS[1].key)
    assert not opened.state()["can_undo"]
    with pytest.raises(NotAsked, match="no answer"):
        opened.undo()
    assert opened.wait(0.0)
    assert len(read_labels(tmp_path).labels) == 2


def test_a_film_in_the_making_does_not_come_back(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(name: str) -> bytes:
        begun.set()
        go_on.wait(10.0)
        return b"film"

    films = Films(tmp_path, slow)
    coming = films.want("a.npz")
    assert begun.wait(10.0)
    films.delete(["a.npz"])
    go_on.set()
    assert coming.result(10.0) is None
    assert films.want("a.npz").result(10.0) is None
    films.close()
    assert list(tmp_path.iterdir()) == []


def test_films_that_were_deleted_are_not_there_again_after_a_restart(tmp_path: Path, made: Made) -> None:
    (tmp_path / "a.mp4").write_bytes(b"left over: it was stopped before it was removed")
    films = Films(tmp_path, made, gone=["a.npz"])
    assert films.want("a.npz").result(10.0) is None
    films.close()
    assert not (tmp_path / "a.mp4").exists()


def test_the_last_answer_can_be_taken_back_until_the_desk_is_closed(tmp_path: Path, films: Films) -> None:
    opened = desk(tmp_path, films)
    assert not opened.close()
    for question in QUESTIONS:
        opened.answer(question.key, "same", None)
    opened.undo()
    assert not opened.wait(0.0)
    assert not opened.close()
    opened.answer(QUESTIONS[-1].key, "left", None)
    assert opened.close()
    for late in (opened.undo, lambda: opened.answer(QUESTIONS[0].key, "same", None)):
        with pytest.raises(NotAsked, match="has ended"):
            late()
    assert [label.answer for label in read_labels(tmp_path).labels] == ["same", "same", "same", "left"]
