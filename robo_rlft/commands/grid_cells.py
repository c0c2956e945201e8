"""A cell's file from the folders of its finished steps and evaluations.

Knows what the commands leave in their folders; not how they were run.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from robo_rlft.commands.grid_plan import RUN_ONLY, CellPlan, GridJob, GridPlan
from robo_rlft.commands.runs import RUN_FILE, read_run
from robo_rlft.commands.train import FORMAT, FORMAT_VERSION
from robo_rlft.data.episodes import read_episode
from robo_rlft.evaluation.best_of_n import best_of_n
from robo_rlft.evaluation.cells import (
    BestOf,
    Calibration,
    Cell,
    CellCost,
    Demonstrations,
    Evaluation,
    MeasuredReward,
    Training,
    total_cost,
)
from robo_rlft.evaluation.files import ResultFileError, read_json
from robo_rlft.evaluation.results import SceneResult, read_results
from robo_rlft.policies.io import read_header

POLICY, REWARD = "policy.safetensors", "reward.safetensors"
EVALUATIONS = "evaluate"  # the name of their cost
DECIMALS = 6  # of committed figures; what follows is float32's rounding
_RETURN, _SUCCESS, _GROUPS = "rollout/episodic_return", "rollout/success", "rollout/groups"
_KEPT = "charts/kept"  # of AttemptData
_STEPS, _TRUE, _KL = "charts/environment_steps", "rollout/true_return", "rollout/kl"


def is_finished(job: GridJob) -> bool:
    """Tell whether a step or an evaluation is done."""
    return (job.folder / RUN_FILE).exists() and read_run(job.folder).get("status") == "finished"


def make_cell(plan: GridPlan, cell: CellPlan) -> Cell:
    """Return a cell's record; all that it needs must be finished."""
    records = {job.folder: read_run(job.folder) for job in cell.jobs}
    cost = {folder: _cost(record) for folder, record in records.items()}
    costs = {name: cost[job.folder] for name, job in cell.steps.items()}
    if cell.evaluations:
        costs[EVALUATIONS] = total_cost(
            [cost[folder] for folder in {j.folder: None for j in cell.evaluations.values()}]
        )
    last = records[cell.jobs[-1].folder]  # what was at work when the figures were made, not when they were written down
    trained = {name: job for name, job in cell.steps.items() if job.composed.command == "train"}
    curves = {name: read_training(job) for name, job in trained.items()}
    return Cell(
        experiment=plan.grid.experiment,
        title=plan.grid.title,
        key=cell.cell.key,
        axes=cell.cell.axes,
        description=cell.cell.description,
        command=plan.grid.command,
        commit=last["commit"],
        versions=last["versions"],
        overrides={name: lasting(job.told) for name, job in cell.steps.items()},
        evaluation_overrides={name: lasting(job.told) for name, job in cell.evaluations.items()},
        commits={name: records[job.folder]["commit"] for name, job in cell.steps.items()},
        processors={name: records[job.folder].get("processor") for name, job in cell.steps.items()},
        cards={name: card for name, job in cell.steps.items() if (card := records[job.folder].get("graphics_card"))},
        step_versions={name: records[job.folder]["versions"] for name, job in cell.steps.items()},
        digests={name: job.digest for name, job in cell.steps.items()},
        weights={name: digest for name, job in trained.items() if (digest := read_weights(job.folder / POLICY))},
        rewards={name: told for name, job in trained.items() if (told := read_reward(job.folder)) is not None},
        evaluations={name: read_evaluation(job.folder) for name, job in cell.evaluations.items()},
        training={name: curve for name, curve in curves.items() if curve is not None},
        demonstrations={
            name: read_demonstrations(job.folder)
            for name, job in cell.steps.items()
            if job.composed.command == "collect"
        },
        costs=costs,
        total=total_cost(list(costs.values())),
    )


def lasting(told: Sequence[str]) -> tuple[str, ...]:
    """Return the overrides that say what a step comes to; a step that is there already ran where somebody else said."""
    passing = (*RUN_ONLY, "trainer.accelerator")
    return tuple(override for override in told if override.split("=", 1)[0] not in passing)


def read_weights(path: Path) -> str | None:
    """Return the hash of a policy's weights, None where there is no such file; equal ones decide alike."""
    return read_header(path)["weights_sha256"] if path.exists() else None


def read_reward(folder: Path) -> MeasuredReward | None:
    """Return how well a reward that was learned orders pairs; None where none was, or nothing tested it."""
    if not (folder / REWARD).exists():
        return None
    told = read_json(folder / "results.json", expected=FORMAT, version=FORMAT_VERSION).get("measured")
    if not told:
        return None
    table = told["test/calibration"]
    return MeasuredReward(
        accuracy=round(told["test/accuracy"], DECIMALS),
        pairs=told["test/pairs"],
        calibration=Calibration(
            confidence=tuple(round(value, DECIMALS) for value in table["confidence"]),
            accuracy=tuple(round(value, DECIMALS) for value in table["accuracy"]),
            pairs=tuple(table["pairs"]),
        ),
    )


def read_evaluation(folder: Path) -> Evaluation:
    """Return what an evaluation came to, the scenes with a goal alone."""
    result = read_results(folder / "results.json")
    scenes = result.scored
    return Evaluation(
        task=result.task,
        split=result.split,
        phase=result.phase,
        decoding=result.decoding,
        episodes=len(scenes),
        seeds=tuple(scene.seed for scene in scenes),
        successes=tuple(int(scene.successes or 0) for scene in scenes),
        tries=result.tries,
        returns=tuple(round(float(scene.return_ or 0.0), DECIMALS) for scene in scenes),
        failures=dict(result.failures),
        best_of=read_best_of(scenes, result.tries),
    )


def read_best_of(scenes: Sequence[SceneResult], tries: int) -> BestOf | None:
    """Return what the best of 1, 2, 4, ... tries comes to by what a reward said of them; None where none was asked."""
    if not scenes or not all(scene.judged for scene in scenes):
        return None
    counts = [2**i for i in range(tries.bit_length())]

    def rows(name: str) -> tuple[tuple[float, ...], ...]:
        pairs = [([one.proxy for one in s.judged], [float(getattr(one, name)) for one in s.judged]) for s in scenes]
        return tuple(tuple(round(best_of_n(*pair, n), DECIMALS) for pair in pairs) for n in counts)

    return BestOf(n=tuple(counts), proxy=rows("proxy"), success=rows("success"), returns=rows("return_"))


def read_demonstrations(folder: Path) -> Demonstrations:
    """Return what a demonstrator's episodes came to."""
    notes = read_run(folder)["notes"]
    steps = notes.get("environment_steps")
    if steps is None:  # a person's clicks are not counted as they come
        steps = sum(read_episode(path).steps for path in sorted(folder.glob("*.npz")))
    return Demonstrations(episodes=notes["episodes"], successes=notes["successes"], environment_steps=steps)


def read_training(job: GridJob) -> Training | None:
    """Return the curve of a step that learned from rollouts, None for any other.

    Without a column of environment steps an episode counts as one, which is exact for tasks of one step alone.
    """
    path = job.folder / "metrics.csv"
    if not path.exists():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get(_SUCCESS) and row.get(_RETURN)]
        data = job.composed.values["algorithm"].get("data", {})
        samples = int(data.get("samples", 1))
        if any(row.get(_KEPT) for row in rows):  # cloned attempts: no iteration is of the present policy alone
            return None
        groups = [float(row.get(_GROUPS) or data.get("episodes", 0.0)) for row in rows]
        if data.get("credit") == "state":  # there a group is a visited state; scenes drawn anew are not counted
            groups = [float(data["scenes"])] * len(rows)
        episodes = [round(sum(groups[: i + 1]) * samples) for i in range(len(groups))]
        steps = [round(float(row.get(_STEPS) or count)) for row, count in zip(rows, episodes, strict=True)]
        success, returns = ([round(float(row[name]), DECIMALS) for row in rows] for name in (_SUCCESS, _RETURN))
        later = {name: [round(float(row[name]), DECIMALS) for row in rows if row.get(name)] for name in (_TRUE, _KL)}
    except (OSError, ValueError, csv.Error) as error:
        raise ResultFileError(f"{path}: could not read the metrics: {error}") from None
    if not rows:
        return None
    if not all(map(math.isfinite, (*success, *returns, *later[_TRUE], *later[_KL]))):
        raise ResultFileError(f"{path}: expected finite numbers as {_SUCCESS} and {_RETURN}; the file is damaged")
    # Resumed from an older version, a run may tell these of its last iterations alone.
    true_returns, kl = (tuple(told) if len(told) == len(rows) else () for told in (later[_TRUE], later[_KL]))
    return Training(
        environment_steps=tuple(steps),
        episodes=tuple(episodes),
        success=tuple(success),
        returns=tuple(returns),
        true_returns=true_returns,
        kl=kl,
        scenes=tuple(round(b / samples) for b in differences(episodes)) if kl else (),
    )


def differences(counts: Sequence[int]) -> list[int]:
    """Return by how much each of cumulative counts is above the one before it."""
    return [b - a for a, b in zip((0, *counts), counts, strict=False)]


def _cost(record: dict[str, float]) -> CellCost:
    """Return a run's cost, to what repeats itself."""
    return CellCost(
        wall_seconds=round(record["wall_seconds"], 1),
        cpu_seconds=round(record["cpu_seconds"], 1),
        peak_rss_mb=round(record["peak_rss_mb"], 1),
    )
