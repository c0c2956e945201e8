from __future__ import annotations

import pytest

from robo_rlft.evaluation.evidence.drawing import finish, panels


@pytest.mark.parametrize(
    ("count", "columns", "told"),  # which panels have nothing below them, and say what the axis is
    [(1, 1, [0]), (3, 3, [0, 1, 2]), (4, 2, [2, 3]), (5, 3, [2, 3, 4])],
)
def test_the_lowest_panel_of_every_column_says_what_its_axis_is(count: int, columns: int, told: list[int]) -> None:
    figure, axes = panels([f"task_{i}" for i in range(count)])
    finish(figure, axes, xlabel="steps", ylabel="success", note="")
    grid = axes[0].get_gridspec()
    assert grid is not None
    assert grid.ncols == columns
    assert [i for i, panel in enumerate(axes) if panel.get_xlabel() == "steps"] == told
