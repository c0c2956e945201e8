"""`TabletopEnv`: a robot driver, a task and a reward make an environment.

The only environment class. Knows nothing of policies. The world is rebuilt from recorded poses before every action,
with velocities zero: so a state is a list of poses and the task's progress, and acting from it is bit-exact in any
process.
"""

from __future__ import annotations

import string
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import gymnasium
import numpy as np
import numpy.typing as npt
import torch

from robo_rlft.driver import Pose, RobotDriver
from robo_rlft.geometry import Workspace, angle_to_bin, bin_to_angle, rotate_xy
from robo_rlft.language.instruction import check_instruction
from robo_rlft.perception import fuse, surface_height
from robo_rlft.records import Observation, PickPlace, Reward, Scene
from robo_rlft.rewards.total import payment
from robo_rlft.robots.primitives import PickAndPlace
from robo_rlft.tasks.task import Attempt, Goal, Intent, Layout, Task, TaskError, named

SUCCESS = 0.99  # progress above it is success
_CHARSET = string.ascii_letters + string.digits + string.punctuation + " "  # Text's default has no space
_REMEMBERED = 64  # pictures and layouts: K actions from one state need one picture


class SceneDriver(RobotDriver, Scene, Protocol):
    """A simulated robot: a driver whose scene can be built anew."""


@dataclass(frozen=True, kw_only=True)
class EnvState:
    """All that is needed to act again from here, in any process; plain values."""

    seed: int
    split: str
    phase: str
    goals: tuple[Goal, ...]  # none for a user's sentence that came without one
    sentences: tuple[str, ...]
    line: int  # which sentence is said now
    poses: tuple[Pose, ...]  # at rest
    progress: float
    step: int  # actions taken

    @property
    def instruction(self) -> str:
        """The sentence that is said now."""
        return self.sentences[self.line]

    @property
    def goal(self) -> Goal | None:
        """What it means, if known."""
        return self.goals[self.line] if self.goals else None

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings; floats survive a JSON round trip exactly."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EnvState:
        """Make a state from what `to_json` gave."""
        poses = tuple(Pose(position=tuple(p["position"]), quaternion=tuple(p["quaternion"])) for p in data["poses"])
        goals = tuple(Goal(**goal) for goal in data["goals"])
        return cls(**{**data, "poses": poses, "goals": goals, "sentences": tuple(data["sentences"])})


@dataclass(frozen=True, kw_only=True)
class Place:
    """What an environment's episodes are said to be of."""

    task: str
    split: str
    phase: str


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What an action came to."""

    state: EnvState
    reward: float
    terms: dict[str, float]  # the reward's named terms, before weighting
    terminated: bool
    truncated: bool
    attempt: Attempt


class TabletopEnv(gymnasium.Env[dict[str, Any], npt.NDArray[np.int64]]):
    """An episode of pick-and-place by instruction.

    Observations are dictionaries of "color" (H, W, 3) uint8, "height" (H, W) float32 metres and "instruction"; actions
    are [pick row, pick column, place row, place column, rotation bin].
    """

    restores = True  # any state can be acted in again
    told_by = "task"  # who says whether an episode succeeded

    def __init__(
        self,
        *,
        driver: SceneDriver,
        task: Task,
        reward: Reward,
        workspace: Workspace,
        split: str = "seen",
        phase: str = "train",
        rotations: int = 36,
    ) -> None:
        """Make an environment.

        Raises:
            TaskError: for a split or phase that the task lacks.
        """
        task.check(split=split, phase=phase)
        self.driver, self.task, self.reward, self.workspace = driver, task, reward, workspace
        self.split, self.phase, self.rotations = split, phase, rotations
        self.primitive = PickAndPlace()
        rows, columns = workspace.shape
        self._limits = np.array([rows, columns, rows, columns, rotations])
        self.action_space = gymnasium.spaces.MultiDiscrete(self._limits)
        self.observation_space = gymnasium.spaces.Dict(
            {
                "color": gymnasium.spaces.Box(0, 255, (rows, columns, 3), np.uint8),
                "height": gymnasium.spaces.Box(0.0, 1.0, (rows, columns), np.float32),
                "instruction": gymnasium.spaces.Text(min_length=1, max_length=200, charset=_CHARSET),
            }
        )
        self._layouts: OrderedDict[tuple[str, str, int], Layout] = OrderedDict()
        self._pictures: OrderedDict[EnvState, Observation] = OrderedDict()
        self._state: EnvState | None = None
        self._built: EnvState | None = None  # the state that the driver's scene is in, untouched
        self._attempts: list[Attempt] = []
        driver.connect()

    @property
    def place(self) -> Place:
        """What its episodes are said to be of."""
        return Place(task=self.task.name, split=self.split, phase=self.phase)

    # Gymnasium's interface ------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; the same seed gives the same scene and sentence everywhere.

        Args:
            seed: of the scene; drawn by the environment's own generator when None.
            options: {"sentence": str, "goal": Goal or None} for an instruction of the user's own.

        Raises:
            InstructionError: for a sentence that cannot be one.
            TaskError: for a goal that the scene lacks, or one without a sentence.
        """
        super().reset(seed=seed)
        scene_seed = int(self.np_random.integers(2**31)) if seed is None else seed
        options = options or {}
        if options.get("goal") is not None and options.get("sentence") is None:
            raise TaskError("a goal of your own needs its sentence: pass options={'sentence': ..., 'goal': ...}")
        state = self.start(scene_seed, sentence=options.get("sentence"), goal=options.get("goal"))
        self._state, self._attempts = state, []
        return self._dictionary(self.look(state)), self._info(state)

    def step(self, action: npt.ArrayLike | PickPlace) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Act; see the class for the action's meaning, or pass a decision's own `PickPlace`."""
        if self._state is None:
            raise RuntimeError("the environment was never reset: call reset(seed=...) first")
        result = self.act(self._state, action)
        self._state = result.state
        self._attempts.append(result.attempt)
        info = self._info(result.state) | {"terms": result.terms}
        if (result.terminated or result.truncated) and not info["success"]:
            info["failure"] = self.explain(result.state, self._attempts)
        observation = self._dictionary(self.look(result.state))
        return observation, result.reward, result.terminated, result.truncated, info

    def close(self) -> None:
        """Release the driver."""
        self.driver.close()

    # States as values -----------------------------------------------------------------------------------------------

    def start(self, seed: int, *, sentence: str | None = None, goal: Goal | None = None) -> EnvState:
        """Return the state at the start of a scene; with a sentence of the user's own, that and its goal count."""
        layout = self._layout(self.split, self.phase, seed)
        if sentence is not None:
            if goal is not None:
                named(layout, goal.pick), named(layout, goal.place)
            layout = layout.told(check_instruction(sentence), goal)
        return EnvState(
            seed=seed,
            split=self.split,
            phase=self.phase,
            goals=layout.goals,
            sentences=layout.sentences,
            line=0,
            poses=layout.poses,
            progress=self.task.progress(layout, layout.poses),
            step=0,
        )

    def act(self, state: EnvState, action: npt.ArrayLike | PickPlace) -> StepResult:
        """Rebuild a state and act in it.

        Raises:
            ValueError: for an action that is not on the grid.
        """
        values = np.asarray(action.to_array() if isinstance(action, PickPlace) else action)
        whole = values.shape == (5,) and values.dtype.kind in "iu"
        if not whole or (values < 0).any() or (values >= self._limits).any():
            raise ValueError(
                f"an action is five whole numbers [row, column, row, column, rotation] below {self._limits}; "
                f"got {values} ({values.dtype})"
            )
        before = self.look(state)
        self._restore(state)
        self._built = None  # from here on the scene is touched, however this ends
        layout = self.layout(state)
        pick, place = (tuple(map(float, self.workspace.pixel_to_xy(values[i : i + 2]))) for i in (0, 2))
        outcome = self.primitive(
            self.driver,
            pick=(pick[0], pick[1]),
            place=(place[0], place[1]),
            turn=bin_to_angle(int(values[4]), self.rotations),
            pick_height=surface_height(before.height.numpy(), values[:2], self.workspace),
            place_height=surface_height(before.height.numpy(), values[2:4], self.workspace),
        )
        poses = self.driver.poses()
        progress = self.task.progress(layout, poses)
        line = self.task.line(layout, poses)
        after = replace(state, poses=poses, progress=progress, step=state.step + 1, line=line)
        terms = self.reward(before=state.progress, after=progress, observation=before, final=None)
        terminated = progress > SUCCESS
        attempt = Attempt(before=state.poses, after=poses, gripped=outcome.gripped, carried=outcome.carried)
        return StepResult(
            state=after,
            reward=float(payment(self.reward, terms)),
            terms=terms,
            terminated=terminated,
            truncated=not terminated and after.step >= self.task.max_steps,
            attempt=attempt,
        )

    def look(self, state: EnvState) -> Observation:
        """Return what is seen of a state; a picture is rendered once and remembered for a while."""
        if state not in self._pictures:
            self._restore(state)
            color, height = fuse(self.driver.observe(), self.workspace)
            image = torch.from_numpy(np.ascontiguousarray(color.transpose(2, 0, 1)))
            self._pictures[state] = Observation(
                color=image, height=torch.from_numpy(height), instruction=state.instruction
            )
            if len(self._pictures) > _REMEMBERED:
                self._pictures.popitem(last=False)
        return self._pictures[state]

    def film(self, state: EnvState, action: npt.ArrayLike) -> list[npt.NDArray[np.uint8]]:
        """Act from a state and return pictures of it for people, (height, width, 3) each; [] where nobody can film."""
        record = getattr(self.driver, "record", None)
        if record is None:
            return []
        self._restore(state)
        with record() as frames:
            self.act(state, action)
        pictures: list[npt.NDArray[np.uint8]] = frames
        return pictures

    def explain(self, state: EnvState, attempts: Sequence[Attempt]) -> str:
        """Return the kind of failure of an episode that ended in `state` after these attempts."""
        return self.task.explain(self.layout(state), attempts)

    def layout(self, state: EnvState) -> Layout:
        """Return the scene of a state, with the state's own sentences and goals."""
        layout = self._layout(state.split, state.phase, state.seed)
        return replace(layout, goals=state.goals, sentences=state.sentences, line=state.line)

    def to_action(self, intent: Intent) -> npt.NDArray[np.int64]:
        """Return the action nearest to an intent in metres and radians.

        The place follows the pick: where the pick's pixel is off by some of a pixel, what is carried is off by as much,
        turned, and the place makes up for it.
        """
        grid = self.workspace
        pick = grid.clip_pixel(grid.xy_to_pixel(intent.pick))
        rotation = angle_to_bin(intent.turn, self.rotations)
        x, y = grid.pixel_to_xy(pick)
        off = rotate_xy((x - intent.pick[0], y - intent.pick[1]), bin_to_angle(rotation, self.rotations))
        place = grid.clip_pixel(grid.xy_to_pixel((intent.place[0] + off[0], intent.place[1] + off[1])))
        return np.array([*pick, *place, rotation], dtype=np.int64)

    def _layout(self, split: str, phase: str, seed: int) -> Layout:
        key = (split, phase, seed)
        if key not in self._layouts:
            self._layouts[key] = self.task.scene(split=split, phase=phase, seed=seed)
            if len(self._layouts) > _REMEMBERED:
                self._layouts.popitem(last=False)
        return self._layouts[key]

    def _restore(self, state: EnvState) -> None:
        if self._built is not state:
            self.driver.build(self.layout(state).bodies, state.poses)
            self._built = state

    def _info(self, state: EnvState) -> dict[str, Any]:
        return {"progress": state.progress, "success": state.progress > SUCCESS, "seed": state.seed}

    @staticmethod
    def _dictionary(seen: Observation) -> dict[str, Any]:
        color = np.ascontiguousarray(seen.color.numpy().transpose(1, 2, 0))
        return {"color": color, "height": seen.height.numpy().copy(), "instruction": str(seen.instruction)}
