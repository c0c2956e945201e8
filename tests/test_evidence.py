"""The tables of the pages of evidence say what the figures' JSON files say, and the cells behind them agree."""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from robo_rlft.commands.cli import main
from robo_rlft.evaluation.cells import MANIFEST, Cell, CellCost, read_cells

ROOT = Path(__file__).parents[1]
PAGES = ("evidence", "rewards")  # docs/NAME.md, with its figures in docs/NAME


def script() -> Any:
    spec = importlib.util.spec_from_file_location("evidence_tables", ROOT / "scripts" / "evidence_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_figures() -> None:
    made = script()
    lines = made.PAGE.read_text(encoding="utf-8").splitlines()
    for name, table in made.tables().items():
        assert made.replaced(lines, name, table) == lines, f"run scripts/evidence_tables.py: {name} is another"


def figure_commands() -> dict[str, list[str]]:
    """Return the picture of each `robo-rlft figure` of the pages -> the command's words."""
    text = "\n".join((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") for page in PAGES)
    found = [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("robo-rlft figure ")]
    return {next(word[7:] for word in words if word.startswith("output=")): words for words in found}


def test_every_figure_has_its_command_on_the_page() -> None:
    drawn = {str(path.relative_to(ROOT)) for page in PAGES for path in (ROOT / "docs" / page).glob("*.png")}
    assert set(figure_commands()) == drawn


@pytest.mark.parametrize("picture", figure_commands())
def test_figures_are_those_of_the_cells(picture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = [word for word in figure_commands()[picture] if not word.startswith("output=")]
    assert main([*words, f"output={tmp_path / 'again.png'}"]) == 0
    again, there = (json.loads(path.with_suffix(".json").read_text()) for path in (tmp_path / "again", ROOT / picture))
    assert rounded(again) == rounded(there), f"draw {picture} anew"


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value


def test_the_tables_of_bc_and_rl_are_of_all_seeds() -> None:
    made = script()
    for name, seeds, count in (("controls", 3, 6), ("confirmation", 5, 6), ("picture", 3, 4)):
        rows = [row for row in made.read(name)["rows"] if row["axes"]["method"] in made.AGAIN]
        assert [len(row["seeds"]) for row in rows] == [seeds] * count


def all_cells() -> list[Cell]:
    folders = sorted(path.parent for path in (ROOT / "results").glob(f"*/*/{MANIFEST}"))
    return [cell for folder in folders for cell in read_cells(folder).cells]


def test_cells_that_share_a_step_share_its_weights_and_what_is_told_of_it() -> None:
    weights: dict[tuple[str, bool], set[str]] = {}
    told: dict[tuple[str, CellCost], set[str | None]] = {}
    for cell in all_cells():
        for step, digest in cell.digests.items():
            if step in cell.weights:  # an AMD processor rounds otherwise; older files name none, and had none of these
                amd = (cell.processors.get(step) or "").startswith("AMD")
                weights.setdefault((digest, amd), set()).add(cell.weights[step])
            if cell.costs[step].cpu_seconds > 5.0:  # shorter ones may cost the same by chance
                told.setdefault((digest, cell.costs[step]), set()).add(cell.commits[step])
    assert len(weights) > 100
    assert {key: found for key, found in weights.items() if len(found) > 1} == {}
    assert {key: found for key, found in told.items() if len(found) > 1} == {}
