"""Best of n from N attempts is the mean over all choices of n, ties shared."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from robo_rlft.evaluation.best_of_n import best_of_n, kl_of_best


@pytest.mark.parametrize("n", [1, 2, 3, 6])
@pytest.mark.parametrize("ties", [False, True])
def test_it_is_the_mean_over_every_choice_of_n(n: int, ties: bool) -> None:
    proxies = [0.3, -1.0, 2.0, 0.7, -0.2, 1.5] if not ties else [1.0, 0.0, 1.0, 2.0, 0.0, 2.0]
    values = [1.0, 0.0, 0.0, 1.0, 0.25, 1.0]
    exact = []
    for chosen in itertools.combinations(range(6), n):
        most = max(proxies[i] for i in chosen)
        exact.append(np.mean([values[i] for i in chosen if proxies[i] == most]))
    assert best_of_n(proxies, values, n) == pytest.approx(np.mean(exact))


def test_hundreds_of_attempts_stay_exact() -> None:
    proxies = np.random.default_rng(0).permutation(512)
    # P(the best of n is among the i least) = C(i, n) / C(512, n).
    chance = math.comb(500, 100) / math.comb(512, 100)
    assert best_of_n(proxies, proxies < 500, 100) == pytest.approx(chance, rel=1e-9)
    assert best_of_n(proxies, proxies, 512) == 511.0


def test_the_distance_is_ln_n_less_what_one_of_n_tells() -> None:
    assert kl_of_best(1) == 0.0
    # Sampling uniformly from [0, 1], the best of n has the density n x^(n - 1); its KL is ln n - (n - 1) / n.
    x = (np.arange(200_000) + 0.5) / 200_000
    density = 4 * x**3
    assert kl_of_best(4) == pytest.approx(float((density * np.log(density)).mean()), abs=1e-4)


@pytest.mark.parametrize(("proxies", "values", "n"), [([1.0], [1.0], 2), ([1.0], [1.0], 0), ([1.0, 2.0], [1.0], 1)])
def test_what_makes_no_sense_is_refused(proxies: list[float], values: list[float], n: int) -> None:
    with pytest.raises(ValueError, match="1 <= n <= N"):
        best_of_n(proxies, values, n)
