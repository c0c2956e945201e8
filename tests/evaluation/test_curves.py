"""Learning curves from metrics files."""

from __future__ import annotations

from pathlib import Path

import pytest

from robo_rlft.evaluation.curves import Curve, mean_curve, read_curve
from robo_rlft.evaluation.files import ResultFileError
from robo_rlft.evaluation.statistics import wilson


def metrics(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_rows_without_both_columns_are_left_out(tmp_path: Path) -> None:
    path = metrics(tmp_path / "metrics.csv", "step,steps,success,loss\n0,128,0.5,\n0,,,1.5\n1,256,0.75,\n1,384,,\n")
    assert read_curve(path, x="steps", y="success", name="rl") == Curve(name="rl", x=(128, 256), mean=(0.5, 0.75))


def test_a_resumed_runs_repeated_steps_count_once_and_in_order(tmp_path: Path) -> None:
    path = metrics(tmp_path / "metrics.csv", "x,y\n1,0.1\n2,0.2\n3,0.3\n2,0.25\n3,nan\n")
    assert read_curve(path, x="x", y="y", name="rl") == Curve(name="rl", x=(1, 2), mean=(0.1, 0.25))


def test_rates_of_success_get_wilsons_interval(tmp_path: Path) -> None:
    path = metrics(tmp_path / "metrics.csv", "x,y\n1,0.5\n2,1.0\n")
    curve = read_curve(path, x="x", y="y", name="rl", episodes=10)
    assert curve.low == (wilson(5, 10).low, wilson(10, 10).low)
    assert curve.high == (wilson(5, 10).high, 1.0)


@pytest.mark.parametrize(
    ("text", "message"), [("a,b\n1,2\n", "'y'; it has a, b"), ("", "it has none"), ("x,y\n1,\n", "at least one row")]
)
def test_files_without_the_columns_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ResultFileError, match=message):
        read_curve(metrics(tmp_path / "m.csv", text), x="a" if text.startswith("a") else "x", y="y", name="rl")
    with pytest.raises(ResultFileError, match="could not read"):
        read_curve(tmp_path / "none.csv", x="x", y="y", name="rl")


def test_seeds_are_averaged_where_all_have_a_value() -> None:
    curves = [Curve(name="0", x=(1, 2, 3), mean=(0.0, 0.5, 1.0)), Curve(name="1", x=(2, 3), mean=(0.7, 0.8))]
    curve = mean_curve(curves, name="rl")
    assert curve.x == (2, 3)
    assert curve.mean == pytest.approx((0.6, 0.9))
    assert (curve.low, curve.high) == ((0.5, 0.8), (0.7, 1.0))
    with pytest.raises(ValueError, match="common"):
        mean_curve([], name="rl")
