"""Where the labelling page and what is labelled meet: which question is next, and what was answered.

Knows questions, labels and films as bytes; nothing of HTTP, simulators or learning. Safe between threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from robo_rlft.apps.desk import NotAsked
from robo_rlft.data.labels import ANSWERS, DELETED, Label, LabelLog, Labels, Question

AHEAD = 4  # questions whose films are made before they are asked


class PageLabeler:
    """A person at the page."""

    def __init__(self, *, port: int = 0) -> None:
        """Set where the page is: a port of 127.0.0.1, or 0 for a free one."""
        self.port = port


class Films:
    """Films of attempts in a folder, made when they are first wanted, one after the other."""

    def __init__(self, folder: Path, make: Callable[[str], bytes], *, gone: Collection[str] = ()) -> None:
        """Keep films in a folder.

        Args:
            folder: for the films.
            make: gives the film of the attempt of a name, as an MP4 file's bytes; called by one thread alone.
            gone: attempts whose films were deleted before; what is left of them is removed.
        """
        self.folder, self._make = folder, make
        folder.mkdir(parents=True, exist_ok=True)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="films")
        self._coming: dict[str, Future[Path | None]] = {}
        self._lock = threading.Lock()
        self._gone: set[str] = set()
        self.delete(gone)

    def want(self, name: str) -> Future[Path | None]:
        """Return the film's file, as soon as it is there; None where it was deleted."""
        with self._lock:
            there = self._coming.get(name)
            if there is None or there.cancelled() or (there.done() and there.exception() is not None):
                self._coming[name] = self._thread.submit(self._film, name)
            return self._coming[name]

    def delete(self, names: Collection[str]) -> None:
        """Remove films for good, made or in the making; the attempts themselves stay where they were recorded."""
        with self._lock:
            self._gone.update(names)
            for name in names:
                self._path(name).unlink(missing_ok=True)
                self._coming.pop(name, None)

    def close(self) -> None:
        """Stop making films."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{Path(name).stem}.mp4"

    def _film(self, name: str) -> Path | None:
        path = self._path(name)
        if name in self._gone:
            return None
        if not path.exists():
            film = self._make(name)
            with self._lock:
                if name in self._gone:  # while it was being made
                    return None
                partial = path.with_suffix(".partial")
                partial.write_bytes(film)
                os.replace(partial, path)
        return path


def deleted(labels: Labels) -> set[str]:
    """Return the attempts whose films a person had deleted."""
    return {name for label in labels.labels if label.answer == DELETED for name in label.question.episodes}


class LabelDesk:
    """Asks questions in their order, keeps the answers, and takes them back.

    Args:
        log: of the answers.
        questions: all of them, in order.
        sentences: name of an attempt -> what it was told.
        films: of the attempts.
    """

    def __init__(
        self, *, log: LabelLog, questions: Sequence[Question], sentences: Mapping[str, Sequence[str]], films: Films
    ) -> None:
        self._log, self._sentences, self._films = log, sentences, films
        self._questions = {question.key: question for question in questions}
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._closed = False
        self._look_ahead()

    def state(self) -> dict[str, Any]:
        """Return what the page shows; asks for nothing where all is answered."""
        with self._lock:
            question = self._next()
            answered, total = self._progress()
            same, repeats = self._log.labels.agreement
            return {
                "mode": self._log.mode,
                "question": None if question is None else question.key,
                "sentences": [] if question is None else list(self._sentences[question.episodes[0]]),
                "films": [] if question is None else [Path(name).stem for name in question.episodes],
                "answered": answered,
                "total": total,
                "agreed": same,
                "repeats": repeats,
                "can_undo": not self._closed and self._last() is not None,
            }

    def answer(self, key: str, answer: str, seconds: float | None) -> None:
        """Keep an answer; the same one again changes nothing. It is on the disk when this returns.

        Raises:
            NotAsked: there is no such question or answer, or another one was given already.
        """
        with self._lock:
            self._check_open()
            question = self._known(key)
            if answer not in ANSWERS[self._log.mode] or answer == DELETED:
                raise NotAsked(f"expected one of {', '.join(ANSWERS[self._log.mode][:-1])}, got '{answer}'")
            given = self._log.get(question)
            if given is not None and given.answer != answer:
                raise NotAsked(f"this was answered with '{given.answer}'; take that back first")
            if given is None:
                self._log.add(Label(question=question, answer=answer, labeler="page", seconds=seconds))
            self._look_ahead()

    def undo(self) -> None:
        """Take the last answer back, which is asked again; not one whose films were deleted since.

        Raises:
            NotAsked: there is none.
        """
        with self._lock:
            self._check_open()
            last = self._last()
            if last is None:
                raise NotAsked("there is no answer to take back")
            self._log.withdraw(last)
            self._look_ahead()

    def delete(self, key: str) -> None:
        """Delete the films of a question's attempts, and ask of them no more."""
        with self._lock:
            self._check_open()
            question = self._known(key)
            # First said, then done: what is stopped in between is done when the page is opened again.
            self._log.add(Label(question=question, answer=DELETED, labeler="page"))
            self._films.delete(question.episodes)
            self._look_ahead()

    def film(self, stem: str) -> Path | None:
        """Return the file of a film that may be shown, making it where it is not there yet; None for any other."""
        name = next((n for n in self._sentences if Path(n).stem == stem), None)
        return None if name is None else self._films.want(name).result()

    def wait(self, seconds: float) -> bool:
        """Wait until all is answered, at most so long; tell whether it is."""
        return self._done.wait(seconds)

    def close(self) -> bool:
        """Take no more answers, and none back, if all is answered; tell whether it is."""
        with self._lock:
            self._closed = not self._open()
            return self._closed

    def _check_open(self) -> None:
        if self._closed:
            raise NotAsked("all is answered, and the program has ended")

    def _known(self, key: str) -> Question:
        if key not in self._questions:
            raise NotAsked("there is no such question; look again")
        return self._questions[key]

    def _last(self) -> Question | None:
        """Return the question that was answered last, of those that would be asked again."""
        asked = {question.key for question in self._asked()}
        given = [label.question for label in self._log.labels.labels if label.question.key in asked]
        return given[-1] if given else None

    def _asked(self) -> list[Question]:
        """Return the questions whose films were not deleted."""
        gone = deleted(self._log.labels)
        return [question for question in self._questions.values() if gone.isdisjoint(question.episodes)]

    def _open(self) -> list[Question]:
        return [question for question in self._asked() if self._log.get(question) is None]

    def _next(self) -> Question | None:
        return next(iter(self._open()), None)

    def _progress(self) -> tuple[int, int]:
        asked = self._asked()
        return len(asked) - len(self._open()), len(asked)

    def _look_ahead(self) -> None:
        """Have the films made that are wanted next."""
        coming = self._open()
        for question in coming[:AHEAD]:
            for name in question.episodes:
                self._films.want(name)
        if coming:
            self._done.clear()
        else:
            self._done.set()
