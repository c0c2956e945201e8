"""Answers are on disk when they are acknowledged, once for each question, whatever happens afterwards."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from robo_rlft.data.labels import Label, LabelError, LabelLog, Question, attempts_digest, read_labels

PAIR = Question(episodes=("a.npz", "b.npz"))
OTHER = Question(episodes=("c.npz", "d.npz"))


def label(question: Question = PAIR, answer: str = "left", **options: Any) -> Label:
    return Label(question=question, answer=answer, labeler="page", **options)


def log(folder: Path, mode: str = "compare", episodes: str = "runs/tries", digest: str = "ab") -> LabelLog:
    return LabelLog(folder / "labels.jsonl", mode=mode, episodes=episodes, digest=digest)


def test_what_was_added_is_there_for_any_reader_at_once(tmp_path: Path) -> None:
    with log(tmp_path) as opened:
        opened.add(label(seconds=1.5))
        opened.add(label(OTHER, "same"))
        assert read_labels(tmp_path) == opened.labels
    assert read_labels(tmp_path).labels == (label(seconds=1.5), label(OTHER, "same"))
    assert read_labels(tmp_path).episodes == "runs/tries"


def test_a_question_has_one_answer_whichever_side_is_which(tmp_path: Path) -> None:
    with log(tmp_path) as opened:
        opened.add(label())
        opened.add(label())
        turned = Question(episodes=("b.npz", "a.npz"))
        opened.add(label(turned, "same"))
    (only,) = read_labels(tmp_path).labels
    assert (only.question, only.answer) == (turned, "same")
    assert len((tmp_path / "labels.jsonl").read_text().splitlines()) == 3  # the header, and two that differ


def test_an_answer_can_be_taken_back(tmp_path: Path) -> None:
    with log(tmp_path) as opened:
        opened.add(label())
        opened.add(label(OTHER))
        opened.withdraw(PAIR)
        opened.withdraw(PAIR)
        assert opened.get(PAIR) is None
    assert [one.question for one in read_labels(tmp_path).labels] == [OTHER]


def test_labels_go_on_where_they_were_and_half_a_line_is_dropped(tmp_path: Path) -> None:
    with log(tmp_path) as opened:
        opened.add(label())
    path = tmp_path / "labels.jsonl"
    whole = path.read_bytes()
    for cut in (b'{"epis', b"\xff\xfe", b'{"episodes": ["c.npz", "d.npz"], "repeat": 0, "answer": "left"}'):
        path.write_bytes(whole + cut)
        assert read_labels(path).labels == (label(),)
        with log(tmp_path) as opened:
            opened.add(label(OTHER))
        assert read_labels(path).labels == (label(), label(OTHER))


def test_a_file_that_was_cut_within_its_first_line_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_text('{"format": "robo')
    with log(tmp_path) as opened:
        opened.add(label())
    assert read_labels(tmp_path).labels == (label(),)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        real(descriptor, data[:7])
        raise OSError(28, "No space left on device")

    real = os.write
    with log(tmp_path) as opened:
        opened.add(label())
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            opened.add(label(OTHER))
        monkeypatch.undo()
        assert opened.get(OTHER) is None
        opened.add(label(OTHER, "right"))
    assert [one.answer for one in read_labels(tmp_path).labels] == ["left", "right"]


def test_agreement_counts_repeats_answered_alike_with_the_sides_changed(tmp_path: Path) -> None:
    again = Question(episodes=("b.npz", "a.npz"), repeat=1)
    with log(tmp_path) as opened:
        assert opened.labels.agreement == (0, 0)
        opened.add(label(answer="left"))
        opened.add(label(again, "right"))  # the same attempt, now on the right
        opened.add(label(OTHER, "left"))
        opened.add(label(Question(episodes=("d.npz", "c.npz"), repeat=1), "left"))  # the other one
        assert opened.labels.agreement == (1, 2)
        opened.add(label(OTHER, "skip"))
        assert opened.labels.agreement == (1, 1)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"format": "other"}'], "another"),
        (['{"format": "robo_rlft.labels", "format_version": 2}'], "newer than the 1"),
        (['{"format": "robo_rlft.labels", "format_version": 1, "mode": "guess", "episodes": "x"}'], "line 1"),
        ([None, "[]"], "line 2: expected a JSON object"),
        ([None, '{"episodes": ["a"], "repeat": 0, "answer": "left"}'], "line 2: expected the names of 2 episodes"),
        ([None, '{"episodes": ["a", "b"], "repeat": 0, "answer": "success"}'], "line 2: expected one of left"),
        ([None, "[" * 100_000], "line 2: expected a JSON object"),
    ],
)
def test_a_damaged_file_is_refused_by_line(tmp_path: Path, lines: list[str | None], message: str) -> None:
    header = {"format": "robo_rlft.labels", "format_version": 1, "mode": "compare", "episodes": "runs/tries"}
    header["digest"] = "ab"
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(f"{json.dumps(header) if line is None else line}\n" for line in lines))
    with pytest.raises(LabelError, match=message):
        read_labels(path)


def test_another_mode_or_other_episodes_are_refused(tmp_path: Path) -> None:
    log(tmp_path).close()
    with pytest.raises(LabelError, match="mode=success"):
        log(tmp_path, mode="success")
    with pytest.raises(LabelError, match="runs/others"):
        log(tmp_path, episodes="runs/others")
    with pytest.raises(LabelError, match="mode=compare of others in runs/tries"):
        log(tmp_path, digest="cd")
    with log(tmp_path) as opened, pytest.raises(LabelError, match="got 'success'"):
        opened.add(label(answer="success"))


def test_a_folders_digest_follows_names_and_contents_of_attempts_alone(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"one")
    first = attempts_digest(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    assert attempts_digest(tmp_path) == first
    (tmp_path / "a.npz").write_bytes(b"two")
    second = attempts_digest(tmp_path)
    (tmp_path / "a.npz").rename(tmp_path / "b.npz")
    assert len({first, second, attempts_digest(tmp_path)}) == 3


def test_no_labels_are_told_with_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="robo-rlft label"):
        read_labels(tmp_path)
