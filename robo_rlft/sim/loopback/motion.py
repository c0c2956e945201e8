"""Motions of the arm: along a line or between joint angles, with a trapezoidal profile of speed.

Knows kinematics, nothing of physics or protocols. A path's own unit of length is the metre for lines and the radian for
joint motions; speeds and accelerations are in that unit.
"""

from __future__ import annotations

import math
from typing import Protocol

import cv2
import numpy as np

from robo_rlft.sim.loopback.kinematics import Joints, Matrix, forward

TURN_RADIUS = 0.3  # metres a radian of turning counts as, where a motion turns more than it travels
HARD_STOP = 8.0  # m/s^2 of the tip, of stops that nobody chose a rate for


class Path(Protocol):
    """Where the flange is, a length along the way."""

    length: float

    def at(self, travelled: float) -> Matrix:
        """Return base_from_flange after a length, 0 to `length`."""


class Line:
    """A straight line of the tip that turns evenly about one axis."""

    def __init__(self, start: Matrix, end: Matrix, tool: Matrix) -> None:
        """Make a line.

        Args:
            start: base_from_tip.
            end: base_from_tip.
            tool: flange_from_tip.
        """
        self._start, self._end, self._tip_from_flange = start, end, np.linalg.inv(tool)
        turn, _ = cv2.Rodrigues(start[:3, :3].T @ end[:3, :3])
        self._turn = turn[:, 0]
        self._travel = end[:3, 3] - start[:3, 3]
        self.length = max(float(np.linalg.norm(self._travel)), TURN_RADIUS * float(np.linalg.norm(self._turn)))

    def at(self, travelled: float) -> Matrix:
        """Return base_from_flange after a length in metres."""
        part = min(1.0, travelled / self.length) if self.length > 0 else 1.0
        tip = self._start.copy()
        tip[:3, 3] += part * self._travel
        turned, _ = cv2.Rodrigues(part * self._turn)
        tip[:3, :3] = self._start[:3, :3] @ turned
        return np.asarray(tip @ self._tip_from_flange, dtype=np.float64)


class JointMove:
    """All joints at once, each at its even share of the slowest one's way."""

    def __init__(self, start: Joints, end: Joints) -> None:
        self._start, self._way = start, end - start
        self.length = float(np.abs(self._way).max())

    def at(self, travelled: float) -> Matrix:
        """Return base_from_flange after a length in radians of the joint that turns most."""
        part = min(1.0, travelled / self.length) if self.length > 0 else 1.0
        return forward(self._start + part * self._way)


class Motion:
    """A path being travelled."""

    def __init__(self, path: Path, *, speed: float, acceleration: float) -> None:
        self.path, self.speed_limit, self.acceleration = path, speed, acceleration
        self.travelled = 0.0
        self.speed = 0.0  # now, path units a second
        self._braking: float | None = None
        self.done = path.length <= 1e-9

    @property
    def stopping(self) -> bool:
        return self._braking is not None

    def advance(self, seconds: float, *, scale: float = 1.0) -> Matrix:
        """Go on for a while and return base_from_flange; `scale` is the speed slider's fraction."""
        left = self.path.length - self.travelled
        if self._braking is not None:
            before = self.speed
            self.speed = max(0.0, before - self._braking * seconds)
            step = (before + self.speed) / 2 * seconds
            self.done = self.speed == 0.0
        else:
            braked = math.sqrt(2 * self.acceleration * max(0.0, left))
            self.speed = min(self.speed + self.acceleration * seconds, self.speed_limit * scale, braked)
            step = self.speed * seconds
        if step >= left:
            step, self.done = left, True
        self.travelled += step
        if self.done:
            self.speed = 0.0
        return self.path.at(self.travelled)

    def brake(self, rate: float) -> None:
        """Slow down to a stand at a rate, in path units a second squared; a later call can only brake harder."""
        self._braking = max(rate, self._braking or 0.0)
