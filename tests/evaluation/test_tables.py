"""Tables of methods by splits, and the paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from robo_rlft.evaluation.files import ResultFileError
from robo_rlft.evaluation.results import EvaluationResult, SceneResult, write_results
from robo_rlft.evaluation.statistics import wilson
from robo_rlft.evaluation.tables import Cost, aggregate_seeds, build_table, format_table, read_table, write_table

COST = Cost(wall_seconds=10.5, cpu_seconds=20.0, peak_rss_mb=900.0)


def save(
    path: Path, successes: Sequence[int], *, split: str = "seen", sentence: str = "a", decoding: str = "greedy"
) -> Path:
    scenes = tuple(
        SceneResult(
            seed=i,
            instruction=sentence,
            pick="red block",
            place="blue bowl",
            success=bool(s),
            return_=float(s),
            steps=1,
            failure=None if s else "no_grasp",
            confidence=1.0,
        )
        for i, s in enumerate(successes)
    )
    result = EvaluationResult(
        task="put_block_in_bowl",
        split=split,
        phase="test",
        decoding=decoding,
        checkpoint=path.name,
        checkpoint_sha256=None,
        scenes=scenes,
    )
    write_results(result, path)
    return path


def test_a_table_has_the_promised_keys_and_the_paired_difference(tmp_path: Path) -> None:
    bc = save(tmp_path / "bc.json", [1, 0, 0, 1])
    rl = save(tmp_path / "rl.json", [1, 1, 1, 1])
    table = build_table({"bc": {"seen": bc}, "rl": {"seen": rl}}, cost=COST)
    assert {k: table[k] for k in ("wall_seconds", "cpu_seconds", "peak_rss_mb")} == vars(COST)
    cell = table["table"]["bc"]["seen"]
    assert cell["success"] == wilson(2, 4).to_json()
    assert (cell["episodes"], cell["decoding"]) == (4, "greedy")
    assert cell["return"]["mean"] == 0.5
    # Differences 0, 1, 1, 0: mean 1/2.
    assert table["paired"]["rl_minus_bc"]["seen"]["mean"] == 0.5
    write_table(table, tmp_path / "table.json")
    assert read_table(tmp_path / "table.json") == table


def test_a_split_that_one_method_lacks_is_not_paired(tmp_path: Path) -> None:
    files = {
        "bc": {"seen": save(tmp_path / "bc.json", [0, 1])},
        "rl": {
            "seen": save(tmp_path / "rl.json", [1, 1]),
            "unseen": save(tmp_path / "rl_unseen.json", [1, 0], split="unseen"),
        },
    }
    assert list(build_table(files, cost=COST)["paired"]["rl_minus_bc"]) == ["seen"]
    assert build_table({"rl": files["rl"]}, cost=COST)["paired"] == {}


@pytest.mark.parametrize("change", [{"sentence": "b"}, {"decoding": "sampled"}])
def test_results_of_other_sentences_or_decoding_are_not_paired(tmp_path: Path, change: dict[str, Any]) -> None:
    files = {
        "bc": {"seen": save(tmp_path / "bc.json", [0, 1])},
        "rl": {"seen": save(tmp_path / "rl.json", [1, 1], **change)},
    }
    with pytest.raises(ValueError, match=r"expected (the same scenes|one decoding)"):
        build_table(files, cost=COST)


def test_results_of_another_number_of_scenes_are_not_paired(tmp_path: Path) -> None:
    files = {"bc": {"seen": save(tmp_path / "bc.json", [0, 1, 1])}, "rl": {"seen": save(tmp_path / "rl.json", [1, 1])}}
    with pytest.raises(ValueError, match="the same episodes"):
        build_table(files, cost=COST)


def test_a_file_under_the_wrong_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match="split unseen, got seen"):
        build_table({"bc": {"unseen": save(tmp_path / "bc.json", [0, 1])}}, cost=COST)


def test_seeds_are_averaged_and_scenes_resampled_together(tmp_path: Path) -> None:
    seeds = {
        seed: {
            "bc": {"seen": save(tmp_path / f"bc{seed}.json", bc)},
            "rl": {"seen": save(tmp_path / f"rl{seed}.json", [1, 1])},
        }
        for seed, bc in ((0, [0, 0]), (1, [0, 1]))
    }
    table = aggregate_seeds(seeds, command="robo-rlft run", commit="abc", costs={0: COST})
    assert (table["command"], table["commit"], table["seeds"]) == ("robo-rlft run", "abc", [0, 1])
    assert table["costs"] == {"0": vars(COST)}
    cell = table["table"]["bc"]["seen"]
    assert cell["per_seed"] == [0.0, 0.5]
    # Scene 0 has mean 0, scene 1 has 1/2 over the seeds; of so few, Wilson's interval is wider than the bootstrap's.
    assert cell["success"] == {"mean": 0.25, "low": 0.0, "high": wilson(0.5, 2).high}
    assert table["paired"]["rl_minus_bc"]["seen"] == {"mean": 0.75, "low": 0.5, "high": 1.0}


def test_seeds_with_other_methods_are_refused(tmp_path: Path) -> None:
    bc = save(tmp_path / "bc.json", [0, 1])
    with pytest.raises(ValueError, match="seed 1"):
        aggregate_seeds({0: {"bc": {"seen": bc}}, 1: {"rl": {"seen": bc}}}, command="", commit="")
    with pytest.raises(ValueError, match="at least one seed"):
        aggregate_seeds({}, command="", commit="")


def test_the_table_reads_well_in_a_terminal(tmp_path: Path) -> None:
    files = {"bc": {"seen": save(tmp_path / "bc.json", [0, 0])}, "rl": {"seen": save(tmp_path / "rl.json", [1, 1])}}
    # Wilson, 0 of 2: high = 3.8415 / 5.8415 = 0.66.
    assert format_table(build_table(files, cost=COST)).split("\n") == [
        "success  seen",
        "bc       0.00 (0.00 to 0.66)",
        "rl       1.00 (0.34 to 1.00)",
        "rl - bc  +1.00 (+1.00 to +1.00)",
    ]
