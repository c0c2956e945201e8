"""An example of a reward of your own: nothing until the task is complete."""

from __future__ import annotations

from robo_rlft.records import Observation


class SparseReward:
    """One term, `complete`: 1 at the step that completes the task, -1 at one that undoes it, else 0."""

    def __call__(
        self, *, before: float, after: float, observation: Observation | None, final: Observation | None
    ) -> dict[str, float]:
        """Return the term; `before` and `after` are the task's progress in [0, 1]."""
        return {"complete": float(after > 0.99) - float(before > 0.99)}
