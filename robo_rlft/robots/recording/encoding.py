"""A driver's plain types as JSON and back.

JSON has no NaN: numbers that are not finite, and whole numbers beyond 64 bits, are written as text. Anything can be
written, as a journal must not break over a nonsensical command; only what a driver really returns can be read back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from robo_rlft import driver as contract
from robo_rlft.driver import DriverError, Mode, Motion, Pose, Refused, Status, Wrench
from robo_rlft.perception import ViewError

LONGEST = 200  # characters of what is written of a thing that is no plain value
DEEPEST = 8  # levels of nesting
MOST = 64  # items of a list

_ERRORS: dict[str, type[DriverError]] = {
    name: value
    for name, value in vars(contract).items()
    if isinstance(value, type) and issubclass(value, DriverError) and value is not Refused
} | {"ViewError": ViewError}


def encode(value: object, depth: int = 0) -> Any:
    """Return what `json.dumps(..., allow_nan=False)` can write, for any object at all."""
    if isinstance(value, Enum):
        return encode(value.value, depth)
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, int | np.integer):
        return int(value) if int(value).bit_length() <= 64 else hex(int(value))[:LONGEST]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, str):
        return value if len(value) <= 10 * LONGEST else value[: 10 * LONGEST] + "..."
    if depth < DEEPEST:
        if isinstance(value, list | tuple) and len(value) <= MOST:
            return [encode(item, depth + 1) for item in value]
        if isinstance(value, np.ndarray) and value.ndim > 0 and value.size <= MOST:
            return [encode(item, depth + 1) for item in value]
        if isinstance(value, Mapping) and len(value) <= MOST:
            return {str(key): encode(item, depth + 1) for key, item in value.items()}
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: encode(getattr(value, field.name), depth + 1) for field in fields(value)}
    return {"repr": _repr(value)}


def decode(call: str, value: Any) -> Any:
    """Return what `call` of a driver gave, from what `encode` made of it; views are read elsewhere.

    Raises:
        ValueError, TypeError, KeyError: it is not what that call gives.
    """
    if call in ("move", "tool_pose", "force", "status"):
        if call == "move":
            return Motion(reached=_pose(value["reached"]), contact=_bool(value["contact"]))
        if call == "tool_pose":
            return _pose(value)
        if call == "status":
            return Status(mode=Mode(value["mode"]), detail=str(value["detail"]), age=float(value["age"]))
        return None if value is None else Wrench(force=_floats(value["force"], 3), torque=_floats(value["torque"], 3))
    if call == "is_holding":
        return _bool(value)
    return str(value) if call == "serial" else None


def encode_error(error: BaseException) -> dict[str, Any]:
    """Return an error's classes, the nearest first, its message, and the rule of a refusal."""
    kinds = [cls.__name__ for cls in type(error).__mro__ if cls not in (object, BaseException, Exception)]
    encoded: dict[str, Any] = {"kinds": kinds or [type(error).__name__], "message": encode(str(error))}
    if isinstance(error, Refused):
        encoded["rule"] = error.rule
    return encoded


def decode_error(value: Mapping[str, Any]) -> DriverError:
    """Return the error again, as the nearest class that the driver contract knows."""
    message = str(value["message"])
    for kind in value["kinds"]:
        if kind == "Refused":
            return Refused(message, rule=str(value["rule"]))
        if kind in _ERRORS:
            return _ERRORS[kind](message)
    return DriverError(f"{value['kinds'][0]}: {message}")


def _pose(value: Mapping[str, Any]) -> Pose:
    return Pose(position=_floats(value["position"], 3), quaternion=_floats(value["quaternion"], 4))


def _floats(values: Any, count: int) -> Any:
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"expected {count} numbers, got {values!r}")
    return tuple(float(value) for value in values)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def _repr(value: object) -> str:
    try:
        return repr(value)[:LONGEST]
    except Exception as error:  # anything can be asked of a driver, also what cannot be shown
        return f"{type(value).__name__} that cannot be shown ({type(error).__name__})"
