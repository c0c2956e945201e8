"""Means with 95 % intervals: Wilson for successes, bootstrap for returns, paired bootstrap for differences; pass@k.

Knows nothing of policies or files. Same numbers and seed, same interval, bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile
# Student's t distributions' 97.5 % quantiles, of 1 to 10 degrees of freedom; with more the last errs on the wide side.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
FEW = 10  # scenes
RESAMPLES = 10_000
CHUNK = 2_000_000  # draws held in memory at a time


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Return {"mean", "low", "high"}."""
        return {"mean": self.mean, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, data: Any) -> Interval:
        """Read {"mean", "low", "high"}; raise `ValueError` for anything else."""
        if not isinstance(data, dict) or not {"mean", "low", "high"} <= data.keys():
            raise ValueError(f'expected {{"mean", "low", "high"}}, got {data!r}')
        return cls(mean=float(data["mean"]), low=float(data["low"]), high=float(data["high"]))


def wilson(successes: float, n: int, *, z: float = Z_95) -> Interval:
    """Return the success rate of `n` trials with Wilson's score interval (E. B. Wilson, 1927).

    The mean is the plain rate; the interval, of as many standard deviations as `z` says, is not centred on it. A trial
    may be a mean of several. Raises `ValueError` unless 0 <= successes <= n and n > 0.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n and n > 0, got {successes} of {n}")
    p, z2 = successes / n, z**2
    center = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # At the ends the formula gives 0 and 1 up to rounding; the mean must never fall outside.
    return Interval(
        mean=p,
        low=0.0 if successes == 0 else max(0.0, center - half),
        high=1.0 if successes == n else min(1.0, center + half),
    )


def bootstrap_mean(values: npt.ArrayLike, seed: int, *, resamples: int = RESAMPLES) -> Interval:
    """Return the mean of `values` (n,) with the percentile bootstrap's interval.

    Raises `ValueError` when there are no values or one is not finite.
    """
    x = np.asarray(values, dtype=np.float64).reshape(-1)
    return _cluster_bootstrap(x, np.arange(x.size), seed, resamples)


def clustered_bootstrap(values: npt.ArrayLike, seed: int, *, resamples: int = RESAMPLES) -> Interval:
    """Return the mean of `values` (seeds, scenes); whole scenes are resampled, jointly over the seeds."""
    x = np.asarray(values, dtype=np.float64)
    return _cluster_bootstrap(x.reshape(-1), _default_clusters(x), seed, resamples)


def with_seeds(values: npt.ArrayLike) -> Interval:
    """Return the mean of `values` (seeds, scenes) with an interval for seeds and scenes that were not run.

    Student's t over the seeds' means (n - 1 degrees of freedom) tells of further seeds, the normal distribution over
    the scenes' means of further scenes; the two errors are independent, so their half-widths add as squares. What seed
    and scene have in common is counted in both, which errs on the wide side. One seed tells nothing of others: its
    interval is that of the scenes.

    Raises:
        ValueError: Another shape, nothing at all, or a value that is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 2 or x.size == 0 or not np.isfinite(x).all():
        raise ValueError(f"expected finite values of the shape (seeds, scenes), got shape {x.shape}")
    seeds = len(x)
    of_scenes = Z_95 * _standard_error(x.mean(axis=0))
    of_seeds = T_95[min(seeds, len(T_95) + 1) - 2] * _standard_error(x.mean(axis=1)) if seeds > 1 else 0.0
    mean, half = float(x.mean()), math.hypot(of_seeds, of_scenes)
    return Interval(mean=mean, low=mean - half, high=mean + half)


def _standard_error(means: npt.NDArray[np.float64]) -> float:
    return float(means.std(ddof=1)) / math.sqrt(means.size) if means.size > 1 else 0.0


def success_interval(
    values: npt.ArrayLike, seed: int, *, seeds_too: bool = False, resamples: int = RESAMPLES
) -> Interval:
    """Return the mean success of rates `values` (seeds, scenes) with an interval that is never of no width.

    Scenes are resampled, jointly over the seeds; `seeds_too` gives `with_seeds` within [0, 1]. Where all scenes but a
    few came to success with every seed, or all but a few to failure, resampling shows too little of what is rare:
    Wilson's interval, for as many trials as there are scenes, is the least then.
    """
    x = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if seeds_too:
        wide = with_seeds(x)
        found = Interval(mean=wide.mean, low=max(0.0, wide.low), high=min(1.0, wide.high))
    else:
        found = clustered_bootstrap(x, seed, resamples=resamples)
    scenes = x.mean(axis=0)
    if min(int((scenes < 1).sum()), int((scenes > 0).sum())) >= FEW:
        return found
    least = wilson(float(scenes.sum()), scenes.size)
    return Interval(mean=found.mean, low=min(found.low, least.low), high=max(found.high, least.high))


def difference_interval(a: npt.ArrayLike, b: npt.ArrayLike, seed: int, *, seeds_too: bool = False) -> Interval:
    """Return the mean of a - b of rates (seeds, scenes) on the same scenes, with an interval that has a width.

    Where no scene differs, the difference is at most the share of scenes that would: Wilson's bound of 0 of them.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.size and x.shape == y.shape and (x == y).all():
        most = wilson(0, x.shape[-1]).high
        return Interval(mean=0.0, low=-most, high=most)
    if not seeds_too:
        return paired_bootstrap(x, y, seed)
    wide = with_seeds(x - y)
    return Interval(mean=wide.mean, low=max(-1.0, wide.low), high=min(1.0, wide.high))


def pass_at_k(successes: npt.ArrayLike, tries: int, k: int) -> npt.NDArray[np.float64]:
    """Return the chance that at least one of k tries succeeds, estimated without bias from `tries` of them.

    1 - C(n - c, k) / C(n, k) with n tries and c successes (M. Chen et al., 2021, "Evaluating large language models
    trained on code"): the share of the choices of k tries that hold a success.

    Args:
        successes: Of each scene, any shape; whole numbers from 0 to `tries`.
        tries: n, of every scene.
        k: From 1 to n.
    """
    c = np.asarray(successes)
    if not 1 <= k <= tries or c.size == 0 or (c < 0).any() or (c > tries).any():
        raise ValueError(f"expected 1 <= k <= tries and successes from 0 to tries; got k {k}, tries {tries}, {c}")
    # C(n - c, k) / C(n, k) = product over i = 0 ... k - 1 of (n - c - i) / (n - i); 0 where k exceeds n - c.
    i = np.arange(k)
    factors = np.clip(tries - c[..., None] - i, 0, None) / (tries - i)
    chances: npt.NDArray[np.float64] = 1.0 - factors.prod(axis=-1)
    return chances


def paired_bootstrap(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    seed: int,
    clusters: npt.ArrayLike | None = None,
    *,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the mean of a - b, element by element, with the percentile bootstrap's interval.

    Args:
        a: (scenes,), or (seeds, scenes) where column j is the same scene for every seed.
        b: The same shape as `a`, on the same scenes.
        seed: Of the resampling.
        clusters: Labels of the shape of `a`; elements of one label are drawn together. Without them each scene (column)
            is a cluster: its seeds are drawn together, since results on one scene are not independent.
        resamples: How often to draw.

    Raises:
        ValueError: The shapes differ, there is nothing to compare, or a value is not finite.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.shape != y.shape or x.ndim not in (1, 2):
        raise ValueError(f"expected two arrays of one shape, (scenes,) or (seeds, scenes), got {x.shape} and {y.shape}")
    labels = _default_clusters(x) if clusters is None else np.asarray(clusters)
    if labels.size != x.size:
        raise ValueError(f"expected a cluster label for each of {x.size} values, got {labels.size}")
    return _cluster_bootstrap((x - y).reshape(-1), labels.reshape(-1), seed, resamples)


def _default_clusters(x: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    columns: npt.NDArray[np.int64] = np.broadcast_to(np.arange(x.shape[-1]), x.shape).reshape(-1)
    return columns


def _cluster_bootstrap(x: npt.NDArray[np.float64], clusters: npt.NDArray[Any], seed: int, resamples: int) -> Interval:
    if x.size == 0:
        raise ValueError("expected at least one value, got none")
    if not np.isfinite(x).all():
        raise ValueError(f"expected finite values, got {int((~np.isfinite(x)).sum())} that are not")
    names, inverse = np.unique(clusters, return_inverse=True)
    sums = np.bincount(inverse, weights=x, minlength=names.size)
    counts = np.bincount(inverse, minlength=names.size)
    rng = np.random.default_rng(seed)
    means = []
    rows = max(1, CHUNK // names.size)
    for start in range(0, resamples, rows):
        drawn = rng.integers(names.size, size=(min(rows, resamples - start), names.size))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    mean = float(x.mean())
    # Equal values: the means of resamples differ from the mean by rounding alone.
    return Interval(mean=mean, low=min(mean, float(low)), high=max(mean, float(high)))
