"""A web page on which a person shows what to do: click what to pick, click where it goes.

One page for one person at this machine; it needs no network. Knows pictures and pixels, nothing of robots and HTTP:
whoever drives a robot asks the `Desk`, which waits for the page that `click_server` serves. Pixels are (row, column) of
the workspace's grid.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from robo_rlft.evaluation.overlays import landscape, png
from robo_rlft.geometry import Workspace
from robo_rlft.language.instruction import InstructionError
from robo_rlft.language.phrases import find_phrases
from robo_rlft.rollout.episode import FAILURES

POLL: Final = 0.5  # seconds between two looks at whether the program is to stop


class ClickError(ValueError):
    """What the page sent cannot be; the message says what was expected and what came."""


@dataclass(frozen=True, kw_only=True)
class Clicked:
    """What a person showed."""

    sentence: str
    pick: tuple[int, int]  # pixel (row, column)
    place: tuple[int, int]
    rotation: int  # bin


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a person says of the outcome."""

    success: bool
    failure: str | None  # one of FAILURES


@dataclass(frozen=True, kw_only=True)
class _LookAgain:
    """The table has changed since the picture."""


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What the page shows at the moment; `kind` is "wait", "click", "outcome" or "end"."""

    kind: str
    number: int
    text: str = ""
    sentence: str = ""
    editable: bool = False  # the person types the sentence
    color: npt.NDArray[np.uint8] | None = field(default=None, repr=False)  # (H, W, 3)
    title: str = ""


class Desk:
    """Where a program and the page meet: the program asks and waits, the page answers; safe between threads."""

    def __init__(self, *, workspace: Workspace, rotations: int, on_stop: Callable[[], None] | None = None) -> None:
        """Make a desk with nothing on it.

        Args:
            workspace: of the pictures.
            rotations: bins of a turn that can be chosen; 1 hides the choice.
            on_stop: stops what moves, from any thread; None where nothing needs stopping.
        """
        self.workspace, self.rotations, self.on_stop = workspace, rotations, on_stop
        self._changed = threading.Condition()
        self._question = _Question(kind="wait", number=0, text="Starting ...")
        self._said = ""  # of the last action; shown beside the next question
        self._looked = False  # the page has seen the present question
        self._answer: Clicked | Answer | _LookAgain | None = None

    # For the program ------------------------------------------------------------------------------------------------

    def clicks(self, color: npt.NDArray[np.uint8], *, sentence: str, editable: bool, title: str) -> Clicked | None:
        """Show a scene (H, W, 3) and wait until somebody has shown what to do.

        Args:
            color: the picture, RGB.
            sentence: what is to be done.
            editable: a real table: the person says what is to be done, and may ask for a new picture.
            title: which scene this is.

        Returns:
            What was shown; None where a new picture was asked for.
        """
        answer = self._ask(kind="click", color=color, sentence=sentence, editable=editable, title=title)
        assert isinstance(answer, Clicked | _LookAgain)
        return answer if isinstance(answer, Clicked) else None

    def outcome(self, color: npt.NDArray[np.uint8], *, sentence: str, title: str) -> Answer:
        """Show the scene afterwards and wait until somebody has said whether it was done."""
        answer = self._ask(kind="outcome", color=color, sentence=sentence, title=title)
        assert isinstance(answer, Answer)
        return answer

    def say(self, text: str) -> None:
        """Show a line while the program works, and beside what it asks next."""
        with self._changed:
            self._said = text
            self._show(kind="wait", text=text)

    def end(self, text: str, *, patience: float = 2.0) -> None:
        """Show a line for good, and wait until the page has it, for `patience` seconds at most."""
        with self._changed:
            self._show(kind="end", text=text)
            self._changed.wait_for(lambda: self._looked, timeout=patience)

    def _ask(self, **shown: Any) -> Clicked | Answer | _LookAgain:
        with self._changed:
            self._answer = None
            self._show(text=self._said, **shown)
            self._said = ""
            while self._answer is None:
                self._changed.wait(POLL)  # in pieces, so that Ctrl-C is heard
            return self._answer

    def _show(self, **shown: Any) -> None:
        self._question = _Question(number=self._question.number + 1, **shown)
        self._looked = False
        self._changed.notify_all()

    # For the page ---------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what the page is to show."""
        with self._changed:
            self._looked = True
            self._changed.notify_all()
            q, grid = self._question, self.workspace
        return {
            "kind": q.kind,
            "number": q.number,
            "text": q.text,
            "title": q.title,
            "sentence": q.sentence,
            "editable": q.editable,
            "rows": grid.rows,
            "columns": grid.columns,
            "pixel_size": grid.pixel_size,
            "x_min": grid.x_min,
            "y_min": grid.y_min,
            "rotations": self.rotations,
            "picture": q.color is not None,
            "can_stop": self.on_stop is not None,
        }

    def picture(self) -> bytes | None:
        """Return the scene as people see it, from behind the robot, as a PNG; None where there is none."""
        color = self._question.color
        return None if color is None else png(landscape(color))

    def receive(self, data: Mapping[str, Any]) -> None:
        """Take what the page sent.

        Raises:
            ClickError: it is not an answer to what was asked; nothing happens.
        """
        with self._changed:
            if data.get("number") != self._question.number or self._answer is not None:
                raise ClickError("this was answered already, or the page is old: look again")
            if self._question.editable and data.get("look") is True:
                self._answer = _LookAgain()
            elif self._question.kind == "click":
                self._answer = self._clicked(data)
            elif self._question.kind == "outcome":
                self._answer = _outcome(data)
            else:
                raise ClickError("nothing is asked at the moment")
            self._show(kind="wait", text="Working ...")

    def _clicked(self, data: Mapping[str, Any]) -> Clicked:
        sentence = self._question.sentence
        if self._question.editable:
            try:
                sentence = str(data.get("sentence", "")).strip()
                find_phrases(sentence)
            except InstructionError as error:
                raise ClickError(str(error)) from error
        rotation = data.get("rotation", 0)
        if type(rotation) is not int or not 0 <= rotation < self.rotations:
            raise ClickError(f"expected a rotation from 0 to {self.rotations - 1}, got {rotation!r}")
        pick, place = self._pixel(data, "pick"), self._pixel(data, "place")
        return Clicked(sentence=sentence, pick=pick, place=place, rotation=rotation)

    def _pixel(self, data: Mapping[str, Any], name: str) -> tuple[int, int]:
        value = data.get(name)
        whole = isinstance(value, list) and len(value) == 2 and all(type(v) is int for v in value)
        if not isinstance(value, list) or not whole or not bool(self.workspace.contains(value)):
            raise ClickError(f"expected {name} as a pixel [row, column] on {self.workspace.shape}, got {value!r}")
        return value[0], value[1]


def _outcome(data: Mapping[str, Any]) -> Answer:
    success, failure = data.get("success"), data.get("failure")
    if type(success) is not bool or (not success and failure not in FAILURES):
        raise ClickError(f"expected success, or one of {', '.join(FAILURES)}; got {success!r}, {failure!r}")
    return Answer(success=success, failure=None if success else str(failure))


class ClickDemonstrator:
    """`demonstrator=click`: the settings of the page; `collect` opens it and records what is shown on it."""

    def __init__(self, *, port: int = 0) -> None:
        """Take the page's settings.

        Args:
            port: of 127.0.0.1; 0 takes a free one.

        Raises:
            ValueError: a port that is none.
        """
        if not 0 <= port < 65536:
            raise ValueError(f"expected a port from 0 to 65535, got {port}")
        self.port = port
