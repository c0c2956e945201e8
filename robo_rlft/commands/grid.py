"""Fill a grid's cells: run what they need and is not there, then write their files.

What is done is done: steps are named by their content, so a killed grid, one with more cells or one with less time
goes on where it was, and what a grid beside it measured is taken from there. Knows neither how steps are composed nor
what their results hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rich.console import Console

from robo_rlft.commands.child import ChildError, Stoppable, sigterm_interrupts, start_child, stop_all
from robo_rlft.commands.console import duration
from robo_rlft.commands.grid_cells import is_finished, make_cell
from robo_rlft.commands.grid_plan import CellPlan, GridJob, GridPlan, label
from robo_rlft.commands.grid_shared import read_others, take_over
from robo_rlft.commands.runs import CONFIG_FILE, read_config
from robo_rlft.config.errors import UserError
from robo_rlft.evaluation.cells import PlannedCell, cell_path, missing_cells, write_cell, write_grid
from robo_rlft.evaluation.files import ResultFileError

LONG_CELL = 25 * 60.0  # seconds
_LOOK_EVERY = 0.1  # seconds between looks at what runs


class Running(Stoppable, Protocol):
    """A step or an evaluation that has begun."""

    def ended(self) -> bool:
        """Tell whether it has ended, and well; raises `ChildError` where it failed."""


def start_job(job: GridJob, log: Path | None = None) -> Running:
    """Start a step or an evaluation in a process of its own; what it says goes to the screen, or into a log."""
    overrides = list(job.overrides)
    workers = job.composed.values["workers"]
    if (job.folder / CONFIG_FILE).exists() and read_config(job.folder).get("workers", workers) != workers:
        # The number of workers changes no result, so it is not in the folder's name; but a run keeps its own.
        overrides.append(f"workers={read_config(job.folder)['workers']}")
    return start_child(job.composed.command, overrides, config_dirs=job.composed.config_dirs, log=log)


@dataclass(kw_only=True)
class Filler:
    """Fills cells, one after the other or several steps beside each other.

    Args:
        plan: What to fill.
        results: The folder of the cells' files.
        console: For people.
        only: Axis -> values; other cells are left alone.
        deadline: When no further step is begun, in seconds of `clock`; None never.
        lanes: Steps and evaluations that run at once; where several do, each writes what it says to a log.
        share: Take cells that the grids whose folders lie beside `results` measured already, and that are not here.
        start: Starts one step or evaluation.
        clock: Seconds.
        wait: Lets some time pass.
    """

    plan: GridPlan
    results: Path
    console: Console
    only: Mapping[str, set[str]] = field(default_factory=dict)
    deadline: float | None = None
    lanes: int = 1
    share: bool = True
    start: Callable[[GridJob, Path | None], Running] = start_job
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep
    failed: dict[Path, str] = field(default_factory=dict)  # folder of a step -> what became of it
    finished: set[Path] = field(default_factory=set)
    running: dict[Path, Running] = field(default_factory=dict)

    def fill(self) -> None:
        """Fill the wanted cells as far as the time goes, and say what is there.

        Raises:
            ChildError: steps failed; the cells that do not need them are filled all the same.
        """
        write_grid(self.plan.grid, self.results)
        wanted = [plan for plan in self.plan.cells if self._wanted(plan.cell)]
        numbers = {plan.cell.key: f"[{number}/{len(wanted)}]" for number, plan in enumerate(wanted, start=1)}
        with sigterm_interrupts():
            try:
                self._work([p for p in wanted if not cell_path(self.results, p.cell.key).exists()], numbers)
            except BaseException:
                stop_all(self.running.values())
                raise
        self._tell(wanted)
        if self.failed:
            lines = "\n  ".join(f"{folder}: {what}" for folder, what in self.failed.items())
            raise ChildError(f"steps failed: {len(self.failed)}; the same command tries again:\n  {lines}")

    def _take_over(self, left: Sequence[CellPlan]) -> None:
        """Write the cells whose steps and evaluations the cells of another grid took already."""
        try:
            others = read_others(self.results) if left else ()
        except ResultFileError as error:
            self.console.print(f"note: nothing is taken from the grids beside this one: {error}", markup=False)
            return
        for plan in left:
            with self._failing(cell_path(self.results, plan.cell.key)):
                cell = take_over(self.plan, plan, others)
                if cell is not None:
                    path = write_cell(cell, self.results)
                    self.console.print(f"cell: {path}, the same as {cell.taken_from}", markup=False)

    def _wanted(self, cell: PlannedCell) -> bool:
        return all(cell.axes[axis] in values for axis, values in self.only.items())

    def _is_over(self) -> bool:
        return self.deadline is not None and self.clock() >= self.deadline

    def _work(self, left: Sequence[CellPlan], numbers: Mapping[str, str]) -> None:
        """Run what cells need, as many steps at once as there are lanes, and write each cell when it has all."""
        for job in {job.folder: job for plan in left for job in plan.jobs}.values():
            with self._failing(job.folder):
                self.finished |= {job.folder} if is_finished(job) else set()
        if self.share:
            self._take_over([plan for plan in left if not self._has_all(plan)])
            left = [plan for plan in left if not cell_path(self.results, plan.cell.key).exists()]
        while True:
            for plan in left:
                if self._has_all(plan) and not cell_path(self.results, plan.cell.key).exists():
                    with self._failing(cell_path(self.results, plan.cell.key)):
                        self._write(plan)
            left = [plan for plan in left if not self._has_all(plan)]
            self._begin(left, numbers)
            if not self.running:
                return
            while not self._end_some():
                self.wait(_LOOK_EVERY)

    @contextmanager
    def _failing(self, what: Path) -> Iterator[None]:
        """Note what cannot be used, and go on with the rest."""
        try:
            yield
        except (UserError, ResultFileError) as error:
            self.failed[what] = str(error)
            self.console.print(f"{what} failed: {error}", markup=False)

    def _has_all(self, plan: CellPlan) -> bool:
        return all(job.folder in self.finished for job in plan.jobs)

    def _begin(self, left: Sequence[CellPlan], numbers: Mapping[str, str]) -> None:
        """Start what can be started, in the order of the cells."""
        for plan, job in ((cell, job) for cell in left for job in cell.jobs):
            if len(self.running) >= self.lanes or self._is_over():
                return
            begun = job.folder in self.finished or job.folder in self.failed or job.folder in self.running
            if begun or not self.finished.issuperset(job.needs):
                continue
            self.console.print(f"{numbers[plan.cell.key]} {label(plan.cell.axes)}", markup=False)
            log = job.folder.with_name(f"{job.folder.name}.log") if self.lanes > 1 else None
            self.console.print(f"{job.name}: {log or job.folder}", markup=False)
            with self._failing(job.folder):
                self.running[job.folder] = self.start(job, log)

    def _end_some(self) -> bool:
        """Take note of what has ended; tell whether anything has."""
        ended = []
        for folder, one in self.running.items():
            with self._failing(folder):
                if not one.ended():
                    continue
                self.finished.add(folder)
            ended.append(folder)
        for folder in ended:
            del self.running[folder]
        return bool(ended)

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
