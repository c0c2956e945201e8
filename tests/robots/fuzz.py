"""Commands that a program should never give, from a seed: for any driver in the limits of the example profile.

Nearly all break a rule; a few are legal and stay within 5 cm of `CENTER`, so that a robot that starts near it is always
near it. Use them with `profile=EXAMPLE` and `limits=NARROWED`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from robo_rlft.driver import Pose
from robo_rlft.robots.safety.limits import HARD_CAP, Limits, narrowed, strictest
from robo_rlft.robots.safety.profile import read_profile

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "cell.yaml"
NARROWED = {"step": 0.3}
CENTER = (0.45, 0.0, 0.25)  # metres, world frame
NEAR = 0.05 / math.sqrt(3)  # metres along each axis
SHARE_LEGAL = 0.02
UPRIGHT = (0.0, 0.0, 0.0, 1.0)

NOT_FINITE: tuple[Any, ...] = (math.nan, math.inf, -math.inf, 10**400, -(10**400), np.float32("nan"), np.float64("inf"))
NOT_NUMBERS: tuple[Any, ...] = ("0.3", "", None, [], {}, (0.3,), [[0.3]], True, 1 + 2j, b"1", object(), np.array([0.3]))
NOT_POSES: tuple[Any, ...] = (
    None,
    "home",
    0.4,
    (0.4, 0.0, 0.2),
    [0.4, 0.0, 0.2, 0.0, 0.0, 0.0],
    {"position": CENTER, "quaternion": UPRIGHT},
    Pose,
    object(),
    SimpleNamespace(position=CENTER),
    math.nan,
)


@dataclass(frozen=True, kw_only=True)
class Command:
    """The arguments of one `move`, and which rule it was made to break; another may stop it first."""

    aim: str  # a rule's name, or "legal"
    args: dict[str, Any]


def limits() -> Limits:
    """Return the effective limits that the commands are made for."""
    return strictest(HARD_CAP, read_profile(EXAMPLE).limits, narrowed(NARROWED))


def commands(seed: int, count: int) -> Iterator[Command]:
    """Yield `count` commands, always the same for a seed."""
    rng = np.random.default_rng(seed)
    bounds = limits()
    aims = sorted(_BREAKING)
    for _ in range(count):
        if rng.random() < SHARE_LEGAL:
            yield Command(aim="legal", args=_legal(rng, bounds))
            continue
        aim = aims[rng.integers(len(aims))]
        args = _legal(rng, bounds)
        _BREAKING[aim](rng, bounds, args)
        yield Command(aim=aim, args=args)


def _legal(rng: np.random.Generator, bounds: Limits) -> dict[str, Any]:
    x, y, z = (float(c + rng.uniform(-NEAR, NEAR)) for c in CENTER)
    half = float(rng.uniform(-math.pi, math.pi)) / 2
    args: dict[str, Any] = {
        "target": Pose(position=(x, y, z), quaternion=(0.0, 0.0, math.sin(half), math.cos(half))),
        "speed": float(rng.uniform(0.5, 1.0)) * bounds.speed,
    }
    if rng.random() < 0.5:
        args["acceleration"] = float(rng.uniform(0.5, 1.0)) * bounds.acceleration
    if rng.random() < 0.2:
        args["deadline"] = 30.0
    return args


def _pick(rng: np.random.Generator, choices: tuple[Any, ...]) -> Any:
    return choices[rng.integers(len(choices))]


def _break_finite(rng: np.random.Generator, bounds: Limits, args: dict[str, Any]) -> None:
    value = _pick(rng, NOT_FINITE)
    where = rng.integers(4)
    if where == 0:
        args["target"] = Pose(position=_swapped(rng, args["target"].position, value))
    elif where == 1:
        args["target"] = Pose(position=CENTER, quaternion=_swapped(rng, UPRIGHT, value))
    else:
        args[_pick(rng, ("speed", "acceleration", "deadline"))] = value


def _break_shape(rng: np.random.Generator, bounds: Limits, args: dict[str, Any]) -> None:
    where = rng.integers(5)
    if where == 0:
        args["target"] = _pick(rng, NOT_POSES)
    elif where == 1:
        args["target"] = Pose(position=(0.4,) * int(_pick(rng, (0, 1, 2, 4, 100))))  # type: ignore[arg-type]
    elif where == 2:
        args["target"] = Pose(position=_swapped(rng, CENTER, _pick(rng, NOT_NUMBERS)))
    elif where == 3:
        length = int(_pick(rng, (0, 1, 3, 5)))
        args["target"] = Pose(position=CENTER, quaternion=(0.5,) * length)  # type: ignore[arg-type]
    else:
        name = _pick(rng, ("speed", "acceleration", "deadline", "stop_on_contact"))
        wrong = [value for value in NOT_NUMBERS if value is not None and (value is not True or name == "speed")]
        args[name] = _pick(rng, tuple(wrong))


def _break_quaternion(rng: np.random.Generator, bounds: Limits, args: dict[str, Any]) -> None:
    scale = _pick(rng, (0.0, 1e-300, 0.5, 0.99, 1.01, 2.0, 1e150, 1e300))
    args["target"] = Pose(position=CENTER, quaternion=(0.0, 0.0, 0.6 * scale, 0.8 * scale))


def _break_box(rng: np.random.Generator, bounds: Limits, args: dict[str, Any]) -> None:
    axis, beyond = int(rng.integers(3)), float(_pick(rng, (1e-6, 0.001, 0.1, 1.0, 100.0, 1e6, 1e300)))
    value = bounds.high[axis] + beyond if rng.random() < 0.5 else bounds.low[axis] - beyond
    args["target"] = _moved(args["target"], axis, value)


def _break_table(rng: np.random.Generator, bounds: Limits, args: dict[str, Any]) -> None:
    args["target"] = _moved(args["target"], 2, float(rng.uniform(bounds.low[2], bounds.table - 1e-6)))


def _break_reach(rng: np.random.Generator, bounds: Limits, args: dict[str, Any]) -> None:
    x, y = bounds.high[0], float(_pick(rng, (bounds.low[1], bounds.high[1])))
    args["target"] = Pose(position=(x - float(rng.uniform(0, 0.05)), y * float(rng.uniform(0.95, 1.0)), 0.4))


def _break_step(rng: np.random.Generator, bounds: Limits, args: dict[str, Any]) -> None:
    side = float(_pick(rng, (-1.0, 1.0)))
    args["target"] = Pose(position=(0.45, side * float(rng.uniform(0.4, 0.54)), float(rng.uniform(0.0, 0.4))))


def _break_tilt(rng: np.random.Generator, bounds: Limits, args: dict[str, Any]) -> None:
    lean = float(rng.uniform(bounds.tilt + 1e-4, math.pi))
    around = float(rng.uniform(-math.pi, math.pi))
    sine = math.sin(lean / 2)
    quaternion = (sine * math.cos(around), sine * math.sin(around), 0.0, math.cos(lean / 2))
    args["target"] = Pose(position=args["target"].position, quaternion=quaternion)


def _break_speed(rng: np.random.Generator, bounds: Limits, args: dict[str, Any]) -> None:
    args["speed"] = _off(rng, bounds.speed)


def _break_acceleration(rng: np.random.Generator, bounds: Limits, args: dict[str, Any]) -> None:
    args["acceleration"] = _off(rng, bounds.acceleration)


def _break_deadline(rng: np.random.Generator, bounds: Limits, args: dict[str, Any]) -> None:
    args["deadline"] = _pick(rng, (0, 0.0, -0.0, -1e-300, -1, -1e300))


def _off(rng: np.random.Generator, limit: float) -> Any:
    return _pick(rng, (0, 0.0, -0.1, -1e300, limit + 1e-6, 2 * limit, 1e6, 1e300, 10**30, np.float32(2 * limit)))


def _moved(pose: Pose, axis: int, value: float) -> Pose:
    position = list(pose.position)
    position[axis] = value
    return Pose(position=tuple(position), quaternion=pose.quaternion)  # type: ignore[arg-type]


def _swapped(rng: np.random.Generator, values: tuple[float, ...], value: Any) -> Any:
    changed: list[Any] = list(values)
    changed[rng.integers(len(changed))] = value
    return tuple(changed)


_BREAKING: dict[str, Callable[[np.random.Generator, Limits, dict[str, Any]], None]] = {
    "finite": _break_finite,
    "shape": _break_shape,
    "quaternion": _break_quaternion,
    "speed": _break_speed,
    "acceleration": _break_acceleration,
    "deadline": _break_deadline,
    "box": _break_box,
    "table": _break_table,
    "reach": _break_reach,
    "step": _break_step,
    "tilt": _break_tilt,
}
