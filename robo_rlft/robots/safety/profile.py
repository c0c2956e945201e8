"""A cell's profile: which robot stands there, where, and what its motions have to stay within.

There is no default profile, on purpose: somebody who has seen the cell writes it. `docs/examples/cell.yaml` is one to
start from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from robo_rlft.driver import DriverError
from robo_rlft.robots.safety.limits import Limits

FORMAT = "robo_rlft.profile"
FORMAT_VERSION = 1
EXAMPLE = "docs/examples/cell.yaml"


class ProfileError(DriverError):
    """A profile that cannot be used; the message names the file, the key, what was expected and what came."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One robot in one place."""

    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    robot: str  # the model, for people: "UR5e"
    serial: str  # what the robot itself says; a robot with another one is not connected to
    limits: Limits
    # Where the robot's own base frame is in the world frame: x, y, z in metres and the turn about z in radians.
    world_from_base: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    notes: str = ""

    def __post_init__(self) -> None:
        """Refuse what no comparison would notice.

        Raises:
            ProfileError: no serial number, or a base that stands nowhere.
        """
        if not self.serial:
            raise ProfileError("profile: serial: expected the robot's own serial number, got none")
        if len(self.world_from_base) != 4 or not all(map(math.isfinite, self.world_from_base)):
            raise ProfileError(f"profile: world_from_base: expected four finite numbers, got {self.world_from_base!r}")


def read_profile(path: Path | str) -> Profile:
    """Read a profile.

    Raises:
        ProfileError: there is no such file, it is not a profile of a version known here, or a value is missing, unknown
            or impossible.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProfileError(f"there is no profile {path}; write one as in {EXAMPLE}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ProfileError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ProfileError(f"{path}: expected a mapping as in {EXAMPLE}, got {type(content).__name__}")
    _check_format(path, content)
    names = {field.name for field in fields(Profile)}
    _check_keys(path, "", content, known=names, needed={"robot", "serial", "limits"})
    limits = content["limits"]
    if not isinstance(limits, dict):
        raise ProfileError(f"{path}: limits: expected a mapping as in {EXAMPLE}, got {limits!r}")
    every = {field.name for field in fields(Limits)}
    _check_keys(path, "limits.", limits, known=every, needed=every)
    try:
        values: dict[str, Any] = dict(limits)
        checked = Limits(**values)
    except ValueError as error:
        raise ProfileError(f"{path}: {error}") from error
    return Profile(
        robot=_text(path, "robot", content["robot"]),
        serial=_text(path, "serial", content["serial"]),
        limits=checked,
        world_from_base=_placement(path, content.get("world_from_base", [0.0, 0.0, 0.0, 0.0])),
        notes=_text(path, "notes", content.get("notes", "none")),
    )


def _check_format(path: Path, content: dict[Any, Any]) -> None:
    if content.get("format") != FORMAT:
        raise ProfileError(f"{path}: format: expected '{FORMAT}', got {content.get('format')!r}")
    version = content.get("format_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ProfileError(f"{path}: format_version: expected {FORMAT_VERSION}, got {version!r}")
    if version > FORMAT_VERSION:
        raise ProfileError(
            f"{path}: format_version {version} is newer than this robo_rlft knows ({FORMAT_VERSION}); install a newer "
            "robo_rlft"
        )


def _check_keys(path: Path, prefix: str, content: dict[Any, Any], *, known: set[str], needed: set[str]) -> None:
    unknown = sorted(str(key) for key in content if key not in known)
    if unknown:
        raise ProfileError(f"{path}: unknown {prefix}{unknown[0]}; known are {', '.join(sorted(known))}")
    missing = sorted(needed - set(content))
    if missing:
        raise ProfileError(f"{path}: {prefix}{missing[0]}: missing; see {EXAMPLE}")


def _text(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ProfileError(f'{path}: {key}: expected text in quotes, such as "20260000001", got {value!r}')
    return value.strip()


def _placement(path: Path, value: object) -> tuple[float, float, float, float]:
    numbers = value if isinstance(value, list) else []
    good = [float(v) for v in numbers if isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e6]
    if len(numbers) != 4 or len(good) != 4 or not all(math.isfinite(v) for v in good):
        raise ProfileError(
            f"{path}: world_from_base: expected four numbers [x, y, z, yaw] in metres and radians, got {value!r}"
        )
    return good[0], good[1], good[2], good[3]
