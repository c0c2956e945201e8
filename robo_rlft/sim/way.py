"""How much of a motion is done after a number of time steps: at full speed throughout, or with a trapezoid of speed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from robo_rlft.sim.world import TIMESTEP

TURN_SPEED = 4.0  # rad/s, at most
STILL = 1e-9  # metres, radians


@dataclass(frozen=True, kw_only=True)
class Way:
    """A motion's timing; `share(step)` grows from 0 to 1."""

    steps: float  # time steps that all of it takes; inf for a motion that never ends
    ramp: float = 0.0  # seconds of speeding up, and as many of slowing down; 0 for full speed throughout
    total: float = 0.0  # seconds; with ramps only

    @classmethod
    def of(cls, distance: float, turn: float, *, speed: float, acceleration: float | None) -> Way:
        """Return the timing of a straight way.

        Args:
            distance: metres.
            turn: radians; the way takes as long as it must for `TURN_SPEED` to be kept.
            speed: m/s, of the tip, at most.
            acceleration: m/s^2, at the start and at the end; None for full speed throughout.
        """
        step = speed * TIMESTEP
        steps = max(1.0, _ceil(distance / step if step > 0 else math.inf))
        if abs(turn) > STILL:
            steps = max(steps, _ceil(abs(turn) / (TURN_SPEED * TIMESTEP)))
        if acceleration is None or distance < STILL or math.isinf(steps):
            return cls(steps=steps)
        # Ramps of speed, and between them the speed that the way would have without; or a triangle without a plateau.
        cruise = min(distance / (steps * TIMESTEP), math.sqrt(distance * acceleration))
        ramp = cruise / acceleration
        total = distance / cruise + ramp
        return cls(steps=max(1.0, _ceil(total / TIMESTEP)), ramp=ramp, total=total)

    def share(self, step: int) -> float:
        """Return how much is done at the end of a time step, 1 being the first; in (0, 1]."""
        if step >= self.steps:
            return 1.0
        if self.ramp == 0.0:
            return step / self.steps
        time, plateau = step * TIMESTEP, self.total - self.ramp  # seconds; the area under the trapezoid of height 1
        if time < self.ramp:
            return time * time / (2 * self.ramp) / plateau
        if time > self.total - self.ramp:
            return 1.0 - (self.total - time) ** 2 / (2 * self.ramp) / plateau
        return (time - self.ramp / 2) / plateau


def _ceil(value: float) -> float:
    return float(math.ceil(value)) if math.isfinite(value) else math.inf
