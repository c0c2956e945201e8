"""Success by the words of sentences and goals: by colour, object, target, wording and sentence.

Sentences come from anybody, so nothing here assumes that they can be parsed. Knows nothing of pages and policies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from robo_rlft.evaluation.protocol import BETWEEN
from robo_rlft.evaluation.report.records import Results
from robo_rlft.evaluation.results import SceneResult
from robo_rlft.evaluation.statistics import Interval, bootstrap_mean, wilson
from robo_rlft.language.instruction import InstructionError
from robo_rlft.language.phrases import find_phrases
from robo_rlft.language.vocabulary import COLORS

OTHER = "no colour named"


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The scored episodes of one run with one word."""

    successes: int
    episodes: int
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class WordRow:
    """One word, or one sentence, on one split."""

    split: str
    label: str
    tallies: Mapping[str, Tally]  # run -> its episodes


@dataclass(frozen=True, kw_only=True)
class WordTable:
    """Success by one kind of word, the worst first."""

    title: str
    head: str  # of the column of words
    rows: tuple[WordRow, ...]


def word_tables(results: Results, focus: str) -> tuple[WordTable, ...]:
    """Return the tables of all kinds of words that differ between episodes, the worst of run `focus` first.

    An episode of several sentences counts once for each of its different words; its success is that of the whole.
    """
    kinds: tuple[tuple[str, str, Callable[[SceneResult], list[str]]], ...] = (
        ("By the colour of what is picked", "colour", lambda s: [_color(n) for n in names(s.pick)]),
        ("By what is picked", "object", lambda s: names(s.pick)),
        ("By the target's colour", "colour", lambda s: [_color(n) for n in names(s.place)]),
        ("By the target", "target", lambda s: names(s.place)),
        ("By wording", "wording", lambda s: [wording(text) for text in sentences(s)]),
        ("By sentence", "sentence", sentences),
    )
    tables = [WordTable(title=t, head=h, rows=_rows(results, words, focus)) for t, h, words in kinds]
    kept: list[WordTable] = []
    for table, finer in zip(tables, [*tables[1:], None], strict=True):
        labels = {row.label for row in table.rows}
        # Where all objects have one shape, their names tell no more than their colours do.
        same = finer is not None and table.head == "colour" and len({row.label for row in finer.rows}) == len(labels)
        if labels and not same and (len(labels) > 1 or table.head == "sentence"):
            kept.append(table)
    return tuple(kept)


def names(joined: str | None) -> list[str]:
    """Return what an episode's `pick` or `place` names, one a sentence; none without a goal."""
    return [] if joined is None else joined.split(BETWEEN)


def sentences(scene: SceneResult) -> list[str]:
    """Return the sentences of an episode."""
    parts = scene.instruction.split(BETWEEN)
    # A user's own sentence may hold the separator: the goals tell how many sentences there are.
    return parts if len(parts) == len(names(scene.pick)) else [scene.instruction]


def wording(sentence: str) -> str:
    """Return a sentence with [object] and [target] in place of what it names; itself where they are not found."""
    try:
        phrases = find_phrases(sentence)
    except InstructionError:
        return sentence
    plain = " ".join(sentence.lower().split())
    for phrase, slot in ((phrases.pick, "[object]"), (phrases.place, "[target]")):
        words = r"\s+".join(re.escape(word) for word in phrase.lower().split())
        plain, found = re.subn(rf"(?<!\w){words}(?:e?s)?(?!\w)", slot, plain, count=1)
        if not found:
            return sentence
    return plain


def _color(name: str) -> str:
    first = name.split(" ", 1)[0]
    return first if first in COLORS else OTHER


def _rows(results: Results, words: Callable[[SceneResult], list[str]], focus: str) -> tuple[WordRow, ...]:
    found: dict[tuple[str, str], dict[str, list[SceneResult]]] = {}
    for run, splits in results.items():
        for split, result in splits.items():
            for scene in result.scored:
                for word in dict.fromkeys(words(scene)):
                    found.setdefault((split, word), {}).setdefault(run, []).append(scene)
    rows = [
        WordRow(split=split, label=word, tallies={run: _tally(scenes) for run, scenes in runs.items()})
        for (split, word), runs in found.items()
    ]
    return tuple(sorted(rows, key=lambda row: _badness(row, focus)))


def _tally(scenes: list[SceneResult]) -> Tally:
    successes, episodes = sum(s.successes or 0 for s in scenes), sum(s.tries for s in scenes)
    # Tries of one scene are not independent, so Wilson's interval would be too narrow for them.
    several = any(s.tries > 1 for s in scenes)
    rates = [s.rate or 0.0 for s in scenes]
    interval = bootstrap_mean(rates, seed=0, resamples=1000) if several else wilson(successes, episodes)
    return Tally(successes=successes, episodes=episodes, interval=interval)


def _badness(row: WordRow, focus: str) -> tuple[float, float, str, str]:
    """Order by the run's success; among equals, what is surely bad comes before what was tried once."""
    tally = row.tallies.get(focus)
    if tally is None:
        return 2.0, 2.0, row.split, row.label
    return tally.interval.mean, tally.interval.high, row.split, row.label
