"""Live environments from configs: which commands act on a robot without a simulator's help, and with whose word.

A robot that cannot restore a scene always does; a simulated one with `driver_only=true`, as a rehearsal of a real
table: then its scenes are laid one after the other, and nobody reads its state but a simulated person.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from robo_rlft.apps.ask import AskPage
from robo_rlft.commands.deploy.command import read_sentences
from robo_rlft.commands.deploy.prompts import ConsoleOperator
from robo_rlft.commands.deploy.scenes import TaskScenes, as_scene_driver, lays_scenes
from robo_rlft.commands.live_episode import REAL_PHASE, REAL_SPLIT, REAL_TASK
from robo_rlft.commands.rewards import build_reward
from robo_rlft.commands.robots import build_robot, is_real, live_refusal, may_act_live, restores_scenes
from robo_rlft.commands.tables import (
    ClassifierJudge,
    ConsolePerson,
    PagePerson,
    Person,
    PersonJudge,
    RealTable,
    SimulatedJudge,
    SimulatedTable,
)
from robo_rlft.config import Composed, ConfigError, build, target_class
from robo_rlft.config.nodes import TARGET
from robo_rlft.env import Place
from robo_rlft.geometry import Workspace
from robo_rlft.live import Judge, LiveEnv, Table
from robo_rlft.models.spec import class_path
from robo_rlft.rewards.paid_at_end import SuccessReward
from robo_rlft.rewards.person import PersonReward
from robo_rlft.rewards.progress import ProgressReward
from robo_rlft.rewards.total import parts


@dataclass(frozen=True, kw_only=True)
class LiveArguments:
    """What commands take that can act on a robot without a simulator's help."""

    driver_only: bool
    instructions: Path | None
    resets: Literal["ask", "skip"]
    operator: str | None


def acts_live(composed: Composed) -> bool:
    """Tell whether the command's episodes are acted through the driver alone."""
    values = composed.values
    demonstrated = (
        composed.command == "collect" and values.get("checkpoint") is None
    )  # by hand, or in scenes of its own
    return bool(values.get("driver_only")) or not (restores_scenes(composed) or demonstrated)


def live_place(composed: Composed) -> Place:
    """Return what the episodes of a command that acts live are said to be of."""
    if not restores_scenes(composed):
        return Place(task=REAL_TASK, split=REAL_SPLIT, phase=REAL_PHASE)
    task = str(target_class(str(composed.values["task"][TARGET]), trust=composed.trust).name)
    return Place(task=task, split=composed.values["split"], phase=composed.values["phase"])


def judges(composed: Composed) -> bool:
    """Tell whether somebody says of each episode whether it succeeded."""
    return bool({class_path(PersonReward), class_path(SuccessReward)} & _kinds(composed.values["reward"]))


def _terms(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the nodes of a reward and of a sum's terms."""
    return [node, *(one for term in node.get("terms", {}).values() for one in _terms(term))]


def _kinds(node: Mapping[str, Any]) -> set[str]:
    """Return the classes of a reward and of a sum's terms."""
    return {str(term.get(TARGET)) for term in _terms(node)}


def check_live(composed: Composed, *, judged: bool) -> None:
    """Refuse what cannot work where a command acts live; and a person's word where it does not.

    Args:
        composed: the config.
        judged: whether episodes are of no use to the command where nobody judges them.

    Raises:
        ConfigError: with every problem found, one a line.
    """
    if acts_live(composed):
        problems = live_problems(composed, judged=judged)
    elif class_path(PersonReward) in _kinds(composed.values["reward"]):
        problems = [
            "reward: a person judges what a robot does, one episode after the other; expected driver_only=true beside "
            "reward=person, or a real robot"
        ]
    elif composed.command != "evaluate" and composed.values["instructions"] is not None:
        problems = ["instructions: a simulated table's task says its own sentences; leave it out"]
    else:
        problems = []
    if problems:
        raise ConfigError("\n  ".join(problems))


def live_factory(
    composed: Composed, *, folder: Path, workspace: Workspace, rotations: int, console: Console
) -> Callable[[], LiveEnv]:
    """Return a function that makes the environment of a checked config, for this process alone.

    Args:
        composed: a command's config.
        folder: of the run, for the robot's journal.
        workspace: of the policy that acts.
        rotations: likewise.
        console: tells where the page is, where a person is asked on one.
    """
    return functools.partial(_make, composed, folder, workspace, rotations, console)


def live_problems(composed: Composed, *, judged: bool) -> list[str]:
    """Return what is wrong with a config whose command acts live, in words.

    Args:
        composed: the config.
        judged: whether episodes are of no use to the command where nobody judges them.
    """
    values, kinds = composed.values, _kinds(composed.values["reward"])
    progress, person, success = (class_path(kind) for kind in (ProgressReward, PersonReward, SuccessReward))
    simulated = restores_scenes(composed)
    problems = []
    if not may_act_live(composed):
        return [live_refusal(composed)]
    if values["workers"] > 0:
        problems.append(f"workers: a robot is one; expected 0, got {values['workers']}")
    if (judged or len(kinds) > 1) and progress in kinds:
        problems.append(
            "reward: nobody knows a task's progress on a table; expected reward=person, or one that was learned: "
            "reward=success reward.model=FILE, got reward=progress"
        )
    elif composed.command == "evaluate" and not {person, success} & kinds:
        problems.append("reward: success is somebody's to say; expected reward=person or success")
    asked = [node["ask"] for node in _terms(values["reward"]) if node.get(TARGET) == person]
    if len(asked) > 1:
        problems.append(f"reward: one person is asked; expected one such term, got {len(asked)}")
    if "simulated" in asked and not simulated:
        problems.append("reward.ask: a simulated person sees simulated tables only; expected keyboard or page")
    if is_real(values, trust=composed.trust) and values["robot"].get("dry_run", True) is not False:
        problems.append(
            "robot.dry_run: plans alone are no episodes; expected robot.dry_run=false, which moves the robot after "
            "your word"
        )
    if simulated and values["instructions"] is not None:
        problems.append("instructions: a simulated table's task says its own sentences; leave it out")
    if not simulated and values["instructions"] is None:
        problems.append(
            "instructions: a real table says nothing; expected instructions=FILE, a file of sentences, one a line, "
            "that are asked in turn"
        )
    return problems


def _make(composed: Composed, folder: Path, workspace: Workspace, rotations: int, console: Console) -> LiveEnv:
    values, trust = composed.values, composed.trust
    operator = ConsoleOperator(name=values["operator"])
    node = {TARGET: class_path(Workspace), **asdict(workspace)}
    placed = dataclasses.replace(composed, values={**values, "workspace": node, "rotations": rotations})
    driver = build_robot(placed, operator=operator if operator.present else None, folder=folder)
    # What judges whole attempts is asked by whoever learns from them; here it is built for its classifier alone.
    reward = build_reward(composed, workspace=workspace, rotations=rotations)
    words = parts(reward)
    person_reward = next((part for part in words if isinstance(part, PersonReward)), None)
    classifier = next((part for part in words if isinstance(part, SuccessReward)), None)
    scenes = None
    if lays_scenes(driver):
        task = build(values["task"], trust=trust, path="task", workspace=workspace, rotations=rotations)
        scenes = TaskScenes(driver=as_scene_driver(driver), task=task, split=values["split"], phase=values["phase"])
    person = _person(person_reward, operator, values, console, simulated=scenes is not None)
    return LiveEnv(
        driver=driver,
        table=_table(values, scenes, person),
        reward=reward,
        workspace=workspace,
        rotations=rotations,
        judge=_judge(person_reward, classifier, person, scenes, seed=int(values["seed"])),
        tell=functools.partial(console.print, markup=False),
    )


def _person(
    reward: PersonReward | None,
    operator: ConsoleOperator,
    values: Mapping[str, Any],
    console: Console,
    *,
    simulated: bool,
) -> Person | None:
    """Return whom to ask, for scenes or for success; None where nobody is needed."""
    says = reward is not None and reward.ask != "simulated"
    lays = not simulated and values["resets"] == "ask"
    if not says and not lays:
        return None
    if reward is None or reward.ask != "page":
        mend = "run it in one, or choose reward.ask=page, or what was learned: reward=success reward.model=FILE"
        return ConsolePerson(operator, mend=mend if says else "run it in one, or lay no table: resets=skip")
    try:
        page = AskPage(port=reward.port)
    except OSError as error:
        raise ConfigError(
            f"reward.port: 127.0.0.1:{reward.port} cannot be listened on ({error.strerror}); reward.port=0 takes a "
            "free one"
        ) from error
    console.print(f"open {page.url} in a browser on this machine; Ctrl-C stops", markup=False)
    return PagePerson(page)


def _judge(
    reward: PersonReward | None,
    classifier: SuccessReward | None,
    person: Person | None,
    scenes: TaskScenes | None,
    *,
    seed: int,
) -> Judge | None:
    """Return who judges: a person where one is asked, else the classifier, else nobody."""
    if reward is None:
        return None if classifier is None else ClassifierJudge(classifier)
    if reward.ask == "simulated":
        assert scenes is not None  # the config's check saw to it
        return SimulatedJudge(scenes, noise=reward.noise, seed=seed)
    assert person is not None
    return PersonJudge(person)


def _table(values: Mapping[str, Any], scenes: TaskScenes | None, person: Person | None) -> Table:
    if scenes is not None:
        return SimulatedTable(scenes)
    sentences = [one.sentence for one in read_sentences(Path(str(values["instructions"])))]
    return RealTable(sentences, person=person, ask=values["resets"] == "ask")
