"""Questions follow from a seed; a simulated person answers by the true return and errs as often as told."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from robo_rlft.data.labels import Question
from robo_rlft.data.questions import SimulatedLabeler, Summary, disputed_first, pairs, questions


def attempt(name: str, scene: str = "0", return_: float = 0.0) -> Summary:
    return Summary(name=name, scene=(scene,), return_=return_, success=return_ > 0.99)


MANY = [attempt(f"{scene}-{i}", str(scene)) for scene in range(20) for i in range(2)]


def test_pairs_are_of_the_same_scene() -> None:
    found = pairs([attempt("a"), attempt("b"), attempt("c", "1"), attempt("d"), attempt("e", "1")])
    assert found == [("a", "b"), ("a", "d"), ("b", "d"), ("c", "e")]


def test_every_pair_is_asked_once_in_an_order_and_with_sides_of_the_seeds() -> None:
    asked = questions(pairs(MANY), count=100, seed=0)
    assert sorted(q.key for q in asked) == sorted(Question(episodes=p).key for p in pairs(MANY))
    assert asked == questions(pairs(MANY), count=100, seed=0)
    assert asked != questions(pairs(MANY), count=100, seed=1)
    assert {q.episodes[0].endswith("-0") for q in asked} == {True, False}  # either side comes first
    assert asked[:7] == questions(pairs(MANY), count=7, seed=0)  # more of them do not change the first


def test_some_are_asked_again_the_other_way_round_and_not_at_once() -> None:
    asked = questions(pairs(MANY), count=20, seed=0, repeat_every=4)
    again = [i for i, q in enumerate(asked) if q.repeat]
    assert len(asked) == 20 + len(again) and len(again) == 4  # after 8, 12, 16 and 20: after 4 none is old enough
    for i in again:
        first = asked.index(Question(episodes=asked[i].episodes[::-1]))
        assert i - first > 5
    assert len({asked[i].key for i in again}) == 4


def test_an_order_can_be_given() -> None:
    asked = questions(pairs(MANY), count=2, seed=0, order=lambda candidates: [3, 1])
    assert [set(q.episodes) for q in asked] == [{"3-0", "3-1"}, {"1-0", "1-1"}]


def test_what_the_members_disagree_about_comes_first() -> None:
    scores = {
        "a": np.array([0.0, 0.0]),
        "b": np.array([9.0, 9.0]),  # much better than a, and the members agree
        "c": np.array([1.0, 5.0]),
        "d": np.array([4.0, 8.0]),  # both doubt c and d alike, but not which is better
    }
    order = disputed_first(scores)
    assert list(order([("a", "b"), ("a", "c"), ("c", "d")])) == [1, 0, 2]  # deviations 0, 2, 0: the first of equals
    assert list(order([("a",), ("c",), ("b",)])) == [1, 0, 2]


def answers(left: float, right: float, noise: float, count: int = 400) -> Counter[str]:
    labeler = SimulatedLabeler(noise=noise)
    shown = {"l": attempt("l", return_=left), "r": attempt("r", return_=right)}
    return Counter(labeler.answer(Question(episodes=("l", "r")), shown, seed=seed) for seed in range(count))


def test_without_noise_the_better_attempt_wins_and_equal_ones_are_the_same() -> None:
    assert answers(1.0, 0.5, 0.0) == {"left": 400}
    assert answers(0.5, 1.0, 0.0) == {"right": 400}
    assert answers(0.5, 0.5, 0.0) == {"same": 400}


def test_noise_is_how_often_it_errs() -> None:
    # 40 of 400 are expected, with a deviation of 6.
    assert 20 <= answers(1.0, 0.5, 0.1)["right"] <= 60
    found = answers(0.5, 0.5, 0.1)
    assert 20 <= found["left"] + found["right"] <= 60


def test_it_tells_success_too_and_the_same_question_gets_the_same_answer() -> None:
    shown = {"a": attempt("a", return_=1.0), "b": attempt("b", return_=0.5)}
    labeler = SimulatedLabeler(noise=0.0)
    assert [labeler.answer(Question(episodes=(name,)), shown, seed=0) for name in "ab"] == ["success", "failure"]
    noisy = SimulatedLabeler(noise=0.5)
    assert len({noisy.answer(Question(episodes=("a", "b")), shown, seed=3) for _ in range(5)}) == 1


def test_noise_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        SimulatedLabeler(noise=1.5)
