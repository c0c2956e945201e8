"""The user's file of sentences: what is read, and what is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robo_rlft.evaluation.instructions import EXAMPLE, InstructionLine, read_instructions
from robo_rlft.language.instruction import InstructionError

GOOD = {"scene_seed": 3, "sentence": "put the red block in the blue bowl", "pick": "red block", "place": "blue bowl"}


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_lines_with_and_without_a_goal_are_read(tmp_path: Path) -> None:
    free = {"scene_seed": 0, "sentence": "tidy the table up", "pick": None}
    lines = read_instructions(write(tmp_path / "i.jsonl", GOOD, "", free))
    assert lines == (
        InstructionLine(scene_seed=3, sentence=str(GOOD["sentence"]), pick="red block", place="blue bowl"),
        InstructionLine(scene_seed=0, sentence="tidy the table up", pick=None, place=None),
    )
    assert [line.has_goal for line in lines] == [True, False]


def test_the_example_in_the_messages_is_itself_accepted(tmp_path: Path) -> None:
    assert read_instructions(write(tmp_path / "i.jsonl", EXAMPLE))[0].scene_seed == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "expected JSON"),
        ("[1]", "expected an object"),
        ({**GOOD, "scene_seed": -1}, "whole number from 0"),
        ({**GOOD, "scene_seed": True}, "whole number from 0"),
        ({**GOOD, "sentence": " "}, "sentence"),
        ({**GOOD, "sentence": 5}, "sentence"),
        ({**GOOD, "pick": None}, "both, or neither"),
        ({**GOOD, "place": 7}, "as place"),
        ({**GOOD, "color": "red"}, "'color'"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(tmp_path: Path, line: object, message: str) -> None:
    with pytest.raises(InstructionError, match=f"line 3: .*{message}"):
        read_instructions(write(tmp_path / "i.jsonl", GOOD, "", line))


def test_an_empty_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InstructionError, match="at least one line"):
        read_instructions(write(tmp_path / "i.jsonl", ""))
    with pytest.raises(InstructionError, match="could not read"):
        read_instructions(tmp_path / "none.jsonl")
