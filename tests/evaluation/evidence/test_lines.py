"""What the figures' lines show: training, sweeps, the demonstrator's cap, pass@k."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from robo_rlft.evaluation.cells import Demonstrations, Training
from robo_rlft.evaluation.curves import Curve
from robo_rlft.evaluation.evidence.demonstrator import demonstrator, spread
from robo_rlft.evaluation.evidence.drawing import line_name, looks, title
from robo_rlft.evaluation.evidence.groups import groups_of
from robo_rlft.evaluation.evidence.pass_at_k import pass_at_k
from robo_rlft.evaluation.evidence.sweep import demonstrations, sweep
from robo_rlft.evaluation.evidence.training import joined, training
from tests.evaluation.evidence.grids import Axes, Contents, filled, of, seen


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_a_training_curve_begins_after_the_demonstrations(tmp_path: Path) -> None:
    curve = Training(environment_steps=(8, 16), episodes=(4, 8), success=(0.25, 0.5), returns=(0.3, 0.6))

    def contents(axes: Axes) -> Contents:
        shown = {"collect": Demonstrations(episodes=5, successes=5, environment_steps=10)}
        return Contents(training={"rl": curve}, demonstrations=shown if axes["method"] == "rl" else {})

    grid = filled(tmp_path, {"task": ["stack"], "method": ["rl", "scratch"], "seed": ["0"]}, contents)
    drawn = training(groups_of(grid))
    from_bc, scratch = drawn.data["lines"]
    assert (from_bc["x"], scratch["x"]) == ((18, 26), (8, 16))
    assert from_bc["demonstration_steps"] == 10
    assert from_bc["low"][0] < 0.25 < from_bc["high"][0]  # one seed: Wilson's interval of 4 rollouts
    assert legend(drawn.figure) == ["BC + RL", "RL without demonstrations"]


def test_what_only_started_from_rl_has_no_curve_of_its_own(tmp_path: Path) -> None:
    curve = Training(environment_steps=(8, 16), episodes=(4, 8), success=(0.25, 0.5), returns=(0.3, 0.6))

    def contents(axes: Axes) -> Contents:
        return Contents(training={"rl": curve}, steps=("bc", "rl", "filtered_bc")[: 2 + (axes["method"] != "rl")])

    grid = filled(tmp_path, {"task": ["stack"], "method": ["rl", "filtered_bc"], "seed": ["0"]}, contents)
    assert [line["line"] for line in training(groups_of(grid)).data["lines"]] == ["rl"]


def test_curves_of_seeds_are_joined_over_the_steps_that_all_have() -> None:
    # The second is read off at its ends and middle: at 2, 3, 4 it is 0.2, 0.3, 0.4; the first 0.4, 0.6, 0.8.
    one = Curve(name="", x=(1, 2, 3, 4), mean=(0.2, 0.4, 0.6, 0.8))
    two = Curve(name="", x=(2, 4, 6), mean=(0.2, 0.4, 0.6))
    both = joined([one, two])
    assert both.x == pytest.approx((2, 3, 4))
    assert both.mean == pytest.approx((0.3, 0.45, 0.6))
    assert both.low == pytest.approx((0.2, 0.3, 0.4))
    assert both.high == pytest.approx((0.4, 0.6, 0.8))


def test_without_a_curve_there_is_nothing_to_draw(tmp_path: Path) -> None:
    grid = filled(tmp_path, {"method": ["bc"], "seed": ["0"]}, lambda _: of(seen(1)))
    with pytest.raises(ValueError, match="curves of RL, found none yet"):
        training(groups_of(grid))


def test_demonstrations_lie_on_a_logarithmic_axis_and_zero_shot_is_a_flat_line(tmp_path: Path) -> None:
    axes = {"task": ["stack"], "demonstrations": ["1", "10", "100"], "method": ["zero_shot", "bc"], "seed": ["0", "1"]}

    def contents(axes: Axes) -> Contents | None:
        if axes["demonstrations"] == "100":
            return None
        return of(seen(1, 0) if axes["method"] == "zero_shot" else seen(1, int(axes["demonstrations"]) > 1))

    drawn = demonstrations(groups_of(filled(tmp_path, axes, contents)))
    (panel,) = drawn.figure.axes
    assert panel.get_xscale() == "log"
    assert list(panel.get_xticks()) == [1, 10, 100]  # what is missing keeps its place
    lines = {line["line"]: [(p["demonstrations"], p["mean"]) for p in line["points"]] for line in drawn.data["lines"]}
    assert lines["bc"] == [("1", 0.5), ("10", 1.0)]
    flat = next(line for line in panel.lines if line.get_label() == "CLIP alone")
    assert list(flat.get_ydata()) == [0.5, 0.5]


def test_a_sweep_over_names_has_them_side_by_side(tmp_path: Path) -> None:
    axes = {"encoder": ["tabletop", "untrained"], "method": ["bc", "rl"], "seed": ["0"]}
    groups = groups_of(filled(tmp_path, axes, lambda axes: of(seen(1, axes["encoder"] == "tabletop"))))
    drawn = sweep(groups, x="encoder")
    (panel,) = drawn.figure.axes
    assert [t.get_text() for t in panel.get_xticklabels()] == ["tabletop", "untrained"]
    assert (panel.get_xlabel(), panel.get_xscale()) == ("encoder", "linear")
    with pytest.raises(ValueError, match="axes encoder, method, got 'colour'"):
        sweep(groups, x="colour")


def teacher(axes: Axes) -> Contents | None:
    own = {"oracle": (1, 1, 1, 1), "biased_12mm": (1, 0, 0, 0)}[axes["demonstrator"]]
    if axes["method"] == "rl":
        return of(seen(1, 1, 1, 0))
    return of(seen(*own))


def test_pupils_are_drawn_at_their_demonstrators_own_success(tmp_path: Path) -> None:
    axes = {"demonstrator": ["oracle", "biased_12mm"], "method": ["demonstrator", "bc", "rl"], "seed": ["0"]}
    drawn = demonstrator(groups_of(filled(tmp_path, axes, teacher)))
    points = [(p["line"], p["demonstrator_success"], p["mean"]) for p in drawn.data["points"]]
    assert sorted(points) == [("bc", 0.25, 0.25), ("bc", 1.0, 1.0), ("rl", 0.25, 0.75), ("rl", 1.0, 0.75)]
    assert legend(drawn.figure) == ["as good as the teacher", "BC", "BC + RL"]
    assert [t.get_text() for t in drawn.figure.axes[0].texts] == ["biased 12 mm", "oracle"]


def test_a_demonstrator_that_was_not_evaluated_is_judged_by_its_demonstrations(tmp_path: Path) -> None:
    shown = {"collect": Demonstrations(episodes=20, successes=8, environment_steps=20)}
    cell = Contents(evaluations={"seen": seen(1, 0)}, demonstrations=shown)
    axes = {"demonstrator": ["noisy"], "method": ["bc"], "seed": ["0"]}
    drawn = demonstrator(groups_of(filled(tmp_path, axes, lambda _: cell)))
    assert drawn.data["points"][0]["demonstrator_success"] == 0.4
    assert drawn.data["demonstrators"][0]["measured"] == "demonstrations"


def test_names_are_moved_apart_as_little_as_possible() -> None:
    assert spread([0.1, 0.5], 0.06) == pytest.approx([0.1, 0.5])
    # Two at 0.5 go 0.03 to either side; at the end of the axis they are pushed back into it.
    assert spread([0.2, 0.5, 0.5], 0.06) == pytest.approx([0.2, 0.47, 0.53])
    assert spread([1.0, 1.0], 0.06) == pytest.approx([0.94, 1.0])


def test_pass_at_k_rises_from_the_rate_to_the_share_of_scenes_ever_solved(tmp_path: Path) -> None:
    axes = {"method": ["bc", "rl"], "seed": ["0"]}
    groups = groups_of(filled(tmp_path, axes, lambda _: of(seen(2, 1, 0, tries=4))))
    drawn = pass_at_k(groups)
    line = drawn.data["lines"][0]
    assert line["k"] == [1, 2, 3, 4]
    # k = 2: 1 - C(2, 2) / C(4, 2) = 5/6; 1 - C(3, 2) / C(4, 2) = 1/2; 0. k = 4: both scenes ever solved, of 3.
    assert line["mean"] == pytest.approx([(0.5 + 0.25) / 3, (5 / 6 + 0.5) / 3, (1 + 0.75) / 3, 2 / 3])
    assert drawn.figure.axes[0].get_xlabel() == "k, tries of a scene"


def test_methods_look_the_same_in_every_figure() -> None:
    assert looks(["rl"])["rl"] == looks(["zero_shot", "bc", "rl"])["rl"]
    many = looks([f"m{i}" for i in range(9)])
    assert len({(look.color, look.linestyle) for look in many.values()}) == 9


def test_names_are_written_as_people_write_them() -> None:
    assert title("noisy_8mm") == "noisy 8 mm"
    assert title("tuned_bc") == "tuned BC"
    assert line_name({"method": "rl", "rotations": "36"}) == "BC + RL, rotations 36"
