"""How well a learned reward orders attempts, over the number of comparisons, and whether it is as sure as it is right.

Pairs are of attempts at one scene, of which nobody was asked, and whose true returns differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Transform, offset_copy

from robo_rlft.evaluation.cells import MeasuredReward
from robo_rlft.evaluation.evidence.drawing import GRAY, Drawn, Look, finish, looks, panels, ticks_at, title
from robo_rlft.evaluation.evidence.groups import SEED, TASK, Group, label_of, varying
from robo_rlft.evaluation.figures import STYLE
from robo_rlft.evaluation.statistics import RESAMPLES, Interval, wilson

COMPARISONS = "comparisons"  # the axis
GOAL = 0.9  # of the accuracy
USUAL = 500  # comparisons, as RL's learned rewards have: of these the calibration is shown where they are there
SHIFT = 2.5  # points of the paper between the lines' marks, so that no interval hides another
INTERVAL = (
    "95 % intervals: of one seed Wilson's, pairs as trials; of the mean over several, seeds resampled and each one's "
    "pairs drawn anew (binomially, pairs as trials), at least Wilson's for the pairs of all. Pairs of one scene count "
    "as if they were of several"
)
NOTE = "{pairs} pairs of attempts that nobody compared; 95 % intervals: of pairs{seeds}"
SEVERAL = " and seeds; line: mean over seeds; small dots: seeds"


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of the pairs, by their margin."""

    promised: float  # mean probability of the order that the reward tells
    right: Interval
    pairs: int  # of all seeds


@dataclass(frozen=True, kw_only=True)
class Point:
    """What rewards from one number of comparisons come to."""

    task: str
    line: str
    comparisons: int
    rewards: dict[str, MeasuredReward]  # seed -> its own, at least one
    planned: int  # seeds that there should be

    @property
    def accuracy(self) -> Interval:
        """The share of the pairs that are put in their true order."""
        found = list(self.rewards.values())
        return share_right([one.accuracy for one in found], [one.pairs for one in found])

    @property
    def shares(self) -> list[Share]:
        """From the smallest margins to the largest; as many as every seed has."""
        tables = [one.calibration for one in self.rewards.values()]
        return [
            Share(
                promised=float(np.mean([table.confidence[i] for table in tables])),
                right=share_right([table.accuracy[i] for table in tables], [table.pairs[i] for table in tables]),
                pairs=sum(table.pairs[i] for table in tables),
            )
            for i in range(min(len(table.pairs) for table in tables))
        ]


def comparisons(groups: Sequence[Group]) -> Drawn:
    """Draw accuracy over the number of comparisons, and calibration at one of the numbers; a line a task.

    Args:
        groups: Of a grid with an axis `comparisons`, whose cells learned a reward that was tested.

    Raises:
        ValueError: There is no such axis, or nothing to draw yet.
    """
    points = _points(groups)
    if not points:
        raise ValueError(
            "expected cells that learned a reward and tested it (algorithm=reward_model algorithm.data.test=RUN), "
            "found none yet"
        )
    shown = calibrated_at(points)
    lines = list(dict.fromkeys(point.line for point in points))
    look = looks(lines)
    figure, (left, right) = panels(["accuracy", f"calibration, {shown:,} comparisons"], share_x=False)
    with matplotlib.rc_context(STYLE):
        for i, line in enumerate(lines):
            mine = sorted((p for p in points if p.line == line), key=lambda p: p.comparisons)
            shift = SHIFT * (i - (len(lines) - 1) / 2)
            _accuracy(left, mine, look[line], shift=shift)
            _calibration(right, [p for p in mine if p.comparisons == shown], look[line])
        _axes(left, right, points, shown)
    finish(figure, [left, right], xlabel="", ylabel="share of pairs in their true order", note=_note(points))
    left.set_xlabel("comparisons")
    right.set_xlabel("promised probability")
    return Drawn(figure=figure, data=_numbers(lines, points, shown))


def share_right(rates: Sequence[float], pairs: Sequence[int]) -> Interval:
    """Return the mean of seeds' shares (seeds,) of so many pairs (seeds,), with the interval that `INTERVAL` tells."""
    rate, trials = np.array(rates), np.array(pairs)
    mean, total = float(rate.mean()), int(trials.sum())
    least = wilson(mean * total, total)
    if len(rate) == 1:
        return least
    rng = np.random.default_rng(0)
    seeds = rng.integers(len(rate), size=(RESAMPLES, len(rate)))
    drawn = (rng.binomial(trials[seeds], rate[seeds]) / trials[seeds]).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(mean=mean, low=min(float(low), least.low), high=max(float(high), least.high))


def calibrated_at(points: Sequence[Point]) -> int:
    """Return the number of comparisons whose calibration is shown: the usual one, else the largest; of all if any."""
    lines = {point.line for point in points}
    numbers = {point.comparisons for point in points}
    of_all = {n for n in numbers if {p.line for p in points if p.comparisons == n} == lines}
    numbers = of_all or numbers
    return USUAL if USUAL in numbers else max(numbers)


def _points(groups: Sequence[Group]) -> list[Point]:
    varied = varying(groups, leave_out=(COMPARISONS,)) or (TASK,)
    found = []
    for group in groups:
        number = group.axes.get(COMPARISONS, "")
        if not number.isdecimal() or int(number) == 0:
            raise ValueError(f"expected a grid with an axis comparisons of whole numbers above 0, got '{number}'")
        # The last one of a cell, where several were learned.
        rewards = {c.axes.get(SEED, ""): list(c.rewards.values())[-1] for c in group.cells if c.rewards}
        if rewards:
            found.append(
                Point(
                    task=group.axes.get(TASK, ""),
                    line=label_of(group, varied),
                    comparisons=int(number),
                    rewards=rewards,
                    planned=group.planned,
                )
            )
    return found


def _axes(left: Axes, right: Axes, points: Sequence[Point], shown: int) -> None:
    """Set both panels' axes, from chance to 1 or as far as the intervals go, and draw what there is to compare with."""
    numbers = sorted({point.comparisons for point in points})
    pad = (numbers[-1] / numbers[0]) ** 0.12 if len(numbers) > 1 else 1.5
    left.set_xscale("log")
    left.set_xlim(numbers[0] / pad, numbers[-1] * pad)
    ticks_at(left, numbers, [f"{number:,}" for number in numbers])
    left.axhline(GOAL, color=GRAY, linestyle=":", linewidth=1.5, zorder=1, label=f"{GOAL:.2f}")
    shares = [share for point in points if point.comparisons == shown for share in point.shares]
    lows = [*(point.accuracy.low for point in points), *(share.right.low for share in shares)]
    ticks = [i / 10 for i in range(min(5, int(10 * min(lows))), 11)]
    right.set_xlim(min(0.5, *(share.promised for share in shares)) - 0.02, 1.02)
    right.set_xticks([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    right.plot([0, 1], [0, 1], color=GRAY, linestyle="--", linewidth=1.5, zorder=1, label="as sure as right")
    left.set_ylim(ticks[0] - 0.02, 1.02)  # the panels share it
    left.set_yticks(ticks)


def _accuracy(axes: Axes, points: Sequence[Point], look: Look, *, shift: float) -> None:
    """Draw a line over the comparisons, `shift` points of the paper beside its place."""
    x, y = [point.comparisons for point in points], [point.accuracy for point in points]
    beside = offset_copy(axes.transData, fig=axes.get_figure(root=True), x=shift, units="points")
    _line(axes, x, y, look, beside, label=title(points[0].line))
    for place, point in zip(x, points, strict=True):
        seeds = [one.accuracy for one in point.rewards.values()]
        if len(seeds) > 1:
            axes.plot([place] * len(seeds), seeds, ".", color=look.color, markersize=4, transform=beside)


def _calibration(axes: Axes, points: Sequence[Point], look: Look) -> None:
    for point in points:
        shares = point.shares
        _line(axes, [s.promised for s in shares], [s.right for s in shares], look, axes.transData)


def _line(
    axes: Axes, x: Sequence[float], y: Sequence[Interval], look: Look, place: Transform, *, label: str = ""
) -> None:
    low, high = [one.low for one in y], [one.high for one in y]
    axes.vlines(x, low, high, color=look.color, linewidth=2.5, alpha=0.45, transform=place)
    style: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": look.linestyle}
    axes.plot(x, [one.mean for one in y], linewidth=2, markersize=6, transform=place, label=label or None, **style)


def _note(points: Sequence[Point]) -> str:
    counts = {reward.pairs for point in points for reward in point.rewards.values()}
    told = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{min(counts)}"
    several = any(len(point.rewards) > 1 for point in points)
    return NOTE.format(pairs=told, seeds=SEVERAL if several else "; one seed")


def _numbers(lines: Sequence[str], points: Sequence[Point], shown: int) -> dict[str, Any]:
    return {
        "interval": INTERVAL,
        "lines": [
            {"task": of[0].task, "line": line, "points": [_point(point) for point in of]}
            for line in lines
            for of in [sorted((p for p in points if p.line == line), key=lambda p: p.comparisons)]
        ],
        "calibration": {
            COMPARISONS: shown,
            "lines": [
                {
                    "task": point.task,
                    "line": point.line,
                    "shares": [
                        {"promised": share.promised, **share.right.to_json(), "pairs": share.pairs}
                        for share in point.shares
                    ],
                }
                for point in points
                if point.comparisons == shown
            ],
        },
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        COMPARISONS: point.comparisons,
        **point.accuracy.to_json(),
        "by_seed": {seed: one.accuracy for seed, one in point.rewards.items()},
        "pairs": {seed: one.pairs for seed, one in point.rewards.items()},
        "seeds_planned": point.planned,
    }
