"""Every option of every group that ships composes, fits its constructor, and is built where it needs no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robo_rlft.commands import collect, distill, evaluate, label, train
from robo_rlft.commands.robots import robot_problems
from robo_rlft.config import ConfigError, build, compose, groups
from robo_rlft.config.compose import root_groups
from robo_rlft.geometry import Workspace

COMMANDS: dict[str, Any] = {
    "collect": collect,
    "distill": distill,
    "evaluate": evaluate,
    "label": label,
    "train": train,
}
CHOICES = [
    (command, group, option)
    for command in COMMANDS
    for group in root_groups(command)
    for option in groups().get(group, [])
]
SCENES = ("sim_floating", "sim_imperfect")  # robots that build their scenes anew
# What is refused as it stands, and why: commands act on a table as a policy, with somebody's word.
REFUSED = {
    ("collect", "robot"): "a demonstrator needs scenes that are laid anew",
    ("evaluate", "robot"): "nobody knows a task's progress on a table|camera: real_ur brings none",
    ("train", "robot"): "expected algorithm=weighted_bc",
    ("collect", "reward"): "expected driver_only=true beside reward=person",
    ("evaluate", "reward"): "expected driver_only=true beside reward=person",
    ("train", "reward"): "expected driver_only=true beside reward=person",
}
# What has no sensible default.
NEEDED = {
    "replay": ["robot.journal=journal.jsonl"],
    "real_ur": ["robot.host=127.0.0.2"],
    "preference": ["reward.model=reward.safetensors"],
    "success": ["reward.model=reward.safetensors"],
    "sum": ["+reward@reward.terms.done=progress", "reward.weights.done=1.0"],
}
WITHOUT_WEIGHTS = ("task", "robot", "reward", "demonstrator", "labeler", "workspace")


@pytest.mark.parametrize(("command", "group", "option"), CHOICES)
def test_an_option_fits_its_constructor(command: str, group: str, option: str) -> None:
    composed = compose(command, [f"{group}={option}", *NEEDED.get(option, ())])
    assert composed.choices[group] == option
    refused = (group == "robot" and option not in SCENES) or option == "person"
    if refused and (command, group) in REFUSED:
        with pytest.raises(ConfigError, match=REFUSED[command, group]):
            COMMANDS[command].check_config(composed)
    else:
        COMMANDS[command].check_config(composed)


@pytest.mark.parametrize("robot", groups()["robot"])
@pytest.mark.parametrize("camera", groups()["camera"])
def test_a_robot_and_a_camera_fit_their_constructors(robot: str, camera: str) -> None:
    needed = [*NEEDED.get(robot, ()), *NEEDED.get(camera, ())]
    composed = compose("deploy", [f"robot={robot}", f"camera={camera}", *needed])
    blind = robot.startswith("real_") and camera == "none"
    assert robot_problems(composed) == (
        [f"camera: {robot} brings none; choose camera=realsense or =opencv"] if blind else []
    )


@pytest.mark.parametrize(
    ("group", "option"),
    sorted({(g, o) for _, g, o in CHOICES if g in WITHOUT_WEIGHTS and (g != "robot" or o in SCENES)}),
)
def test_an_option_is_built(group: str, option: str) -> None:
    command = next(c for c, g, _ in CHOICES if g == group)
    node = compose(command, [f"{group}={option}", *NEEDED.get(option, ())]).values[group]
    built = build(node, path=group, workspace=Workspace(), rotations=4)
    assert f"{type(built).__module__}.{type(built).__qualname__}" == node["_target_"]
    if hasattr(built, "close"):
        built.close()


@pytest.mark.parametrize("option", groups()["policy"])
def test_a_policy_is_built_on_an_untrained_encoder(option: str) -> None:
    values = compose("train", [f"policy={option}", "encoder.pretrained=null"]).values
    encoder = build(values["encoder"])
    policy = build(values["policy"], encoder=encoder, workspace=Workspace(pixel_size=0.025), rotations=2)
    assert policy.rotations == 2


def test_every_group_with_options_belongs_to_a_command() -> None:
    used = {group for command in (*COMMANDS, "run", "deploy") for group in root_groups(command)}
    assert set(groups()) == used


def test_options_live_in_a_folder_a_choice() -> None:
    root = Path(__file__).parents[2] / "conf"
    assert sorted(p.stem for p in root.glob("*.yaml")) == sorted(
        [
            *(
                "calibrate",
                "collect",
                "deploy",
                "distill",
                "doctor",
                "evaluate",
                "figure",
                "label",
                "loopback",
                "report",
            ),
            *("run", "train"),
        ]
    )
