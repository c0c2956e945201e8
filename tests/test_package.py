"""Importing the package costs nothing; environments come by function, by id, and fit gymnasium's contract."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

import robo_rlft
from robo_rlft.commands.gymnasium_ids import environment_id
from robo_rlft.config import ConfigError

HEAVY = ("torch", "pybullet", "hydra", "lightning", "gymnasium", "open_clip", "cv2", "numpy")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, robo_rlft; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_policy_loads_where_simulator_trainer_and_hydra_are_missing() -> None:
    blocked = ("pybullet", "hydra", "lightning", "gymnasium")
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import robo_rlft; print(robo_rlft.load_policy)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "function load_policy" in done.stdout


def test_the_packages_names_are_there_and_others_are_refused_with_the_list() -> None:
    assert callable(robo_rlft.make_env)
    with pytest.raises(AttributeError, match="it has: .*load_policy, make_env"):
        _ = robo_rlft.make_envv


def test_an_environment_is_made_with_overrides_and_repeats_itself() -> None:
    env = robo_rlft.make_env(split="unseen", phase="test", overrides=["task.blocks=2", "rotations=4"])
    try:
        first, _ = env.reset(seed=3)
        again, _ = env.reset(seed=3)
        assert first["instruction"] == again["instruction"]
        assert (first["color"] == again["color"]).all()
        assert env.action_space.nvec.tolist() == [160, 80, 160, 80, 4]
    finally:
        env.close()


def test_a_task_or_split_that_does_not_exist_is_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match="expected one of put_block_in_bowl"):
        robo_rlft.make_env("bowl")
    with pytest.raises(ConfigError, match="put_block_in_bowl has seen, unseen"):
        robo_rlft.make_env(split="sene")


def test_ids_follow_the_names_of_tasks() -> None:
    assert environment_id("put_block_in_bowl") == "RoboRLFT/PutBlockInBowl-v0"


@pytest.mark.parametrize("first", ["robo_rlft, gymnasium", "gymnasium, robo_rlft"])
def test_the_ids_are_there_whatever_is_imported_first(first: str) -> None:
    code = f"import {first}; print('RoboRLFT/PutBlockInBowl-v0' in gymnasium.registry)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.filterwarnings("ignore")
def test_gymnasium_makes_it_by_id_and_finds_no_fault() -> None:
    # The checker takes an episode of one step for a fault.
    env = gymnasium.make("RoboRLFT/PutBlockInBowl-v0", split="unseen", overrides=["task.max_steps=3"])
    try:
        check_env(env.unwrapped, skip_render_check=True)
        assert env.unwrapped.get_wrapper_attr("split") == "unseen"
    finally:
        env.close()
