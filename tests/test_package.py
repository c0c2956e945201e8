"""Importing the package costs nothing; environments come by function, by id, and fit gymnasium's contract."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

import robo_rlft
from robo_rlft.commands.gymnasium_ids import environment_id
from robo_rlft.commands.policies import shipped_policy
from robo_rlft.config import ConfigError
from robo_rlft.driver import Pose
from robo_rlft.geometry import Workspace
from robo_rlft.robots.primitives import PickAndPlace
from robo_rlft.robots.recording.recorder import Recorder
from robo_rlft.sim.floating import FloatingGripper
from robo_rlft.tasks.objects import make_object

HEAVY = ("torch", "pybullet", "hydra", "lightning", "gymnasium", "open_clip", "cv2", "numpy")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, robo_rlft; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


ACT_WITHOUT_THEM = """
import sys
from pathlib import Path

BLOCKED = ("pybullet", "pybullet_data", "hydra", "omegaconf", "lightning", "pytorch_lightning", "gymnasium")
sys.modules.update(dict.fromkeys(BLOCKED))  # importing one of them, or a part of one, is an ImportError from now on

import numpy as np
import torch

import robo_rlft
from robo_rlft.driver import Pose
from robo_rlft.perception import fuse
from robo_rlft.records import Observation
from robo_rlft.robots.safety.limits import HARD_CAP
from robo_rlft.robots.primitives import PickAndPlace
from robo_rlft.robots.safety.profile import Profile
from robo_rlft.robots.recording.replay import ReplayDriver
from robo_rlft.robots.ur import RealUr

policy = robo_rlft.load_policy(sys.argv[1])
arm = RealUr(host="127.0.0.1", profile=Profile(robot="UR5e", serial="1", limits=HARD_CAP))
assert arm.dry_run

robot = ReplayDriver(journal=Path(sys.argv[2]))
robot.connect()
color, height = fuse(robot.observe(), policy.workspace)
seen = Observation(
    color=torch.from_numpy(np.ascontiguousarray(color.transpose(2, 0, 1))),
    height=torch.from_numpy(height),
    instruction="put the red block in the blue bowl",
)
action = policy.act(seen, greedy=True).action
pick, place = (tuple(policy.workspace.pixel_to_xy(pixel.numpy())) for pixel in (action.pick, action.place))
print("pick", *pick, "place", *place)
robot.move(Pose(position=(0.4, -0.2, 0.16)), speed=0.5)
outcome = PickAndPlace()(robot, pick=(0.4, -0.2), place=(0.6, 0.2), turn=0.0, pick_height=0.04)
print("carried", outcome.carried)
robot.close()

loaded = [name for name, module in sys.modules.items() if name.split(".")[0] in BLOCKED and module is not None]
print("loaded", loaded)
"""


def test_a_policy_and_a_driver_act_where_simulator_trainer_gymnasium_and_hydra_are_missing(tmp_path: Path) -> None:
    bodies = [make_object("block", "red"), make_object("bowl", "blue")]
    poses = [Pose(position=(0.4, -0.2, 0.0)), Pose(position=(0.6, 0.2, 0.0))]
    gripper = FloatingGripper(workspace=Workspace())
    gripper.build(bodies, poses)
    robot = Recorder(driver=gripper, journal=tmp_path / "journal.jsonl")
    robot.connect()
    robot.observe()
    robot.move(Pose(position=(0.4, -0.2, 0.16)), speed=0.5)
    PickAndPlace()(robot, pick=(0.4, -0.2), place=(0.6, 0.2), turn=0.0, pick_height=0.04)
    robot.close()
    command = [sys.executable, "-c", ACT_WITHOUT_THEM, str(shipped_policy()), str(tmp_path / "journal.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    decided, carried, loaded = done.stdout.strip().splitlines()
    _, x, y, _, to_x, to_y = decided.split()
    assert math.dist((float(x), float(y)), (0.4, -0.2)) < 0.02
    assert math.dist((float(to_x), float(to_y)), (0.6, 0.2)) < 0.04
    assert carried == "carried True"
    assert loaded == "loaded []"


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
    with pytest.raises(ConfigError, match="expected one of .*put_block_in_bowl"):
        robo_rlft.make_env("bowl")
    with pytest.raises(ConfigError, match="put_block_in_bowl has seen, unseen"):
        robo_rlft.make_env(split="sene")


def test_ids_follow_the_names_of_tasks() -> None:
    assert environment_id("put_block_in_bowl") == "RoboRLFT/PutBlockInBowl-v0"
    assert environment_id("stack_blocks") == "RoboRLFT/StackBlocks-v0"


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
