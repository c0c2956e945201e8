"""Count a row's successes by the form of the sentence, or by a goal's colour: which scenes are the hard ones?

Usage: python scripts/failures_by.py TARGET.json GRID_FOLDER EVALUATION sentence|pick|place AXIS=VALUE...

Reads the cells of a grid that have these values; a scene's sentences and goals follow from its seed.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from robo_rlft.commands.provenance import commit
from robo_rlft.config import build, compose
from robo_rlft.evaluation.cells import Cell, read_cells
from robo_rlft.evaluation.files import write_json
from robo_rlft.language.vocabulary import COLORS, SHAPES, SYNONYMS

KINDS = ("sentence", "pick", "place")
NAMES = sorted({*COLORS, *SHAPES, *(word for words in SYNONYMS.values() for word in words)}, key=len, reverse=True)
NAMED = re.compile(rf"\b(?:{'|'.join(map(re.escape, NAMES))})s?\b", re.IGNORECASE)


def main(target: Path, folder: Path, evaluation: str, kind: str, axes: dict[str, str]) -> None:
    if kind not in KINDS:
        sys.exit(f"expected one of {', '.join(KINDS)}, got {kind}")
    cells = read_cells(folder).select(**axes)
    if not cells:
        sys.exit(f"expected cells with {axes} in {folder}, found none")
    done, tried = Counter[str](), Counter[str]()
    for cell in cells:
        for names, successes in outcomes(cell, evaluation, kind):
            for name in names:
                tried[name] += cell.evaluations[evaluation].tries
                done[name] += successes
    rows = {name: {"episodes": tried[name], "successes": done[name]} for name in sorted(tried)}
    failed = sorted(rows, key=lambda name: (done[name] - tried[name], name))
    write_json(
        target,
        {
            "format": "robo_rlft.measurements",
            "format_version": 1,
            "command": " ".join(["python scripts/failures_by.py", *sys.argv[1:]]),
            "commit": commit(),
            "seeds": [cell.axes.get("seed") for cell in cells],
            "by": kind,
            "rows": {name: rows[name] for name in failed},
        },
    )
    for name in failed:
        print(f"{tried[name] - done[name]:4d} of {tried[name]:4d} failed: {name}")


def outcomes(cell: Cell, evaluation: str, kind: str) -> list[tuple[set[str], int]]:
    """Return what each scene is counted under, and its successes."""
    found = cell.evaluations[evaluation]
    told = [o for o in cell.evaluation_overrides[evaluation] if not o.startswith("checkpoint=")]
    composed = compose("evaluate", told)
    task = build(composed.values["task"], path="task", rotations=composed.values["rotations"])
    rows = []
    for seed, successes in zip(found.seeds, found.successes, strict=True):
        layout = task.scene(split=found.split, phase=found.phase, seed=seed)
        if kind == "sentence":
            names = {NAMED.sub("_", sentence) for sentence in layout.sentences}
        else:
            names = {getattr(goal, kind).split()[0] for goal in layout.goals}
        rows.append((names, successes))
    return rows


if __name__ == "__main__":
    main(
        Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5], dict(argument.split("=", 1) for argument in sys.argv[5:])
    )
