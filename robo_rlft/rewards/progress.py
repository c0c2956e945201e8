"""The simulator's own reward: the increase of the task's progress.

Knows nothing of tasks beyond that number.
"""

from __future__ import annotations

from robo_rlft.records import Observation


class ProgressReward:
    """One term, `progress`: how much farther the task is than before; negative when something was undone."""

    def __call__(
        self, *, before: float, after: float, observation: Observation | None, final: Observation | None
    ) -> dict[str, float]:
        """Return the term; the pictures are not looked at."""
        return {"progress": after - before}
