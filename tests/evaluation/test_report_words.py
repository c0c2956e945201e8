"""Success by the words of sentences and goals."""

from __future__ import annotations

import pytest

from robo_rlft.evaluation.report.words import WordTable, sentences, word_tables, wording
from robo_rlft.evaluation.results import EvaluationResult, SceneResult
from robo_rlft.evaluation.statistics import wilson


def scene(sentence: str, pick: str | None, place: str | None, success: bool | None, *, seed: int = 0) -> SceneResult:
    return SceneResult(
        seed=seed,
        instruction=sentence,
        pick=pick,
        place=place,
        success=success,
        return_=None if success is None else float(success),
        steps=1,
        failure=None if success is not False else "slipped",
        confidence=1.0,
    )


def tables(*scenes: SceneResult, split: str = "seen") -> dict[str, WordTable]:
    result = EvaluationResult(
        task="t", split=split, phase="val", decoding="greedy", checkpoint="c", checkpoint_sha256=None, scenes=scenes
    )
    return {table.title: table for table in word_tables({"rl": {split: result}}, "rl")}


def put(pick: str, place: str, success: bool | None) -> SceneResult:
    return scene(f"put the {pick} in the {place}", pick, place, success)


def test_success_is_counted_by_object_and_target_the_worst_first() -> None:
    found = tables(
        put("red block", "blue bowl", True), put("red block", "gray bowl", False), put("red ring", "blue bowl", True)
    )
    rows = found["By what is picked"].rows
    assert [(r.label, r.tallies["rl"].successes, r.tallies["rl"].episodes) for r in rows] == [
        ("red block", 1, 2),
        ("red ring", 1, 1),
    ]
    assert rows[0].tallies["rl"].interval == wilson(1, 2)
    assert [r.label for r in found["By the target"].rows] == ["gray bowl", "blue bowl"]


def test_among_equals_what_failed_more_often_comes_first() -> None:
    # 0 of 1 reaches up to 0.79, 0 of 3 to 0.56: the latter is surely bad.
    found = tables(put("red block", "blue bowl", False), *[put("gray block", "blue bowl", False)] * 3)
    assert [r.label for r in found["By what is picked"].rows] == ["gray block", "red block"]


def test_colours_have_a_table_where_they_say_something_of_their_own() -> None:
    blocks = tables(put("red block", "blue bowl", True), put("gray block", "blue bowl", True))
    assert "By the colour of what is picked" not in blocks  # one shape: the names say the same
    shapes = tables(
        put("red block", "blue bowl", True), put("red ring", "blue bowl", True), put("gray ring", "blue bowl", True)
    )
    assert [r.label for r in shapes["By the colour of what is picked"].rows] == ["gray", "red"]


def test_an_episode_of_several_sentences_counts_once_for_each_word() -> None:
    several = scene(
        "put the red block on the blue block; put the gray block on the red block",
        "red block; gray block",
        "blue block; red block",
        False,
    )
    found = tables(several)
    assert [r.label for r in found["By what is picked"].rows] == ["gray block", "red block"]
    assert [r.label for r in found["By the target"].rows] == ["blue block", "red block"]
    assert {r.label for r in found["By sentence"].rows} == set(several.instruction.split("; "))
    assert "By wording" not in found  # both have the same


def test_a_sentence_that_holds_the_separator_stays_whole() -> None:
    one = scene("put the red block; the small one, in the blue bowl", "red block", "blue bowl", True)
    assert sentences(one) == [one.instruction]
    assert sentences(scene("this; that", None, None, None)) == ["this; that"]


def test_episodes_without_a_goal_are_not_counted() -> None:
    assert tables(scene("do something", None, None, None)) == {}


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Put the red block in the blue bowl", "put the [object] in the [target]"),
        ("put all the red blocks into the blue bowl", "put all the [object] into the [target]"),
        ("into the blue bowl goes the red block", "into the [target] goes the [object]"),
        ("hello", "hello"),
        ("put the (red+ block in the blue bowl", "put the (red+ block in the blue bowl"),
        ("", ""),
    ],
)
def test_the_wording_is_the_sentence_without_what_it_names(sentence: str, expected: str) -> None:
    assert wording(sentence) == expected
