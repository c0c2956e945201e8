"""Templates and held-out paraphrases: what they share, and that they stay apart."""

from __future__ import annotations

from string import Formatter

import pytest

from robo_rlft.language.paraphrases import PARAPHRASES, PLURAL_PARAPHRASES
from robo_rlft.language.phrases import Phrases, find_phrases
from robo_rlft.language.templates import PLURAL_TEMPLATES, TEMPLATES

ALL = (TEMPLATES, PLURAL_TEMPLATES, PARAPHRASES, PLURAL_PARAPHRASES)
SENTENCES = [sentence for family in ALL for sentences in family.values() for sentence in sentences]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_each_names_what_to_pick_and_where_to_place_it_once(sentence: str) -> None:
    fields = [field for _, field, _, _ in Formatter().parse(sentence) if field is not None]
    assert sorted(fields) == ["pick", "place"]


def test_there_are_enough_of_them() -> None:
    assert len(set(TEMPLATES["put_block_in_bowl"])) >= 8
    assert len(set(PARAPHRASES["put_block_in_bowl"])) >= 12


@pytest.mark.parametrize("task", sorted(TEMPLATES))
def test_no_paraphrase_is_a_template(task: str) -> None:
    assert not set(TEMPLATES[task]) & set(PARAPHRASES[task])


def test_no_plural_paraphrase_is_a_plural_template() -> None:
    for task, sentences in PLURAL_PARAPHRASES.items():
        assert not set(PLURAL_TEMPLATES[task]) & set(sentences)


@pytest.mark.parametrize("task", sorted(TEMPLATES))
def test_the_phrase_finder_reads_every_template(task: str) -> None:
    for sentence in TEMPLATES[task]:
        found = find_phrases(sentence.format(pick="crimson cube", place="navy dish"))
        assert found == Phrases(pick="crimson cube", place="navy dish"), sentence


def test_the_phrase_finder_reads_every_plural_template_in_the_singular() -> None:
    for sentence in PLURAL_TEMPLATES["put_block_in_bowl"]:
        found = find_phrases(sentence.format(pick="crimson cubes", place="navy dish"))
        assert found == Phrases(pick="crimson cube", place="navy dish"), sentence


def test_the_phrase_finder_reads_nearly_every_held_out_paraphrase() -> None:
    sentences = [sentence for group in PARAPHRASES.values() for sentence in group]
    expected = Phrases(pick="crimson cube", place="navy dish")
    read = [find_phrases(s.format(pick="crimson cube", place="navy dish")) == expected for s in sentences]
    assert sum(read) >= 0.9 * len(read)
