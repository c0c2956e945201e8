"""What hangs on a UR arm's flange, and how it is switched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class UrTool:
    """A tool that one digital output switches."""

    kind: Literal["suction", "gripper"] = "suction"
    grip_pin: int = 0  # standard digital output, 0 to 7
    grip_on: bool = True  # its level while gripping
    holding_pin: int | None = None  # standard digital input of a vacuum or grip switch; None: held from grip to release
    holding_on: bool = True  # its level while something is held
    grip_seconds: float = 0.4  # until the vacuum stands, or the fingers are closed
    release_seconds: float = 0.3
    tcp: tuple[float, ...] | None = None  # flange to tip: x y z in metres, rotation vector; None: as on the pendant
    payload: tuple[float, ...] | None = None  # kg, and its centre of gravity x y z in metres; None likewise

    def __post_init__(self) -> None:
        for name, pin in (("grip_pin", self.grip_pin), ("holding_pin", self.holding_pin)):
            if pin is not None and not 0 <= pin <= 7:
                raise ValueError(f"tool.{name} is one of the standard digital pins 0 to 7, got {pin}")
        for name, count, values in (("tcp", 6, self.tcp), ("payload", 4, self.payload)):
            if values is not None and len(values) != count:
                raise ValueError(f"tool.{name} has {count} numbers, got {list(values)}")
