"""Cells are filled once, in order, as far as time goes, whatever stops the process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from robo_rlft.commands import grid
from robo_rlft.commands.child import ChildError
from robo_rlft.commands.experiment import read_experiment
from robo_rlft.commands.grid import Filler, start_job
from robo_rlft.commands.grid_cells import lasting
from robo_rlft.commands.grid_plan import GridJob, GridPlan, plan_grid
from robo_rlft.commands.runs import open_run, read_run
from robo_rlft.evaluation.cells import CellCost, Demonstrations, Training, read_cell, read_cells
from robo_rlft.evaluation.files import write_json
from robo_rlft.evaluation.results import EvaluationResult, SceneResult, write_results
from tests.commands.ended import Ended

NODE: dict[str, Any] = {
    "steps": [
        {"name": "demos", "command": "collect", "overrides": ["episodes=3"]},
        {"name": "bc", "command": "train", "overrides": ["algorithm=bc", "data={demos}"]},
        {"name": "rl", "command": "train", "overrides": ["algorithm=rloo", "init={bc}/policy.safetensors"]},
    ],
    "grid": {
        "results": "results",
        "axes": {
            "method": {
                "zero_shot": {"checkpoint": "zero_shot"},
                "bc": {"checkpoint": "{bc}/policy.safetensors"},
                "rl": {"checkpoint": "{rl}/policy.safetensors"},
            }
        },
        "evaluate": [{"name": "seen", "overrides": ["split=seen"]}, {"name": "unseen", "overrides": ["split=unseen"]}],
    },
}
METRICS = """step,rollout/episodic_return,rollout/success,rollout/groups,charts/environment_steps
1,0.25,0.5,2,12
2,,,,
3,0.5,1.0,3,31
"""
COST = {"wall_seconds": 10.0, "cpu_seconds": 20.0, "peak_rss_mb": 300.0}


class Machine:
    """Stands in for processes: leaves what commands leave, and tells the time."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.now = 0.0
        self.before: Callable[[GridJob], None] = lambda job: None

    def start(self, job: GridJob, log: Path | None) -> Ended:
        self.began.append(job.name)
        self.now += 60.0
        try:
            self.before(job)
        except ChildError as error:
            return Ended(error)
        command = job.composed.command
        with open_run(job.folder, command=command, config=job.composed.values) as opened:
            if command == "collect":
                opened.notes |= {"episodes": 3, "successes": 2, "environment_steps": 5}
            elif command == "evaluate":
                write_results(self.result(job.composed.values["split"]), job.folder / "results.json")
            elif job.name == "step rl":
                (job.folder / "metrics.csv").write_text(METRICS)
        write_json(job.folder / "run.json", read_run(job.folder) | COST)
        return Ended()

    def result(self, split: str) -> EvaluationResult:
        scenes = tuple(
            SceneResult(
                seed=seed,
                instruction="put it there",
                pick="block",
                place="bowl",
                success=seed == 0,
                return_=1.0 if seed == 0 else 0.5,
                steps=1,
                failure=None if seed == 0 else "slipped",
                confidence=1.0,
            )
            for seed in range(3)
        )
        return EvaluationResult(
            task="put_block_in_bowl",
            split=split,
            phase="test",
            decoding="greedy",
            checkpoint="zero_shot",
            checkpoint_sha256=None,
            scenes=scenes,
        )


@pytest.fixture(scope="module")
def plan() -> GridPlan:
    experiment = read_experiment(NODE)
    assert experiment.grid is not None
    return plan_grid(experiment, experiment.grid, Path("runs/tiny"), name="tiny", command="robo-rlft run")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.chdir(tmp_path)
    return Machine()


@pytest.fixture
def fill(plan: GridPlan, machine: Machine) -> Callable[..., str]:
    def fill(**options: Any) -> str:
        console = Console(record=True, width=200)
        filler = Filler(
            plan=plan,
            results=Path("results"),
            console=console,
            start=machine.start,
            clock=lambda: machine.now,
            **options,
        )
        try:
            filler.fill()
        finally:
            said = console.export_text()
        return said

    return fill


def test_a_cell_runs_what_it_needs_and_nothing_twice(fill: Callable[..., str], machine: Machine) -> None:
    said = fill()
    evaluations = ["evaluation seen", "evaluation unseen"]
    assert machine.began == [*evaluations, "step demos", "step bc", *evaluations, "step rl", *evaluations]
    assert "3 of 3 cells are in results, which is all" in said
    machine.began.clear()
    fill()
    assert machine.began == []


def test_a_cells_file_says_what_was_measured_and_what_it_cost(fill: Callable[..., str], plan: GridPlan) -> None:
    fill()
    filled = read_cells(Path("results"))
    assert filled.complete
    (cell,) = filled.select(method="rl")
    assert (cell.experiment, cell.key) == ("tiny", plan.cells[2].cell.key)
    seen = cell.evaluations["seen"]
    assert (seen.seeds, seen.successes, seen.tries) == ((0, 1, 2), (1, 0, 0), 1)
    assert seen.returns == (1.0, 0.5, 0.5)
    assert seen.failures == {"slipped": 2}
    assert cell.evaluations["unseen"].split == "unseen"
    # By default groups are states, so that the episodes are counted by the scenes: 32 with 4 samples each.
    expected = Training(environment_steps=(12, 31), episodes=(128, 256), success=(0.5, 1.0), returns=(0.25, 0.5))
    assert cell.training == {"rl": expected}
    assert cell.demonstrations == {"demos": Demonstrations(episodes=3, successes=2, environment_steps=5)}
    assert cell.digests == {name: job.digest for name, job in plan.cells[2].steps.items()}
    assert set(cell.step_versions) == {"demos", "bc", "rl"}
    assert cell.weights == {}  # this machine leaves no policies
    # Three steps and two evaluations of 10 s and 20 CPU-seconds each.
    assert list(cell.costs) == ["demos", "bc", "rl", "evaluate"]
    assert cell.costs["evaluate"] == CellCost(wall_seconds=20.0, cpu_seconds=40.0, peak_rss_mb=300.0)
    assert cell.total == CellCost(wall_seconds=50.0, cpu_seconds=100.0, peak_rss_mb=300.0)


def test_where_a_step_ran_is_no_override_of_it() -> None:
    told = ("algorithm=rloo", "workers=2", "seed=1", "trainer.accelerator=gpu", "trainer.max_steps=3")
    assert lasting(told) == ("algorithm=rloo", "seed=1", "trainer.max_steps=3")


def test_a_grid_stopped_anywhere_goes_on_to_the_same_files(fill: Callable[..., str], machine: Machine) -> None:
    fill()
    expected = {path.name: path.read_text() for path in Path("results").iterdir()}
    Path("before").mkdir()
    Path("results").rename("before/results")  # no longer beside, where they would be taken over
    Path("runs").rename("before_runs")
    stops = 0

    def stop_now_and_then(job: GridJob) -> None:
        nonlocal stops
        stops += 1
        if stops % 2:
            raise KeyboardInterrupt

    machine.before = stop_now_and_then
    for _ in range(20):
        try:
            fill()
            break
        except KeyboardInterrupt:
            continue
    assert stops == 2 * 9  # every step and evaluation was stopped once
    assert {path.name: path.read_text() for path in Path("results").iterdir()} == expected


def test_no_step_begins_when_the_time_is_over(fill: Callable[..., str], machine: Machine) -> None:
    # Every step takes a minute: those at 0, 1, 2 and 3 minutes begin, and one cell is whole.
    said = fill(deadline=3.5 * 60.0)
    assert machine.began == ["evaluation seen", "evaluation unseen", "step demos", "step bc"]
    assert "1 of 3 cells are in results, 2 are missing" in said
    assert "the same command fills the next ones" in said
    assert [cell.axes["method"] for cell in read_cells(Path("results")).missing] == ["bc", "rl"]


class Beside(Ended):
    """A step that ends when it was looked at twice; counts how many run at once."""

    now: int = 0
    most: int = 0
    told: int = 0  # to stop

    def __init__(self, made: Ended) -> None:
        super().__init__(made.failure)
        self.looks = 0
        Beside.now += 1
        Beside.most = max(Beside.most, Beside.now)

    def ended(self) -> bool:
        self.looks += 1
        if self.looks < 2:
            return False
        Beside.now -= 1
        return super().ended()

    def stop(self) -> None:
        Beside.told += 1

    def wait(self, deadline: float) -> None:
        Beside.now -= 1


@pytest.mark.parametrize("lanes", [1, 2, 8])
def test_steps_run_beside_each_other_and_none_before_those_that_it_needs(
    plan: GridPlan, machine: Machine, lanes: int
) -> None:
    Beside.now = Beside.most = 0
    logs: list[Path | None] = []
    finished: list[Path] = []

    def start(job: GridJob, log: Path | None) -> Beside:
        logs.append(log)
        assert all(need in filler.finished for need in job.needs)
        finished.append(job.folder)
        return Beside(machine.start(job, log))

    filler = Filler(
        plan=plan, results=Path("results"), console=Console(quiet=True), lanes=lanes, start=start, wait=lambda _: None
    )
    filler.fill()
    assert len(finished) == len(set(finished)) == 9
    assert read_cells(Path("results")).complete
    # The widest moment: zero_shot's two evaluations with the demonstrations, or two of BC with a step of RL.
    assert Beside.most == min(lanes, 3)
    assert all((log is None) == (lanes == 1) for log in logs)


def test_what_runs_beside_is_stopped_when_the_grid_is(plan: GridPlan, machine: Machine) -> None:
    Beside.now = Beside.told = 0

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    filler = Filler(
        plan=plan,
        results=Path("results"),
        console=Console(quiet=True),
        lanes=3,
        start=lambda job, log: Beside(machine.start(job, log)),
        wait=interrupt,
    )
    with pytest.raises(KeyboardInterrupt):
        filler.fill()
    assert (Beside.now, Beside.told) == (0, 3)


@pytest.mark.parametrize("lanes", [1, 3])
def test_what_cannot_be_read_stops_nothing_else(
    fill: Callable[..., str], plan: GridPlan, machine: Machine, lanes: int
) -> None:
    fill(only={"method": {"zero_shot"}})
    damaged = plan.cells[2].evaluations["seen"].folder
    damaged.mkdir(parents=True)
    (damaged / "run.json").write_text("{")
    path = plan.cells[0].evaluations["seen"].folder / "results.json"
    path.write_text("{")
    for result in Path("results").glob("*.json"):
        result.unlink()
    with pytest.raises(ChildError, match="steps failed: 2"):
        fill(lanes=lanes)
    assert [cell.axes["method"] for cell in read_cells(Path("results")).cells] == ["bc"]


def test_only_the_wanted_cells_are_filled(fill: Callable[..., str], machine: Machine) -> None:
    said = fill(only={"method": {"bc"}})
    assert machine.began == ["step demos", "step bc", "evaluation seen", "evaluation unseen"]
    assert "1 of 3 cells are in results, 2 are missing, 0 of them among those that only= names" in said


def test_a_failing_step_stops_those_that_need_it_alone_and_is_told_at_the_end(
    fill: Callable[..., str], machine: Machine
) -> None:
    def fail(job: GridJob) -> None:
        if job.name == "step demos":
            raise ChildError("collect ended with code 2")

    machine.before = fail
    with pytest.raises(ChildError, match=r"steps failed: 1.*\n.*demos-.*: collect ended with code 2"):
        fill()
    assert machine.began == ["evaluation seen", "evaluation unseen", "step demos"]
    assert [cell.axes["method"] for cell in read_cells(Path("results")).cells] == ["zero_shot"]


def test_a_cell_that_took_too_long_is_told(fill: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "warning" not in fill(only={"method": {"zero_shot"}})  # 20 s
    monkeypatch.setattr(grid, "LONG_CELL", 45.0)
    assert "should take at most 45 s, this one took 50 s" in fill(only={"method": {"rl"}})


def test_cells_of_an_earlier_grid_are_left_and_told(fill: Callable[..., str]) -> None:
    fill()
    path = next(path for path in Path("results").glob("*.json") if path.name != "grid.json")
    stranger = path.with_name(f"{'a' * 16}.json")
    stranger.write_text(json.dumps(json.loads(path.read_text()) | {"key": "a" * 16}))
    assert "that no figure counts: 1" in fill()
    assert read_cell(stranger).experiment == "tiny"


def test_an_unfinished_step_keeps_its_number_of_workers(
    plan: GridPlan, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(grid, "start_child", lambda command, overrides, **options: called.append([command, *overrides]))
    job = plan.cells[0].evaluations["seen"]
    start_job(job)
    job.folder.mkdir(parents=True)
    (job.folder / "config.yaml").write_text("workers: 0\n")
    start_job(job)
    (job.folder / "config.yaml").write_text("workers: 3\n")
    start_job(job)
    assert called[0][-1] == f"output='{job.folder}'"
    assert called[1] == called[0]
    assert called[2] == [*called[0], "workers=3"]
