"""Proxy and truth over the distance: points, intervals, and a peak only where the truth falls after it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robo_rlft.evaluation.best_of_n import kl_of_best
from robo_rlft.evaluation.cells import BestOf, Training
from robo_rlft.evaluation.evidence.distance import POINTS, best_of_path, rl_path
from robo_rlft.evaluation.evidence.groups import groups_of
from robo_rlft.evaluation.evidence.overoptimisation import overoptimisation
from tests.evaluation.evidence.grids import Axes, Contents, filled, seen

ITERATIONS = 41


def curve(seed: int, *, falls: bool, far: float = 6.0) -> Training:
    """RL whose success rises from 0.4 to 0.8 at 2.25 nats and, if it falls, to 0.3 at 6; the proxy rises on."""
    rng = np.random.default_rng(seed)
    root = np.linspace(0.0, far**0.5, ITERATIONS)
    rate = np.interp(root, [0.0, 1.5, 6.0**0.5], [0.4, 0.8, 0.3 if falls else 0.8])
    return Training(
        environment_steps=tuple(range(128, 128 * ITERATIONS + 1, 128)),
        episodes=tuple(range(128, 128 * ITERATIONS + 1, 128)),
        success=tuple((rng.binomial(32, rate) / 32).tolist()),
        returns=tuple((root + 0.1 * seed).tolist()),
        true_returns=tuple(rate.tolist()),
        kl=tuple((root**2).tolist()),
        scenes=(32,) * ITERATIONS,
    )


def best_of(seed: int, *, falls: bool) -> BestOf:
    rng = np.random.default_rng(seed)
    counts = tuple(2**i for i in range(10))
    rates = [0.3 + 0.1 * min(i, 4) - (0.1 * max(0, i - 4) if falls else 0.0) for i in range(10)]
    rows = tuple(tuple(np.clip(rate + 0.05 * rng.standard_normal(30), 0, 1).tolist()) for rate in rates)
    proxy = tuple((float(i),) * 30 for i in range(10))
    return BestOf(n=counts, proxy=proxy, success=rows, returns=rows)


def test_a_point_is_the_mean_of_the_iterations_in_its_bin_and_the_start_is_one_of_its_own() -> None:
    path = rl_path([curve(seed, falls=True) for seed in range(3)])
    assert len(path.kl) == POINTS + 1
    assert path.kl[0] == 0.0
    assert path.kl[-1] > 5.0
    assert path.trials[0] == 3 * 32  # one iteration of each seed
    assert sum(path.trials) == 3 * 32 * ITERATIONS
    # Bins of 5 iterations each, whose roots are 1 to 5 of 40 parts of the whole.
    assert path.kl[1] == pytest.approx(np.mean((np.arange(1, 6) / 40) ** 2 * 6.0))
    assert path.proxy[0].mean == pytest.approx(0.1)
    assert path.success[0].low < path.success[0].mean < path.success[0].high


def test_a_peak_is_told_where_success_falls_after_it() -> None:
    peak = rl_path([curve(seed, falls=True) for seed in range(3)]).peak
    assert peak is not None
    assert peak.kl.low <= peak.kl.mean <= peak.kl.high
    assert 1.2 < peak.kl.mean < 3.5  # the truth is 2.25
    assert peak.fall.low > 0.2
    of_best = best_of_path([best_of(seed, falls=True) for seed in range(3)]).peak
    assert of_best is not None
    assert of_best.kl.mean == kl_of_best(16)


def test_no_peak_is_told_where_success_only_wavers() -> None:
    for seed in range(5):
        path = rl_path([curve(3 * seed + i, falls=False) for i in range(3)])
        assert path.peak is None
        assert path.to_json()["peak"] == f"none below {path.kl[-1]:.2f} nats"
    assert best_of_path([best_of(seed, falls=False) for seed in range(3)]).peak is None


def test_a_line_ends_where_a_seed_does_and_leaves_out_what_one_lacks() -> None:
    path = rl_path([curve(0, falls=False), curve(1, falls=False, far=2.0)])
    assert path.kl[-1] < 2.0
    jump = curve(0, falls=False)
    jumped = replace(jump, kl=(0.0, *[3.0 + 0.01 * i for i in range(ITERATIONS - 1)]))
    assert len(rl_path([jump, jumped]).kl) < POINTS + 1


def grid(axes: Axes) -> Contents | None:
    number = int(axes["seed"])
    if axes["method"] == "best_of_n":
        judged = replace(seen(*[1] * 30, tries=512), best_of=best_of(number, falls=axes["comparisons"] == "50"))
        return Contents(evaluations={"best_of_n": judged})
    return Contents(training={"rl": curve(number, falls=axes["comparisons"] == "50")})


def test_the_figure_has_a_column_for_each_number_of_comparisons_and_a_line_for_each_way(tmp_path: Path) -> None:
    axes = {"comparisons": ["50", "500"], "method": ["rl_0", "rl_0.1", "best_of_n"], "seed": ["0", "1", "2"]}
    drawn = overoptimisation(groups_of(filled(tmp_path, axes, grid)))
    lines = json.loads(json.dumps(drawn.data))["lines"]
    assert [(line["comparisons"], line["line"]) for line in lines] == [
        (comparisons, name)
        for comparisons in ("50", "500")
        for name in ("RL, KL coefficient 0", "RL, KL coefficient 0.1", "best of n")
    ]
    assert all(len(line["kl"]) >= 6 and line["kl"][-1] > 5.0 for line in lines)
    assert [isinstance(line["peak"], dict) for line in lines] == [True, True, True, False, False, False]
    assert [axes.get_title() for axes in drawn.figure.axes[:2]] == ["50 comparisons", "500 comparisons"]
    stars = [line for line in drawn.figure.axes[0].lines if line.get_marker() == "*"]
    assert len(stars) == 3


def test_a_grid_without_distances_is_refused(tmp_path: Path) -> None:
    axes = {"method": ["bc"], "seed": ["0"]}
    with pytest.raises(ValueError, match="one judged"):
        overoptimisation(groups_of(filled(tmp_path, axes, lambda _: Contents(evaluations={"seen": seen(1)}))))
