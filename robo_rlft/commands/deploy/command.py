"""`robo-rlft deploy`: a policy acts on sentences through a driver, and every plan is shown before it is done."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import NonNegativeInt, PositiveInt
from rich.console import Console
from rich.markup import escape

from robo_rlft.commands.checks import Phase, check
from robo_rlft.commands.console import print_table
from robo_rlft.commands.deploy.course import RESULTS, Course
from robo_rlft.commands.deploy.prompts import END, ConsoleOperator
from robo_rlft.commands.deploy.scenes import TaskScenes, as_scene_driver, lays_scenes
from robo_rlft.commands.deploy.session import DRY_RUN, EPISODES, Session
from robo_rlft.commands.policies import BASELINES, Candidate, candidate, shipped_policy
from robo_rlft.commands.process import prepare, sigterm_as_ctrl_c
from robo_rlft.commands.robots import build_robot, is_real
from robo_rlft.commands.runs import RunError, folder_for, open_run
from robo_rlft.config import Composed, ConfigError, build
from robo_rlft.driver import RobotDriver
from robo_rlft.language.instruction import InstructionError
from robo_rlft.language.phrases import find_phrases
from robo_rlft.policies.transporter import TransporterPolicy

KEYS = ("sentence", "scene_seed")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `deploy` takes beside its groups."""

    checkpoint: str | None
    instruction: str | None
    instructions: Path | None
    attempts: PositiveInt
    operator: str | None
    scene: NonNegativeInt
    split: str
    phase: Phase
    seed: NonNegativeInt
    threads: PositiveInt
    run: str | int | None
    output: Path | None
    overwrite: bool
    trust: list[str]


@dataclass(frozen=True, kw_only=True)
class Told:
    """A sentence that was given in advance."""

    sentence: str
    scene: int | None = None  # seed of a simulated scene


def check_config(composed: Composed) -> None:
    """Refuse whatever cannot work, before anything is built."""
    values = composed.values
    check(composed, Arguments, ("robot", "task"), provided={"workspace", "rotations"})
    if values["checkpoint"] in BASELINES:
        raise ConfigError(f"checkpoint: expected a policy file, got '{values['checkpoint']}', which is for evaluate")
    if values["instruction"] is not None and values["instructions"] is not None:
        raise ConfigError("instruction and instructions: give one sentence or a file of them, not both")
    told(values)


def run(composed: Composed, console: Console) -> Path:
    """Hold a session; return its folder."""
    return deploy(composed, console)


def deploy(
    composed: Composed,
    console: Console,
    *,
    operator: ConsoleOperator | None = None,
    driver: RobotDriver | None = None,
) -> Path:
    """Hold a session; return its folder.

    Args:
        composed: the config.
        console: for what is told.
        operator: who is asked; the person at the terminal by default.
        driver: acts instead of the one that the config describes.

    Raises:
        ConfigError: the config cannot work, or nobody is there whom a robot that moves could ask.
        SessionEnded: the robot stopped, and nobody took it back into use.
    """
    check_config(composed)
    values = composed.values
    operator = operator or ConsoleOperator(name=values["operator"])
    sentences = told(values)
    if is_real(values, trust=composed.trust):
        _refuse_absent(values, operator, sentences)
    prepare(values)
    chosen = candidate(composed)
    folder = _folder(values, chosen)
    with (
        sigterm_as_ctrl_c(),
        open_run(
            folder, command="deploy", config=values, overrides=composed.overrides, overwrite=values["overwrite"]
        ) as opened,
    ):
        robot = driver or _robot(composed, chosen, operator, folder)
        try:
            robot.connect()
            session = _session(composed, chosen, robot, operator, console, folder)
            session.write_results()
            console.print(_greeting(composed, session), markup=False)
            _hold(session, sentences, values, console)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped: nothing moves by this program's will; what was done is in {folder}"
            ) from None
        finally:
            robot.close()
        opened.notes |= {"sentences": len(session.courses), "done": sum(bool(c.success) for c in session.courses)}
    _tell(session, folder, console, values["checkpoint"])
    return folder


def told(values: dict[str, Any]) -> tuple[Told, ...]:
    """Return the sentences that were given in advance, all of them checked; none where they are typed.

    Raises:
        InstructionError: a sentence that cannot be one, or a file that cannot be read; names the line.
    """
    if values["instruction"] is not None:
        find_phrases(str(values["instruction"]))
        return (Told(sentence=str(values["instruction"]).strip()),)
    return () if values["instructions"] is None else read_sentences(Path(str(values["instructions"])))


def read_sentences(path: Path) -> tuple[Told, ...]:
    """Read a file of sentences: plain lines, or JSON lines {"sentence": ...}, with "scene_seed" in simulation.

    Raises:
        InstructionError: the file cannot be read or is empty, or a line is not what is expected; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InstructionError(f"{path}: could not read the sentences: {error}") from None
    found: list[Told] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(_parse(line.strip()))
        except InstructionError as error:
            raise InstructionError(f"{path}, line {number}: {error}") from None
    scenes = [one.scene for one in found if one.scene is not None]
    if scenes and (len(scenes) < len(found) or len(set(scenes)) < len(scenes)):
        raise InstructionError(f"{path}: expected a scene_seed in every line or in none, and each of them once")
    if not found:
        raise InstructionError(f"{path}: expected at least one sentence, one a line; found none")
    return tuple(found)


def _parse(line: str) -> Told:
    if not line.startswith("{"):
        find_phrases(line)
        return Told(sentence=line)
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise InstructionError(f'expected JSON such as {{"sentence": "..."}}; {error.msg}') from None
    unknown = sorted(set(data) - set(KEYS))
    if unknown:
        raise InstructionError(f"expected the keys {', '.join(KEYS)}; got {', '.join(map(repr, unknown))} too")
    seed = data.get("scene_seed")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or seed < 0):
        raise InstructionError(f"expected a whole number from 0 on as scene_seed, got {seed!r}")
    find_phrases(data.get("sentence"))
    return Told(sentence=str(data["sentence"]).strip(), scene=seed)


def _refuse_absent(values: dict[str, Any], operator: ConsoleOperator, sentences: Sequence[Told]) -> None:
    """Refuse to move a real robot, or to wait for typed sentences, with nobody at a terminal."""
    if operator.present:
        return
    dry = values["robot"].get("dry_run", True) is not False
    if not dry:
        raise ConfigError(
            "robot: it asks a person before it moves, and standard input is not a terminal: a pipe is no person. "
            "Run the command in a terminal at the robot; robot.dry_run=true moves nothing and needs nobody"
        )
    if not sentences:
        raise ConfigError(
            'instruction: nobody is at a terminal to type one; give instruction="..." or instructions=FILE'
        )


def _folder(values: dict[str, Any], chosen: Candidate) -> Path:
    """Return a folder of its own for this session: a live session is never taken up again."""
    name = "shipped" if values["checkpoint"] is None else Path(str(values["checkpoint"])).stem
    plain = "".join(c if c.isalnum() or c in "-._" else "_" for c in name)
    free = next(n for n in range(1, 1_000_000) if not (Path("runs") / f"deploy-{plain}-{n:03d}").exists())
    folder = folder_for(values, f"deploy-{plain}-{free:03d}")
    if folder.is_dir() and any(folder.iterdir()) and not values["overwrite"]:
        raise RunError(
            f"{folder} holds something already, and a session is never taken up again: leave run= out, choose another "
            "name, or overwrite=true to move it aside"
        )
    return folder


def _robot(composed: Composed, chosen: Candidate, operator: ConsoleOperator, folder: Path) -> RobotDriver:
    workspace = {"_target_": "robo_rlft.geometry.Workspace", **asdict(chosen.workspace)}
    told_of = {**composed.values, "workspace": workspace, "rotations": chosen.rotations}
    placed = dataclasses.replace(composed, values=told_of)
    return build_robot(placed, operator=operator if operator.present else None, folder=folder)


def _session(
    composed: Composed,
    chosen: Candidate,
    driver: RobotDriver,
    operator: ConsoleOperator,
    console: Console,
    folder: Path,
) -> Session:
    values = composed.values
    scenes = None
    if lays_scenes(driver):
        task = build(
            values["task"],
            trust=composed.trust,
            path="task",
            workspace=chosen.workspace,
            rotations=chosen.rotations,
        )
        scenes = TaskScenes(driver=as_scene_driver(driver), task=task, split=values["split"], phase=values["phase"])
    return Session(
        driver=driver,
        policy=cast(TransporterPolicy, chosen.policy),
        operator=operator,
        console=console,
        folder=folder,
        scenes=scenes,
        attempts=int(values["attempts"]),
        about={
            "robot": composed.choices["robot"],
            "checkpoint": chosen.checkpoint.name,
            "checkpoint_sha256": chosen.checkpoint.sha256,
            "operator": operator.name if operator.present else None,
        },
    )


def _hold(session: Session, sentences: Sequence[Told], values: dict[str, Any], console: Console) -> None:
    """Act on every sentence that was given, or on what is typed until there is no more."""
    first, scenes = int(values["scene"]), session.scenes
    if not sentences and not session.operator.present and scenes is not None:
        session.act(scenes.lay(first), scene=first)
        return
    if not sentences:
        for sentence, scene in _typed(session, first, console):
            session.act(sentence, scene=scene)
        return
    for offset, one in enumerate(sentences):
        scene = None
        if scenes is not None:
            scene = first + offset if one.scene is None else one.scene
            console.print(f"scene {scene}, whose own sentence is: {scenes.lay(scene)}", markup=False)
        session.act(one.sentence, scene=scene)


def _typed(session: Session, first: int, console: Console) -> Iterator[tuple[str, int | None]]:
    """Yield sentences that can be read, each with its scene; a scene waits until a sentence was taken for it."""
    scene = first
    while True:
        offered = None if session.scenes is None else session.scenes.lay(scene)
        question = "what is to be done? (an empty line ends)"
        if offered is not None:
            question = f"scene {scene}: {offered!r}. Enter takes it, your own words replace it, q ends:"
        while True:
            typed = session.operator.line(question)
            if typed is None or typed.lower() in END or (not typed and offered is None):
                return
            try:
                find_phrases(typed or str(offered))
                break
            except InstructionError as error:
                console.print(str(error), markup=False)
        yield typed or str(offered), None if offered is None else scene
        # Where nothing was done, the scene is still there for other words.
        scene += session.courses[-1].outcome not in ("declined", "refused", "no picture")


def _greeting(composed: Composed, session: Session) -> str:
    robot = composed.choices["robot"]
    if session.dry_run:
        return f"{robot}: a dry run; plans are drawn and checked, nothing moves"
    if session.scenes is not None:
        return f"{robot}: simulated"
    real = is_real(composed.values, trust=composed.trust)
    return f"{robot}: it will move when you confirm it" if real else f"{robot}: a recording, nothing moves"


def _tell(session: Session, folder: Path, console: Console, checkpoint: str | None) -> None:
    rows = [_row(course) for course in session.courses]
    if rows:
        columns = ["sentence", "outcome", "confidence", "attempts", "episode kept"]
        print_table(console, f"{len(rows)} sentence{'s' if len(rows) > 1 else ''}", columns, rows)
    if session.dry_run and len(rows) > 1:
        console.print(DRY_RUN, markup=False)
    console.print(f"results: {folder / RESULTS}", markup=False)
    kept = sum(course.episode is not None for course in session.courses)
    if kept:
        # The policy's own workspace and rotations are those of the episodes.
        told = f"data={folder / EPISODES} init={shipped_policy() if checkpoint is None else checkpoint}"
        console.print(f"episodes: {kept}; to learn from them: robo-rlft train algorithm=bc {told}", markup=False)


def _row(course: Course) -> list[str]:
    sure = "" if course.confidence is None else f"{course.confidence:.2f}"
    outcome = course.outcome + ("" if course.failure is None else f": {course.failure}")
    episode = "no" if course.episode is None else "yes"
    return [escape(course.sentence), outcome, sure, str(len(course.attempts)), episode]
