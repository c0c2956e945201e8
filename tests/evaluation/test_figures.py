"""Figures are drawn, saved with their numbers, and the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robo_rlft.evaluation.curves import Curve
from robo_rlft.evaluation.figures import HeatMap, heat_maps, learning_curves, render, save_figure, success_chart

CURVE = Curve(name="rl", x=(128, 256), mean=(0.5, 0.8), low=(0.4, 0.7), high=(0.6, 0.9))
CELL = {"success": {"mean": 0.5, "low": 0.4, "high": 0.6}}


def test_a_figure_is_saved_as_png_svg_and_json(tmp_path: Path) -> None:
    paths = save_figure(learning_curves([CURVE]), tmp_path / "lr0.1", {"curves": [CURVE.to_json()]})
    assert [p.name for p in paths] == ["lr0.1.png", "lr0.1.svg", "lr0.1.json"]
    assert Image.open(paths[0]).size[0] > 600
    assert b"<svg" in paths[1].read_bytes()
    data = json.loads(paths[2].read_text())
    assert (data["format_version"], data["curves"][0]["mean"]) == (1, [0.5, 0.8])


def test_axes_say_what_they_show() -> None:
    (axes,) = learning_curves([CURVE], ylabel="return").axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("environment steps", "return")
    assert axes.get_legend() is None  # one curve needs none
    two = learning_curves([CURVE, Curve(name="scratch", x=(1,), mean=(0.0,))]).axes[0].get_legend()
    assert two is not None
    assert [t.get_text() for t in two.get_texts()] == ["rl", "scratch"]


def test_the_chart_has_a_panel_a_split_and_a_line_a_method() -> None:
    figure = success_chart({"table": {"bc": {"seen": CELL}, "rl": {"seen": CELL, "unseen": CELL}}})
    assert [a.get_title() for a in figure.axes] == ["seen", "unseen"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["bc", "rl"]
    assert len(figure.axes[0].lines) == 4  # interval and dot for each method
    assert figure.axes[1].lines[0].get_xdata() == pytest.approx([0.4, 0.6])


def test_markers_lie_on_the_pixels_of_the_turned_picture() -> None:
    color = np.zeros((6, 4, 3), dtype=np.uint8)
    heat = HeatMap(title="pick", color=color, probability=np.ones((6, 4)), pick=(0, 0), place=(5, 3))
    axes = heat_maps([heat]).axes[0]
    pick, place = axes.lines
    # Row 0 is the rightmost column of the landscape picture, column 0 its lowest row.
    assert (pick.get_xdata(), pick.get_ydata()) == ([5.5], [3.5])
    assert (place.get_xdata(), place.get_ydata()) == ([0.5], [0.5])


def test_equal_figures_give_equal_bytes() -> None:
    assert render(learning_curves([CURVE]), "svg") == render(learning_curves([CURVE]), "svg")
