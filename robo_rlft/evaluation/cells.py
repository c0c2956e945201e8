"""Grids and their cells: what one committed JSON file says of one trained policy, and which files there should be.

A grid crosses axes (task, method, seed, ...); every combination of their values is a cell. A cell's file is named by
its key, a hash of all that it depends on, and the grid's manifest `grid.json` lies beside the cells. Cells whose
configs come to the same share a file, so axes are read from the manifest. Knows nothing of how cells are filled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, PositiveInt, TypeAdapter, ValidationError

from robo_rlft.evaluation.files import ResultFileError, read_json, write_bytes

CELL_FORMAT, CELL_VERSION = "robo_rlft.cell", 1
GRID_FORMAT, GRID_VERSION = "robo_rlft.grid", 1
MANIFEST = "grid.json"
_FLAT_LIST = re.compile(r"\[([^][{}\"]*)\]")  # of numbers alone
_Made = TypeVar("_Made")
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class BestOf:
    """What the attempt that a reward likes most of n comes to: one row for each n, one entry a scene."""

    n: tuple[int, ...]
    proxy: tuple[tuple[float, ...], ...]
    success: tuple[tuple[float, ...], ...]
    returns: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One checkpoint on the same scenes for everybody; the sequences have one entry a scene, in the same order."""

    task: str
    split: str
    phase: str
    decoding: str  # "greedy" or "sampled"
    episodes: int  # scenes
    seeds: tuple[int, ...]  # of the scenes
    successes: tuple[int, ...]  # out of `tries`, of each scene
    tries: int
    returns: tuple[float, ...]  # final progress in [0, 1], the mean over the tries
    failures: dict[str, int]  # kind -> count, over all tries
    best_of: BestOf | None = None  # where a reward judged every try


@dataclass(frozen=True, kw_only=True)
class Training:
    """A learning curve of RL: one entry an iteration, the counts cumulative."""

    environment_steps: tuple[int, ...]
    episodes: tuple[int, ...]  # what the environment steps amount to where decisions branch off one episode
    success: tuple[float, ...]  # share of the iteration's rollouts
    returns: tuple[float, ...]  # mean of what the iteration's rollouts were paid; `return` in the file
    true_returns: tuple[float, ...] = ()  # mean increase of the task's progress; empty in older files, as the next two
    kl: tuple[float, ...] = ()  # of an episode, from the policy at the start, nats
    scenes: tuple[int, ...] = ()  # of the iteration; its rollouts of one are alike


@dataclass(frozen=True, kw_only=True)
class Demonstrations:
    """What a demonstrator's episodes came to, failures counted."""

    episodes: int
    successes: int
    environment_steps: int


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a learned reward promises and how often it is right: an entry a share of the pairs, by rising margin."""

    confidence: tuple[Share, ...]  # the mean probability of the order that it tells
    accuracy: tuple[Share, ...]
    pairs: tuple[PositiveInt, ...]


@dataclass(frozen=True, kw_only=True)
class MeasuredReward:
    """How well a learned reward puts attempts that nobody compared in their true order."""

    accuracy: Share  # of the pairs; one that it calls equal counts half
    pairs: PositiveInt
    calibration: Calibration


@dataclass(frozen=True, kw_only=True)
class CellCost:
    """What a step took, child processes included."""

    wall_seconds: float
    cpu_seconds: float
    peak_rss_mb: float  # 1 MB = 10^6 bytes


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is known of one combination of the axes' values."""

    experiment: str
    title: str
    key: str  # 16 hex digits
    axes: dict[str, str]  # axis -> value
    description: str
    command: str  # that filled it
    commit: str | None  # of the last evaluation, like the versions
    versions: dict[str, str]
    # step -> its overrides, but for where and with how many processes it ran; the last made what was evaluated
    overrides: dict[str, tuple[str, ...]]
    evaluations: dict[str, Evaluation]
    training: dict[str, Training]  # step -> curve, of those that learned from rollouts
    demonstrations: dict[str, Demonstrations]  # step -> count
    costs: dict[str, CellCost]  # step -> cost; all evaluations together as "evaluate"
    total: CellCost  # every step once; the greatest memory
    evaluation_overrides: dict[str, tuple[str, ...]] = field(default_factory=dict)  # evaluation -> its overrides
    commits: dict[str, str | None] = field(default_factory=dict)  # step -> the code that ran it
    processors: dict[str, str | None] = field(default_factory=dict)  # step -> what it ran on; empty in older files
    cards: dict[str, str] = field(default_factory=dict)  # step -> the graphics card that trained it
    step_versions: dict[str, dict[str, str]] = field(default_factory=dict)  # step -> packages that it was made with
    digests: dict[str, str] = field(default_factory=dict)  # step -> hash of its config; cells with the same share it
    weights: dict[str, str] = field(default_factory=dict)  # step -> SHA-256 of the weights that it came to
    rewards: dict[str, MeasuredReward] = field(default_factory=dict)  # step -> of those that learned one and tested it
    taken_from: str | None = None  # "GRID/KEY" of the other grid's cell whose steps and evaluations these are


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell that a grid asks for, filled or not."""

    key: str
    axes: dict[str, str]
    description: str


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A manifest: every cell that there should be."""

    experiment: str
    title: str
    command: str  # that fills it
    axes: dict[str, tuple[str, ...]]  # axis -> its values, in the experiment's order
    cells: tuple[PlannedCell, ...]  # in the order in which they are filled


@dataclass(frozen=True, kw_only=True)
class FilledGrid:
    """A grid with the cells that are there."""

    grid: Grid
    cells: tuple[Cell, ...]  # in the manifest's order, with the manifest's axes
    missing: tuple[PlannedCell, ...]

    @property
    def complete(self) -> bool:
        return not self.missing

    def select(self, **axes: str) -> tuple[Cell, ...]:
        """Return the cells that have these values; an axis that is not named may have any."""
        return tuple(c for c in self.cells if all(c.axes.get(a) == v for a, v in axes.items()))


def cell_path(folder: Path, key: str) -> Path:
    """Return where the cell of a key is."""
    return folder / f"{key}.json"


def write_cell(cell: Cell, folder: Path) -> Path:
    """Write a cell, whole or not at all; return its file."""
    path = cell_path(folder, cell.key)
    data = asdict(cell)
    for curve in data["training"].values():
        curve["return"] = curve.pop("returns")
    _write(path, {"format": CELL_FORMAT, "format_version": CELL_VERSION, **data})
    return path


def read_cell(path: Path) -> Cell:
    """Read a cell.

    Raises:
        ResultFileError: The file is missing, foreign, newer than this package, or damaged.
    """
    data = read_json(path, expected=CELL_FORMAT, version=CELL_VERSION)
    training = data.get("training")
    if isinstance(training, dict):
        renamed = {"return": "returns"}
        data["training"] = {
            step: {renamed.get(key, key): value for key, value in curve.items()} if isinstance(curve, dict) else curve
            for step, curve in training.items()
        }
    cell = _made(Cell, data, path)
    for name, evaluation in cell.evaluations.items():
        _check_lengths(path, f"evaluations.{name}", evaluation.episodes, evaluation, ("seeds", "successes", "returns"))
        if not all(0 <= count <= evaluation.tries for count in evaluation.successes):
            raise ResultFileError(
                f"{path}: evaluations.{name}: expected successes from 0 to its {evaluation.tries} tries, got "
                f"{min(evaluation.successes)} to {max(evaluation.successes)}; the file is damaged"
            )
        best = evaluation.best_of
        for row in () if best is None else (*best.proxy, *best.success, *best.returns):
            if len(row) != evaluation.episodes:
                raise ResultFileError(
                    f"{path}: evaluations.{name}.best_of: expected {evaluation.episodes} entries a row, got {len(row)};"
                    " the file is damaged"
                )
    for name, curve in cell.training.items():
        later = [name for name in ("true_returns", "kl", "scenes") if getattr(curve, name)]
        fields = ("environment_steps", "success", "returns", *later)
        _check_lengths(path, f"training.{name}", len(curve.episodes), curve, fields)
    for name, reward in cell.rewards.items():
        table = reward.calibration
        _check_lengths(path, f"rewards.{name}.calibration", len(table.pairs), table, ("confidence", "accuracy"))
    if cell.key != path.stem:
        raise ResultFileError(f"{path}: expected the cell {path.stem}, found the cell {cell.key}; rename the file back")
    return cell


def write_grid(grid: Grid, folder: Path) -> Path:
    """Write a manifest, whole or not at all, and not where it is there already; return its file."""
    path = folder / MANIFEST
    if not path.exists() or read_grid(folder) != grid:
        _write(path, {"format": GRID_FORMAT, "format_version": GRID_VERSION, **asdict(grid)})
    return path


def read_grid(folder: Path) -> Grid:
    """Read the manifest of a folder of cells.

    Raises:
        ResultFileError: It is missing, foreign, newer than this package, or damaged.
    """
    path = folder / MANIFEST
    grid = _made(Grid, read_json(path, expected=GRID_FORMAT, version=GRID_VERSION), path)
    for cell in grid.cells:
        if set(cell.axes) != set(grid.axes) or not all(v in grid.axes[a] for a, v in cell.axes.items()):
            raise ResultFileError(
                f"{path}: expected each cell to have one value of each axis, got {cell.axes} for the axes "
                f"{', '.join(grid.axes)}; the file is damaged"
            )
    return grid


def read_cells(folder: Path) -> FilledGrid:
    """Read a folder's manifest and the cells of it that are there; other files in it are let be.

    Raises:
        ResultFileError: The manifest or a cell cannot be used.
    """
    grid = read_grid(folder)
    there = {cell.key for cell in grid.cells if cell_path(folder, cell.key).exists()}
    read = {key: read_cell(cell_path(folder, key)) for key in sorted(there)}
    return FilledGrid(
        grid=grid,
        cells=tuple(
            replace(read[cell.key], axes=dict(cell.axes), description=cell.description)
            for cell in grid.cells
            if cell.key in there
        ),
        missing=tuple(cell for cell in grid.cells if cell.key not in there),
    )


def missing_cells(grid: Grid, folder: Path) -> tuple[PlannedCell, ...]:
    """Return the cells whose files are not there."""
    return tuple(cell for cell in grid.cells if not cell_path(folder, cell.key).exists())


def total_cost(costs: Sequence[CellCost]) -> CellCost:
    """Return the sums of times and the greatest memory, as steps run one after the other."""
    return CellCost(
        wall_seconds=sum(cost.wall_seconds for cost in costs),
        cpu_seconds=sum(cost.cpu_seconds for cost in costs),
        peak_rss_mb=max((cost.peak_rss_mb for cost in costs), default=0.0),
    )


def _write(path: Path, data: dict[str, Any]) -> None:
    """Write an object with every list on one line: such files are committed, and a line a scene hides what changed."""
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (_FLAT_LIST.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n").encode())


def _made(kind: type[_Made], data: Mapping[str, Any], path: Path) -> _Made:
    told = {key: value for key, value in data.items() if key not in ("format", "format_version")}
    try:
        return TypeAdapter(kind).validate_python(told, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ResultFileError(f"{path}: {where}: {first['msg']}; the file is damaged") from None


def _check_lengths(path: Path, where: str, length: int, record: Any, fields: Sequence[str]) -> None:
    for name in fields:
        found = len(getattr(record, name))
        if found != length:
            raise ResultFileError(
                f"{path}: {where}.{name}: expected {length} entries, got {found}; the file is damaged"
            )
