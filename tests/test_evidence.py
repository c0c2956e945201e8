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


CONTROLS = {
    "CLIP alone": "zero_shot",
    "a linear read-out of frozen features": "k_shot",
    "BC": "bc",
    "BC, 2,570 or 7,730 further demonstrations": "bc_more",
    "BC + RL": "rl",
    "BC, then BC on RL's rollouts": "filtered_bc",
    "RL without demonstrations": "scratch",
    "BC, untrained encoder, end to end": "bc_random_encoder",
    "RL without demonstrations, untrained encoder": "scratch_random_encoder",
    "BC, CLIPort's fusion of the sentence": "bc_cliport",
    "BC, CLIPort's fusion of the phrases": "bc_cliport_phrases",
}
TASKS = ("stack_blocks", "put_block_in_bowl", "block_insertion")


def test_the_controls_are_those_of_the_seeds_that_are_there() -> None:
    made = {(row["task"], row["row"]): row for row in controls()["rows"]}
    found = {name: cells for name, *cells in table_rows("") if name in CONTROLS and len(cells) == len(TASKS)}
    for name, method in CONTROLS.items():
        for task, cell in zip(TASKS, found[name], strict=True):
            row = made[task, method]
            fewer = len(row["seeds"]) < row["seeds_planned"] and method != "zero_shot"
            means = ", ".join(f"{row['evaluations'][split]['mean']:.2f}" for split in SPLITS if row["evaluations"])
            assert cell == (f"{means} ({len(row['seeds'])})" if means and fewer else means)


def test_what_colours_do_is_that_of_three_seeds() -> None:
    content = json.loads((DOCS / "evidence" / "picture.json").read_text(encoding="utf-8"))
    rows = table_rows("BC, heights") + table_rows("BC + RL, heights")
    assert len(rows) == len(content["rows"]) == 4
    for name, *cells in rows:
        axes = {
            "method": "rl" if "RL" in name else "bc",
            "picture": "rgbd" if "colours" in name else "height",
        }
        (row,) = [row for row in content["rows"] if axes.items() <= row["axes"].items()]
        assert len(row["seeds"]) == 3
        assert cells == [spoken(row["evaluations"][split]) for split in ("seen", "unseen", "novel", "combinations")]
