"""The words, and the pairs that are held out."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, permutations

import pytest

from robo_rlft.language.vocabulary import COLORS, SEEN_COLORS, SHAPES, SYNONYMS, UNSEEN_COLORS, held_out_pair


def test_seen_and_unseen_colors_are_disjoint_and_make_up_all_colors() -> None:
    assert not set(SEEN_COLORS) & set(UNSEEN_COLORS)
    assert set(SEEN_COLORS) | set(UNSEEN_COLORS) == set(COLORS)


def test_any_two_colors_are_well_apart() -> None:
    for (one, a), (other, b) in combinations(COLORS.items(), 2):
        distance = sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5
        assert distance > 80, (one, other)


def test_every_word_has_synonyms_and_no_synonym_means_two_things() -> None:
    assert set(SYNONYMS) == {*COLORS, *SHAPES}
    words = [*SYNONYMS, *(synonym for synonyms in SYNONYMS.values() for synonym in synonyms)]
    assert [word for word, times in Counter(words).items() if times > 1] == []


def test_seven_pairs_are_held_out_each_color_once_in_each_role() -> None:
    held_out = [pair for pair in permutations(SEEN_COLORS, 2) if held_out_pair(*pair)]
    assert len(held_out) == 7
    assert {pick for pick, _ in held_out} == {place for _, place in held_out} == set(SEEN_COLORS)


def test_pairs_of_one_color_or_with_an_unseen_color_are_not_held_out() -> None:
    assert not any(held_out_pair(color, color) for color in COLORS)
    assert not any(held_out_pair(unseen, seen) for unseen in UNSEEN_COLORS for seen in SEEN_COLORS)


def test_a_word_that_is_no_color_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"expected a colour out of blue, .*; got 'crimson'"):
        held_out_pair("crimson", "blue")
