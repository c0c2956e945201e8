"""Proxy and truth along the distance from a start, with intervals, and where the truth is at its best.

From curves of RL and from best of n; knows nothing of drawing. Axis letters: S seeds, P points, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_rlft.evaluation.best_of_n import kl_of_best
from robo_rlft.evaluation.cells import BestOf, Training
from robo_rlft.evaluation.statistics import Interval, wilson

POINTS = 8  # of RL beside its start, equally far apart in the square root of the KL
RESAMPLES = 10_000
ERROR = 0.05  # of an interval
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Peak:
    """Where true success was at its best, if it fell after that."""

    kl: Interval  # nats; the interval is of the resamples' own best places
    success: Interval
    fall: Interval  # from there to the farthest point

    def to_json(self) -> dict[str, Any]:
        return {"kl": self.kl.to_json(), "success": self.success.to_json(), "fall": self.fall.to_json()}


@dataclass(frozen=True, kw_only=True)
class Path:
    """A line's points, from the nearest to the farthest."""

    kl: tuple[float, ...]  # nats, increasing
    success: tuple[Interval, ...]
    proxy: tuple[Interval, ...]
    true_return: tuple[float, ...]
    trials: tuple[int, ...]  # scenes behind each point, over all seeds
    peak: Peak | None  # None where success did not fall as far as the line goes
    fall: Interval  # from the best point to the farthest

    def to_json(self) -> dict[str, Any]:
        return {
            "kl": self.kl,
            "success": [one.to_json() for one in self.success],
            "proxy": [one.to_json() for one in self.proxy],
            "true_return": self.true_return,
            "scenes": self.trials,
            "peak": f"none below {self.kl[-1]:.2f} nats" if self.peak is None else self.peak.to_json(),
            "fall": self.fall.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class _Resampled:
    success: Array  # (R, P)
    proxy: Array  # (R, P)


def rl_path(curves: Sequence[Training]) -> Path:
    """Return the path of runs of RL that differ by their seed.

    A point is the mean over seeds of the iterations whose KL lies in its bin; bins are equally wide in the square root
    of the KL, as far as every seed goes, and one that a seed leaves out is left out. The start is a point of its own.
    Resamples draw seeds, and for each of them its successes anew, binomially with a point's scenes as trials: rollouts
    of one scene are alike. Of the proxy they draw seeds alone.
    """
    reach = min(max(curve.kl) for curve in curves) ** 0.5
    bins = [_bins(curve, reach) for curve in curves]
    kept = [p for p in range(POINTS + 1) if all((of == p).any() for of in bins)]
    trials = np.array(
        [[int(np.array(c.scenes)[of == p].sum()) for p in kept] for c, of in zip(curves, bins, strict=True)]
    )

    def points(values: Sequence[Sequence[float]]) -> Array:
        """Return means over iterations, weighted by their scenes, (S, P)."""
        rows = []
        for curve, own, of in zip(curves, values, bins, strict=True):
            weight, value = np.array(curve.scenes), np.array(own)
            rows.append([float(np.average(value[of == p], weights=weight[of == p])) for p in kept])
        return np.array(rows)

    success, proxy = points([c.success for c in curves]), points([c.returns for c in curves])
    true = points([c.true_returns for c in curves])
    rng = np.random.default_rng(0)
    seeds = rng.integers(len(curves), size=(RESAMPLES, len(curves)))
    drawn = rng.binomial(trials[seeds], np.clip(success[seeds], 0.0, 1.0)) / trials[seeds]
    again = _Resampled(success=drawn.mean(axis=1), proxy=proxy[seeds].mean(axis=1))
    return _path(points([c.kl for c in curves]).mean(axis=0), success, proxy, true, trials.sum(axis=0), again)


def best_of_path(found: Sequence[BestOf]) -> Path:
    """Return the path of best of n, for the n that all seeds have; resamples draw seeds, and scenes within each."""
    counts = [n for n in found[0].n if all(n in one.n for one in found)]
    rows = [[one.n.index(n) for n in counts] for one in found]

    def of(name: str) -> list[Array]:
        """Return each seed's values (P, scenes)."""
        return [np.array(getattr(one, name))[row] for one, row in zip(found, rows, strict=True)]

    rng = np.random.default_rng(0)
    seeds = rng.integers(len(found), size=(RESAMPLES, len(found)))
    success, proxy, true = of("success"), of("proxy"), of("returns")
    sums = np.zeros((2, RESAMPLES, len(counts)))
    for slot in range(len(found)):
        for seed, values in enumerate(zip(success, proxy, strict=True)):
            mine = np.flatnonzero(seeds[:, slot] == seed)
            scenes = values[0].shape[1]
            # How often each scene is drawn, instead of a list of draws: (resamples, scenes).
            weight = rng.multinomial(scenes, np.full(scenes, 1.0 / scenes), size=len(mine)) / scenes
            for total, value in zip(sums, values, strict=True):
                total[mine] += weight @ value.T
    again = _Resampled(success=sums[0] / len(found), proxy=sums[1] / len(found))
    scenes_of_all = np.full(len(counts), sum(values.shape[1] for values in success))
    by_seed, proxies, returns = (np.array([value.mean(axis=1) for value in own]) for own in (success, proxy, true))
    return _path(np.array([kl_of_best(n) for n in counts]), by_seed, proxies, returns, scenes_of_all, again)


def _bins(curve: Training, reach: float) -> npt.NDArray[np.int64]:
    """Return each iteration's point: 0 for the start, -1 for one that is farther than the line goes."""
    root = np.sqrt(np.clip(curve.kl, 0.0, None))
    of: npt.NDArray[np.int64] = np.ceil(root / max(reach, 1e-9) * POINTS - 1e-9).astype(np.int64).clip(1, None)
    of[of > POINTS] = -1
    of[0] = 0
    return of


def _path(kl: Array, success: Array, proxy: Array, true: Array, trials: npt.NDArray[Any], again: _Resampled) -> Path:
    """Return a path from values (S, P) and their resamples."""
    means = success.mean(axis=0)
    tails = [ERROR / 2, 1.0 - ERROR / 2]
    intervals = []
    for mean, row, n in zip(means, again.success.T, trials, strict=True):
        low, high = np.quantile(row, tails)
        least = wilson(float(np.clip(mean, 0.0, 1.0)) * int(n), int(n))  # all alike is never certain
        intervals.append(Interval(mean=float(mean), low=min(float(low), least.low), high=max(float(high), least.high)))
    of_proxy = [_interval(float(m), row, tails) for m, row in zip(proxy.mean(axis=0), again.proxy.T, strict=True)]
    best = int(means.argmax())
    # The best of P points is above the last one by chance too: the interval allows for the choice (Bonferroni).
    share = ERROR / 2 / max(1, len(kl) - 1)
    fall = _interval(
        float(means[best] - means[-1]), again.success[:, best] - again.success[:, -1], [share, 1.0 - share]
    )
    places = kl[again.success.argmax(axis=1)]
    at = _interval(float(kl[best]), places, tails)
    return Path(
        kl=tuple(float(value) for value in kl),
        success=tuple(intervals),
        proxy=tuple(of_proxy),
        true_return=tuple(float(value) for value in true.mean(axis=0)),
        trials=tuple(int(n) for n in trials),
        peak=Peak(kl=at, success=intervals[best], fall=fall) if fall.low > 0.0 else None,
        fall=fall,
    )


def _interval(mean: float, values: Array, tails: Sequence[float]) -> Interval:
    low, high = np.quantile(values, tails)
    return Interval(mean=mean, low=min(mean, float(low)), high=max(mean, float(high)))
