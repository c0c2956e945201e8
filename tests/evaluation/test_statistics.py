"""Intervals against numbers derived by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from robo_rlft.evaluation.statistics import (
    Interval,
    bootstrap_mean,
    clustered_bootstrap,
    difference_interval,
    paired_bootstrap,
    pass_at_k,
    success_interval,
    wilson,
    with_seeds,
)


def test_wilson_equals_the_formula_worked_by_hand() -> None:
    # 8 of 10, z^2 = 3.841459: centre (0.8 + 0.192073) / 1.384146 = 0.716740;
    # half 1.959964 / 1.384146 * sqrt(0.016 + 0.00960365) = 1.416010 * 0.160011 = 0.226577.
    interval = wilson(8, 10)
    assert interval.mean == 0.8
    assert interval.low == pytest.approx(0.716740 - 0.226577, abs=2e-6)
    assert interval.high == pytest.approx(0.716740 + 0.226577, abs=2e-6)


def test_wilson_at_the_ends_touches_0_and_1_and_keeps_a_width() -> None:
    # 0 of n: high = z^2 / (n + z^2) = 3.841459 / 203.841459.
    none, all_ = wilson(0, 200), wilson(200, 200)
    assert (none.low, none.mean) == (0.0, 0.0)
    assert none.high == pytest.approx(3.841459 / 203.841459, abs=1e-7)
    assert (all_.mean, all_.high) == (1.0, 1.0)
    assert all_.low == pytest.approx(1 - none.high)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, n)


def test_bootstrap_of_equal_values_has_no_width() -> None:
    interval = bootstrap_mean([0.3] * 7, seed=0)
    assert (interval.low, interval.mean, interval.high) == pytest.approx((0.3, 0.3, 0.3))
    assert interval.low <= interval.mean <= interval.high


def test_bootstrap_of_one_0_and_one_1_spans_everything() -> None:
    # Two draws: mean 0 with 1/4, 1/2 with 1/2, 1 with 1/4; the 2.5 % and 97.5 % quantiles are 0 and 1.
    assert bootstrap_mean([0.0, 1.0], seed=3) == Interval(mean=0.5, low=0.0, high=1.0)


def test_bootstrap_is_near_the_normal_interval_for_many_values() -> None:
    # 400 zeros and ones, half each: standard error sqrt(0.25 / 400) = 0.025, half width 1.96 * 0.025 = 0.049.
    interval = bootstrap_mean(np.arange(400) % 2, seed=1)
    assert interval.low == pytest.approx(0.451, abs=0.004)
    assert interval.high == pytest.approx(0.549, abs=0.004)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap_mean(values, seed=5) == bootstrap_mean(values, seed=5)
    assert bootstrap_mean(values, seed=5) != bootstrap_mean(values, seed=6)


@pytest.mark.parametrize("values", [[], [0.0, float("nan")]])
def test_bootstrap_refuses_nothing_and_nan(values: list[float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        bootstrap_mean(values, seed=0)


def test_pairing_removes_what_scenes_share() -> None:
    # a = b + 0.1 on every scene: whatever the scenes' spread, the difference is exact.
    b = np.random.default_rng(0).uniform(size=30)
    interval = paired_bootstrap(b + 0.1, b, seed=0)
    assert (interval.low, interval.mean, interval.high) == pytest.approx((0.1, 0.1, 0.1))


def test_paired_difference_changes_its_sign_with_the_order() -> None:
    a, b = [1, 1, 0, 1], [0, 1, 0, 0]
    assert paired_bootstrap(a, b, seed=0).mean == 0.5
    assert paired_bootstrap(b, a, seed=0).mean == -0.5


def test_seeds_that_repeat_each_other_add_no_certainty() -> None:
    # Three identical rows hold the information of one: clustering by scene must give the interval of one row.
    a = np.arange(40) % 2
    b = np.zeros(40)
    once = paired_bootstrap(a, b, seed=2)
    thrice = paired_bootstrap(np.tile(a, (3, 1)), np.tile(b, (3, 1)), seed=2)
    apart = paired_bootstrap(np.tile(a, 3), np.tile(b, 3), seed=2)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert apart.high - apart.low < 0.7 * (once.high - once.low)  # 1 / sqrt(3) = 0.58: what pretending would claim


def test_clusters_may_be_named() -> None:
    # Two clusters with differences 0 and 1: as two values.
    interval = paired_bootstrap([0, 0, 1, 1], [0, 0, 0, 0], seed=0, clusters=["x", "x", "y", "y"])
    assert interval == Interval(mean=0.5, low=0.0, high=1.0)
    assert clustered_bootstrap([[0, 1], [0, 1]], seed=0) == Interval(mean=0.5, low=0.0, high=1.0)


def test_an_interval_for_other_seeds_sees_that_seeds_differ() -> None:
    # Every scene fails with one seed and succeeds with the other: scenes tell nothing, seeds very little.
    values = np.array([[0.0] * 30, [1.0] * 30])
    assert clustered_bootstrap(values, seed=0) == Interval(mean=0.5, low=0.5, high=0.5)
    found = with_seeds(values)
    assert (found.mean, found.high - found.mean) == pytest.approx((0.5, 12.706 * 0.5))
    # Three seeds whose means are 0.1, 0.2 and 0.3: t of two degrees of freedom, times 0.1 / sqrt(3).
    three = with_seeds(np.repeat([[0.1], [0.2], [0.3]], 50, axis=1))
    assert (three.low, three.high) == pytest.approx((0.2 - 4.303 * 0.1 / 3**0.5, 0.2 + 4.303 * 0.1 / 3**0.5))


def test_the_errors_of_seeds_and_scenes_add_as_squares() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        seeds, scenes = rng.normal(0.0, 0.1, size=(3, 1)), rng.normal(0.0, 1.0, size=(1, 100))
        found = with_seeds(seeds + scenes)
        covered += found.low <= 0.0 <= found.high
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


def test_one_seed_has_the_interval_of_its_scenes() -> None:
    values = (np.arange(200) % 4 == 0).astype(float)
    one, scenes = with_seeds(values[None]), bootstrap_mean(values, seed=0)
    assert (one.low, one.high) == pytest.approx((scenes.low, scenes.high), abs=0.011)  # two steps of 1 / 200
    with pytest.raises(ValueError, match=r"\(seeds, scenes\)"):
        with_seeds(values)


def test_a_success_that_hardly_varied_keeps_a_width() -> None:
    for seeds in (1, 3):  # of as many scenes: seeds that agree tell nothing of other scenes
        for seeds_too in (False, True):
            assert success_interval(np.ones((seeds, 20)), 0, seeds_too=seeds_too) == wilson(20, 20)
            assert success_interval(np.zeros((seeds, 20)), 0, seeds_too=seeds_too) == wilson(0, 20)
    once = np.ones((3, 200))
    once[1, 7] = 0.0
    assert success_interval(once, 0).low == pytest.approx(wilson(200 - 1 / 3, 200).low)
    assert success_interval(once, 0).low < wilson(200, 200).low  # one failure never makes it surer
    varied = np.tile([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]], 10)
    assert success_interval(varied, 0) == clustered_bootstrap(varied, 0)
    inside = success_interval(varied, 0, seeds_too=True)
    assert (inside.low, inside.high) == (max(0.0, with_seeds(varied).low), min(1.0, with_seeds(varied).high))


def test_a_difference_that_never_showed_keeps_a_width() -> None:
    same = np.ones((3, 20))
    found = difference_interval(same, same, 0)
    assert (found.mean, found.low, found.high) == (0.0, -wilson(0, 20).high, wilson(0, 20).high)
    assert difference_interval(same, np.zeros((3, 20)), 0).mean == 1.0


def test_pass_at_k_is_the_share_of_choices_that_hold_a_success() -> None:
    for n, c in ((5, 2), (4, 0), (4, 4), (6, 1)):
        outcomes = [1] * c + [0] * (n - c)
        for k in range(1, n + 1):
            choices = list(itertools.combinations(outcomes, k))
            share = sum(any(choice) for choice in choices) / len(choices)
            assert pass_at_k([c], n, k)[0] == pytest.approx(share)


def test_pass_at_k_holds_for_many_tries() -> None:
    # C(1000, 500) overflows floats; with one success of 1000, 500 of them hold it with probability 1/2.
    assert pass_at_k([1], 1000, 500)[0] == pytest.approx(0.5)


@pytest.mark.parametrize(("successes", "k"), [([1], 0), ([1], 5), ([5], 1), ([-1], 1), ([], 1)])
def test_pass_at_k_refuses_what_cannot_be(successes: list[int], k: int) -> None:
    with pytest.raises(ValueError, match="expected 1 <= k <= tries"):
        pass_at_k(successes, 4, k)


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        paired_bootstrap([1, 0, 1], [1, 0], seed=0)
    with pytest.raises(ValueError, match="cluster label"):
        paired_bootstrap([1, 0, 1], [1, 0, 0], seed=0, clusters=[0, 1])


def test_an_interval_survives_json() -> None:
    interval = Interval(mean=0.5, low=0.25, high=0.75)
    assert Interval.from_json(interval.to_json()) == interval
    with pytest.raises(ValueError, match="mean"):
        Interval.from_json({"mean": 1})
