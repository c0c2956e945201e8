"""Questions to the person at the terminal: the only place where a command waits for a person's word.

`ConsoleOperator` is an `Operator` of `robo_rlft.robots.safety.operator`. Without a terminal there is no person:
whatever is asked then is answered as if one had said no.
"""

from __future__ import annotations

import contextlib
import getpass
import sys
import termios
from collections.abc import Callable, Mapping
from typing import Final

from robo_rlft.rollout.episode import FAILURES

YES: Final = frozenset({"y", "yes"})
NO: Final = frozenset({"n", "no"})
SKIP: Final = frozenset({"s", "skip"})
END: Final = frozenset({"q", "quit", "end", "exit"})
# What a person can see of a failure, in their words.
FAILURE_WORDS: Final[Mapping[str, str]] = {
    "wrong_object": "took another thing",
    "wrong_target": "put it in or on another thing",
    "no_grasp": "held nothing",
    "slipped": "lost it on the way",
    "missed_place": "put it beside the place",
    "wrong_rotation": "turned it the wrong way",
    "disturbed": "pushed things away",
    "timed_out": "did something else",
}
assert set(FAILURE_WORDS) == set(FAILURES)


class ConsoleOperator:
    """The person at the terminal."""

    def __init__(self, *, name: str | None = None, ask: Callable[[str], str] | None = None) -> None:
        """Make an operator.

        Args:
            name: who it is, for the logs; by default the login name.
            ask: shows a question and returns a typed line, raising EOFError at the end of the input; by default
                `input`, where standard input is a terminal.
        """
        terminal = ask is None and sys.stdin is not None and sys.stdin.isatty()
        self._ask = input if terminal else ask
        self._terminal = terminal
        self.name = name or _login_name()

    @property
    def present(self) -> bool:
        """Whether there is anybody to ask."""
        return self._ask is not None

    def line(self, question: str) -> str | None:
        """Return a typed line without its outer white space; None at the end of the input, or with nobody there."""
        if self._ask is None:
            return None
        try:
            return self._ask(f"{question} ").strip()
        except EOFError:
            return None

    def fresh_line(self, question: str) -> str | None:
        """Return a line that was typed after the question, as `line` does."""
        self._forget_typed()
        return self.line(question)

    def approve(self, question: str) -> bool:
        """Ask until the answer is yes or no; the end of the input is a no."""
        self._forget_typed()
        return self._choose(f"{question} [yes/no]", {"yes": YES, "no": NO}, ended="no") == "yes"

    def type_serial(self, question: str) -> str:
        """Return what was typed as the robot's serial number; nothing at the end of the input."""
        self._forget_typed()
        return self.line(f"{question}:") or ""

    def success(self, sentence: str) -> bool | None:
        """Ask whether it was done; None: nobody can say."""
        question = f"was it done: {sentence!r}? [yes/no/skip]"
        answer = self._choose(question, {"yes": YES, "no": NO, "skip": SKIP}, ended="skip")
        return None if answer == "skip" else answer == "yes"

    def failure(self) -> str:
        """Ask what went wrong; one of `FAILURES`."""
        kinds = list(FAILURE_WORDS)
        listed = ", ".join(f"{number} {FAILURE_WORDS[kind]}" for number, kind in enumerate(kinds, start=1))
        choices = {kind: frozenset({str(number), kind}) for number, kind in enumerate(kinds, start=1)}
        return self._choose(f"what went wrong? {listed}:", choices, ended=kinds[-1])

    def _forget_typed(self) -> None:
        """Throw away what was typed before the question: a yes is about what the person has read."""
        if self._terminal:
            with contextlib.suppress(termios.error, OSError, ValueError):
                termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)

    def _choose(self, question: str, choices: Mapping[str, frozenset[str]], *, ended: str) -> str:
        asked = question
        while True:
            typed = self.line(asked)
            if typed is None:
                return ended
            for choice, words in choices.items():
                if typed.lower() in words:
                    return choice
            asked = f"{typed!r} is no answer here. {question}" if typed else question


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return "unnamed"
