"""Robots from configs: real ones are wrapped, trusted on the command line alone, and refused where nobody watches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from robo_rlft.commands.checks import check_groups
from robo_rlft.commands.cli import main
from robo_rlft.commands.environment import GROUPS, PROVIDED, make_env
from robo_rlft.commands.experiment import jobs, read_experiment
from robo_rlft.commands.policies import shipped_policy
from robo_rlft.commands.robots import JOURNAL, build_robot, is_real, robot_problems
from robo_rlft.config import Composed, ConfigError, compose
from robo_rlft.driver import DriverError, Pose, RobotDriver
from robo_rlft.policies.io import PolicyFileError, load_policy
from robo_rlft.robots.recording.replay import ReplayDriver
from robo_rlft.robots.safety.envelope import SafetyEnvelope
from robo_rlft.sim.floating import FloatingGripper
from tests.policies.test_io import rewrite

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "robot"
TRUST = "trust=[my_arm.MyArm]"
CELL = f"robot.profile={EXAMPLE / 'cell.yaml'}"


@pytest.fixture(autouse=True)
def example_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))


@pytest.fixture
def options(tmp_path: Path) -> Path:
    """Return a folder for options of the user's own."""
    for group in ("robot", "task", "workspace", "experiment", "camera"):
        (tmp_path / "conf" / group).mkdir(parents=True)
    return tmp_path / "conf"


def my_arm(*overrides: str, folder: Path = EXAMPLE / "conf") -> Composed:
    return compose("deploy", ["robot=real_my_arm", *overrides], config_dirs=[folder])


def arm(*overrides: str, folder: Path | None = None) -> SafetyEnvelope:
    robot = build_robot(my_arm(TRUST, *overrides), operator=None, folder=folder)
    assert isinstance(robot, SafetyEnvelope)
    return robot


# Building -----------------------------------------------------------------------------------------------------------


def test_the_simulated_robot_is_built_as_it_is() -> None:
    robot = build_robot(compose("collect"), operator=None, folder=None)
    assert type(robot) is FloatingGripper
    robot.close()


def test_a_recording_is_built_as_it_is_and_plays_its_own_journal(tmp_path: Path) -> None:
    arm(CELL, folder=tmp_path).connect()
    journal = tmp_path / JOURNAL
    robot = build_robot(compose("deploy", ["robot=replay", f"robot.journal={journal}"]), operator=None, folder=None)
    assert type(robot) is ReplayDriver
    robot.connect()


def test_a_foreign_driver_is_born_inside_a_dry_running_envelope(tmp_path: Path) -> None:
    robot = arm(CELL, folder=tmp_path)
    assert isinstance(robot, RobotDriver)
    assert robot.dry_run
    robot.connect()
    robot.move(Pose(position=(0.4, 0.0, 0.2)), speed=0.2)
    assert [planned.command for planned in robot.planned] == ["move"]
    robot.close()
    calls = [json.loads(line).get("call") for line in (tmp_path / JOURNAL).read_text().splitlines()]
    assert [call for call in calls if call] == ["connect", "move", "close"]


def test_the_envelopes_arguments_come_from_the_robots_own_node() -> None:
    limited = arm(CELL, "+robot.limits.speed=0.1", "robot.dry_run=false")
    assert not limited.dry_run
    assert limited.limits.speed == 0.1
    assert arm(CELL).limits.speed == 0.5


def test_without_a_profile_nothing_is_connected_to() -> None:
    with pytest.raises(DriverError, match="has no profile"):
        arm().connect()


def test_another_robot_than_the_profiles_is_not_connected_to() -> None:
    with pytest.raises(DriverError, match="MY-0001"):
        arm(CELL, "robot.serial_number=MY-0002").connect()


def test_a_robot_that_needs_a_person_moves_nothing_without_one() -> None:
    robot = arm(CELL, "robot.dry_run=false")
    robot.connect()
    with pytest.raises(DriverError, match="nobody is there"):
        robot.move(Pose(position=(0.4, 0.0, 0.2)), speed=0.2)
    robot.close()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("robot.dry_run=3", "robot.dry_run: expected true or false, got 3"),
        ("robot.confirm=never", "robot.confirm: expected one of each, run, got 'never'"),
        ("robot.serial_number=7", "robot.serial_number: expected text, got 7"),
        ("+robot.sped=1", "takes no 'sped'"),
        ("+robot.operator=me", "robot.operator: is given by the command itself"),
        ("+robot.journal=elsewhere", "robot.journal: is given by the command itself"),
    ],
)
def test_a_node_that_fits_neither_driver_nor_envelope_is_refused(override: str, message: str) -> None:
    composed = my_arm(TRUST, override)
    assert any(message in problem for problem in robot_problems(composed)), robot_problems(composed)
    with pytest.raises(ConfigError):
        build_robot(composed, operator=None, folder=None)


def test_a_camera_for_a_robot_that_brings_its_own_is_refused(options: Path) -> None:
    (options / "camera" / "mine.yaml").write_text("_target_: robo_rlft.geometry.Workspace\n")
    composed = compose(
        "deploy", ["robot=real_my_arm", "camera=mine", TRUST, CELL], config_dirs=[EXAMPLE / "conf", options]
    )
    with pytest.raises(ConfigError, match="brings its own cameras; leave camera= out"):
        build_robot(composed, operator=None, folder=None)


def test_a_demonstration_by_hand_takes_any_robot() -> None:
    by_hand = compose(
        "collect", ["robot=real_my_arm", "demonstrator=click", TRUST, CELL], config_dirs=[EXAMPLE / "conf"]
    )
    assert robot_problems(by_hand) == []


# Trust --------------------------------------------------------------------------------------------------------------


def test_a_foreign_driver_needs_the_users_word() -> None:
    with pytest.raises(ConfigError, match=r"add trust=\[my_arm.MyArm\]"):
        build_robot(my_arm(CELL), operator=None, folder=None)


def test_a_file_cannot_allow_a_class_by_itself(options: Path) -> None:
    text = "# @package _global_\ntrust: [my_arm.MyArm]\nrobot:\n  _target_: my_arm.MyArm\n  trust: [my_arm.MyArm]\n"
    (options / "robot" / "mine.yaml").write_text(text)
    composed = compose("deploy", ["robot=mine"], config_dirs=[options])
    assert composed.values["trust"] == ["my_arm.MyArm"]
    with pytest.raises(ConfigError, match=r"add trust=\[my_arm.MyArm\]"):
        build_robot(composed, operator=None, folder=None)


def test_a_policy_file_cannot_allow_a_class(tmp_path: Path) -> None:
    def claim(header: dict[str, Any], tensors: object) -> None:
        header |= {"trust": ["my_arm.MyArm"], "robot": {"_target_": "my_arm.MyArm"}}
        header["metadata"]["trust"] = ["my_arm.MyArm"]
        header["tree"]["args"]["fusion"] = {"class": "my_arm.MyArm", "args": {}}

    file = tmp_path / "policy.safetensors"
    shutil.copy(shipped_policy(), file)
    rewrite(file, claim)
    with pytest.raises(PolicyFileError, match="my_arm.MyArm"):
        load_policy(file)


def test_a_step_of_an_experiment_cannot_allow_a_class() -> None:
    step = {"name": "a", "command": "collect", "overrides": [TRUST]}
    with pytest.raises(ConfigError, match="trust is for the command line alone"):
        jobs(read_experiment({"steps": [step]}), Path("runs/x"), seed=0)


@pytest.mark.parametrize("target", ["robo_rlft.robots.ur.driver._UrDriver", "robo_rlft._hidden.Thing", "a._b.C"])
def test_what_is_private_is_built_from_no_config(target: str) -> None:
    composed = my_arm(f"trust=[{target}]", f"robot._target_={target}", CELL)
    with pytest.raises(ConfigError, match="names what is private"):
        build_robot(composed, operator=None, folder=None)


# Where real robots are refused --------------------------------------------------------------------------------------


def test_which_robots_could_move_a_machine() -> None:
    def real(target: str, *trust: str) -> bool:
        return is_real({"robot": {"_target_": target}}, trust=trust)

    assert not real("robo_rlft.sim.floating.FloatingGripper")
    assert not real("robo_rlft.robots.recording.replay.ReplayDriver")
    assert real("robo_rlft.robots.safety.envelope.SafetyEnvelope")
    assert real("my_arm.MyArm", "my_arm.MyArm")
    assert real("nowhere.Robot")
    assert not is_real({"task": {}})


REAL = {
    "by its option's name": ["robot=real_my_arm"],
    "by a name that is an option of nobody": ["robot=real_franka"],
    "by its class": ["robot._target_=my_arm.MyArm", TRUST],
    "by the envelope's class": ["robot._target_=robo_rlft.robots.safety.envelope.SafetyEnvelope"],
    "by an option with a harmless name": ["robot=harmless"],
    "by an option of another group": ["workspace=sneaky"],
}


def write_traps(options: Path) -> list[str]:
    (options / "robot" / "harmless.yaml").write_text("_target_: my_arm.MyArm\n")
    sneaky = "# @package _global_\nrobot:\n  _target_: robo_rlft.robots.ur.RealUr\n"
    for group in ("task", "workspace"):
        (options / group / "sneaky.yaml").write_text(sneaky)
    return ["--config-dir", str(EXAMPLE / "conf"), "--config-dir", str(options)]


@pytest.mark.parametrize("overrides", REAL.values(), ids=REAL)
@pytest.mark.parametrize("command", ["collect", "train", "evaluate", "deploy"])
def test_a_real_robot_is_refused_in_sweeps(
    command: str,
    overrides: list[str],
    options: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = write_traps(options)
    if command == "deploy":  # which has no choice of a workspace
        overrides = [override.replace("workspace=", "task=") for override in overrides]
    assert main([*folders, "-m", command, "seed=0,1", *overrides]) == 2
    message = capsys.readouterr().err
    assert "moves a machine and is refused in sweeps" in message
    assert message.count("\n") == message.strip().count("\n") + 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("overrides", REAL.values(), ids=REAL)
@pytest.mark.parametrize("where", ["step", "everywhere", "command line"])
def test_a_real_robot_is_refused_in_experiments(overrides: list[str], where: str, options: Path) -> None:
    write_traps(options)
    overrides = [override for override in overrides if override != TRUST]
    step: dict[str, Any] = {"name": "a", "command": "collect"}
    node: dict[str, Any] = {"steps": [step]}
    told = []
    if where == "step":
        step["overrides"] = overrides
    elif where == "everywhere":
        node["overrides"] = overrides
    else:
        told = overrides
    with pytest.raises(ConfigError, match="step a: .*moves a machine and is refused in experiments"):
        jobs(
            read_experiment(node),
            Path("runs/x"),
            seed=0,
            overrides=told,
            config_dirs=[EXAMPLE / "conf", options],
        )


def test_the_experiment_file_itself_is_refused_before_anything_runs(
    options: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = write_traps(options)
    text = "steps:\n  - {name: a, command: collect, overrides: [episodes=1]}\n"
    (options / "experiment" / "mine.yaml").write_text(
        text + "  - {name: b, command: evaluate, overrides: [robot=real_my_arm]}\n"
    )
    assert main([*folders, "run", "experiment=mine"]) == 2
    assert "step b: robot=real_my_arm moves a machine and is refused in experiments" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (["collect"], ["scenes that are laid anew", "deploy", "checkpoint=FILE", "collect demonstrator=click"]),
        (["train", "algorithm=rloo"], ["none does", "algorithm=weighted_bc", "algorithm=ppo"]),
        (["train", "algorithm=bc"], ["none does", "algorithm=weighted_bc"]),
        (["evaluate"], ["nobody knows a task's progress on a table", "reward=person", "instructions=FILE"]),
        (["evaluate", "checkpoint=oracle"], ["a demonstrator needs scenes that are laid anew"]),
    ],
)
def test_a_robot_that_builds_no_scenes_is_refused_with_what_to_do_instead(
    command: list[str],
    advice: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    replay = ["robot=replay", "robot.journal=journal.jsonl"]
    for told in (["robot=real_my_arm", TRUST, CELL], replay):
        assert main(["--config-dir", str(EXAMPLE / "conf"), *command, *told]) == 2
        message = capsys.readouterr().err
        assert [words for words in advice if words not in message] == []
    assert list(tmp_path.iterdir()) == []


def test_an_environment_of_a_machine_is_refused_even_where_a_person_demonstrates() -> None:
    with pytest.raises(ConfigError, match="run a policy on it with deploy"):
        make_env(overrides=["robot=real_my_arm", "demonstrator=click", TRUST], config_dirs=[EXAMPLE / "conf"])


def test_an_environment_of_a_robot_without_scenes_is_refused() -> None:
    composed = compose("collect", ["robot=real_my_arm", TRUST], config_dirs=[EXAMPLE / "conf"])
    with pytest.raises(ConfigError, match="scenes that are laid anew"):
        check_groups(composed, GROUPS, provided=PROVIDED)


def test_a_real_robot_without_a_host_or_a_camera_is_refused_in_plain_words() -> None:
    assert robot_problems(compose("deploy", ["robot=real_ur"])) == [
        "robot.host: expected the arm's address, as its pendant shows it; e.g. robot.host=192.168.1.10"
    ]
    seen = robot_problems(compose("deploy", ["robot=real_ur", "robot.host=192.168.1.10"]))
    assert seen == ["camera: real_ur brings none; choose camera=realsense or =opencv"]


def test_the_emulated_camera_is_that_of_the_emulated_robot() -> None:
    composed = compose("deploy", ["robot=real_ur", "robot.host=127.0.0.9", "camera=loopback"])
    assert composed.values["camera"]["host"] == "127.0.0.9"
