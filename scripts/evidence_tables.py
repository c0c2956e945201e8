"""Write the tables of docs/evidence.md anew from the figures' JSON files beside it.

Usage: python scripts/evidence_tables.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "evidence.md"
TASKS = ("stack_blocks", "put_block_in_bowl", "block_insertion")
SPLITS = ("seen", "unseen", "paraphrase")
SEEDS = 3
MAIN = {"zero_shot": "CLIP alone", "bc": "BC", "rl": "BC + RL"}
AGAIN = {"bc": "BC", "rl": "BC + RL"}
CONTROLS = {
    "zero_shot": "CLIP alone",
    "k_shot": "a linear read-out of frozen features",
    "bc": "BC",
    "bc_more": "BC, from 2,570 or 7,730 demonstrations",
    "rl": "BC + RL",
    "filtered_bc": "BC, then BC on RL's rollouts",
    "scratch": "RL without demonstrations",
    "bc_random_encoder": "BC, untrained encoder, end to end",
    "rl_random_encoder": "the same + RL, the encoder frozen",
    "scratch_random_encoder": "RL without demonstrations, untrained encoder, frozen",
    "bc_no_prior": "BC, similarity as an input alone",
    "bc_cliport": "BC, CLIPort's fusion of the sentence",
    "bc_cliport_phrases": "BC, CLIPort's fusion of the phrases",
    "rl_cliport_phrases": "the same fusion of the phrases + RL",
}
PICTURES = {"rgbd": "heights and colours", "height": "heights"}


def main() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for name, table in tables().items():
        lines = replaced(lines, name, table)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def tables() -> dict[str, list[str]]:
    """Return name -> lines; the page has "<!-- table NAME -->" above each."""
    return {
        "main": main_table(read("controls"), MAIN),
        "confirmation": main_table(read("confirmation"), AGAIN),
        "controls": controls_table(read("controls")),
        "picture": picture_table(read("picture")),
    }


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((DOCS / "evidence" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def replaced(lines: Sequence[str], name: str, table: Sequence[str]) -> list[str]:
    """Return the page with another table below a marker."""
    begin = lines.index(f"<!-- table {name} -->") + 2  # an empty line is between
    end = begin
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return [*lines[:begin], *table, *lines[end:]]


def main_table(content: Mapping[str, Any], methods: Mapping[str, str]) -> list[str]:
    """Return success of some methods, and RL minus BC, of each task."""
    rows = {(row["task"], row["row"]): row for row in content["rows"]}
    paired = {(d["task"], d["better"], d["base"], d["evaluation"]): d for d in content["paired"]}
    lines = table_head(["", *SPLITS])
    for task in TASKS:
        for method, name in methods.items():
            found = rows[task, method]["evaluations"]
            lines.append(table_line([f"`{task}`, {name}", *(spoken(found[split]) for split in SPLITS)]))
        differences = [paired[task, "rl", "bc", split] for split in SPLITS]
        lines.append(table_line(["RL minus BC", *map(difference, differences)]))
    return lines


def controls_table(content: Mapping[str, Any]) -> list[str]:
    """Return every row's means and what it cost."""
    rows = {(row["task"], row["row"]): row for row in content["rows"]}
    lines = table_head(
        ["seen, unseen, paraphrase; CPU-s", "stacks", "three blocks into bowls", "elbow", "peak memory, MB"]
    )
    for method, name in CONTROLS.items():
        some = [rows.get((task, method)) for task in TASKS]
        peaks = [row["cost"]["peak_rss_mb"] for row in some if row is not None and row["cost"] is not None]
        told = ["" if row is None else means(row, method) for row in some]
        lines.append(table_line([name, *told, f"{max(peaks):,.0f}" if peaks else ""]))
    return lines


def means(row: Mapping[str, Any], method: str) -> str:
    """Return "0.98, 0.99, 0.78 (2); 410 (1)": the means, CPU-seconds, and of how many seeds each is where of fewer."""
    if not row["evaluations"]:
        return ""
    told = ", ".join(f"{row['evaluations'][split]['mean']:.2f}" for split in SPLITS)
    fewer = len(row["seeds"]) < SEEDS and method != "zero_shot"
    cost = row["cost"]
    some = f" ({cost['seeds']})" if cost["seeds"] < len(row["seeds"]) else ""
    seconds = f"{cost['training_cpu_seconds']:,.0f}{'*' if cost['cards'] else ''}{some}"
    return f"{told} ({len(row['seeds'])}); {seconds}" if fewer else f"{told}; {seconds}"


def picture_table(content: Mapping[str, Any]) -> list[str]:
    """Return success with and without colours."""
    splits = {"seen": "seen, validation", "unseen": "unseen, validation"} | {s: s for s in ("novel", "combinations")}
    lines = table_head(["elbow, three seeds", *splits.values()])
    rows = {(row["axes"]["picture"], row["axes"]["method"]): row for row in content["rows"]}
    for picture, name in PICTURES.items():
        for method, label in AGAIN.items():
            found = rows[picture, method]["evaluations"]
            lines.append(table_line([f"{label}, {name}", *(spoken(found[split]) for split in splits)]))
    return lines


def spoken(value: Mapping[str, float]) -> str:
    return f"{value['mean']:.2f} ({value['low']:.2f} to {value['high']:.2f})"


def difference(value: Mapping[str, Any]) -> str:
    seeds = value["with_seeds"]
    return (
        f"{value['mean']:+.2f} ({value['low']:+.2f} to {value['high']:+.2f})"
        f" [{seeds['low']:+.2f} to {seeds['high']:+.2f}]"
    )


def table_head(names: Sequence[str]) -> list[str]:
    return [table_line(names), "|" + "---|" * len(names)]


def table_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
