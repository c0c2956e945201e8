"""Names that do not exist are refused with the nearest ones; what exists composes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from robo_rlft.config import ConfigError, compose, groups, sweep
from robo_rlft.config.compose import quoted, root_groups, swept_keys
from robo_rlft.config.nodes import target_class


def test_a_command_composes_with_its_default_options() -> None:
    composed = compose("collect")
    assert composed.choices["task"] == "put_block_in_bowl"
    assert composed.values["task"]["_target_"].startswith("robo_rlft.tasks.")
    assert composed.values["seed"] == 0


def test_overrides_reach_values_and_options() -> None:
    composed = compose("collect", ["task.blocks=2", "demonstrator=biased", "seed=7"])
    assert composed.values["task"]["blocks"] == 2
    assert composed.choices["demonstrator"] == "biased"
    assert composed.values["seed"] == 7
    assert composed.defaults["task"]["blocks"] == 1


def test_a_value_that_only_the_constructor_knows_may_be_overridden() -> None:
    assert compose("collect", ["task.max_steps=3"]).values["task"]["max_steps"] == 3


def test_an_option_may_be_put_at_another_place_and_leaves_the_groups_own_choice() -> None:
    told = ["reward=sum", "+reward@reward.terms.liked=preference", "reward.terms.liked.model=FILE"]
    composed = compose("train", told)
    assert composed.choices["reward"] == "sum"
    assert composed.values["reward"]["terms"]["liked"]["model"] == "FILE"
    assert composed.values["reward"]["terms"]["liked"]["_target_"].endswith("PreferenceReward")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+reward@reward.terms.liked=preferense", "did you mean preference"),
        ("+rewrad@reward.terms.liked=preference", "rewrad"),
        ("reward@reward.terms.liked=preference", r"use \+reward@reward.terms.liked=preference"),
        ("reward.terms.liked.model=FILE", "train has no 'reward.terms.liked'"),
        ("+robot@reward.terms.liked=real_ur", "robot: expected the one that acts"),
    ],
)
def test_an_option_at_another_place_that_does_not_exist_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose("train", ["reward=sum", override])


def test_two_options_at_the_same_place_are_refused() -> None:
    with pytest.raises(ConfigError, match="reward@reward.terms.a"):
        compose("train", ["reward=sum", "+reward@reward.terms.a=progress", "+reward@reward.terms.a=preference"])


def test_a_mapping_that_ships_empty_takes_names_of_the_users() -> None:
    assert compose("train", ["reward=sum", "reward.weights.mine=0.5"]).values["reward"]["weights"] == {"mine": 0.5}


def test_composing_twice_gives_values_that_do_not_share_memory() -> None:
    compose("collect").values["task"]["blocks"] = 99
    assert compose("collect").values["task"]["blocks"] == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tsak=put_block_in_bowl", "did you mean task"),
        ("task=bowl", "task: expected one of .*put_block_in_bowl.*got 'bowl'"),
        ("task=put_block_in_bwol", "did you mean put_block_in_bowl"),
        ("task.blokcs=2", "did you mean task.blocks"),
        ("algorithm=bc", "collect has no choice of 'algorithm'|collect has no 'algorithm'"),
        ("seed=1,2", "add -m"),
        ("run=a=b", "quote values"),
        ("hydra.run.dir=x", "run=NAME or output=DIR"),
        ("nothing", "expected key=value"),
    ],
)
def test_an_override_without_a_place_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose("collect", [override])


def test_a_users_folder_adds_options(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    option = "_target_: robo_rlft.tasks.put_block_in_bowl.PutBlockInBowl\nblocks: 3\n"
    (tmp_path / "task" / "three_blocks.yaml").write_text(option)
    assert "three_blocks" in groups([tmp_path])["task"]
    assert compose("collect", ["task=three_blocks"], config_dirs=[tmp_path]).values["task"]["blocks"] == 3
    with pytest.raises(ConfigError, match="expected one of .*put_block_in_bowl.*, got 'three_blocks'"):
        compose("collect", ["task=three_blocks"])


def test_a_users_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config-dir: expected a folder"):
        compose("collect", config_dirs=[tmp_path / "none"])


def test_trust_comes_from_the_command_line_only(tmp_path: Path) -> None:
    assert compose("collect", ["trust=[my.Task,my.Other]"]).trust == ("my.Task", "my.Other")
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "sly.yaml").write_text("# @package _global_\ntrust: [os.system]\n")
    assert compose("collect", ["task=sly"], config_dirs=[tmp_path]).trust == ()


def test_a_sweep_is_every_combination() -> None:
    assert sweep(["seed=0,1", "episodes=5", "rotations=2,4"]) == [
        ["seed=0", "episodes=5", "rotations=2"],
        ["seed=0", "episodes=5", "rotations=4"],
        ["seed=1", "episodes=5", "rotations=2"],
        ["seed=1", "episodes=5", "rotations=4"],
    ]
    assert swept_keys(["seed=0,1", "episodes=5"]) == ["seed"]


@pytest.mark.parametrize("path", ["/tmp/a b/c=d.safetensors", "it's", "back\\slash", "{brace},[list]"])
def test_a_quoted_value_is_taken_as_it_is(path: str) -> None:
    assert compose("collect", [quoted("output", path)]).values["output"] == path


def test_no_group_is_named_like_an_argument_that_takes_a_path() -> None:
    paths = {"checkpoint", "data", "earlier", "init", "output", "instructions", "reference", "reward_model", "words"}
    assert not paths & set(groups())


@pytest.mark.parametrize("command", ["collect", "evaluate", "train"])
def test_root_configs_put_their_own_values_first(command: str) -> None:
    text = (Path(__file__).parents[2] / "conf" / f"{command}.yaml").read_text()
    assert text.splitlines()[1].strip() == "- _self_"
    assert "task" in root_groups(command)


def test_a_comma_between_runs_begins_no_sweep() -> None:
    assert compose("report", ["from=runs/a b,runs/it's"]).values["from"] == "runs/a b,runs/it's"
    assert compose("report", ["from=[a,b]"]).values["from"] == ["a", "b"]
    assert compose("train", ["data=runs/a,runs/b"]).values["data"] == "runs/a,runs/b"
    assert compose("label", ["earlier=runs/a,runs/b"]).values["earlier"] == "runs/a,runs/b"


@pytest.fixture
def own_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "mine.yaml").write_text("_target_: own_task.Mine\n")
    code = "from robo_rlft.tasks.put_block_in_bowl import PutBlockInBowl\n\n\nclass Mine(PutBlockInBowl):\n    pass\n"
    (tmp_path / "own_task.py").write_text(code)
    monkeypatch.delitem(sys.modules, "own_task", raising=False)
    return tmp_path


def test_an_argument_that_only_a_users_own_class_knows_may_be_overridden(
    own_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(own_task)
    told = ["task=mine", "task.blocks=2"]
    assert compose("collect", [*told, "trust=[own_task.Mine]"], config_dirs=[own_task]).values["task"]["blocks"] == 2
    with pytest.raises(ConfigError, match=r"no 'task\.blocks'"):
        compose("collect", told, config_dirs=[own_task])


def test_a_users_own_module_that_is_not_found_is_told_where_to_be(own_task: Path) -> None:
    with pytest.raises(ConfigError, match="folder that holds own_task on PYTHONPATH"):
        target_class("own_task.Mine", trust=["own_task.Mine"])
