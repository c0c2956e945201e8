"""A grid takes from the grids beside it what they measured already, and nothing that only looks alike."""

from __future__ import annotations

import dataclasses
from copy import deepcopy
from pathlib import Path

import pytest
from rich.console import Console

from robo_rlft.commands.experiment import read_experiment
from robo_rlft.commands.grid import Filler
from robo_rlft.commands.grid_plan import GridPlan, plan_grid
from robo_rlft.commands.grid_shared import read_others, take_over
from robo_rlft.evaluation.cells import Cell, cell_path, read_cells, total_cost, write_cell
from tests.commands.test_grid import NODE, Machine

ONE, OTHER = Path("results/one"), Path("results/other")


def planned(name: str, *, episodes: int = 3, folder: str | None = None) -> GridPlan:
    """A grid; "other" asks for BC alone, on unseen words alone, under another name."""
    node = deepcopy(NODE)
    node["steps"][0]["overrides"] = [f"episodes={episodes}"]
    if name == "other":
        node["grid"]["axes"] = {"way": {"cloned": node["grid"]["axes"]["method"]["bc"]}}
        node["grid"]["evaluate"] = [{"name": "held_out", "overrides": ["split=unseen"]}]
    experiment = read_experiment(node)
    assert experiment.grid is not None
    place = Path("runs", folder or name)
    return plan_grid(experiment, experiment.grid, place, name=name, command=f"robo-rlft run {name}")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """With one grid filled."""
    monkeypatch.chdir(tmp_path)
    machine = Machine()
    fill(planned("one"), ONE, machine)
    machine.began.clear()
    return machine


def fill(plan: GridPlan, results: Path, machine: Machine, *, share: bool = True) -> str:
    console = Console(record=True, width=200)
    Filler(plan=plan, results=results, console=console, start=machine.start, share=share).fill()
    return console.export_text()


def source() -> Cell:
    (cell,) = read_cells(ONE).select(method="bc")
    return cell


def test_what_another_grid_measured_is_taken_and_nothing_runs(machine: Machine) -> None:
    plan = planned("other")
    said = fill(plan, OTHER, machine)
    assert machine.began == []
    (cell,) = read_cells(OTHER).cells
    one = source()
    costs = {step: one.costs[step] for step in ("demos", "bc")}  # what one evaluation of several cost is not known
    assert cell == dataclasses.replace(
        one,
        experiment="other",
        command="robo-rlft run other",
        key=plan.cells[0].cell.key,
        axes={"way": "cloned"},
        evaluations={"held_out": one.evaluations["unseen"]},
        evaluation_overrides={"held_out": one.evaluation_overrides["unseen"]},
        costs=costs,
        total=total_cost(list(costs.values())),
        taken_from=f"one/{one.key}",
    )
    assert f"the same as one/{one.key}" in said


def test_a_cell_that_was_taken_names_where_it_was_measured(machine: Machine) -> None:
    fill(planned("other"), OTHER, machine)
    cell_path(ONE, source().key).unlink()
    third = planned("other", folder="third")
    fill(third, Path("results/third"), machine)
    (cell,) = read_cells(Path("results/third")).cells
    assert machine.began == []
    assert str(cell.taken_from).startswith("one/")


def test_what_was_made_here_counts_before_what_another_grid_measured(machine: Machine) -> None:
    plan = planned("other")
    fill(plan, OTHER, machine, share=False)
    assert machine.began == ["step demos", "step bc", "evaluation held_out"]
    cell_path(OTHER, plan.cells[0].cell.key).unlink()
    fill(plan, OTHER, machine)
    (cell,) = read_cells(OTHER).cells
    assert cell.taken_from is None


@pytest.mark.parametrize(("here", "taken"), [("ab", True), ("cd", False)])
def test_no_cell_is_taken_whose_steps_came_to_other_weights_here(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, here: str, taken: bool
) -> None:
    one = source()
    write_cell(dataclasses.replace(one, weights={"bc": "ab"}), ONE)
    plan = planned("other")
    policy = plan.cells[0].steps["bc"].folder / "policy.safetensors"
    policy.parent.mkdir(parents=True)
    policy.touch()
    monkeypatch.setattr("robo_rlft.commands.grid_shared.read_weights", lambda path: here)
    left = take_over(plan, plan.cells[0], read_others(OTHER))
    assert (left is not None) == taken


def test_what_comes_from_other_steps_runs(machine: Machine) -> None:
    fill(planned("other", episodes=4), OTHER, machine)
    assert machine.began == ["step demos", "step bc", "evaluation held_out"]


def test_an_evaluation_that_would_be_another_today_is_not_taken(machine: Machine) -> None:
    one = source()
    # As if a default had changed since: what is told composes to what the cell's key does not say.
    told = {**one.evaluation_overrides, "seen": (*one.evaluation_overrides["seen"], "episodes=7")}
    write_cell(dataclasses.replace(one, evaluation_overrides=told), ONE)
    fill(planned("other"), OTHER, machine)
    assert machine.began == ["step demos", "step bc", "evaluation held_out"]


def test_overrides_that_no_longer_compose_are_not_taken(machine: Machine) -> None:
    one = source()
    told = {**one.evaluation_overrides, "seen": ("no_such_argument=1",)}
    write_cell(dataclasses.replace(one, evaluation_overrides=told), ONE)
    fill(planned("other"), OTHER, machine)
    assert machine.began == ["step demos", "step bc", "evaluation held_out"]


def test_a_damaged_file_of_another_grid_stops_nothing(machine: Machine) -> None:
    cell_path(ONE, source().key).write_text("{")
    said = fill(planned("other"), OTHER, machine)
    assert "nothing is taken from the grids beside this one" in said
    assert read_cells(OTHER).complete
