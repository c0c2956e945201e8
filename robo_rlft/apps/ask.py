"""A web page on which a program asks a person one question at a time, such as the one at a robot's table.

A program asks and waits; the page that `ask_server` serves shows the question and answers. Knows questions and
pictures, nothing of robots, learning or HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import numpy.typing as npt

from robo_rlft.apps.desk import NotAsked
from robo_rlft.evaluation.overlays import png

if TYPE_CHECKING:
    from robo_rlft.apps.ask_server import AskServer

RECENT: Final = 6  # of the last answers, which the page lists
Pictures = Sequence[tuple[str, npt.NDArray[np.uint8]]]  # names, and (H, W, 3) RGB


class AskError(Exception):
    """Nobody can be asked; the message says why."""


@dataclass(frozen=True)
class Choice:
    """One of the answers to a question."""

    value: str  # what `ask` returns
    label: str  # what its button says
    key: str  # that gives it, as browsers name keys: "y", "Enter", "ArrowLeft"

    def __post_init__(self) -> None:
        for name, text in vars(self).items():
            if not 0 < len(text) <= 100 or _clean(text) != text:
                raise ValueError(f"Choice: {name}: expected 1 to 100 characters, got {text!r}")


@dataclass(frozen=True, kw_only=True)
class _Picture:
    name: str
    shape: tuple[int, int]  # rows, columns
    data: bytes  # a PNG file


@dataclass(frozen=True, kw_only=True)
class _Question:
    number: int  # 1, 2, ...: what an answer says that it is an answer to
    text: str
    choices: tuple[Choice, ...]
    pictures: dict[str, _Picture]  # by the names of their files

    def shown(self) -> dict[str, Any]:
        """Return what the page shows of it."""
        pictures = [
            {"file": file, "name": picture.name, "height": picture.shape[0], "width": picture.shape[1]}
            for file, picture in self.pictures.items()
        ]
        choices = [vars(choice) for choice in self.choices]
        return {"number": self.number, "text": self.text, "choices": choices, "pictures": pictures}


@dataclass(frozen=True, kw_only=True)
class _Answer:
    number: int
    question: str
    choice: Choice


class AskDesk:
    """Where a program and the page meet: the program asks and waits, the page answers; safe between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._turn = threading.Lock()  # held by who asks: one question at a time
        self._count = 0  # of questions
        self._version = 0  # grows with whatever the page shows
        self._question: _Question | None = None
        self._answers: dict[int, _Answer] = {}  # by the numbers of their questions
        self._closed = False

    def ask(self, question: str, choices: Sequence[Choice], *, pictures: Pictures = ()) -> str:
        """Ask, wait for the answer, and return its value; another thread's question waits for its turn.

        Args:
            question: what is asked.
            choices: of the answers, in the order of their buttons.
            pictures: what is shown, beside each other.

        Raises:
            AskError: the page was closed, before or while waiting.
            ValueError: the choices cannot be told apart, or a picture is none.
        """
        _check_choices(choices)
        named = [_picture(name, image) for name, image in pictures]
        with self._turn, self._changed:
            if self._closed:
                raise AskError(f"the page is closed: nobody can be asked {question!r}")
            self._count = number = self._count + 1
            files = {f"{number}-{index}": picture for index, picture in enumerate(named)}
            self._show(_Question(number=number, text=_clean(question), choices=tuple(choices), pictures=files))
            try:
                self._changed.wait_for(lambda: self._closed or number in self._answers)
            finally:
                if self._question is not None:  # the wait was broken off, as by Ctrl-C
                    self._show(None)
            if number not in self._answers:
                raise AskError(f"the page was closed before question {number} was answered: {question!r}")
            return self._answers[number].choice.value

    def close(self) -> None:
        """Ask nothing any more; who waits gets an `AskError`."""
        with self._changed:
            self._closed = True
            self._show(None)
            self._changed.notify_all()

    def state(self) -> dict[str, Any]:
        """Return what the page shows."""
        with self._changed:
            recent = list(reversed(self._answers.values()))[:RECENT]
            return {
                "version": self._version,
                "question": None if self._question is None else self._question.shown(),
                "answered": len(self._answers),
                "recent": [{"number": a.number, "question": a.question, "answer": a.choice.label} for a in recent],
            }

    def answer(self, number: int, value: str) -> None:
        """Answer a question; the same answer again changes nothing.

        Raises:
            NotAsked: that question is not asked now, has no such answer, or was answered otherwise.
        """
        with self._changed:
            given = self._answers.get(number)
            if given is not None and given.choice.value == value:
                return
            if given is not None:
                raise NotAsked(f"question {number} was answered already: {given.choice.label}")
            if self._question is None or self._question.number != number:
                raise NotAsked(f"question {number} is not asked now")
            choices = {choice.value: choice for choice in self._question.choices}
            if value not in choices:
                raise NotAsked(f"expected one of {', '.join(choices)}, got '{value}'")
            self._answers[number] = _Answer(number=number, question=self._question.text, choice=choices[value])
            self._show(None)
            self._changed.notify_all()

    def picture(self, file: str) -> bytes | None:
        """Return a picture of the present question, as a PNG file; None where it has none of that name."""
        with self._changed:
            picture = None if self._question is None else self._question.pictures.get(file)
            return None if picture is None else picture.data

    def _show(self, question: _Question | None) -> None:
        self._question = question
        self._version += 1


class AskPage:
    """A page at which a person is asked; a context manager, which closes the page."""

    def __init__(self, *, port: int = 0) -> None:
        """Serve the page.

        Args:
            port: of 127.0.0.1; 0 takes a free one.

        Raises:
            AskError: what serves it is not installed.
            OSError: the port is taken.
        """
        self._desk = AskDesk()
        self._server = _server(self._desk, port)

    @property
    def url(self) -> str:
        """The page's address, token included; whoever knows it can answer."""
        return self._server.url

    def ask(self, question: str, choices: Sequence[Choice], *, pictures: Pictures = ()) -> str:
        """Ask, wait for the answer, and return its value; see `AskDesk.ask`."""
        return self._desk.ask(question, choices, pictures=pictures)

    def close(self) -> None:
        """Stop asking and listening; safe to call twice, and from any thread."""
        self._desk.close()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _server(desk: AskDesk, port: int) -> AskServer:
    try:
        from robo_rlft.apps.ask_server import AskServer
    except ImportError as error:
        raise AskError(f"the page needs what `pip install 'robo_rlft[label]'` installs ({error})") from error
    return AskServer(desk, port=port)


def _check_choices(choices: Sequence[Choice]) -> None:
    for name in ("value", "label", "key"):
        texts = [str(getattr(choice, name)).casefold() for choice in choices]
        if not texts or len(set(texts)) < len(texts):
            raise ValueError(f"choices: expected one or more, each with a {name} of its own, got {list(choices)}")


def _picture(name: str, image: npt.NDArray[np.uint8]) -> _Picture:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"pictures: {name}: expected uint8 (H, W, 3), got {image.dtype} {image.shape}")
    return _Picture(name=_clean(name), shape=(image.shape[0], image.shape[1]), data=png(image))


def _clean(text: str) -> str:
    """Return a text that can be sent: without the halves of characters that a terminal may pass on."""
    return text.encode("utf-8", "replace").decode("utf-8")
