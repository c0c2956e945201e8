"""What went wrong in an episode, as far as it is told alike in every task: of the grasp, the carrying and what moved.

Computed from poses before and after each attempt. Where a body should have come to lie is for the task to judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from robo_rlft.tasks.task import Attempt, moved


def last_failure(attempts: Sequence[Attempt], judge: Callable[[Attempt], str | None]) -> str:
    """Return the kind of the last attempt that went wrong; "timed_out" where none did and the steps ran out.

    Args:
        attempts: of the episode, in order.
        judge: returns the kind of one attempt's failure, or None for an attempt that did what was asked.
    """
    kinds = [judge(attempt) for attempt in attempts]
    return next((kind for kind in reversed(kinds) if kind is not None), "timed_out")


def carry_failure(attempt: Attempt, picks: Sequence[int]) -> str | None:
    """Return why no body that was asked for was carried to where it was to be let go; None when one was.

    Args:
        attempt: what was tried.
        picks: indices of the bodies, any of which was to be carried.

    Returns:
        "no_grasp": nothing was held after the lift. "wrong_object": something was, and it was none of `picks`.
        "slipped": one of `picks` was held, but nothing at the end. Else None, and then `carried_body` knows which.
    """
    if not attempt.gripped:
        return "no_grasp"
    if carried_body(attempt, picks) is None:
        return "wrong_object"
    return None if attempt.carried else "slipped"


def carried_body(attempt: Attempt, picks: Sequence[int]) -> int | None:
    """Return which of the bodies the attempt took: the first that moved, or else what was put back near its place."""
    moved_one, most = first_moved(attempt, picks), _moved_most(attempt)
    return most if moved_one is None and most in picks else moved_one


def first_moved(attempt: Attempt, bodies: Sequence[int]) -> int | None:
    """Return the first of the bodies, by index, that the attempt moved (see `task.moved`); None where it moved none."""
    return next((body for body in bodies if moved(attempt.before[body], attempt.after[body])), None)


def _moved_most(attempt: Attempt) -> int | None:
    """Return which body moved farthest, be it by less than counts as moved; None where nothing moved at all."""
    before, after = attempt.before, attempt.after
    distance = [math.dist(a.position, b.position) for a, b in zip(before, after, strict=True)]
    return distance.index(max(distance)) if any(distance) else None
