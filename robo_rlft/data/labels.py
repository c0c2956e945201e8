"""What people say of attempts: which of two is better, or whether one succeeded; JSON lines on disk.

An answer that was acknowledged is on disk: a line is written and flushed to the disk before `LabelLog.add` returns.
Lines are never changed; a later one about the same question takes the earlier one's place. Knows nothing of pages,
pictures or learning.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

FORMAT, FORMAT_VERSION = "robo_rlft.labels", 1
FILE = "labels.jsonl"
LEFT, RIGHT, SAME, SUCCESS, FAILURE = "left", "right", "same", "success", "failure"
SKIP, DELETED = "skip", "deleted"  # "can't tell"; the person had the films deleted
# Mode -> what may be answered.
ANSWERS: Mapping[str, tuple[str, ...]] = {
    "compare": (LEFT, RIGHT, SAME, SKIP, DELETED),
    "success": (SUCCESS, FAILURE, SKIP, DELETED),
}
MIRRORED = {LEFT: RIGHT, RIGHT: LEFT}  # the same answer with the sides changed


class LabelError(ValueError):
    """A file of labels, or a label, is not what it must be."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Attempts that are asked about together."""

    episodes: tuple[str, ...]  # names of their files, left to right
    repeat: int = 0  # how often the same was asked before: agreement is measured by it

    @property
    def key(self) -> str:
        """What makes it this question, whichever side is which."""
        return "|".join((*sorted(self.episodes), str(self.repeat)))


@dataclass(frozen=True, kw_only=True)
class Label:
    """An answer."""

    question: Question
    answer: str
    labeler: str  # "page" or "simulated"
    seconds: float | None = None  # that the answer took

    @property
    def known(self) -> bool:
        """Whether it says anything of the attempts."""
        return self.answer not in (SKIP, DELETED)


@dataclass(frozen=True, kw_only=True)
class Labels:
    """A file's contents."""

    mode: str  # of ANSWERS
    episodes: str  # the folder that the names are of
    digest: str  # of the attempts in it, see `attempts_digest`
    labels: tuple[Label, ...]  # in the order of their first answers, each question once

    @property
    def agreement(self) -> tuple[int, int]:
        """How many repeated questions were answered as the first time, and how many there are; skipped ones not."""
        first = {key_of(label.question): label for label in self.labels if label.question.repeat == 0}
        again = [label for label in self.labels if label.question.repeat > 0 and label.known]
        pairs = [(first[key], label) for label in again if (key := key_of(label.question)) in first]
        pairs = [(one, other) for one, other in pairs if one.known]
        return sum(towards(a, a.question) == towards(b, a.question) for a, b in pairs), len(pairs)


def key_of(question: Question) -> str:
    """Return the key of a question asked for the first time."""
    return Question(episodes=question.episodes).key


def towards(label: Label, question: Question) -> str:
    """Return a label's answer as it would be with the question's sides."""
    mirrored = label.question.episodes != question.episodes
    return MIRRORED.get(label.answer, label.answer) if mirrored else label.answer


class LabelLog:
    """An open file of labels; a context manager. One process at a time: the run's folder is locked.

    A line that was cut off by a crash was never acknowledged, and is dropped when the file is opened again.
    """

    def __init__(self, path: Path, *, mode: str, episodes: str, digest: str) -> None:
        """Open or make the file.

        Raises:
            LabelError: it is of another mode or other episodes, foreign, newer than this package, or damaged.
        """
        self.path = path
        header = {"format": FORMAT, "format_version": FORMAT_VERSION, "mode": mode, "episodes": episodes}
        header["digest"] = digest
        lines = _complete_lines(path)
        if not lines:
            lines = [json.dumps(header)]
            path.write_bytes(b"")
        else:
            found = _header(path, lines[0])
            if found != header:
                other = "others" if found["digest"] != digest else "the same"
                raise LabelError(
                    f"{path}: expected labels with mode={mode} of the attempts in {episodes}, found mode="
                    f"{found['mode']} of {other} in {found['episodes']}; choose another run=NAME"
                )
        self._labels = {} if len(lines) == 1 else _fold(path, lines[1:], mode)
        self.mode, self.episodes, self.digest = mode, episodes, digest
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        os.ftruncate(self._file, 0 if len(lines) == 1 else sum(len(line.encode()) + 1 for line in lines))
        os.lseek(self._file, 0, os.SEEK_END)
        if len(lines) == 1:
            self._write(lines[0])
            _sync_folder(path.parent)

    def __enter__(self) -> LabelLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def add(self, label: Label) -> None:
        """Keep a label; when this returns, it is on the disk. The same label again changes nothing.

        Raises:
            LabelError: an answer that its mode does not have.
            OSError: it could not be written; it is not kept.
        """
        if label.answer not in ANSWERS[self.mode]:
            raise LabelError(f"expected one of {', '.join(ANSWERS[self.mode])}, got '{label.answer}'")
        if self._labels.get(label.question.key) == label:
            return
        self._write(json.dumps(_line(label)))
        self._labels[label.question.key] = label

    def withdraw(self, question: Question) -> None:
        """Take a label back, as durably; does nothing where there is none."""
        if question.key in self._labels:
            self._write(json.dumps({"episodes": list(question.episodes), "repeat": question.repeat, "answer": None}))
            del self._labels[question.key]

    def get(self, question: Question) -> Label | None:
        """Return the label of a question, if there is one."""
        return self._labels.get(question.key)

    @property
    def labels(self) -> Labels:
        """All that is kept."""
        return Labels(mode=self.mode, episodes=self.episodes, digest=self.digest, labels=tuple(self._labels.values()))

    def _write(self, line: str) -> None:
        end = os.lseek(self._file, 0, os.SEEK_END)
        try:
            data = f"{line}\n".encode()
            if os.write(self._file, data) != len(data):
                raise OSError(f"{self.path}: the disk took half a line; is it full?")
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, end)  # half a line would hide what comes after it
            raise


def read_labels(path: Path) -> Labels:
    """Read a file of labels, or the one in a folder of `robo-rlft label`.

    Raises:
        LabelError: it is missing, foreign, newer than this package, or damaged.
    """
    path = path / FILE if path.is_dir() else path
    lines = _complete_lines(path)
    if not lines:
        raise LabelError(f"expected labels at {path}, found none; `robo-rlft label from=RUN` makes them")
    header = _header(path, lines[0])
    labels = _fold(path, lines[1:], header["mode"])
    return Labels(
        mode=header["mode"], episodes=header["episodes"], digest=header["digest"], labels=tuple(labels.values())
    )


def attempts_digest(folder: Path) -> str:
    """Return a hash of all attempts in a folder, so that labels of some are never taken for labels of others."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.npz")):
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _complete_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    try:
        return whole.decode().split("\n")[:-1]
    except UnicodeDecodeError as error:
        raise LabelError(
            f"{path}: expected JSON lines, found bytes that are no text ({error}); it is damaged"
        ) from None


def _header(path: Path, line: str) -> dict[str, Any]:
    data = _json(path, 1, line)
    if data.get("format") != FORMAT:
        raise LabelError(f"{path}: expected a file of labels ({FORMAT}), found another")
    version = data.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise LabelError(
            f"{path} has format_version {version}, newer than the {FORMAT_VERSION} that this robo_rlft reads: update "
            "the package"
        )
    told = all(isinstance(data.get(name), str) for name in ("episodes", "digest"))
    if version != FORMAT_VERSION or data.get("mode") not in ANSWERS or not told:
        raise LabelError(f"{path}, line 1: expected a mode of {', '.join(ANSWERS)} and a folder; it is damaged")
    return data


def _fold(path: Path, lines: Sequence[str], mode: str) -> dict[str, Label]:
    """Return the labels that are left when later lines take the places of earlier ones."""
    labels: dict[str, Label] = {}
    for number, line in enumerate(lines, start=2):
        data = _json(path, number, line)
        names, repeat, answer = data.get("episodes"), data.get("repeat"), data.get("answer")
        counts = {"compare": 2, "success": 1}[mode]
        if not isinstance(names, list) or len(names) != counts or not all(isinstance(name, str) for name in names):
            raise LabelError(f"{path}, line {number}: expected the names of {counts} episodes; it is damaged")
        if type(repeat) is not int or (answer is not None and answer not in ANSWERS[mode]):
            raise LabelError(f"{path}, line {number}: expected one of {', '.join(ANSWERS[mode])}; it is damaged")
        question = Question(episodes=tuple(names), repeat=repeat)
        if answer is None:
            labels.pop(question.key, None)
            continue
        labels[question.key] = Label(
            question=question, answer=answer, labeler=str(data.get("labeler")), seconds=data.get("seconds")
        )
    return labels


def _line(label: Label) -> dict[str, Any]:
    return {
        "episodes": list(label.question.episodes),
        "repeat": label.question.repeat,
        "answer": label.answer,
        "labeler": label.labeler,
        "seconds": label.seconds,
    }


def _json(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise LabelError(f"{path}, line {number}: expected a JSON object; it is damaged")
    return data


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
