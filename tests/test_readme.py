"""What README.md says works: its commands are accepted, its code runs, its examples are the files beside it."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from robo_rlft.algorithms.clip_words import read_words
from robo_rlft.commands import cli
from robo_rlft.commands.experiment import jobs, read_experiment
from robo_rlft.commands.policies import build_policy
from robo_rlft.commands.run import compose_run
from robo_rlft.config import compose
from robo_rlft.config.compose import sweep
from robo_rlft.evaluation.instructions import read_instructions
from robo_rlft.evaluation.results import read_results
from robo_rlft.language.phrases import find_phrases
from robo_rlft.policies.io import load_policy, save_policy
from robo_rlft.tasks.put_block_in_bowl import PutBlockInBowl
from robo_rlft.tasks.task import named

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "docs" / "examples"
TRUST = "trust=[block_on_plate.BlockOnPlate]"


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def command_lines() -> list[str]:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    return [line for line in lines if line.startswith("robo-rlft ") and line.split("#")[0].strip() != "robo-rlft"]


def file_block(name: str) -> str:
    """Return the block that a comment in the page calls a file."""
    found = re.search(rf"<!-- file: {re.escape(name)} -->\n```\w+\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.fixture
def examples_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def test_there_are_commands_to_check() -> None:
    assert len(command_lines()) > 20


@pytest.mark.parametrize("line", command_lines())
@pytest.mark.usefixtures("examples_on_path")
def test_a_command_of_the_page_is_accepted(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # paths on the page are relative to the checkout
    words = shlex.split(line, comments=True)[1:]
    folders = []
    if words[0] == "--config-dir":
        folders, words = [ROOT / words[1]], words[2:]
    command, overrides = words[0], words[1:]
    if "--help" in words:
        assert cli.main(words) == 0
        return
    for job in sweep([o for o in overrides if o != "-m"]) if "-m" in overrides else [overrides]:
        if command == "run":
            composed = compose_run(job, folders)
            experiment = read_experiment(composed.values["experiment"])
            steps = jobs(experiment, Path("runs/x"), seed=0, overrides=composed.values["overrides"])
            assert len(steps) >= len(experiment.steps) + (experiment.grid is None)
            continue
        composed = compose(command, job, config_dirs=folders)
        assert composed.command == command
        check = getattr(importlib.import_module(f"robo_rlft.commands.{command}"), "check_config", None)
        if check is not None:
            check(composed)


@pytest.mark.parametrize(
    "override", sorted(set(re.findall(r"`((?:task|encoder|policy|algorithm|demonstrator)[\w.]*=[^`]*)`", README)))
)
def test_an_override_that_the_page_mentions_composes(override: str) -> None:
    parts = [part for part in shlex.split(override.replace("FILE", "file.safetensors")) if "=" in part]
    command = "collect" if override.startswith(("task", "demonstrator")) else "train"
    first = ["algorithm=rloo"] if override.startswith("algorithm.") else []
    assert compose(command, [*first, *parts]).values


def test_files_that_the_page_links_to_are_there() -> None:
    links = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert len(links) > 5
    titles = re.findall(r"^#+ (.+)$", README, flags=re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    missing = [x for x in links if x not in anchors and (x.startswith("#") or not (ROOT / x).exists())]
    assert missing == []


def test_the_page_counts_the_rollouts_that_the_quickstart_makes() -> None:
    composed = compose_run([])
    steps = jobs(read_experiment(composed.values["experiment"]), Path("runs/x"), seed=0)
    algorithm = next(job for job in steps if job.name == "rl").composed.values["algorithm"]
    iterations, scenes, samples = algorithm["iterations"], algorithm["data"]["scenes"], algorithm["data"]["samples"]
    assert (
        f"`rl`: {iterations} iterations. Each one draws {scenes} fresh scenes, tries each of them {samples}" in README
    )
    assert f"({iterations * scenes * samples:,} rollouts in all)" in README


def test_the_example_on_the_page_is_the_file_that_is_tested() -> None:
    assert (EXAMPLES / "block_on_plate.py").read_text(encoding="utf-8") in blocks("python")
    assert (EXAMPLES / "conf" / "task" / "block_on_plate.yaml").read_text(encoding="utf-8") in blocks("yaml")


def test_the_sentences_and_words_on_the_page_can_be_read(tmp_path: Path) -> None:
    for name in ("sentences.jsonl", "words.txt"):
        (tmp_path / name).write_text(file_block(name), encoding="utf-8")
    lines = read_instructions(tmp_path / "sentences.jsonl")
    places = [(line.has_goal, find_phrases(line.sentence).place) for line in lines]
    assert places == [(True, "cyan dish"), (False, "blue bowl"), (True, "blue mug")]
    for line in lines:
        scene = PutBlockInBowl().scene(split="seen", phase="test", seed=line.scene_seed)
        assert all(named(scene, name) for name in (line.pick, line.place) if name is not None)
    assert [pair.known for pair in read_words(tmp_path / "words.txt")] == ["red", "bowl"]


@pytest.mark.usefixtures("examples_on_path")
def test_the_example_task_is_solved_by_its_expert_and_trained_on(tmp_path: Path) -> None:
    common = ["--config-dir", str(EXAMPLES / "conf"), "task=block_on_plate", TRUST, "threads=1", "rotations=2"]
    assert cli.main(["collect", *common, "episodes=4", f"output={tmp_path}/demos"]) == 0
    assert cli.main(["evaluate", *common, "checkpoint=oracle", "episodes=10", f"output={tmp_path}/oracle"]) == 0
    oracle = read_results(tmp_path / "oracle" / "results.json")
    assert oracle.task == "block_on_plate"
    assert oracle.success is not None and oracle.success.mean == 1.0
    short = ["algorithm=bc", "algorithm.max_steps=1", "algorithm.data.steps_per_epoch=1"]
    assert cli.main(["train", *common, *short, f"data={tmp_path}/demos", f"output={tmp_path}/bc"]) == 0
    assert load_policy(tmp_path / "bc" / "policy.safetensors").rotations == 2


@pytest.mark.usefixtures("examples_on_path")
def test_the_example_reward_gives_nothing_before_the_task_is_complete() -> None:
    reward = importlib.import_module("sparse_reward").SparseReward()
    given = [reward(before=b, after=a, observation=None, final=None) for b, a in ((0, 0.5), (0.5, 1), (1, 1), (1, 0.5))]
    assert given == [{"complete": value} for value in (0.0, 1.0, 0.0, -1.0)]


def test_the_python_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    policy = build_policy(compose("train", ["rotations=2", "policy.stream.width=8"]))
    save_policy(policy, tmp_path / "runs/quickstart/rl/policy.safetensors", metadata={})
    first, second = (block for block in blocks("python") if "import robo_rlft\n" in block)
    values: dict[str, object] = {}
    exec(first, values)
    assert (tmp_path / "scene3.png").stat().st_size > 500
    exec(second, values)
    assert isinstance(values["reward"], float)
