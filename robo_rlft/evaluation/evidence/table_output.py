"""The evidence's table as Markdown, as a forest plot and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robo_rlft.evaluation.evidence.drawing import GRAY, Drawn, color_of, title
from robo_rlft.evaluation.evidence.groups import INTERVAL, METHOD, Group
from robo_rlft.evaluation.evidence.table import (
    Difference,
    EvidenceTable,
    Row,
    counted,
    evidence_table,
    shares,
    signed,
)
from robo_rlft.evaluation.figures import STYLE
from robo_rlft.evaluation.tables import Pair

COLUMN, ROW, LETTER = 2.1, 0.3, 0.1  # inches of the forest plot
LEGEND = (
    "Success: mean over seeds, with the 95 % interval over scenes (bootstrap of scenes, jointly over the seeds: how "
    "sure the mean is for these seeds; at least Wilson's where all but a few scenes came to the same). In square "
    "brackets of differences: for other seeds too (Student's t over the seeds' means). *Worse* is judged by scenes "
    "alone, a gain with the square brackets. Costs: mean over seeds of what the row takes from nothing, steps that "
    "rows share counted in each; peak memory: the greatest of all seeds, of training and evaluating. Seeds that a "
    "graphics card trained count for success, not for costs, unless there is no other; a number in brackets says of "
    "how many seeds a cost is where it is not of all. Costs are as measured, mostly beside other work on the same two "
    "cores: alone they are less."
)


def table(groups: Sequence[Group], *, pairs: Sequence[Pair] | None = None) -> Drawn:
    """Make the table: a forest plot, its Markdown and its numbers.

    Raises:
        ValueError: No cell is there, or a pair cannot be compared.
    """
    made = evidence_table(groups, pairs=pairs)
    data = {
        "interval": INTERVAL,
        "evaluations": made.evaluations,
        "rows": [row.to_json() for row in made.rows],
        "paired": [difference.to_json() for difference in made.differences],
        "notes": made.notes,
    }
    return Drawn(figure=forest(made), data=data, texts={"md": markdown(made)})


def markdown(made: EvidenceTable) -> str:
    """Return the table as Markdown, a section a task."""
    lines = [LEGEND, ""]
    lines += [f"- {note}" for note in made.notes] + [""] * bool(made.notes)
    for task in made.tasks:
        rows, columns = made.of(task), made.evaluations
        costs = ["seeds", "CPU-s, training", "CPU-s, evaluation", "peak MB"]
        lines += [f"### {title(task)}", ""] * bool(task)
        main = [[title(row.label), *_cells(row, columns), *_costs(row)] for row in rows]
        names = [heading(rows, name) for name in columns]
        lines += _table(["success", *names, *costs], main)
        mine = [d for d in made.differences if d.task == task]
        if mine:
            lines += _table(["paired difference", *names], _paired(mine, columns))
        if any(len(row.group.cells) > 1 for row in rows):
            lines += _table(["success by seed", *names], _each(rows, columns, _by_seed))
        lines += _table(["failures, share of episodes", *names], _each(rows, columns, _kinds))
    return "\n".join(lines).rstrip() + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def heading(rows: Sequence[Row], evaluation: str) -> str:
    """Return an evaluation's name, with its phase where it is not of test scenes."""
    phases = {c.evaluations[evaluation].phase for r in rows for c in r.group.cells if evaluation in c.evaluations}
    return title(evaluation) if phases <= {"test"} else f"{title(evaluation)} ({', '.join(map(title, sorted(phases)))})"


def _cells(row: Row, columns: Sequence[str]) -> list[str]:
    found = []
    for name in columns:
        result = row.results.get(name)
        s = None if result is None else result.success
        found.append("" if s is None else f"{s.mean:.2f} ({s.low:.2f} to {s.high:.2f})")
    return found


def _costs(row: Row) -> list[str]:
    if row.cost is None:
        return [counted(row), "", "", ""]
    cost = row.cost
    numbers = (cost.training_cpu_seconds, cost.evaluation_cpu_seconds, cost.peak_rss_mb)
    fewer = f" ({cost.seeds})" if cost.seeds < len(row.group.cells) else ""
    return [counted(row), *(f"{number:,.0f}{'*' if cost.cards else ''}{fewer}" for number in numbers)]


def _each(rows: Sequence[Row], columns: Sequence[str], cell: Callable[[Row, str], str]) -> list[list[str]]:
    return [[title(row.label), *(cell(row, name) for name in columns)] for row in rows if row.results]


def _by_seed(row: Row, name: str) -> str:
    return ", ".join(f"{v:.2f}" for v in row.results[name].by_seed.values()) if name in row.results else ""


def _kinds(row: Row, name: str) -> str:
    return shares(row.failures[name]) if name in row.failures else ""


def _paired(differences: Sequence[Difference], columns: Sequence[str]) -> list[list[str]]:
    rows: dict[str, dict[str, str]] = {}
    for d in differences:
        seeds = f"[{d.with_seeds.low:+.2f} to {d.with_seeds.high:+.2f}]" if len(d.seeds) > 1 else ""
        text = f"{signed(d.difference)} {seeds}".strip()
        worse = d.difference.high < 0
        told = rows.setdefault(f"{title(d.better)} minus {title(d.base)}", {})
        told[d.evaluation] = f"**{text} worse**" if worse else text
    return [[name, *(row.get(column, "") for column in columns)] for name, row in rows.items()]


def forest(made: EvidenceTable) -> Figure:
    """Draw every row's success with its interval and its seeds: a column an evaluation, a block a task.

    Rows without a cell are left out; the Markdown has them.
    """
    blocks = {task: [row for row in made.of(task) if row.results] for task in made.tasks}
    blocks = {task: rows for task, rows in blocks.items() if rows}
    names = max(len(_name(row)) for rows in blocks.values() for row in rows)
    with matplotlib.rc_context(STYLE):
        width = max(5.0, 0.8 + 0.09 * names + COLUMN * len(made.evaluations))
        heights = [0.3 + ROW * len(rows) for rows in blocks.values()]
        figure = Figure(figsize=(width, 1.4 + sum(heights)), layout="constrained")
        grid = figure.subplots(
            len(blocks), len(made.evaluations), squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights}
        )
        for i, (task, rows) in enumerate(blocks.items()):
            for j, name in enumerate(made.evaluations):
                axes: Axes = grid[i][j]
                _panel(axes, rows, name)
                axes.set_yticks(range(len(rows)), [_name(row) for row in rows] if j == 0 else [])
                if i == 0:
                    axes.set_title(heading(made.rows, name))
            letters = max(1, int(heights[i] / LETTER))
            told = textwrap.fill(title(task), letters, break_long_words=False)
            grid[i][0].set_ylabel(told, fontweight="bold")
        figure.supxlabel(
            "success; bar: 95 % interval over scenes; small dots: seeds; dotted line: 0.9", fontsize=11, color=GRAY
        )
    return figure


def _name(row: Row) -> str:
    return title(row.label) + (f" ({counted(row)} seeds)" if row.group.missing else "")


def _panel(axes: Axes, rows: Sequence[Row], evaluation: str) -> None:
    for i, row in enumerate(rows):
        result = row.results.get(evaluation)
        if result is None:
            continue
        color, s = color_of(row.group.axes.get(METHOD, row.label)), result.success
        axes.plot([s.low, s.high], [i, i], color=color, linewidth=3.5, alpha=0.5, solid_capstyle="butt")
        seeds = list(result.by_seed.values())
        if len(seeds) > 1:
            axes.plot(seeds, [i + 0.3] * len(seeds), ".", color=color, markersize=3.5)
        axes.plot([s.mean], [i], marker="o", color=color, markersize=5)
    axes.set(xlim=(-0.04, 1.04), ylim=(len(rows) - 0.4, -0.6))
    axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "", "0.5", "", "1"])
    axes.axvline(0.9, color=GRAY, linewidth=0.8, linestyle=":")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
