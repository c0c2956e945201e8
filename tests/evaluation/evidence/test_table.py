"""The table of a grid: means, paired differences, what is worse and what is missing."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from robo_rlft.evaluation.cells import CellCost, Demonstrations
from robo_rlft.evaluation.evidence.groups import Group, groups_of
from robo_rlft.evaluation.evidence.table import evidence_table
from robo_rlft.evaluation.evidence.table_output import markdown, table
from robo_rlft.evaluation.files import ResultFileError
from robo_rlft.evaluation.tables import Pair
from tests.evaluation.evidence.grids import Axes, Contents, filled, of, seen

AXES = {"task": ["stack"], "method": ["bc", "rl"], "seed": ["0", "1"]}
HALF = (1, 0) * 20


def better_and_worse(axes: Axes) -> Contents | None:
    """RL has all of `seen` and none of `paraphrase`; BC half of both; the second seed of RL is missing."""
    if axes["method"] == "bc":
        cost = {
            "bc": CellCost(wall_seconds=1.0, cpu_seconds=10.0 + 10.0 * int(axes["seed"]), peak_rss_mb=500.0),
            "evaluate": CellCost(wall_seconds=1.0, cpu_seconds=4.0, peak_rss_mb=700.0),
        }
        half = seen(*HALF, failures={"no_grasp": 12, "slipped": 8})
        return Contents(evaluations={"seen": half, "paraphrase": seen(*HALF)}, costs=cost)
    if axes["seed"] == "1":
        return None
    return Contents(evaluations={"seen": seen(*[1] * 40), "paraphrase": seen(*[0] * 40)})


@pytest.fixture
def groups(tmp_path: Path) -> tuple[Group, ...]:
    return groups_of(filled(tmp_path, AXES, better_and_worse))


def test_rows_hold_means_failures_and_costs(groups: tuple[Group, ...]) -> None:
    bc, rl = evidence_table(groups).rows
    assert (bc.results["seen"].success.mean, rl.results["seen"].success.mean) == (0.5, 1.0)
    # 12 and 8 of 40 episodes, the same for both seeds.
    assert bc.failures["seen"] == {"no_grasp": 0.3, "slipped": 0.2}
    assert bc.cost is not None
    # Training: 10 and 20 CPU-seconds; peak memory: that of the evaluation.
    assert (bc.cost.training_cpu_seconds, bc.cost.evaluation_cpu_seconds, bc.cost.peak_rss_mb) == (15.0, 4.0, 700.0)


def test_costs_are_those_of_seeds_that_no_graphics_card_trained(tmp_path: Path) -> None:
    def trained(axes: Axes) -> Contents:
        by_card = axes["method"] == "rl" or axes["seed"] == "0"
        cost = CellCost(wall_seconds=1.0, cpu_seconds=7.0 if by_card else 30.0, peak_rss_mb=900.0)
        cards = {"train": "A card"} if by_card else {}
        return Contents(evaluations={"seen": seen(*HALF)}, costs={"train": cost}, cards=cards)

    made = evidence_table(groups_of(filled(tmp_path, AXES, trained)))
    bc, rl = made.rows
    assert bc.cost is not None and rl.cost is not None
    assert (bc.cost.training_cpu_seconds, bc.cost.cards) == (30.0, ())
    assert (rl.cost.training_cpu_seconds, rl.cost.cards) == (7.0, ("A card",))
    assert made.notes[-1] == "Costs with * are of a machine with a graphics card, which trained: A card."
    assert "| 7* | 0* | 900* |" in markdown(made)


def test_memory_is_that_of_learning_and_judging_not_of_a_demonstrator(tmp_path: Path) -> None:
    costs = {
        name: CellCost(wall_seconds=1.0, cpu_seconds=1.0, peak_rss_mb=mb)
        for name, mb in (("demos", 1900.0), ("bc", 800.0), ("evaluate", 700.0))
    }
    shown = {"demos": Demonstrations(episodes=1, successes=1, environment_steps=1)}
    contents = Contents(evaluations={"seen": seen(*HALF)}, costs=costs, demonstrations=shown)
    made = evidence_table(groups_of(filled(tmp_path, {"method": ["bc"], "seed": ["0"]}, lambda _: contents)))
    assert made.rows[0].cost is not None
    assert made.rows[0].cost.peak_rss_mb == 800.0


@pytest.mark.parametrize(
    ("weights", "seconds", "told"),
    [
        ({"bc": "ab", "rl": "ab"}, {"bc": 5.0, "rl": 6.0}, False),  # the same weights, however often it was made
        ({"bc": "ab", "rl": "cd"}, {"bc": 5.0, "rl": 5.0}, True),
        ({"rl": "ab"}, {"bc": 5.0, "rl": 5.0}, False),  # one run: it took the same time
        ({"rl": "ab"}, {"bc": 5.0, "rl": 6.0}, True),
    ],
)
def test_a_row_that_began_from_another_policy_than_its_base_is_told(
    tmp_path: Path, weights: dict[str, str], seconds: dict[str, float], told: bool
) -> None:
    def contents(axes: Axes) -> Contents:
        method = axes["method"]
        cost = CellCost(wall_seconds=1.0, cpu_seconds=seconds[method], peak_rss_mb=1.0)
        return Contents(
            evaluations={"seen": seen(*HALF)},
            costs={"bc": cost, **({"rl": cost} if method == "rl" else {})},
            digests={"bc": "same", **({"rl": "own"} if method == "rl" else {})},
            weights={"bc": weights[method]} if method in weights else {},
        )

    axes = {"task": ["stack"], "method": ["bc", "rl"], "seed": ["0"]}
    made = evidence_table(groups_of(filled(tmp_path, axes, contents)))
    assert made.differences[0].apart == (("0",) if told else ())
    assert any(note.startswith("Trained twice: stack, BC + RL and BC, seed 0") for note in made.notes) == told


def test_differences_are_paired_by_scene_over_the_seeds_that_both_have(groups: tuple[Group, ...]) -> None:
    made = evidence_table(groups)
    found = {d.evaluation: d for d in made.differences}
    assert found["seen"].seeds == ("0",)
    assert (found["seen"].difference.mean, found["paraphrase"].difference.mean) == (0.5, -0.5)
    assert found["seen"].difference.low > 0.3


def test_what_is_worse_and_what_is_missing_is_told(groups: tuple[Group, ...]) -> None:
    worse, incomplete = evidence_table(groups).notes
    assert worse.startswith("Worse: stack, paraphrase: BC + RL minus BC is -0.50 (")
    assert incomplete == "Incomplete: stack, BC + RL: 1 of 2 seeds"


def test_that_nothing_is_worse_and_that_nothing_is_shown_is_told_too(tmp_path: Path) -> None:
    same = groups_of(filled(tmp_path, AXES, lambda _: of(seen(*HALF))))
    assert evidence_table(same).notes == (
        "In none of 1 comparison is BC + RL worse than BC beyond the interval.",
        "Not shown to differ: stack, seen: BC + RL minus BC is +0.00 (-0.09 to +0.09) [-0.09 to +0.09]",
    )


def test_any_two_values_of_an_axis_may_be_compared(tmp_path: Path) -> None:
    axes = {"method": ["bc"], "encoder": ["tabletop", "untrained"], "seed": ["0"]}
    groups = groups_of(filled(tmp_path, axes, lambda a: of(seen(1, a["encoder"] == "tabletop"))))
    assert evidence_table(groups).differences == ()  # rl - bc is the default, where both are there
    (found,) = evidence_table(groups, pairs=[Pair(better="tabletop", base="untrained")]).differences
    assert found.difference.mean == 0.5
    with pytest.raises(ValueError, match="such as bc; got tabletop:clip"):
        evidence_table(groups, pairs=[Pair(better="tabletop", base="clip")])


def test_methods_on_different_scenes_are_not_compared(tmp_path: Path) -> None:
    grid = filled(tmp_path, AXES, lambda axes: of(seen(1, 0, first_seed=5 * (axes["method"] == "rl"))))
    with pytest.raises(ResultFileError, match="seeds"):
        evidence_table(groups_of(grid))


def test_markdown_has_a_line_a_row_and_marks_what_is_worse(groups: tuple[Group, ...]) -> None:
    lines = markdown(evidence_table(groups)).splitlines()
    assert "### stack" in lines
    rl = next(line for line in lines if line.startswith("| BC + RL |"))
    assert rl == "| BC + RL | 1.00 (0.91 to 1.00) | 0.00 (0.00 to 0.09) | 1 of 2 | 0 | 0 | 0 |"
    pair = next(line for line in lines if line.startswith("| BC + RL minus BC |"))
    assert "+0.50" in pair and "**-0.50" in pair and "worse**" in pair
    assert "| BC | no grasp 30 %, slipped 20 % |  |" in lines
    assert "| BC | 0.50, 0.50 | 0.50, 0.50 |" in lines
    assert all(line.count("|") == before.count("|") for before, line in pairs_of_rows(lines))


def pairs_of_rows(lines: list[str]) -> list[tuple[str, str]]:
    return [(a, b) for a, b in itertools.pairwise(lines) if a.startswith("|") and b.startswith("|")]


def test_the_forest_plot_has_a_column_an_evaluation_and_a_name_a_row(groups: tuple[Group, ...]) -> None:
    drawn = table(groups)
    assert [axes.get_title() for axes in drawn.figure.axes] == ["seen", "paraphrase"]
    names = [t.get_text() for t in drawn.figure.axes[0].get_yticklabels()]
    assert names == ["BC", "BC + RL (1 of 2 seeds)"]
    assert drawn.data["rows"][1]["seeds_planned"] == 2
    assert drawn.texts["md"] == markdown(evidence_table(groups))


def test_an_empty_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found none yet"):
        evidence_table(groups_of(filled(tmp_path, AXES, lambda _: None)))
