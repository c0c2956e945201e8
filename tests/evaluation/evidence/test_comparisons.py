"""Accuracy over the number of comparisons, and calibration: points, intervals and what is compared with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robo_rlft.evaluation.cells import Calibration, MeasuredReward
from robo_rlft.evaluation.evidence.comparisons import comparisons, share_right
from robo_rlft.evaluation.evidence.groups import groups_of
from robo_rlft.evaluation.statistics import wilson
from tests.evaluation.evidence.grids import Axes, Contents, filled
from tests.evaluation.evidence.test_lines import legend

NUMBERS = ["50", "125", "250", "500", "1000"]
ACCURACY = {"50": 0.7, "125": 0.78, "250": 0.84, "500": 0.9, "1000": 0.92}


def reward(accuracy: float, pairs: int = 500) -> MeasuredReward:
    """A reward that promises a little more than it keeps."""
    right = tuple(min(1.0, accuracy + 0.04 * (i - 2)) for i in range(5))
    table = Calibration(confidence=tuple(min(1.0, r + 0.01) for r in right), accuracy=right, pairs=(pairs // 5,) * 5)
    return MeasuredReward(accuracy=accuracy, pairs=pairs, calibration=table)


def learned(axes: Axes) -> Contents:
    own = ACCURACY[axes["comparisons"]] - 0.1 * (axes["task"] == "stack_blocks") - 0.02 * int(axes["seed"])
    return Contents(rewards={"reward": reward(own)})


def axes(*, seeds: int = 1, numbers: list[str] = NUMBERS) -> dict[str, list[str]]:
    tasks = ["put_block_in_bowl", "stack_blocks"]
    return {"task": tasks, "comparisons": numbers, "seed": [str(seed) for seed in range(seeds)]}


def test_a_line_a_task_has_a_point_for_each_number_with_wilsons_interval_of_one_seed(tmp_path: Path) -> None:
    drawn = comparisons(groups_of(filled(tmp_path, axes(), learned)))
    data = json.loads(json.dumps(drawn.data))
    assert [line["task"] for line in data["lines"]] == ["put_block_in_bowl", "stack_blocks"]
    points = data["lines"][1]["points"]
    assert [point["comparisons"] for point in points] == [50, 125, 250, 500, 1000]
    assert [point["mean"] for point in points] == pytest.approx([0.6, 0.68, 0.74, 0.8, 0.82])
    expected = wilson(0.6 * 500, 500)
    assert (points[0]["low"], points[0]["high"]) == pytest.approx((expected.low, expected.high))
    assert (points[0]["pairs"], points[0]["seeds_planned"]) == ({"0": 500}, 1)
    assert legend(drawn.figure) == ["put block in bowl", "stack blocks", "0.90", "as sure as right"]


def test_the_axes_are_named_and_the_numbers_of_comparisons_are_the_ticks(tmp_path: Path) -> None:
    left, right = comparisons(groups_of(filled(tmp_path, axes(), learned))).figure.axes
    assert (left.get_xscale(), left.get_xlabel(), right.get_xlabel()) == ("log", "comparisons", "promised probability")
    assert [text.get_text() for text in left.get_xticklabels()] == ["50", "125", "250", "500", "1,000"]
    assert right.get_title() == "calibration, 500 comparisons"
    goal, diagonal = left.lines[-1], right.lines[-1]
    assert list(goal.get_ydata()) == [0.9, 0.9]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())


def test_every_interval_lies_within_the_axes_even_below_chance(tmp_path: Path) -> None:
    poor = Contents(rewards={"reward": reward(0.2, pairs=20)})
    drawn = comparisons(groups_of(filled(tmp_path, axes(numbers=["50"]), lambda _: poor)))
    low, _ = drawn.figure.axes[0].get_ylim()
    first, _ = drawn.figure.axes[1].get_xlim()
    shares = [share for line in drawn.data["calibration"]["lines"] for share in line["shares"]]
    assert low < min(share["low"] for share in shares)
    assert first < min(share["promised"] for share in shares)


def test_of_several_seeds_the_mean_is_shown_and_seeds_that_differ_widen_its_interval(tmp_path: Path) -> None:
    data = comparisons(groups_of(filled(tmp_path, axes(seeds=3), learned))).data
    point = data["lines"][0]["points"][3]
    assert point["by_seed"] == pytest.approx({"0": 0.9, "1": 0.88, "2": 0.86})
    assert point["mean"] == pytest.approx(0.88)
    alike, apart = share_right([0.8] * 3, [500] * 3), share_right([0.7, 0.8, 0.9], [500] * 3)
    assert apart.high - apart.low > 2.0 * (alike.high - alike.low)
    share = data["calibration"]["lines"][0]["shares"][0]
    assert (share["promised"], share["mean"], share["pairs"]) == pytest.approx((0.81, 0.8, 300))


def test_seeds_that_are_always_right_are_not_certain() -> None:
    both = share_right([1.0, 1.0], [50, 50])
    assert (both.mean, both.low) == (1.0, wilson(100, 100).low)


@pytest.mark.parametrize(("numbers", "shown"), [(NUMBERS, 500), (["50", "250"], 250), (["125", "1000"], 1000)])
def test_calibration_is_of_500_comparisons_or_else_of_the_most(tmp_path: Path, numbers: list[str], shown: int) -> None:
    data = comparisons(groups_of(filled(tmp_path, axes(numbers=numbers), learned))).data
    assert data["calibration"]["comparisons"] == shown
    assert len(data["calibration"]["lines"]) == 2


def test_calibration_is_of_a_number_that_every_task_has(tmp_path: Path) -> None:
    def some(axes: Axes) -> Contents | None:
        return None if axes["task"] == "stack_blocks" and int(axes["comparisons"]) > 250 else learned(axes)

    data = comparisons(groups_of(filled(tmp_path, axes(), some))).data
    assert data["calibration"]["comparisons"] == 250
    assert [len(line["points"]) for line in data["lines"]] == [5, 3]


@pytest.mark.parametrize(
    ("axes", "contents", "message"),
    [
        ({"comparisons": ["50"], "seed": ["0"]}, Contents(), "learned a reward and tested it"),
        ({"task": ["stack"], "seed": ["0"]}, Contents(), "an axis comparisons"),
        ({"comparisons": ["few"], "seed": ["0"]}, Contents(), "got 'few'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    axes: dict[str, list[str]], contents: Contents, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        comparisons(groups_of(filled(tmp_path, axes, lambda _: contents)))
