"""Runs beside each other: differences on the same scenes, failures and outcomes of every scene."""

from __future__ import annotations

from robo_rlft.evaluation.report.comparison import (
    Outcome,
    build_comparison,
    count_failures,
    results_table,
    scene_rows,
)
from robo_rlft.evaluation.results import EvaluationResult, SceneResult

GOOD, BAD = Outcome(status="success", kind=None), Outcome(status="failure", kind="slipped")


def evaluation(outcomes: dict[int, bool | None], *, split: str = "seen", words: str = "a") -> EvaluationResult:
    scenes = tuple(
        SceneResult(
            seed=seed,
            instruction=words,
            pick=None if success is None else "red block",
            place=None if success is None else "blue bowl",
            success=success,
            return_=None if success is None else float(success),
            steps=1,
            failure="slipped" if success is False else None,
            confidence=1.0,
        )
        for seed, success in outcomes.items()
    )
    return EvaluationResult(
        task="t", split=split, phase="val", decoding="greedy", checkpoint="c", checkpoint_sha256=None, scenes=scenes
    )


def test_a_run_is_compared_with_the_base_on_the_scenes_that_both_have() -> None:
    # Shared and scored: 1, 2, 3. The run is better on 1 and 2 and worse on 3: (1 + 1 - 1) / 3.
    base = evaluation({0: True, 1: False, 2: False, 3: True, 5: None})
    run = evaluation({1: True, 2: True, 3: False, 4: True, 5: True})
    (found,) = build_comparison({"base": {"seen": base}, "run": {"seen": run}}, "base")["run"].values()
    assert (found.shared, found.better, found.worse) == (3, 2, 1)
    assert found.interval is not None
    assert found.interval.mean == 1 / 3


def test_equal_scenes_told_in_other_words_are_not_paired() -> None:
    results = {"base": {"seen": evaluation({0: True})}, "run": {"seen": evaluation({0: True}, words="b")}}
    found = build_comparison(results, "base")["run"]["seen"]
    assert (found.shared, found.interval) == (0, None)


def test_splits_that_the_base_lacks_are_left_out() -> None:
    results = {
        "base": {"seen": evaluation({0: True})},
        "both": {"seen": evaluation({0: True}), "unseen": evaluation({0: True}, split="unseen")},
        "other": {"unseen": evaluation({0: True}, split="unseen")},
    }
    assert {run: list(row) for run, row in build_comparison(results, "base").items()} == {"both": ["seen"]}


def test_any_number_of_runs_stand_beside_each_other() -> None:
    results = {str(i): {"seen": evaluation({0: i > 1, 1: False})} for i in range(4)}
    (counts,) = count_failures(results)
    assert counts.episodes == {"0": 2, "1": 2, "2": 2, "3": 2}
    assert [counts.kinds[str(i)]["slipped"] for i in range(4)] == [2, 2, 1, 1]
    rows = scene_rows(results)
    assert [(row.seed, row.failed) for row in rows] == [(1, 4), (0, 2)]  # what most failed on first
    assert rows[1].outcomes == {"0": (BAD,), "1": (BAD,), "2": (GOOD,), "3": (GOOD,)}


def test_every_try_of_a_scene_has_an_outcome() -> None:
    once = evaluation({0: False}).scenes[0]
    tried = once.joined(evaluation({0: True}).scenes[0]).joined(once)
    several = EvaluationResult(**{**vars(evaluation({0: False})), "scenes": (tried,), "tries": 3})
    assert scene_rows({"a": {"seen": several}})[0].outcomes == {"a": (GOOD, BAD, BAD)}


def test_a_table_of_runs_without_goals_has_no_success() -> None:
    table = results_table({"a": {"seen": evaluation({0: None})}})["table"]
    assert table["a"]["seen"] == {"success": None, "return": None, "episodes": 1, "decoding": "greedy"}
