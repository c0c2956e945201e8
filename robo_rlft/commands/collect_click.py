"""`robo-rlft collect demonstrator=click`: a person shows on a web page what to do, the robot does it, and it is kept.

In simulation the task lays the scenes and says whether it was done. On any other robot the person lays the scene, says
in words what is to be done, and says whether it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, ClassVar

import numpy as np
from rich.console import Console

from robo_rlft.apps.click import ClickDemonstrator, Desk
from robo_rlft.apps.click_server import ClickPage
from robo_rlft.commands.deploy.prompts import FAILURE_WORDS, ConsoleOperator
from robo_rlft.commands.environment import environment_factory
from robo_rlft.commands.live_episode import REAL_PHASE, REAL_SPLIT, REAL_TASK, LiveEpisode, Occasion
from robo_rlft.commands.process import sigterm_as_ctrl_c
from robo_rlft.commands.robots import build_robot, is_real
from robo_rlft.commands.runs import Run
from robo_rlft.config import Composed, ConfigError, build
from robo_rlft.data.episodes import EpisodeWriter, read_episode
from robo_rlft.driver import Refused, RobotDriver
from robo_rlft.env import EnvState, TabletopEnv
from robo_rlft.geometry import Workspace
from robo_rlft.language.phrases import find_phrases
from robo_rlft.robots.acting import Seen, carry_out, check_plan, look, make_ready, primitive_for
from robo_rlft.robots.plan import PlannedPixels, make_plan
from robo_rlft.rollout.episode import Episode
from robo_rlft.rollout.jobs import Chosen, record_episode


def collect_by_click(
    composed: Composed,
    opened: Run,
    console: Console,
    demonstrator: ClickDemonstrator,
    *,
    writer: EpisodeWriter,
    seeds: Sequence[int],
) -> int:
    """Record what is not on disk yet; return how many episodes succeeded.

    Args:
        composed: `collect`'s config.
        opened: the run.
        console: for the page's address.
        demonstrator: the page's settings.
        writer: of the run's folder.
        seeds: of the scenes; on a robot that is not simulated, the episodes' numbers.
    """
    values = composed.values
    live = _is_live(composed)
    if live:
        recorder: LiveTable | SimulatedTable = _live_table(composed, opened)
    else:
        recorder = SimulatedTable(environment_factory(values, trust=composed.trust)())
    with sigterm_as_ctrl_c(), closing(recorder):
        recorder.connect()
        missing = [seed for seed in seeds if not writer.path(**recorder.place, seed=seed).exists()]
        there = [read_episode(writer.path(**recorder.place, seed=s)) for s in seeds if s not in set(missing)]
        done, successes = len(there), sum(episode.success for episode in there)
        if not missing:
            return successes
        stop = recorder.stop if live else None
        desk = Desk(workspace=recorder.workspace, rotations=int(values["rotations"]), on_stop=stop)
        with _page(desk, demonstrator) as page:
            console.print(f"open {page.url} in a browser on this machine; Ctrl-C stops", markup=False)
            for seed in missing:
                episode = recorder.record(desk, seed, f"{done + 1} of {len(seeds)}")
                writer.write(episode)
                done, successes = done + 1, successes + episode.success
                desk.say(_came(episode))
                console.print(f"{done}/{len(seeds)}, success {successes / done:.2f}", markup=False)
            desk.end(f"All {len(seeds)} are shown. Thank you; this page can be closed.")
    return successes


def _came(episode: Episode) -> str:
    if episode.failure is None:
        return "The last one was done."
    return f"The last one was not done: the robot {FAILURE_WORDS[episode.failure]}. It is kept as it is."


def _page(desk: Desk, demonstrator: ClickDemonstrator) -> ClickPage:
    try:
        return ClickPage(desk, port=demonstrator.port)
    except OSError as error:
        raise ConfigError(
            f"demonstrator.port: 127.0.0.1:{demonstrator.port} cannot be listened on ({error.strerror}); "
            "demonstrator.port=0 takes a free one"
        ) from error


def _is_live(composed: Composed) -> bool:
    """Tell whether the robot's scene cannot be built: a real one, or a recording of one."""
    target = str(composed.values["robot"]["_target_"])
    return is_real(composed.values, trust=composed.trust) or target.startswith("robo_rlft.robots.")


class SimulatedTable:
    """Scenes of a task."""

    def __init__(self, env: TabletopEnv) -> None:
        self.env, self.workspace = env, env.workspace
        self.place: dict[str, Any] = {"task": env.task.name, "split": env.split, "phase": env.phase}

    def connect(self) -> None:
        """Do nothing: the environment is connected."""

    def record(self, desk: Desk, seed: int, title: str) -> Episode:
        """Ask until the episode is over, and return it."""

        def choose(state: EnvState) -> Chosen:
            seen = self.env.look(state)
            steps = f", action {state.step + 1} of {self.env.task.max_steps}" if self.env.task.max_steps > 1 else ""
            color = np.ascontiguousarray(seen.color.numpy().transpose(1, 2, 0))
            clicked = desk.clicks(color, sentence=state.instruction, editable=False, title=f"Scene {title}{steps}")
            assert clicked is not None  # a simulated table changes by nobody's hand
            return Chosen(action=np.array([*clicked.pick, *clicked.place, clicked.rotation], dtype=np.int64))

        return record_episode(self.env, seed, choose)

    def stop(self) -> None:
        """Nothing moves here that could hurt."""

    def close(self) -> None:
        """Release the environment."""
        self.env.close()


class LiveTable:
    """Whatever lies before a robot."""

    place: ClassVar[dict[str, Any]] = {"task": REAL_TASK, "split": REAL_SPLIT, "phase": REAL_PHASE}

    def __init__(
        self, *, driver: RobotDriver, workspace: Workspace, rotations: int, approve: Callable[[str], bool]
    ) -> None:
        self.driver, self.workspace, self.rotations, self.approve = driver, workspace, rotations, approve
        self.primitive = primitive_for(self.driver)
        self._ready = False
        self._sentence = ""  # the last one: the next is often alike

    def connect(self) -> None:
        """Open the connection; nothing moves."""
        self.driver.connect()

    def record(self, desk: Desk, seed: int, title: str) -> Episode:
        """Ask, act and record one action; what was refused or not understood is asked again."""
        refused = ""
        while True:
            if not self._ready:
                desk.say(f"{refused}Moving home; the robot may ask for your word in the terminal.")
                make_ready(self.driver, approve=self.approve)
                self._ready = True
                desk.say(f"{refused}The tool is home.")  # not "moving" beside the next question
            before = look(self.driver, self.workspace)
            clicked = desk.clicks(
                before.color,
                sentence=self._sentence,
                editable=True,
                title=f"Demonstration {title}: lay the scene first",
            )
            if clicked is None:
                continue
            self._sentence = clicked.sentence
            pixels = PlannedPixels(
                pick=clicked.pick, place=clicked.place, rotation=clicked.rotation, rotations=self.rotations
            )
            try:
                gripped, carried = self._act(pixels, clicked.sentence, before)
                break
            except Refused as error:
                self._ready = self._ready or error.rule in ("operator", "scene")
                refused = f"Refused: {error} "
                desk.say(refused)
        record = LiveEpisode(workspace=self.workspace, rotations=self.rotations)
        record.begin_step(before, pixels, None)
        after = look(self.driver, self.workspace)
        answer = desk.outcome(after.color, sentence=clicked.sentence, title=f"Demonstration {title}")
        phrases = find_phrases(clicked.sentence)
        failure = answer.failure if carried else "slipped" if gripped else "no_grasp"
        return record.finish(
            Occasion(seed=seed, sentence=clicked.sentence, pick_name=phrases.pick, place_name=phrases.place),
            seen=after,
            progress=None,
            success=answer.success,
            failure=failure,
        )

    def _act(self, pixels: PlannedPixels, sentence: str, seen: Seen) -> tuple[bool, bool]:
        plan = make_plan(
            pixels, sentence=sentence, height=seen.height, workspace=self.workspace, primitive=self.primitive
        )
        (px, py), (qx, qy) = plan.pick, plan.place
        check_plan(self.driver, plan, self.primitive)
        self._ready = False
        outcome = carry_out(
            self.driver,
            plan,
            self.primitive,
            question=f"pick up at ({px:.3f}, {py:.3f}) m and put down at ({qx:.3f}, {qy:.3f}) m",
            seen=seen,
            workspace=self.workspace,
        )
        self._ready = True
        return outcome.gripped, outcome.carried

    def stop(self) -> None:
        """Stop what moves, from the page's thread."""
        self.driver.stop()

    def close(self) -> None:
        """Release the robot."""
        self.driver.close()


def _live_table(composed: Composed, opened: Run) -> LiveTable:
    operator = ConsoleOperator()
    _refuse_unwatched(composed, operator)
    driver = build_robot(composed, operator=operator if operator.present else None, folder=opened.path)
    workspace = build(composed.values["workspace"], trust=composed.trust, path="workspace")
    rotations = int(composed.values["rotations"])
    return LiveTable(driver=driver, workspace=workspace, rotations=rotations, approve=operator.approve)


def _refuse_unwatched(composed: Composed, operator: ConsoleOperator) -> None:
    """Refuse a real robot that would not move, or would move with nobody to ask."""
    if not is_real(composed.values, trust=composed.trust):
        return
    if composed.values["robot"].get("dry_run", True) is not False:
        raise ConfigError(
            "robot.dry_run: a demonstration is an action that was done, and a dry run does none; deploy shows plans "
            "without moving, robot.dry_run=false and your confirmation move the robot"
        )
    if not operator.present:
        raise ConfigError(
            "robot: it asks a person before it moves, and standard input is not a terminal: a pipe is no person. "
            "Run the command in a terminal at the robot"
        )
