"""A grid's cells, the steps that each needs, and what their names depend on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from robo_rlft.commands import grid_plan
from robo_rlft.commands.experiment import read_experiment
from robo_rlft.commands.grid_plan import CellPlan, GridPlan, plan_grid
from robo_rlft.commands.grid_spec import read_only
from robo_rlft.config import ConfigError

NODE: dict[str, Any] = {
    "title": "Tiny",
    "steps": [
        {"name": "demos", "command": "collect", "overrides": ["episodes=3"]},
        {"name": "bc", "command": "train", "overrides": ["algorithm=bc", "data={demos}"]},
        {"name": "rl", "command": "train", "overrides": ["algorithm=rloo", "init={bc}/policy.safetensors"]},
    ],
    "grid": {
        "results": "results/tiny",
        "axes": {
            "method": {
                "zero_shot": {"checkpoint": "zero_shot"},
                "bc": {"checkpoint": "{bc}/policy.safetensors", "description": "cloned"},
                "rl": {"checkpoint": "{rl}/policy.safetensors"},
            },
            "seed": {0: ["seed=0"], 1: ["seed=1"]},
        },
        "evaluate": [{"name": "seen", "overrides": ["split=seen", "episodes=4"]}],
    },
}


def node(**grid: Any) -> dict[str, Any]:
    changed = copy.deepcopy(NODE)
    changed["grid"] |= grid
    return changed


def plan(told: Any = NODE, folder: str = "runs/tiny", **options: Any) -> GridPlan:
    experiment = read_experiment(told)
    assert experiment.grid is not None
    return plan_grid(experiment, experiment.grid, Path(folder), name="tiny", command="robo-rlft run", **options)


def cells(told: Any = NODE, folder: str = "runs/tiny", **options: Any) -> dict[str, CellPlan]:
    return {"-".join(p.cell.axes.values()): p for p in plan(told, folder, **options).cells}


def keys(told: Any = NODE, folder: str = "runs/tiny", **options: Any) -> dict[str, str]:
    return {name: p.cell.key for name, p in cells(told, folder, **options).items()}


def test_every_combination_is_a_cell_and_the_last_axis_changes_slowest() -> None:
    assert list(cells()) == ["zero_shot-0", "bc-0", "rl-0", "zero_shot-1", "bc-1", "rl-1"]
    assert plan().grid.axes == {"method": ("zero_shot", "bc", "rl"), "seed": ("0", "1")}


def test_an_argument_that_came_later_changes_a_key_where_it_is_used_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = {"name": "seen", "overrides": ["split=seen", "episodes=4", "first_scene=0"]}
    assert keys(node(evaluate=[measure])) == keys()
    later = keys(node(evaluate=[{**measure, "overrides": [*measure["overrides"][:2], "first_scene=4"]}]))
    before = keys()
    assert all(later[name] != key for name, key in before.items())
    monkeypatch.setattr(grid_plan, "LATER", {})
    assert all(keys()[name] != key for name, key in before.items())  # what it would be without the rule


def test_excluded_combinations_are_left_out() -> None:
    found = cells(node(exclude=[{"method": "rl", "seed": 1}, {"method": "zero_shot"}]))
    assert list(found) == ["bc-0", "rl-0", "bc-1"]
    assert list(cells(node(exclude=[{"method": ["rl", "zero_shot"], "seed": [0, 1]}]))) == ["bc-0", "bc-1"]


def test_a_combination_can_have_overrides_that_win_over_those_of_its_values() -> None:
    found = keys(node(also=[{"where": {"method": "bc", "seed": 1}, "overrides": ["seed=7"]}]))
    changed = {name for name, key in keys().items() if found[name] != key}
    assert changed == {"bc-1"}


def test_a_cell_needs_the_steps_that_its_checkpoint_comes_from_alone() -> None:
    found = cells()
    assert list(found["zero_shot-0"].steps) == []
    assert list(found["bc-0"].steps) == ["demos", "bc"]
    assert list(found["rl-0"].steps) == ["demos", "bc", "rl"]
    assert found["bc-0"].cell.description == "cloned"


def test_cells_share_steps_and_each_starts_from_its_own() -> None:
    found = cells()
    bc = found["bc-0"].steps["bc"]
    assert found["rl-0"].steps["bc"] is bc
    assert found["rl-0"].steps["rl"].composed.values["init"] == f"{bc.folder}/policy.safetensors"
    assert bc.folder == Path(f"runs/tiny/steps/bc-{bc.digest}")
    seen = found["bc-0"].evaluations["seen"]
    assert seen.folder == Path(f"runs/tiny/evaluations/{seen.digest}")
    assert seen.composed.values["checkpoint"] == f"{bc.folder}/policy.safetensors"
    # Two seeds: three steps each; three methods, two seeds: six evaluations.
    assert len(plan().jobs) == 2 * 3 + 6


def test_overrides_are_told_with_the_names_of_steps() -> None:
    told = cells()["rl-1"].steps["rl"].told
    assert "init={bc}/policy.safetensors" in told
    assert "seed=1" in told


def test_names_do_not_depend_on_where_a_grid_lies_and_how_many_workers_it_has() -> None:
    assert keys() == keys(folder="/elsewhere/with a space") == keys(overrides=["workers=3"])


def test_names_do_not_depend_on_what_computes() -> None:
    assert keys(overrides=["trainer.accelerator=gpu"]) == keys()


def test_names_depend_on_everything_above() -> None:
    before, after = keys(), keys(overrides=["demos.episodes=5"])
    assert {name for name in before if before[name] != after[name]} == {"bc-0", "rl-0", "bc-1", "rl-1"}
    steps = [cells(overrides=told)["rl-0"].steps for told in ([], ["demos.episodes=5"])]
    assert all(steps[0][name].digest != steps[1][name].digest for name in ("demos", "bc", "rl"))


def test_names_depend_on_the_weights_that_ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys()
    other = tmp_path / "tabletop.safetensors"
    other.write_bytes(b"others")
    monkeypatch.setattr(grid_plan, "SHIPPED", other)
    after = keys()
    assert all(before[name] != after[name] for name in before)
    assert cells()["bc-0"].steps["demos"].digest in str(cells()["rl-0"].steps["demos"].folder)


def test_a_grid_that_grows_keeps_its_cells() -> None:
    grown = node()
    grown["grid"]["axes"]["seed"][2] = ["seed=2"]
    grown["grid"]["axes"]["task"] = {"bowl": []}
    after = set(keys(grown).values())
    assert set(keys().values()) < after
    assert len(after) == 9


def test_an_axis_wins_over_the_seed_of_the_run_and_the_user_over_the_axis() -> None:
    assert keys(seed=7) == keys()
    assert cells(overrides=["bc.seed=9"])["bc-1"].steps["bc"].composed.values["seed"] == 9
    without = node(axes={"method": {"zero_shot": {"checkpoint": "zero_shot"}}})
    assert cells(without, seed=7)["zero_shot"].evaluations["seen"].composed.values["seed"] == 7


def test_a_value_may_choose_options_and_bring_its_own_steps() -> None:
    method = {
        "oracle": {"checkpoint": "oracle", "overrides": ["demonstrator=biased"], "steps": ["demos"]},
        "nothing": {"checkpoint": None, "steps": ["demos"]},
    }
    found = cells(node(axes={"method": method}))
    seen = found["oracle"].evaluations["seen"].composed
    assert (seen.values["checkpoint"], seen.choices["demonstrator"]) == ("oracle", "biased")
    assert found["oracle"].steps["demos"].composed.choices["demonstrator"] == "biased"
    assert (list(found["nothing"].steps), found["nothing"].evaluations) == (["demos"], {})


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"axes": {"seed": {0: ["seed=0"]}}}, "exactly one axis whose values name a checkpoint.*got none"),
        ({"axes": {"method": {"a": {"checkpoint": "zero_shot"}, "b": []}}}, "method.b: expected a checkpoint"),
        ({"axes": {"method": {"a": {"checkpoint": None}}}}, "name the steps"),
        ({"axes": {"method": {"a": {"checkpoint": "{bd}/p"}}}}, "no step 'bd'; did you mean bc"),
        (
            {"axes": {"method": {"a": {"checkpoint": "oracle", "steps": ["demo"]}}}},
            "no step 'demo'; did you mean demos",
        ),
        ({"axes": {"method": {"a": {"checkpoint": "oracle", "override": []}}}}, "method.a.override"),
        ({"exclude": [{"methods": "rl"}]}, "got 'methods'; did you mean method"),
        ({"exclude": [{"method": "zeroshot"}]}, "got 'zeroshot'; did you mean zero_shot"),
        ({"exclude": [{"method": ["bc", "zeroshot"]}]}, "got 'zeroshot'; did you mean zero_shot"),
        ({"exclude": [{"seed": 0}, {"seed": 1}]}, "at least one cell"),
        ({"also": [{"where": {"method": "bx"}, "overrides": []}]}, "grid.also.*got 'bx'; did you mean bc"),
        ({"evaluate": []}, "what is measured"),
        ({"evaluate": [{"name": "a"}, {"name": "a"}]}, "'a' is there twice"),
        ({"evaluate": [{"name": "a", "overrides": ["split=sen", "episode=4"]}]}, "no 'episode'.*did you mean episodes"),
    ],
)
def test_what_cannot_work_is_refused_with_what_would(grid: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(node(**grid))


def test_a_step_may_take_the_folders_of_several() -> None:
    told = node()
    told["steps"][1]["overrides"] = ["algorithm=bc", "data={demos},{more}"]
    told["steps"].insert(1, {"name": "more", "command": "collect", "overrides": ["episodes=2"]})
    assert keys(told) == keys(told, "elsewhere")  # where they lie does not matter
    more = copy.deepcopy(told)
    more["steps"][1]["overrides"] = ["episodes=3"]
    assert keys(more)["bc-0"] != keys(told)["bc-0"]  # what is in the second one does


def test_a_step_that_needs_itself_is_refused() -> None:
    told = node()
    told["steps"][1]["overrides"] = ["data={rl}"]
    with pytest.raises(ConfigError, match="bc needs rl needs bc"):
        plan(told)


def test_an_override_that_no_step_knows_is_refused_with_the_cell() -> None:
    with pytest.raises(ConfigError, match="cell method=zero_shot seed=0: no step knows 'rotation'.*mean rotations"):
        plan(overrides=["rotation=4"])


def test_only_restricts_axes_to_values_that_exist() -> None:
    spec = read_experiment(NODE).grid
    assert spec is not None
    assert read_only("method:rl,method:bc, seed:0", spec) == {"method": {"rl", "bc"}, "seed": {"0"}}
    assert read_only(None, spec) == {}
    with pytest.raises(ConfigError, match="got 'sed'; did you mean seed"):
        read_only("sed:0", spec)
    with pytest.raises(ConfigError, match="no colon"):
        read_only("rl", spec)
