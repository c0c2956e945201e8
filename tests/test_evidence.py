"""The tables of docs/evidence.md say what the figures' JSON files say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
LABELS = {"CLIP alone": "zero_shot", "BC": "bc", "BC + RL": "rl"}
SPLITS = ("seen", "unseen", "paraphrase")


def table_rows(first: str) -> list[list[str]]:
    """Return the cells of the table rows of the page that begin with a text."""
    lines = (DOCS / "evidence.md").read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith(f"| {first}")]


def controls() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((DOCS / "evidence" / "controls.json").read_text(encoding="utf-8"))
    return content


def spoken(value: dict[str, float], form: str = ".2f") -> str:
    return f"{value['mean']:{form}} ({value['low']:{form}} to {value['high']:{form}})"


@pytest.mark.parametrize("task", ["stack_blocks", "put_block_in_bowl", "block_insertion"])
def test_success_is_that_of_all_planned_seeds(task: str) -> None:
    made = {row["row"]: row for row in controls()["rows"] if row["task"] == task}
    rows = table_rows(f"`{task}`, ")
    assert len(rows) == len(LABELS)
    for name, *cells in rows:
        row = made[LABELS[name.split(", ")[1]]]
        assert len(row["seeds"]) == row["seeds_planned"] == 3
        assert cells == [spoken(row["evaluations"][split]) for split in SPLITS]


def test_differences_are_those_of_the_tasks_in_order() -> None:
    paired = {(d["task"], d["evaluation"]): d for d in controls()["paired"]}
    rows = table_rows("RL minus BC")
    for (_, *cells), task in zip(rows, ["stack_blocks", "put_block_in_bowl", "block_insertion"], strict=True):
        for cell, split in zip(cells, SPLITS, strict=True):
            d = paired[task, split]
            seeds = d["with_seeds"]
            assert cell == f"{spoken(d, '+.2f')} [{seeds['low']:+.2f} to {seeds['high']:+.2f}]"
            assert len(d["seeds"]) == 3
