"""Aggregate experiment runs of several seeds into one committed table, and print it as Markdown.

Usage: python scripts/aggregate.py results/01/quickstart.json runs/quickstart runs/quickstart-seed1 ...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from robo_rlft.commands.experiment import evaluation_folder
from robo_rlft.commands.runs import read_config
from robo_rlft.evaluation.tables import Cost, aggregate_seeds, write_table


def main(target: Path, folders: list[Path]) -> None:
    runs = {folder: json.loads((folder / "run.json").read_text(encoding="utf-8")) for folder in folders}
    seeds = {folder: int(read_config(folder)["seed"]) for folder in folders}
    files = {seeds[folder]: _files(folder) for folder in folders}
    costs = {seeds[folder]: _cost(folder) for folder in folders}
    commits = sorted({str(run["commit"]) for run in runs.values()})
    if len(commits) != 1:
        sys.exit(f"expected runs of one commit, got {', '.join(commits)}")
    command = "; ".join(f"robo-rlft run experiment=quickstart seed={seed}" for seed in sorted(files))
    table = aggregate_seeds(files, command=command, commit=commits[0], costs=costs)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_table(table, target)
    print(_markdown(table))


def _files(folder: Path) -> dict[str, dict[str, Path]]:
    table = json.loads((folder / "table.json").read_text(encoding="utf-8"))["table"]
    return {m: {s: evaluation_folder(folder, m, s) / "results.json" for s in splits} for m, splits in table.items()}


def _cost(folder: Path) -> Cost:
    table = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    return Cost(**{name: table[name] for name in ("wall_seconds", "cpu_seconds", "peak_rss_mb")})


def _markdown(table: dict[str, Any]) -> str:
    splits = list(next(iter(table["table"].values())))
    lines = [f"| | {' | '.join(splits)} |", "|---" * (len(splits) + 1) + "|"]
    for method, row in table["table"].items():
        lines.append(f"| {method} | {' | '.join(_cell(row[s]['success']) for s in splits)} |")
    for name, row in table["paired"].items():
        lines.append(f"| {name} | {' | '.join(_cell(row[s], sign='+') for s in splits)} |")
    return "\n".join(lines)


def _cell(value: dict[str, float], sign: str = "") -> str:
    return " ".join([f"{value['mean']:{sign}.3f}", f"({value['low']:{sign}.3f} to {value['high']:{sign}.3f})"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
