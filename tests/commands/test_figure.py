"""`figure` draws the cells that are there and tells of those that are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robo_rlft.commands.cli import main
from tests.evaluation.evidence.grids import Axes, Contents, filled, of, seen

AXES = {"task": ["stack"], "method": ["bc", "rl", "scratch"], "rotations": ["4", "36"], "seed": ["0", "1"]}


def contents(axes: Axes) -> Contents | None:
    return None if axes["method"] == "rl" and axes["seed"] == "1" else of(seen(1, 0, axes["method"] == "rl"))


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    filled(tmp_path / "results" / "tiny", AXES, contents)
    return tmp_path / "results" / "tiny"


def test_a_figure_of_cells_is_drawn_and_what_is_missing_is_named(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["figure", "name=table", f"from={cells}", "only=[method:bc,method:rl]", "pairs=[rl:bc]"]) == 0
    output = capsys.readouterr().out
    assert "missing: task stack, method rl, rotations 4: seed 1" in output
    assert "6 cells there, 2 missing" in output
    data = json.loads((cells / "table.json").read_text())
    assert (data["format"], data["commits"], len(data["cells"])) == ("robo_rlft.figure", ["abc"], 6)
    assert {row["axes"]["method"] for row in data["rows"]} == {"bc", "rl"}
    assert (cells / "table.md").read_text().startswith("Success")
    assert (cells / "table.png").exists() and (cells / "table.svg").exists()
    # The figure's own files beside the cells are not taken for cells.
    assert main(["figure", "name=sweep", "x=rotations", f"from={cells}", "output=drawn/turns"]) == 0
    assert (cells.parent.parent / "drawn" / "turns.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["name=training"], "curves of RL, found none yet"),
        (["name=pass_at_k"], "several tries of each scene"),
        (["name=sweep"], "x: expected the axis"),
        (["name=table", "only=[method]"], "expected axis:value"),
        (["name=table", "pairs=[rl:ppo]"], "got rl:ppo"),
        (["name=success"], "holds a grid's cells"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    cells: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["figure", f"from={cells}", *arguments]) == 2
    assert message in capsys.readouterr().err
