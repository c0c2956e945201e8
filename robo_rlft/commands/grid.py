"""Fill a grid's cells: run what each needs and is not there, then write its file.

What is done is done: steps are named by their content, so a killed grid, one with more cells or one with less time
goes on where it was. Knows neither how steps are composed nor what their results hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from robo_rlft.commands.child import ChildError, run_child
from robo_rlft.commands.console import duration
from robo_rlft.commands.grid_cells import is_finished, make_cell
from robo_rlft.commands.grid_plan import CellPlan, GridJob, GridPlan, label
from robo_rlft.commands.runs import CONFIG_FILE, read_config
from robo_rlft.evaluation.cells import PlannedCell, cell_path, missing_cells, write_cell, write_grid

LONG_CELL = 25 * 60.0  # seconds


def start_job(job: GridJob) -> None:
    """Run a step or an evaluation in a process of its own.

    Raises:
        ChildError: it failed.
    """
    overrides = list(job.overrides)
    workers = job.composed.values["workers"]
    if (job.folder / CONFIG_FILE).exists() and read_config(job.folder).get("workers", workers) != workers:
        # The number of workers changes no result, so it is not in the folder's name; but a run keeps its own.
        overrides.append(f"workers={read_config(job.folder)['workers']}")
    run_child(job.composed.command, overrides, config_dirs=job.composed.config_dirs)


@dataclass(kw_only=True)
class Filler:
    """Fills cells one after the other.

    Args:
        plan: What to fill.
        results: The folder of the cells' files.
        console: For people.
        only: Axis -> values; other cells are left alone.
        deadline: When no further step is begun, in seconds of `clock`; None never.
        start: Runs one step or evaluation to its end; raises `ChildError` where it fails.
        clock: Seconds.
    """

    plan: GridPlan
    results: Path
    console: Console
    only: Mapping[str, set[str]] = field(default_factory=dict)
    deadline: float | None = None
    start: Callable[[GridJob], None] = start_job
    clock: Callable[[], float] = time.monotonic
    failed: dict[Path, str] = field(default_factory=dict)  # folder of a step -> what became of it

    def fill(self) -> None:
        """Fill the wanted cells as far as the time goes, and say what is there.

        Raises:
            ChildError: steps failed; the cells that do not need them are filled all the same.
        """
        write_grid(self.plan.grid, self.results)
        wanted = [plan for plan in self.plan.cells if self._wanted(plan.cell)]
        for number, plan in enumerate(wanted, start=1):
            if cell_path(self.results, plan.cell.key).exists():
                continue
            if self._is_over():
                break
            self.console.print(f"[{number}/{len(wanted)}] {label(plan.cell.axes)}", markup=False)
            if self._run(plan):
                self._write(plan)
        self._tell(wanted)
        if self.failed:
            lines = "\n  ".join(f"{folder}: {what}" for folder, what in self.failed.items())
            raise ChildError(f"steps failed: {len(self.failed)}; the same command tries again:\n  {lines}")

    def _wanted(self, cell: PlannedCell) -> bool:
        return all(cell.axes[axis] in values for axis, values in self.only.items())

    def _is_over(self) -> bool:
        return self.deadline is not None and self.clock() >= self.deadline

    def _run(self, plan: CellPlan) -> bool:
        """Run what a cell needs; tell whether all of it is there now."""
        for job in plan.jobs:
            if is_finished(job):
                continue
            if self._is_over() or job.folder in self.failed:
                return False
            self.console.print(f"{job.name}: {job.folder}", markup=False)
            try:
                self.start(job)
            except ChildError as error:
                self.failed[job.folder] = str(error)
                self.console.print(f"{job.name} failed: {error}", markup=False)
                return False
        return True

    def _write(self, plan: CellPlan) -> None:
        cell = make_cell(self.plan, plan)
        path = write_cell(cell, self.results)
        spent = cell.total.wall_seconds
        self.console.print(f"cell: {path}, {duration(spent)}", markup=False)
        if spent > LONG_CELL:
            self.console.print(
                f"warning: a cell should take at most {duration(LONG_CELL)}, this one took {duration(spent)}; "
                "make its steps shorter, or share them with other cells",
                markup=False,
            )

    def _tell(self, wanted: list[CellPlan]) -> None:
        total, missing = len(self.plan.grid.cells), missing_cells(self.plan.grid, self.results)
        keys = {cell.key for cell in missing}
        here = sum(plan.cell.key in keys for plan in wanted)
        rest = f", {len(missing)} are missing" if missing else ", which is all"
        rest += f", {here} of them among those that only= names" if missing and self.only else ""
        self.console.print(f"{total - len(missing)} of {total} cells are in {self.results}{rest}", markup=False)
        strangers = {p.stem for p in self.results.glob("*.json")} - {c.key for c in self.plan.grid.cells} - {"grid"}
        if strangers:
            self.console.print(
                f"note: files there that are no cells of this grid, and that no figure counts: {len(strangers)}",
                markup=False,
            )
        if here:
            self.console.print("the same command fills the next ones", markup=False)
