"""Whether what a policy is paid and what is true of it part, as they do when a learned reward is pushed too far.

Pure functions of what iterations of RL came to. Gao, Schulman and Hilton 2022, "Scaling laws for reward model
overoptimization": the proxy goes on rising while the truth falls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from robo_rlft.evaluation.statistics import Interval, wilson

WINDOW = 8  # iterations whose rollouts are taken together
Z = 4.0  # standard deviations: intervals of 99.994 %
FAR = 5.0  # nats; as far from the start as the best of 400 attempts is


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """What an iteration's rollouts came to."""

    proxy: float  # mean of what was paid for an episode
    success: float | None  # share of episodes, in truth; None where nobody knows it
    scenes: int
    kl: float | None  # of an episode from the start's policy, nats; None where nobody measured it


@dataclass(frozen=True, kw_only=True)
class Parting:
    """Proxy and truth have parted, or the policy is far away and nobody knows the truth."""

    iteration: int  # from 0
    kl: float | None
    proxy: float  # over the last iterations
    best_proxy: float | None = None  # when the truth was at its best; None where nobody knows it
    success: Interval | None = None
    best: Interval | None = None

    def to_json(self) -> dict[str, Any]:
        told = {"iteration": self.iteration, "kl": self.kl, "proxy": self.proxy, "best_proxy": self.best_proxy}
        pairs = (("success", self.success), ("best_success", self.best))
        return told | {name: None if one is None else one.to_json() for name, one in pairs}

    def __str__(self) -> str:
        """Say what happened and what to do."""
        advice = "stop earlier, raise algorithm.kl_coef, or label attempts of this policy and learn the reward anew"
        kl = "" if self.kl is None else f", {self.kl:.2f} nats from its start"
        if self.success is None or self.best is None:
            return (
                f"the policy is far from those attempts that the reward learned from (iteration {self.iteration}{kl}), "
                f"and nobody tells how well it does: {advice}"
            )
        return (
            f"the reward and the truth part (iteration {self.iteration}{kl}): success {_told(self.success)} in the "
            f"last {WINDOW} iterations, {_told(self.best)} before, while what is paid rose from {self.best_proxy:.2f} "
            f"to {self.proxy:.2f}: {advice}"
        )


def parted(history: Sequence[Iteration]) -> Parting | None:
    """Tell whether proxy and truth have parted at the end of a run's iterations so far.

    They have where the true success of the last `WINDOW` iterations lies below that of the best `WINDOW` earlier ones,
    their Wilson intervals of 99.994 % apart, while the mean proxy is above what it was then. Scenes count as trials,
    not rollouts, which are alike within a scene: so the intervals are rather too wide. Two such intervals are
    apart at 5.7 standard deviations of a difference, which leaves room for having looked at many windows. Where nobody
    knows the truth, a KL above `FAR` takes its place.
    """
    now = history[-WINDOW:]
    if not now:
        return None
    last = Parting(iteration=len(history) - 1, kl=now[-1].kl, proxy=_mean_proxy(now))
    if any(one.success is None for one in history):
        return last if now[-1].kl is not None and now[-1].kl > FAR else None
    windows = [history[i : i + WINDOW] for i in range(len(history) - 2 * WINDOW + 1)]
    if not windows:
        return None
    best = max(windows, key=lambda window: _success(window).mean)
    then, today = _success(best), _success(now)
    if today.high >= then.low or last.proxy <= _mean_proxy(best):
        return None
    return Parting(
        iteration=last.iteration,
        kl=last.kl,
        proxy=last.proxy,
        best_proxy=_mean_proxy(best),
        success=today,
        best=then,
    )


def onsets(history: Sequence[Iteration]) -> Iterator[Parting]:
    """Yield every parting that begins: after at least `WINDOW` iterations without one."""
    last = -WINDOW - 1
    for end in range(1, len(history) + 1):
        found = parted(history[:end])
        if found is not None:
            if found.iteration - last > WINDOW:
                yield found
            last = found.iteration


def _success(window: Sequence[Iteration]) -> Interval:
    scenes = sum(one.scenes for one in window)
    return wilson(min(float(scenes), sum((one.success or 0.0) * one.scenes for one in window)), scenes, z=Z)


def _mean_proxy(window: Sequence[Iteration]) -> float:
    return sum(one.proxy for one in window) / len(window)


def _told(interval: Interval) -> str:
    return f"{interval.mean:.2f} ({interval.low:.2f} to {interval.high:.2f})"
