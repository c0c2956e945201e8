"""Files of sentences for a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from robo_rlft.commands.deploy.command import Told, read_sentences
from robo_rlft.language.instruction import InstructionError


def test_plain_lines_and_json_lines_are_read(tmp_path: Path) -> None:
    told = tmp_path / "told.txt"
    told.write_text('put a cup on the plate\n\n{"sentence": "put the red block in the blue bowl"}\n')
    found = read_sentences(told)
    assert found == (Told(sentence="put a cup on the plate"), Told(sentence="put the red block in the blue bowl"))


def test_a_file_of_sentences_says_which_line_is_wrong(tmp_path: Path) -> None:
    told = tmp_path / "told.jsonl"
    told.write_text('{"sentence": "put the red block in the blue bowl"}\n{"sentence": "hello"}\n')
    with pytest.raises(InstructionError, match="line 2"):
        read_sentences(told)
    told.write_text('{"sentence": "put the red block in the blue bowl", "scene_seed": 3}\n' * 2)
    with pytest.raises(InstructionError, match="each of them once"):
        read_sentences(told)
