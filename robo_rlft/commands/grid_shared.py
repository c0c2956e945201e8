"""What another grid measured already: a cell from the file of a cell that took the same steps and evaluations.

Files say less than run folders: which overrides an evaluation had, not what they composed to. They are composed anew
here, and believed where the other cell's key, a hash of it all, comes out the same; so a default that changed since
makes a cell run again. Processors round differently: where a step is made here too, its weights must be the other
cell's, so that no cell of a grid goes on from another policy than its neighbours. Knows not how cells are filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from robo_rlft.commands.experiment import with_folders
from robo_rlft.commands.grid_cells import POLICY, read_weights
from robo_rlft.commands.grid_plan import CellPlan, GridPlan, cell_key, config_digest
from robo_rlft.config import ConfigError, compose
from robo_rlft.evaluation.cells import MANIFEST, Cell, read_cells, total_cost


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A cell's file of another grid."""

    source: str  # "GRID/KEY", by the names of its folder and its file
    cell: Cell


def read_others(results: Path) -> tuple[Measured, ...]:
    """Return the cells of the grids whose folders lie beside this one's.

    Raises:
        ResultFileError: A manifest or a cell there cannot be used.
    """
    folders = sorted(path.parent for path in results.resolve().parent.glob(f"*/{MANIFEST}"))
    return tuple(
        Measured(source=f"{folder.name}/{cell.key}", cell=cell)
        for folder in folders
        if folder != results.resolve()
        for cell in read_cells(folder).cells
    )


def take_over(plan: GridPlan, cell: CellPlan, others: Iterable[Measured]) -> Cell | None:
    """Return a cell's record from another grid's with the same steps and at least the same evaluations, or None.

    What the evaluations cost is left out, as the other cell knows it of all of its own together.
    """
    steps = {name: job.digest for name, job in cell.steps.items()}
    for other in others:
        if not steps or other.cell.digests != steps:  # without steps there is little to save
            continue
        if not _agrees_with_what_is_here(cell, other.cell):
            continue
        digests = evaluation_digests(other.cell)
        named = {digest: name for name, digest in digests.items()}
        if any(job.digest not in named for job in cell.evaluations.values()):
            continue
        if cell_key(digests, steps.values()) != other.cell.key:
            continue
        names = {name: named[job.digest] for name, job in cell.evaluations.items()}
        costs = {name: cost for name, cost in other.cell.costs.items() if name in steps}
        return replace(
            other.cell,
            experiment=plan.grid.experiment,
            title=plan.grid.title,
            command=plan.grid.command,
            key=cell.cell.key,
            axes=cell.cell.axes,
            description=cell.cell.description,
            evaluations={name: other.cell.evaluations[old] for name, old in names.items()},
            evaluation_overrides={name: other.cell.evaluation_overrides[old] for name, old in names.items()},
            costs=costs,
            total=total_cost(list(costs.values())),
            taken_from=other.cell.taken_from or other.source,
        )
    return None


def _agrees_with_what_is_here(cell: CellPlan, other: Cell) -> bool:
    """Tell whether the steps that were trained here too came to the same weights."""
    here = {name: path for name, job in cell.steps.items() if (path := job.folder / POLICY).exists()}
    return all(read_weights(path) == other.weights.get(name) for name, path in here.items())


def evaluation_digests(cell: Cell) -> Mapping[str, str]:
    """Return evaluation -> hash of all that it depends on; empty where none is told or one no longer composes."""
    folders = {name: Path("/", digest) for name, digest in cell.digests.items()}
    digests = {str(folder): folder.name for folder in folders.values()}
    try:
        return {
            name: config_digest(compose("evaluate", [with_folders(o, folders, name) for o in told]), digests)
            for name, told in cell.evaluation_overrides.items()
        }
    except ConfigError:
        return {}
