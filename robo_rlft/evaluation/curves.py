"""Learning curves, read from the `metrics.csv` of runs.

Knows which columns it is asked for, not what they mean.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robo_rlft.evaluation.files import ResultFileError
from robo_rlft.evaluation.statistics import wilson


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A metric against what it cost."""

    name: str  # what the legend says: "rl", "rl, seed 1"
    x: tuple[float, ...]  # increasing
    mean: tuple[float, ...]
    low: tuple[float, ...] = ()  # empty, or as long as `mean`
    high: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "x": self.x, "mean": self.mean, "low": self.low, "high": self.high}


def read_curve(path: Path, *, x: str, y: str, name: str, episodes: int | None = None) -> Curve:
    """Read two columns of a `metrics.csv`, leaving out the rows where one is empty.

    Args:
        path: Of the file.
        x: The column of the horizontal axis. Where values repeat, the last row counts: a resumed run goes over some of
            its steps again.
        y: The column of the vertical axis.
        name: Of the curve.
        episodes: How many episodes each value is a rate of success over; gives Wilson's interval. None draws none.

    Raises:
        ResultFileError: The file is missing, lacks a column, or holds no row with both.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ResultFileError(f"{path}: could not read the metrics: {error}") from None
    columns = list(rows[0]) if rows else []
    missing = [c for c in (x, y) if c not in columns]
    if missing:
        raise ResultFileError(f"{path}: expected a column {missing[0]!r}; it has {', '.join(columns) or 'none'}")
    points: dict[float, float] = {}
    for row in rows:
        if row[x] and row[y]:
            points[float(row[x])] = float(row[y])
    points = {a: b for a, b in sorted(points.items()) if math.isfinite(a) and math.isfinite(b)}
    if not points:
        raise ResultFileError(f"{path}: expected at least one row with both {x!r} and {y!r}, found none")
    mean = tuple(points.values())
    if episodes is None:
        return Curve(name=name, x=tuple(points), mean=mean)
    intervals = [wilson(round(min(1.0, max(0.0, v)) * episodes), episodes) for v in mean]
    return Curve(
        name=name,
        x=tuple(points),
        mean=mean,
        low=tuple(min(i.low, v) for i, v in zip(intervals, mean, strict=True)),
        high=tuple(max(i.high, v) for i, v in zip(intervals, mean, strict=True)),
    )


def mean_curve(curves: Sequence[Curve], *, name: str) -> Curve:
    """Return the mean of several seeds' curves, with their range (least to greatest) in place of an interval.

    Curves are compared at the x values that all have. Raises `ValueError` when there are none.
    """
    common = sorted(set.intersection(*(set(c.x) for c in curves))) if curves else []
    if not common:
        raise ValueError(f"expected curves with common values of x, got {[c.name for c in curves]}")
    values = np.array([[dict(zip(c.x, c.mean, strict=True))[x] for x in common] for c in curves])
    return Curve(
        name=name,
        x=tuple(common),
        mean=tuple(values.mean(axis=0).tolist()),
        low=tuple(values.min(axis=0).tolist()),
        high=tuple(values.max(axis=0).tolist()),
    )
