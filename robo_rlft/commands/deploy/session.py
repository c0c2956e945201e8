"""A live session: for each sentence look, decide, show, ask, act, check, and keep what came of it.

Knows a driver, a policy and a person to ask; which robot it is and where sentences come from is `deploy`'s business.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from robo_rlft.commands.deploy.course import FORMAT, FORMAT_VERSION, RESULTS, Course, Decided, decide, unknown_words
from robo_rlft.commands.deploy.figure import plan_figure
from robo_rlft.commands.deploy.prompts import END, ConsoleOperator
from robo_rlft.commands.deploy.scenes import TaskScenes
from robo_rlft.commands.live_episode import LiveEpisode, Occasion
from robo_rlft.data.episodes import EpisodeWriter
from robo_rlft.driver import (
    ConnectionLost,
    DeadlineExceeded,
    DriverError,
    OperatorNeeded,
    Pose,
    Refused,
    RobotDriver,
    RobotStopped,
)
from robo_rlft.evaluation.figures import render
from robo_rlft.evaluation.files import write_bytes, write_json
from robo_rlft.evaluation.results import LOW_CONFIDENCE
from robo_rlft.language.phrases import Phrases, find_phrases
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.robots.acting import (
    Seen,
    asks_itself,
    carry_out,
    check_plan,
    is_dry_run,
    look,
    make_ready,
    primitive_for,
    rehearsed,
)
from robo_rlft.robots.plan import describe
from robo_rlft.robots.primitives import PickPlaceOutcome
from robo_rlft.tasks.task import Attempt

EPISODES = "episodes"
DRY_RUN = "dry run: nothing was moved; robot.dry_run=false and your confirmation move it"
# After these no driver does anything until a person has looked.
NEAR_HOME = 0.005  # metres
STOPPED: Final = (ConnectionLost, RobotStopped, DeadlineExceeded, OperatorNeeded)


class NoPicture(Exception):
    """The cameras gave nothing to decide on, and nobody wanted to look again."""


class SessionEnded(DriverError):
    """The robot stopped and was not taken back into use."""


class Session:
    """One robot, one policy, many sentences."""

    def __init__(
        self,
        *,
        driver: RobotDriver,
        policy: TransporterPolicy,
        operator: ConsoleOperator,
        console: Console,
        folder: Path,
        scenes: TaskScenes | None = None,
        attempts: int = 2,
        about: dict[str, Any] | None = None,
    ) -> None:
        """Begin a session; nothing moves.

        Args:
            driver: connected.
            policy: decides, greedily.
            operator: the person at the terminal.
            console: what is told goes there.
            folder: pictures, episodes and results go there.
            scenes: a simulated robot's table; None where the table is real.
            attempts: how often a sentence is tried when nothing was held, at least 1.
            about: what else the results are to say of the session.
        """
        self.driver, self.policy, self.operator, self.console = driver, policy, operator, console
        self.folder, self.scenes, self.attempts, self.about = folder, scenes, attempts, about or {}
        self.dry_run = is_dry_run(driver)
        self.primitive = primitive_for(driver)
        self.courses: list[Course] = []
        self._seeds: list[int] = []  # of real scenes
        self._at_home = scenes is not None  # a scene that is laid leaves the tool at home, empty
        self._home: Pose | None = None  # where the tool was when it had come home

    # A sentence -----------------------------------------------------------------------------------------------------

    def act(self, sentence: str, *, scene: int | None = None) -> Course:
        """Do what a sentence says, as far as it can be done.

        Raises:
            InstructionError: a sentence that cannot be one; nothing was done.
            SessionEnded: the robot stopped, and nobody took it back into use.
        """
        phrases = find_phrases(sentence)
        course = Course(number=len(self.courses) + 1, sentence=sentence, scene=scene)
        self.courses.append(course)
        rehearsed(self.driver)  # what was planned for an earlier sentence
        stopped: DriverError | None = None
        try:
            self._course(course, phrases)
        except Refused as error:
            declined = error.rule == "operator"
            course.outcome, course.detail = "declined" if declined else "refused", str(error)
            self._tell(f"not done. {error}" if declined else f"the plan was refused: {error}")
        except NoPicture as error:
            course.outcome, course.detail = "no picture", str(error)
        except STOPPED as error:
            course.outcome, course.detail, stopped = "stopped", f"{type(error).__name__}: {error}", error
        finally:
            course.outcome = course.outcome or "interrupted"
            self.write_results()
        if stopped is not None:
            self._recover(stopped)
        return course

    def _course(self, course: Course, phrases: Phrases) -> None:
        """Try until it is done or the attempts are used up; then judge and record."""
        if self.scenes is not None:
            self.scenes.understand(course.sentence)
        record = LiveEpisode(workspace=self.policy.workspace, rotations=self.policy.rotations)
        tried: list[Attempt] = []
        for number in range(1, self.attempts + 1):
            seen = self._look()
            decided = self._decide(course, seen, number)
            if not self._sure(course, decided, seen):
                course.outcome, course.detail = "declined", "the policy doubts, and nobody said that it may go on"
                self._tell(f"not done: {course.detail}")
                return
            before = () if self.scenes is None else self.scenes.poses()
            record.begin_step(seen, decided.pixels, None if self.scenes is None else self.scenes.progress())
            outcome = self._do(course, decided, number, seen)
            if self.dry_run:
                course.outcome = "dry run"
                self._tell(DRY_RUN)
                return
            after = () if self.scenes is None else self.scenes.poses()
            tried.append(Attempt(before=before, after=after, gripped=outcome.gripped, carried=outcome.carried))
            if self._over(outcome):
                break
            if number < self.attempts:
                self._tell("the goal is not reached; looking again")
        self._finish(course, phrases, record, tried)

    def _look(self) -> Seen:
        """Look until there is a picture.

        Raises:
            NoPicture: there is none, and nobody wants to look again.
        """
        while True:
            try:
                if not self._is_home():
                    make_ready(self.driver, approve=self.operator.approve)
                    self._arrived()
                return look(self.driver, self.policy.workspace)
            except (Refused, *STOPPED):
                raise
            except DriverError as error:
                self._tell(f"no picture that can be used, so no action is computed: {error}")
                typed = self.operator.line("Enter looks again, q gives this sentence up:")
                if typed is None or typed.lower() in END:
                    raise NoPicture(str(error)) from error

    def _decide(self, course: Course, seen: Seen, attempt: int) -> Decided:
        """Ask the policy, draw its plan and say it."""
        decided = decide(self.policy, course.sentence, seen, self.primitive)
        course.confidence = decided.confidence
        figure = plan_figure(
            decided.plan,
            seen=seen,
            workspace=self.policy.workspace,
            maps=decided.maps,
            confidence=decided.confidence,
        )
        path = self.folder / f"plan-{course.number:03d}-{attempt}.png"
        write_bytes(path, render(figure, "png"))
        course.attempts.append({"plan": decided.plan.to_json(), "picture": path.name, "gripped": None, "carried": None})
        self._tell(f"plan for {course.sentence!r}, confidence {decided.confidence:.2f}; picture: {path}")
        for line in describe(decided.plan):
            self._tell(f"  {line}")
        return decided

    def _sure(self, course: Course, decided: Decided, seen: Seen) -> bool:
        """Tell whether the plan may be shown to the robot: a doubt is a question."""
        words = unknown_words(self.policy, course.sentence)
        doubts = [f"the text encoder never learned: {', '.join(words)}"] if words else []
        if decided.confidence < LOW_CONFIDENCE:
            doubts.append(f"it doubts that the scene holds what the sentence names (below {LOW_CONFIDENCE})")
        if self.policy.picture == "height" and not (seen.height > self.policy.height_mask).any():
            doubts.append("nothing here is higher than the table, and this policy sees heights: does the camera?")
        if not doubts:
            return True
        self._tell(f"doubtful: {'; '.join(doubts)}")
        return self.dry_run or self.operator.approve("go on with this plan?")

    def _do(self, course: Course, decided: Decided, attempt: int, seen: Seen) -> PickPlaceOutcome:
        (px, py), (qx, qy) = decided.plan.pick, decided.plan.place
        question = f"pick up at ({px:.3f}, {py:.3f}) m and put down at ({qx:.3f}, {qy:.3f}) m"
        question += f", attempt {attempt}" if attempt > 1 else ""
        check_plan(self.driver, decided.plan, self.primitive)
        with self._leaving_home():
            outcome = carry_out(
                self.driver,
                decided.plan,
                self.primitive,
                question=question,
                seen=seen,
                workspace=self.policy.workspace,
            )
        self._arrived()
        if self.dry_run:
            planned = rehearsed(self.driver)
            course.attempts[-1]["planned"] = [asdict(command) for command in planned]
            way = math.fsum(math.dist(one.start.position, one.target.position) for one in planned)
            self._tell(f"rehearsed {len(planned)} commands, all within the limits: {way:.2f} m of way")
            first = planned[0]
            if first.command == "home" and math.dist(first.start.position, first.target.position) > NEAR_HOME:
                x, y, z = first.start.position
                self._tell(
                    f"the tool is not at home but at ({x:.3f}, {y:.3f}, {z:.3f}) m, and a dry run leaves it there: see "
                    "that it does not stand in the picture"
                )
        else:
            course.attempts[-1] |= asdict(outcome)
            came = "carried it" if outcome.carried else "lost it on the way" if outcome.gripped else "held nothing"
            self._tell(f"the robot {came}")
        return outcome

    def _is_home(self) -> bool:
        """Tell whether the tool is where it was when it had come home: hands move real arms between two sentences."""
        if not self._at_home or self._home is None:
            return self._at_home
        return math.dist(self.driver.tool_pose().position, self._home.position) < NEAR_HOME

    def _arrived(self) -> None:
        self._at_home = True
        self._home = self.driver.tool_pose() if self.scenes is None else None

    @contextmanager
    def _leaving_home(self) -> Iterator[None]:
        """Know afterwards whether the tool is at home: not after an error, unless nobody let it begin."""
        try:
            yield
        except Refused as error:
            self._at_home = error.rule in ("operator", "scene")
            raise
        except BaseException:
            self._at_home = False
            raise

    def _over(self, outcome: PickPlaceOutcome) -> bool:
        """Tell whether another attempt has no sense: a simulated task knows, elsewhere the grip was checked."""
        reached = None if self.scenes is None else self.scenes.reached()
        return outcome.carried if reached is None else reached

    # Afterwards -----------------------------------------------------------------------------------------------------

    def _finish(self, course: Course, phrases: Phrases, record: LiveEpisode, tried: Sequence[Attempt]) -> None:
        seen = self._look()
        course.progress = None if self.scenes is None else self.scenes.progress()
        reached = None if self.scenes is None else self.scenes.reached()
        course.success = self.operator.success(course.sentence) if reached is None else reached
        if course.success is None:
            course.outcome, course.detail = "not judged", "nobody said whether it was done, so no episode is kept"
            self._tell(course.detail)
            return
        if not course.success:
            course.failure = self._failure(tried, known=reached is not None)
        course.outcome = "done" if course.success else "failed"
        episode = record.finish(
            self._occasion(course, phrases),
            seen=seen,
            progress=course.progress,
            success=course.success,
            failure=course.failure,
        )
        course.episode = str(EpisodeWriter(self.folder / EPISODES).write(episode).relative_to(self.folder))
        said = "" if course.progress is None else f"; the task's progress: {course.progress:.2f}"
        why = "" if course.failure is None else f" ({course.failure})"
        self._tell(f"{course.outcome}{why}{said}; episode: {course.episode}")

    def _failure(self, tried: Sequence[Attempt], *, known: bool) -> str:
        if self.scenes is not None and known:
            return self.scenes.explain(tried)
        if not tried[-1].gripped:
            return "no_grasp"
        return self.operator.failure() if tried[-1].carried else "slipped"

    def _occasion(self, course: Course, phrases: Phrases) -> Occasion:
        names = {"pick_name": phrases.pick, "place_name": phrases.place}
        if self.scenes is not None and course.scene is not None:
            goal = self.scenes.layout.goal
            if goal is not None:
                names = {"pick_name": goal.pick, "place_name": goal.place}
            return Occasion(
                task=self.scenes.task.name,
                split=self.scenes.split,
                phase=self.scenes.phase,
                seed=course.scene,
                sentence=course.sentence,
                **names,
            )
        # A real scene has no seed; the second in which it was recorded tells it from every other, in any folder.
        seed = max([int(time.time()), *(taken + 1 for taken in self._seeds)])
        self._seeds.append(seed)
        return Occasion(seed=seed, sentence=course.sentence, **names)

    def _recover(self, error: DriverError) -> None:
        """Tell what happened, and take the robot back into use once a person says so.

        Raises:
            SessionEnded: nobody does.
        """
        self._tell(f"the robot stands still. {type(error).__name__}: {error}")
        self._at_home = False
        self._tell(
            "look at it; where it is locked, unlock it at the robot, by hand; then say that it may be used again"
        )
        while self.operator.present:
            # An envelope asks the same question itself.
            if not asks_itself(self.driver) and not self.operator.approve("recover?"):
                break
            try:
                self.driver.recover(operator=self.operator.name)
            except DriverError as refused:
                if isinstance(refused, Refused) and refused.rule == "operator":
                    break
                self._tell(f"not recovered: {refused}")
                continue
            self._tell("recovered; what the sentence asked is not gone on with: say it again if it is still wanted")
            return
        raise SessionEnded(
            f"the robot stopped and was not taken back into use ({error}); look at it, mend what is wrong, then deploy "
            f"again. What was done is in {self.folder}"
        )

    def write_results(self) -> None:
        """Write what every sentence came to so far."""
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **self.about, "dry_run": self.dry_run}
        write_json(self.folder / RESULTS, content | {"sentences": [asdict(course) for course in self.courses]})

    def _tell(self, text: str) -> None:
        self.console.print(text, markup=False)
