"""When proxy and truth part is told soon, once, and never of noise."""

from __future__ import annotations

import numpy as np
import pytest

from robo_rlft.algorithms.overoptimisation import FAR, WINDOW, Iteration, onsets, parted

SCENES, SAMPLES, LENGTH = 32, 4, 60


def history(rates: np.ndarray, proxies: np.ndarray, *, alike: float = 1.0, rng: np.random.Generator) -> list[Iteration]:
    """Draw iterations; `alike` is the share of scenes all of whose rollouts come to the same."""
    made = []
    for rate, proxy in zip(rates, proxies, strict=True):
        whole = rng.random(SCENES) < alike
        counts = np.where(whole, SAMPLES * (rng.random(SCENES) < rate), rng.binomial(SAMPLES, rate, SCENES))
        success = float(counts.sum()) / (SCENES * SAMPLES)
        made.append(Iteration(proxy=float(proxy), success=success, scenes=SCENES, kl=None))
    return made


def flat(value: float) -> np.ndarray:
    return np.full(LENGTH, value)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_noise_never_warns(rate: float) -> None:
    rng = np.random.default_rng(0)
    # The worst case for binomial noise: all rollouts of a scene are alike, so that only the scenes are trials.
    rising = np.linspace(0.0, 2.0, LENGTH)
    warned = sum(bool(list(onsets(history(flat(rate), rising, rng=rng)))) for _ in range(100))
    assert warned == 0


@pytest.mark.parametrize("alike", [0.0, 1.0])
def test_a_fall_of_the_truth_under_a_rising_proxy_is_told_once(alike: float) -> None:
    rng = np.random.default_rng(1)
    rates = np.concatenate([np.linspace(0.4, 0.8, 20), np.linspace(0.8, 0.5, 20), np.full(20, 0.5)])
    found = list(onsets(history(rates, np.linspace(0.0, 3.0, LENGTH), alike=alike, rng=rng)))
    assert len(found) == 1
    assert 25 <= found[0].iteration <= 45
    assert found[0].success is not None and found[0].best is not None
    assert found[0].success.high < found[0].best.low
    assert "part (iteration" in str(found[0]) and "algorithm.kl_coef" in str(found[0])


def test_what_falls_together_does_not_part() -> None:
    rates, proxies = np.linspace(0.9, 0.1, LENGTH), np.linspace(1.0, 0.0, LENGTH)
    assert list(onsets(history(rates, proxies, rng=np.random.default_rng(2)))) == []


def test_a_second_fall_after_a_recovery_is_told_again() -> None:
    rates = np.concatenate([np.full(16, 0.9), np.full(12, 0.3), np.full(24, 0.9), np.full(16, 0.3)])
    found = list(onsets(history(rates, np.linspace(0.0, 3.0, len(rates)), rng=np.random.default_rng(3))))
    assert [16 <= one.iteration < 28 for one in found] == [True, False]
    assert found[1].iteration >= 52


def test_too_few_iterations_and_none_say_nothing() -> None:
    assert parted([]) is None
    bad = [Iteration(proxy=float(i), success=1.0 - i, scenes=1000, kl=None) for i in (0, 1)]
    assert parted(bad) is None
    assert 2 * WINDOW <= LENGTH


def test_without_truth_only_the_distance_warns() -> None:
    kls = [0.0, FAR - 0.1, FAR + 0.1, FAR + 1.0]
    found = list(onsets([Iteration(proxy=1.0, success=None, scenes=8, kl=kl) for kl in kls]))
    assert [(one.iteration, one.success) for one in found] == [(2, None)]
    assert "nobody tells how well it does" in str(found[0])
    assert found[0].to_json()["best_success"] is None
