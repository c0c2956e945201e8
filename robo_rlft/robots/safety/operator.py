"""The person who answers for a robot's motion, and when that person is asked.

Knows nothing of terminals or web pages: those who have one implement `Operator`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

from robo_rlft.driver import Refused

Confirm = Literal["each", "run"]
TRIES = 3  # of typing a serial number


class Operator(Protocol):
    """A person at the robot, with a hand near the emergency stop."""

    name: str  # is written into the journal

    def approve(self, question: str) -> bool:
        """Ask a yes-or-no question; anything that is not a clear yes is a no."""

    def type_serial(self, question: str) -> str:
        """Ask for the robot's serial number, to be typed from the robot itself, and return what was typed."""


class NoOperator:
    """Nobody is there: refuses everything."""

    name = "nobody"
    reason = "nobody is there to confirm it: give the robot an operator, or keep dry_run=true, where nothing moves"

    def approve(self, question: str) -> bool:
        """Return False: nobody looked."""
        return False

    def type_serial(self, question: str) -> str:
        """Return nothing typed."""
        return ""


class Confirmation:
    """Asks the operator before anything moves: for each action, or once a run with the serial number typed."""

    def __init__(
        self, *, operator: Operator, confirm: Confirm, serial: str, note: Callable[[str, str, object], None]
    ) -> None:
        """Ask nothing yet.

        Args:
            operator: who is asked.
            confirm: "each" or "run".
            serial: what has to be typed for a whole run.
            note: is told (kind of question, question, answer), for the journal.
        """
        self.operator = operator
        self.confirm = confirm
        self.serial = serial
        self._note = note
        self._confirmed = False  # for the whole run
        self._turn = threading.RLock()  # one action at a time
        self._acting: int | None = None  # the thread whose action was approved: another thread's motions are its own

    @property
    def standing(self) -> bool:
        """Whether this thread may move now without a question."""
        return self._confirmed or self._acting == threading.get_ident()

    @contextmanager
    def action(self, description: str) -> Iterator[None]:
        """Ask once for all that is done while the context lasts; an action within an action asks nothing."""
        with self._turn:
            if self._acting == threading.get_ident():
                yield
                return
            self.ask(description)
            self._acting = threading.get_ident()
            try:
                yield
            finally:
                self._acting = None

    @property
    def acting(self) -> bool:
        """Whether an action is under way, in any thread."""
        return self._acting is not None

    def forget(self) -> None:
        """Ask anew from now on, a whole run's confirmation included."""
        self._confirmed = False
        self._acting = None

    def ask(self, description: str) -> None:
        """Ask for one action, unless this thread may move already.

        Raises:
            Refused: rule "operator": not approved, or the serial number was not typed correctly.
        """
        if self.standing:
            return
        if isinstance(self.operator, NoOperator):
            raise Refused(f"operator: '{description}' moves the robot and {NoOperator.reason}", rule="operator")
        if self.confirm == "run":
            self._ask_serial(description)
        elif not self.approve(f"Robot {self.serial}: {description}. Is the way clear?"):
            raise Refused(f"operator: {self.operator.name} did not approve '{description}'", rule="operator")

    def approve(self, question: str) -> bool:
        """Ask a yes-or-no question and note it."""
        answer = self.operator.approve(question) is True
        self._note("approve", question, answer)
        return answer

    def _ask_serial(self, description: str) -> None:
        question = (
            f"First motion of this run: {description}. From then on nothing more is asked. "
            "Type the serial number of the robot that is to move"
        )
        for _ in range(TRIES):
            typed = self.operator.type_serial(question)
            self._note("type_serial", question, typed)
            if isinstance(typed, str) and typed.strip() == self.serial:
                self._confirmed = True
                return
            question = "That is not its serial number. Type it as the robot's label or its teach pendant shows it"
        raise Refused(
            f"operator: the typed serial number is not that of the robot, {TRIES} times; read it from the robot's "
            "label or its teach pendant",
            rule="operator",
        )
