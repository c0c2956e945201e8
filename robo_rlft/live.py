"""`LiveEnv`: a robot driver as an environment, for policies that act and learn with no simulator's help.

Speaks the driver's contract alone: nothing is restored, no scene comes back, nobody but a judge knows how far a
sentence is done. It stands where a `TabletopEnv` stands, with one state: the present one. Knows nothing of policies,
and of people only that they may be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from robo_rlft.driver import DriverError, Refused, RobotDriver
from robo_rlft.env import SUCCESS, EnvState, Place, StepResult
from robo_rlft.geometry import Workspace
from robo_rlft.records import Observation, PickPlace, Reward
from robo_rlft.rewards.total import payment
from robo_rlft.robots.acting import Seen, carry_out, check_plan, is_dry_run, look, make_ready, primitive_for
from robo_rlft.robots.plan import PlannedPixels, make_plan
from robo_rlft.robots.primitives import PickPlaceOutcome
from robo_rlft.tasks.task import Attempt, Goal

OUTSIDE = ("box", "table", "reach", "step", "tilt")  # rules of what is asked of a place, not of how


class CannotRestore(DriverError):
    """A state other than the present one was asked for, and a table cannot be put back into it."""


@dataclass(frozen=True, kw_only=True)
class Laid:
    """A table that is ready, and what is asked there."""

    sentences: tuple[str, ...]  # in the order in which they are said
    goals: tuple[Goal, ...]  # what each names
    max_steps: int  # actions allowed

    @property
    def carries(self) -> int:
        """How many things are to be carried for a sentence, where nobody says when it is done."""
        return max(1, self.max_steps // len(self.sentences))


class Table(Protocol):
    """Where scenes come from: a person who lays them, or what lies there anyway."""

    place: Place  # what the episodes are said to be of

    def lay(self, number: int) -> Laid:
        """Have the table ready for an episode.

        Args:
            number: of the episode, or the scene's seed where a simulated table is laid.
        """

    def close(self) -> None:
        """Have done with whoever lays it; safe to call twice."""


class Judge(Protocol):
    """Who says whether a sentence is done."""

    name: str  # what episodes say of who judged them: one of `rollout.episode.JUDGES`

    def __call__(self, sentence: str, *, line: int, before: Observation, after: Observation) -> bool:
        """Tell whether a sentence is done.

        Args:
            sentence: what was asked.
            line: which of the episode's sentences it is.
            before: what was seen before the first action for it.
            after: what is seen now.
        """


class LiveEnv:
    """Episodes on a driver, one after the other.

    A sentence is over when the judge calls it done, or, where nobody judges, when its share of the allowed actions
    carried something; the episode is when all are, or at its limit of actions. Progress is the share of sentences that
    were judged done, and stays 0 where nobody judges. An action that the driver refuses for its limits counts as one
    that did nothing.
    """

    restores = False

    def __init__(
        self,
        *,
        driver: RobotDriver,
        table: Table,
        reward: Reward,
        workspace: Workspace,
        rotations: int = 36,
        judge: Judge | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Connect to the driver; nothing moves yet.

        Args:
            driver: the robot.
            table: where scenes come from.
            reward: pays the increase of progress, or nothing.
            workspace: the grid of pixels.
            rotations: bins of a turn.
            judge: who says whether a sentence is done; None: nobody.
            tell: is told of actions that the robot's limits forbid.

        Raises:
            Refused: a driver that only rehearses; nothing can be learned from plans.
        """
        if is_dry_run(driver):
            raise Refused(
                "dry_run: plans alone are no episodes; expected robot.dry_run=false, which moves the robot after your "
                "word, got robot.dry_run=true",
                rule="dry_run",
            )
        self.driver, self.table, self.reward = driver, table, reward
        self.workspace, self.rotations, self.judge, self._tell = workspace, rotations, judge, tell
        self.primitive = primitive_for(driver)
        self._laid: Laid | None = None
        self._state: EnvState | None = None
        self._seen: Seen | None = None  # of the present state
        self._before: Observation | None = None  # the present sentence's first
        self._carried = 0  # things, for the present sentence
        driver.connect()

    @property
    def told_by(self) -> str:
        """Who says whether episodes succeed."""
        return "nobody" if self.judge is None else self.judge.name

    @property
    def place(self) -> Place:
        """What its episodes are said to be of."""
        return self.table.place

    def close(self) -> None:
        """Release the driver, and whoever stands at the table."""
        self.driver.close()
        self.table.close()

    def start(self, seed: int, *, sentence: str | None = None, goal: Goal | None = None) -> EnvState:
        """Have the table laid, bring the tool home, and return the episode's first state.

        Args:
            seed: of a simulated scene, or the episode's number.
            sentence: has no place here: tables say their own.
            goal: likewise.

        Raises:
            ValueError: a sentence was told.
        """
        if sentence is not None or goal is not None:
            raise ValueError(f"a table says its own sentences; expected none, got {sentence!r}")
        self._state = self._seen = self._before = None
        self._carried = 0
        self._laid = self.table.lay(seed)
        make_ready(self.driver, approve=_nothing_held)
        self._state = EnvState(
            seed=seed,
            split=self.place.split,
            phase=self.place.phase,
            goals=self._laid.goals,
            sentences=self._laid.sentences,
            line=0,
            poses=(),  # nobody knows them
            progress=0.0,
            step=0,
        )
        self._before = self.look(self._state)
        return self._state

    def look(self, state: EnvState) -> Observation:
        """Return what is seen now.

        Raises:
            CannotRestore: for any state but the present one.
        """
        self._check_present(state)
        if self._seen is None:
            self._seen = look(self.driver, self.workspace)
        return _observation(self._seen, state.instruction)

    def act(self, state: EnvState, action: npt.ArrayLike | PickPlace) -> StepResult:
        """Act from the present state.

        Raises:
            CannotRestore: for any other state.
            Refused: rule "operator" or "scene": a person said no, or the table changed; nothing was moved.
            DriverError: the driver's own.
        """
        before = self.look(state)
        assert self._laid is not None and self._seen is not None and self._before is not None
        try:
            outcome = self._carry_out(state, np.asarray(action.to_array() if isinstance(action, PickPlace) else action))
        finally:
            self._seen = None  # whatever moved, however it ended
        moved = replace(state, step=state.step + 1)
        self._state = moved
        self._carried += outcome.carried
        done = self._done(moved)
        line, count = state.line + done, len(self._laid.sentences)
        after = replace(
            moved,
            line=min(line, count - 1),
            progress=0.0 if self.judge is None else line / count,
        )
        self._state = after
        if done:
            self._before, self._carried = self.look(after), 0
        terms = self.reward(before=state.progress, after=after.progress, observation=before, final=None)
        terminated = after.progress > SUCCESS
        return StepResult(
            state=after,
            reward=float(payment(self.reward, terms)),
            terms=terms,
            terminated=terminated,
            truncated=not terminated and (line == count or after.step >= self._laid.max_steps),
            attempt=Attempt(before=(), after=(), gripped=outcome.gripped, carried=outcome.carried),
        )

    def explain(self, state: EnvState, attempts: Sequence[Attempt]) -> str:
        """Return the kind of failure, as far as the grip tells it."""
        last = attempts[-1]
        return "no_grasp" if not last.gripped else "timed_out" if last.carried else "slipped"

    def film(self, state: EnvState, action: npt.ArrayLike) -> list[npt.NDArray[np.uint8]]:
        """Return nothing: nobody films here."""
        return []

    def _check_present(self, state: EnvState) -> None:
        if state != self._state:
            raise CannotRestore(
                "a table cannot be put back into an earlier state: expected the present one, of episode "
                f"{None if self._state is None else self._state.seed}, got one of episode {state.seed}, step "
                f"{state.step}"
            )

    def _carry_out(self, state: EnvState, values: npt.NDArray[np.int64]) -> PickPlaceOutcome:
        assert self._seen is not None
        row, column, place_row, place_column, rotation = (int(value) for value in values)
        pixels = PlannedPixels(
            pick=(row, column), place=(place_row, place_column), rotation=rotation, rotations=self.rotations
        )
        plan = make_plan(
            pixels,
            sentence=state.instruction,
            height=self._seen.height,
            workspace=self.workspace,
            primitive=self.primitive,
        )
        (px, py), (qx, qy) = plan.pick, plan.place
        try:
            check_plan(self.driver, plan, self.primitive)
            return carry_out(
                self.driver,
                plan,
                self.primitive,
                question=f"{state.instruction!r}: from ({px:.3f}, {py:.3f}) m to ({qx:.3f}, {qy:.3f}) m",
                seen=self._seen,
                workspace=self.workspace,
            )
        except Refused as error:
            if error.rule not in OUTSIDE:
                raise
            self._tell(f"episode {state.seed}: nothing was done, since it is outside the robot's limits: {error}")
            make_ready(self.driver, approve=_nothing_held)
            return PickPlaceOutcome(gripped=False, carried=False)

    def _done(self, state: EnvState) -> bool:
        assert self._before is not None and self._laid is not None
        if self.judge is None:
            return self._carried >= self._laid.carries
        return self.judge(state.instruction, line=state.line, before=self._before, after=self.look(state))


def _nothing_held(question: str) -> bool:
    return False


def _observation(seen: Seen, sentence: str) -> Observation:
    color = torch.from_numpy(np.ascontiguousarray(seen.color.transpose(2, 0, 1)))
    return Observation(color=color, height=torch.from_numpy(seen.height), instruction=sentence)
