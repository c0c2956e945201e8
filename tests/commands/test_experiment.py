"""Experiments are lists of steps whose overrides, folders and seeds reach the right commands."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from robo_rlft.commands.experiment import evaluation_folder, jobs, read_experiment
from robo_rlft.commands.grid_plan import plan_grid
from robo_rlft.commands.run import compose_run
from robo_rlft.config import ConfigError

CONF = Path(__file__).parents[2] / "conf"
STEPS: list[dict[str, Any]] = [
    {"name": "demonstrations", "command": "collect", "overrides": ["episodes=3"]},
    {"name": "bc", "command": "train", "overrides": ["algorithm=bc", "data={demonstrations}"]},
]
TABLE: dict[str, Any] = {
    "methods": {"zero": {"checkpoint": "zero_shot"}, "bc": {"checkpoint": "{bc}/policy.safetensors"}},
    "splits": ["seen", "unseen"],
    "overrides": ["episodes=5"],
    "compare": {"before": "zero", "after": "bc"},
}


def composed(overrides: list[str], folder: Path = Path("/tmp/a b"), **changes: Any) -> dict[str, dict[str, Any]]:
    experiment = read_experiment({"steps": STEPS, "table": TABLE, **changes})
    return {job.name: job.composed.values for job in jobs(experiment, folder, seed=4, overrides=overrides)}


def test_steps_come_in_order_and_the_tables_evaluations_last() -> None:
    assert list(composed([])) == [
        "demonstrations",
        "bc",
        "evaluate/zero/seen",
        "evaluate/zero/unseen",
        "evaluate/bc/seen",
        "evaluate/bc/unseen",
    ]


def test_braces_stand_for_another_steps_folder_whatever_its_name_holds() -> None:
    values = composed([])
    assert values["bc"]["data"] == "/tmp/a b/demonstrations"
    assert values["evaluate/bc/seen"]["checkpoint"] == "/tmp/a b/bc/policy.safetensors"
    assert values["evaluate/bc/seen"]["output"] == str(evaluation_folder(Path("/tmp/a b"), "bc", "seen"))


def test_the_seed_reaches_every_step() -> None:
    assert {values["seed"] for values in composed([]).values()} == {4}


def test_an_override_reaches_the_steps_that_know_it() -> None:
    values = composed(["task.blocks=2", "batch_size=7"])
    assert {v["task"]["blocks"] for v in values.values()} == {2}
    assert values["evaluate/bc/seen"]["batch_size"] == 7


def test_an_override_with_a_steps_name_is_for_that_step_alone() -> None:
    values = composed(["bc.algorithm.lr=0.25", "bc.threads=1", "evaluate.threads=3"])
    assert values["bc"]["algorithm"]["lr"] == 0.25
    assert [v["threads"] for v in values.values()] == [2, 1, 3, 3, 3, 3]


def test_a_term_of_a_sum_reaches_every_step_or_one() -> None:
    of_all = ["reward=sum", "+reward@reward.terms.done=progress", "reward.weights.done=0.5"]
    assert all(v["reward"]["weights"] == {"done": 0.5} for v in composed(of_all).values())
    values = composed([f"bc.{override}" for override in of_all])
    assert list(values["bc"]["reward"]["terms"]) == ["done"]
    assert "terms" not in values["demonstrations"]["reward"]


def test_pretraining_comes_first_and_other_steps_start_from_it_unless_they_say_otherwise() -> None:
    own = {"name": "own", "command": "train", "overrides": ["encoder.pretrained=null", "data={demonstrations}"]}
    clip = {"name": "clip", "command": "train", "overrides": ["algorithm=clip"]}
    experiment = read_experiment({"steps": [*STEPS, own], "table": TABLE, "pretrain": clip})
    plain = jobs(experiment, Path("r"), seed=0)
    assert "clip" not in [job.name for job in plain]
    found = {job.name: job.composed.values for job in jobs(experiment, Path("r"), seed=0, pretrain=True)}
    assert next(iter(found)) == "clip"
    assert found["clip"]["encoder"]["pretrained"] == "tabletop"
    assert found["bc"]["encoder"]["pretrained"] == "r/clip/encoder.safetensors"
    assert found["evaluate/zero/seen"]["encoder"]["pretrained"] == "r/clip/encoder.safetensors"
    assert found["own"]["encoder"]["pretrained"] is None
    with pytest.raises(ConfigError, match="no step to train an encoder"):
        jobs(read_experiment({"steps": STEPS}), Path("r"), seed=0, pretrain=True)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tsak=x"], "no step knows 'tsak'.*did you mean task"),
        (["task.blokcs=2"], "step demonstrations:.*did you mean task.blocks"),
        (["robot=real_ur"], "refused in experiments"),
        (["output=elsewhere"], "cannot be set for steps"),
        (["trust=[os.system]"], "cannot be set for steps"),
    ],
)
def test_an_override_that_no_step_may_have_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        composed(overrides)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"steps": [{"name": "a", "command": "deploy"}]},
            "expected one of collect, label, distill, train, evaluate, got 'deploy'",
        ),
        ({"steps": [STEPS[0], STEPS[0]]}, "a plain name of its own"),
        ({"steps": [{"name": "evaluate", "command": "collect"}]}, "a plain name of its own"),
        ({"steps": [{"command": "collect"}]}, "experiment.steps.0.name"),
        ({"setps": []}, "experiment.setps"),
        ({"table": {**TABLE, "compare": {"before": "zero", "after": "cb"}}}, "did you mean bc"),
    ],
)
def test_an_experiment_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_experiment({"steps": STEPS, "table": TABLE, **changes})


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"command": "label", "overrides": ["from={demonstrations}"]}, "labeler: page waits for a person"),
        ({"command": "collect", "overrides": ["demonstrator=click"]}, "demonstrator: click waits for a person"),
    ],
)
def test_no_step_waits_for_a_person(step: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        composed([], steps=[*STEPS, {"name": "ask", **step}])
    told = {"command": "label", "overrides": ["from={demonstrations}", "labeler=simulated"]}
    assert composed([], steps=[*STEPS, {"name": "ask", **told}])["ask"]["from"] == "/tmp/a b/demonstrations"


def test_a_step_that_names_no_step_is_refused() -> None:
    steps = [STEPS[0], {**STEPS[1], "overrides": ["algorithm=bc", "data={demonstratoins}"]}]
    with pytest.raises(ConfigError, match="did you mean demonstrations"):
        composed([], steps=steps)


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_composes_and_is_short(path: Path) -> None:
    text = path.read_text()
    node = yaml.safe_load(text)
    assert len([line for line in text.splitlines() if line.strip()]) <= (60 if "grid" in node else 25)
    experiment = read_experiment(node)
    assert jobs(experiment, Path("runs/x"), seed=1)
    if experiment.grid is not None:
        *_, last = experiment.grid.axes  # of the seeds, say, one is enough
        axes = experiment.grid.axes | {last: dict(list(experiment.grid.axes[last].items())[:1])}
        spec = dataclasses.replace(experiment.grid, axes=axes)
        assert plan_grid(experiment, spec, Path("runs/x"), name=path.stem, command="robo-rlft run").cells


def test_what_run_does_not_know_goes_to_the_steps() -> None:
    values = compose_run(["experiment=quickstart", "seed=2", "task.blocks=2", "rl.algorithm.lr=0.1"]).values
    assert values["seed"] == 2
    assert values["overrides"] == ["task.blocks=2", "rl.algorithm.lr=0.1"]
