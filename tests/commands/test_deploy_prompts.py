"""Questions at the terminal, with the answers given by a list."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Callable, Sequence

import pytest

from robo_rlft.commands.deploy.prompts import ConsoleOperator
from robo_rlft.rollout.episode import FAILURES


def typed(*lines: str, asked: list[str] | None = None) -> Callable[[str], str]:
    """Return what types these lines, then ends the input."""
    waiting = list(lines)

    def ask(question: str) -> str:
        if asked is not None:
            asked.append(question)
        if not waiting:
            raise EOFError
        return waiting.pop(0)

    return ask


@pytest.mark.parametrize(("lines", "answer"), [(["yes"], True), (["Y"], True), (["no"], False), ([], False)])
def test_only_a_clear_yes_approves(lines: Sequence[str], answer: bool) -> None:
    assert ConsoleOperator(ask=typed(*lines)).approve("go?") is answer


def test_a_yes_that_was_typed_before_the_question_approves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    person, end = pty.openpty()
    with os.fdopen(end) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        operator = ConsoleOperator()
        os.write(person, b"yes\n")  # twice, by an impatient hand, at the question before

        def answer_now(question: str) -> str:
            os.write(person, b"no\n")
            return terminal.readline()

        monkeypatch.setattr(operator, "_ask", answer_now)
        assert operator.present and not operator.approve("go?")
    os.close(person)


def test_it_asks_again_until_it_understands() -> None:
    asked: list[str] = []
    assert ConsoleOperator(ask=typed("", "sure", "yes", asked=asked)).approve("go?")
    assert len(asked) == 3 and asked[1] == asked[0] and asked[2].startswith("'sure' is no answer here. go? [yes/no]")


def test_success_may_be_left_open() -> None:
    assert ConsoleOperator(ask=typed("skip")).success("put a on b") is None
    assert ConsoleOperator(ask=typed()).success("put a on b") is None
    assert ConsoleOperator(ask=typed("y")).success("put a on b") is True


def test_failures_are_chosen_by_number_or_name_and_are_all_known_ones() -> None:
    answers = {ConsoleOperator(ask=typed(str(number))).failure() for number in range(1, len(FAILURES) + 1)}
    assert answers == set(FAILURES)
    assert ConsoleOperator(ask=typed("slipped")).failure() == "slipped"


def test_a_pipe_is_no_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\nyes\n"))
    operator = ConsoleOperator()
    assert not operator.present
    assert not operator.approve("go?") and operator.type_serial("serial?") == "" and operator.line("what?") is None


def test_the_operator_has_the_name_that_was_given_or_that_of_the_login() -> None:
    assert ConsoleOperator(name="Ada", ask=typed()).name == "Ada"
    assert ConsoleOperator(ask=typed()).name
