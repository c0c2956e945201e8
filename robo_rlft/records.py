"""The data that flows between the parts, as tensors, and the Protocols of the seams.

Knows nothing of where data comes from. Axis letters: B batch, K actions for the same observation, T time, N
environments, C channels, H W rows and columns, R rotations. Leading dims "..." are () for one, (B,), (B, K) or (T, N).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robo_rlft.driver import Pose

T = TypeVar("T", bound="TensorRecord")


@dataclass(frozen=True, kw_only=True)
class TensorRecord:
    """A frozen dataclass whose tensor fields move, index and stack together; other fields stay as they are."""

    def to(self: T, device: torch.device | str) -> T:
        """Return the record with every tensor on `device`."""
        return replace(self, **{f.name: _to(getattr(self, f.name), device) for f in fields(self)})

    def __getitem__(self: T, index: Any) -> T:
        """Index the first leading dimension of every tensor, and of every tuple of sentences."""
        return replace(self, **{f.name: _index(getattr(self, f.name), index) for f in fields(self)})


def _to(value: Any, device: torch.device | str) -> Any:
    return value.to(device) if isinstance(value, Tensor | TensorRecord) else value


def _index(value: Any, index: Any) -> Any:
    if isinstance(value, Tensor | TensorRecord):
        return value[index]
    if isinstance(value, tuple):
        if isinstance(index, int | slice):
            return value[index]
        return tuple(value[int(i)] for i in torch.arange(len(value))[index])
    return value


def stack(records: Sequence[T]) -> T:
    """Stack records along a new first dimension; sentences become a tuple."""
    first = records[0]
    return replace(first, **{f.name: _stack([getattr(r, f.name) for r in records]) for f in fields(first)})


def concatenate(records: Sequence[T]) -> T:
    """Join records along their first dimension."""
    first = records[0]
    return replace(first, **{f.name: _concatenate([getattr(r, f.name) for r in records]) for f in fields(first)})


def _stack(values: list[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.stack(values)
    return stack(values) if isinstance(values[0], TensorRecord) else tuple(values)


def _concatenate(values: list[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    return concatenate(values) if isinstance(values[0], TensorRecord) else tuple(v for group in values for v in group)


@dataclass(frozen=True, kw_only=True)
class Observation(TensorRecord):
    """What a policy sees: the workspace from above, and the instruction."""

    color: Tensor  # uint8 (..., 3, H, W), RGB
    height: Tensor  # float32 (..., H, W), metres above the table
    instruction: str | tuple[str, ...]  # a tuple of B sentences when batched

    @classmethod
    def of(cls, seen: Observation | Mapping[str, Any]) -> Observation:
        """Return what an environment's `reset` and `step` give, colour (H, W, 3), as an observation.

        Raises:
            ValueError: for anything else, saying what is missing.
        """
        if isinstance(seen, Observation):
            return seen
        keys = ("color", "height", "instruction")
        if not isinstance(seen, Mapping) or not set(keys) <= set(seen):
            got = sorted(map(str, seen)) if isinstance(seen, Mapping) else type(seen).__name__
            raise ValueError(f"expected an Observation, or a mapping with {', '.join(keys)}; got {got}")
        color, height = (torch.as_tensor(seen[key]) for key in keys[:2])
        if color.ndim != 3 or color.shape[-1] != 3 or color.shape[:2] != height.shape:
            raise ValueError(
                f"expected colour (H, W, 3) and height (H, W); got {tuple(color.shape)} and {tuple(height.shape)}"
            )
        return cls(color=color.permute(2, 0, 1).contiguous(), height=height, instruction=seen["instruction"])


@dataclass(frozen=True, kw_only=True)
class PickPlace(TensorRecord):
    """Where to start, where to end, how far to turn; the task's primitive interprets it."""

    pick: Tensor  # int64 (..., 2), pixel (row, column)
    place: Tensor  # int64 (..., 2), pixel (row, column)
    rotation: Tensor  # int64 (...), bin; the held object is turned by 2 pi rotation / R about +z

    def to_array(self) -> npt.NDArray[np.int64]:
        """Return int64 (..., 5), as environments want it: pick row and column, place row and column, rotation."""
        return torch.cat([self.pick, self.place, self.rotation[..., None]], dim=-1).cpu().numpy()


@dataclass(frozen=True, kw_only=True)
class Decision(TensorRecord):
    """What `act` returns."""

    action: PickPlace
    log_prob: Tensor  # float32 (...), joint log-probability under the policy, temperature 1, mask included
    confidence: Tensor  # float32 (...), [0, 1]: how sure the policy is that the scene holds what the sentence names


@dataclass(frozen=True, kw_only=True)
class ActionScores(TensorRecord):
    """What `evaluate_actions` returns: exact per-factor log-probabilities and entropies."""

    pick_log_prob: Tensor  # float32 (...)
    place_log_prob: Tensor  # float32 (...), given the pick, joint over place and rotation
    pick_entropy: Tensor  # float32 (...), nats
    place_entropy: Tensor  # float32 (...), nats, of the place factor at the given pick

    @property
    def log_prob(self) -> Tensor:
        return self.pick_log_prob + self.place_log_prob


@dataclass(frozen=True, kw_only=True)
class Transition(TensorRecord):
    """One decision and its outcome; leading dims (T, N) make a rollout, (B,) a batch."""

    observation: Observation
    action: PickPlace
    symmetry: Tensor  # int64, how many turns, equal parts of a whole one apart, are known to come to the same
    pick_log_prob: Tensor  # float32, under the policy that acted
    place_log_prob: Tensor  # float32, under the policy that acted
    reward: Tensor  # float32
    terminated: Tensor  # bool, the episode ended here by the task's own rule
    truncated: Tensor  # bool, the episode was cut here by the step limit
    valid: Tensor  # bool, False for padding after an episode's end
    group: Tensor  # int64, equal for rollouts that started from the same state
    advantage: Tensor  # float32, 0 until an estimator fills it in


@dataclass(frozen=True, kw_only=True)
class BodySpec:
    """A rigid body made of primitives; what tasks describe and a `Scene` builds.

    `parts` are in the body's own frame, whose origin lies at the centre of the footprint on the underside.
    """

    name: str  # what people call it: "red block"
    parts: tuple[Part, ...]
    mass: float  # kg; 0 is fixed to the table
    friction: float = 0.8


@dataclass(frozen=True, kw_only=True)
class Part:
    """A box or an upright cylinder."""

    kind: str  # "box" or "cylinder"
    size: tuple[float, float, float]  # metres: box full extents x y z; cylinder (radius, radius, height)
    center: tuple[float, float, float]  # metres, body frame
    yaw: float = 0.0  # radians about +z
    color: tuple[int, int, int] = (128, 128, 128)  # RGB, 0 to 255
    solid: bool = True  # can be touched
    visible: bool = True  # can be seen


@runtime_checkable
class Scene(Protocol):
    """A world of bodies that can be built anew in an exact state."""

    def build(self, bodies: Sequence[BodySpec], poses: Sequence[Pose]) -> None:
        """Make the world hold exactly these bodies, at these poses, at rest."""

    def poses(self) -> tuple[Pose, ...]:
        """Return the bodies' poses (body frame in the world frame), in the order in which they were built."""

    def settle(self) -> None:
        """Let the world come to rest, within a limit of steps."""


@runtime_checkable
class Policy(Protocol):
    """Scores actions."""

    def act(
        self,
        observation: Observation,
        *,
        greedy: bool = False,
        samples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Decision:
        """Choose actions: (B,) of them, or (B, K) with `samples=K`; without a batch dimension for one observation."""

    def evaluate_actions(self, observation: Observation, action: PickPlace) -> ActionScores:
        """Score actions (B,) or (B, K) for observations (B,), with gradients."""


@runtime_checkable
class LearningPolicy(Policy, Protocol):
    """A policy whose frozen part is computed once for a scene and shared by all that is asked of it."""

    def encode(self, observation: Observation) -> Any:
        """Return the frozen part for observations (B,)."""

    def act(
        self,
        observation: Observation,
        *,
        greedy: bool = False,
        samples: int | None = None,
        generator: torch.Generator | None = None,
        encoded: Any = None,
    ) -> Decision:
        """Choose actions; `encoded` is what `encode` gave for the same observations."""

    def evaluate_actions(self, observation: Observation, action: PickPlace, *, encoded: Any = None) -> ActionScores:
        """Score actions; likewise."""


@runtime_checkable
class Reward(Protocol):
    """Turns what happened into named terms and their sum."""

    def __call__(
        self, *, before: float, after: float, observation: Observation | None, final: Observation | None
    ) -> dict[str, float]:
        """Return named terms; the reward is their sum, of a `rewards.total.TotalReward` the weighted one.

        Args:
            before: the task's progress before the action, in [0, 1].
            after: and after it.
            observation: what was seen before the action; None where nobody looked.
            final: what was seen after it, likewise.
        """


@runtime_checkable
class OutcomeReward(Protocol):
    """Turns whole attempts into named terms, from what was seen; paid at the end of an episode, and nothing before."""

    def outcomes(
        self, *, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]
    ) -> dict[str, Tensor]:
        """Return named terms, float32 (N,) each; the reward is their sum, as for `Reward`.

        Args:
            first: (N,), what was seen before the first action.
            last: (N,), and after the last.
            scripts: N; all that was to be said of each.
        """
