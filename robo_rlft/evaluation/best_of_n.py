"""Best of n: what the attempt that a reward likes most of n is worth, and how far that is from plain sampling.

Pure functions of attempts at one scene. N counts the attempts that there are.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def kl_of_best(n: int) -> float:
    """Return KL(best of n || the policy) in nats: ln n - (n - 1) / n (Stiennon et al. 2020, appendix G.3).

    Exact where no two attempts are equally liked, else an upper bound.
    """
    return math.log(n) - (n - 1) / n


def best_of_n(proxies: npt.ArrayLike, values: npt.ArrayLike, n: int) -> float:
    """Return the expected value of the best of n attempts by the proxy, estimated without bias from N of them.

    The attempt of rank i by the proxy, from 1 for the least, is the best of C(i - 1, n - 1) of the C(N, n) choices of n
    (Nakano et al. 2021, "WebGPT", appendix I). Of equally liked ones any may be chosen, so they share their mean.

    Args:
        proxies: (N,), what the reward says.
        values: (N,), what is true, or the proxies themselves.
        n: From 1 to N.
    """
    liked, worth = np.asarray(proxies, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if liked.ndim != 1 or liked.shape != worth.shape or not 1 <= n <= liked.size:
        raise ValueError(f"expected (N,) proxies and values and 1 <= n <= N; got {liked.shape}, {worth.shape}, n {n}")
    _, rank, counts = np.unique(liked, return_inverse=True, return_counts=True)
    means = np.bincount(rank, weights=worth) / counts
    # P(the best is among the i least) = C(i, n) / C(N, n); a factor of 0 where i < n.
    upto = np.cumsum(counts)
    j = np.arange(n)
    below = (np.clip(upto[:, None] - j, 0, None) / (liked.size - j)).prod(axis=1)
    return float((np.diff(below, prepend=0.0) * means).sum())
