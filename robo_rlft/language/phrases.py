"""Finds what a sentence says to pick and where to put it, as two noun phrases.

Uses closed-class English only: determiners and prepositions bound the noun phrases; prepositions, voice and the order
around the verb give them their roles. It knows no colour, no object and none of the sentences that tasks speak: what
words mean reaches a policy only through CLIP, so words never seen before are kept as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from robo_rlft.language import function_words as english
from robo_rlft.language.chunks import Chunk, chunk
from robo_rlft.language.instruction import EXAMPLE, InstructionError, check_instruction


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """What a sentence names, without determiners and in the singular."""

    pick: str  # "red block"
    place: str  # "blue bowl"


def find_phrases(sentence: str) -> Phrases:
    """Return the noun phrases for what to pick and where to place it.

    Args:
        sentence: One instruction in English, in any letter case, with or without determiners.

    Raises:
        InstructionError: The sentence is no instruction at all (see `check_instruction`), or one of the two noun
            phrases is missing; the message says which, and gives a sentence that works.
    """
    text = check_instruction(sentence)
    tokens = english.tokens(text)
    for skip_locations in (True, False):
        chunks = chunk(tokens, skip_locations=skip_locations)
        for candidate in (chunks, _with_bare_nouns(chunks)):
            roles = _roles(_without_labels(_with_antecedents(candidate)))
            if roles is not None:
                return Phrases(pick=roles[0].text, place=roles[1].text)
    raise _missing(text, _with_bare_nouns(chunks))


def _missing(text: str, chunks: Sequence[Chunk]) -> InstructionError:
    nouns = _nouns(chunks)
    found = next((noun for noun in nouns if noun.marker not in {"source", "other"}), None)
    if found is None:
        lack, came = "neither what to pick nor where to put it", ""
    elif found.marker in {"goal", "near"}:
        lack, came = "no words for what to pick", f" (only {found.text!r}, as the target)"
    else:
        lack, came = "no words for where to put it", f" (only {found.text!r})"
    return InstructionError(
        f"expected a sentence that names what to pick and where to put it; found {lack} in {text!r}{came}. "
        f"Name both, as in {EXAMPLE!r}."
    )


def _is_named(noun: Chunk) -> bool:
    """Tell whether a noun phrase names an object: "one" and "the left" name none."""
    return noun.kind == "noun" and noun.words[-1] not in english.LOCATIONS and noun.words != ("one",)


def _nouns(chunks: Sequence[Chunk]) -> list[Chunk]:
    return [piece for piece in chunks if _is_named(piece)]


def _with_bare_nouns(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Take words without determiner for noun phrases, less the listed verbs at their ends ("put red block")."""
    result: list[Chunk] = []
    for i, piece in enumerate(chunks):
        if piece.kind != "verb":
            result.append(piece)
            continue
        after = chunks[i + 1] if i + 1 < len(chunks) else None
        before = chunks[i - 1] if i else None
        words = list(piece.words)
        verbs = [words.pop(0)] if before is not None and before.kind in {"pronoun", "auxiliary"} else []
        while words and (english.lemma(words[0]) in english.LISTED_VERBS or words[0] in _OPENERS):
            verbs.append(words.pop(0))
        trailing: list[str] = []
        while len(words) > 1 and english.lemma(words[-1]) in english.LISTED_VERBS:
            trailing.insert(0, words.pop())
        has_object = after is not None and after.kind in {"noun", "pronoun"} and not after.marker
        if verbs:
            result.append(Chunk(kind="verb", words=tuple(verbs)))
        if words and (trailing or not has_object):
            words[-1] = english.singular(words[-1])
            result.append(Chunk(kind="noun", words=tuple(words)))
        if trailing:
            result.append(Chunk(kind="verb", words=tuple(trailing)))
    return result


_OPENERS: Final = english.FINITE_OPENERS | english.BARE_OPENERS | english.MIXED_OPENERS | english.SMALL_OPENERS


def _with_antecedents(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Say in full what is named again by its noun alone: "find the red block, then put the block ..."."""
    result: list[Chunk] = []
    for piece in chunks:
        earlier = [noun for noun in _nouns(result) if len(noun.words) > 1 and noun.words[-1:] == piece.words]
        result.append(replace(piece, words=earlier[-1].words) if piece.kind == "noun" and earlier else piece)
    return result


def _without_labels(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Leave out what only describes the other side of "is": "the target is B", "B is the right place for A"."""
    labels: list[Chunk] = []
    for i, first in enumerate(chunks):
        at = i + 1
        while at < len(chunks) and chunks[at].kind == "verb":  # "the object to pick is A"
            at += 1
        if not _is_bare(chunks, i) or not _is_bare(chunks, at + 1) or chunks[at].words[:1] not in _COPULAS:
            continue
        second = chunks[at + 1]
        following = chunks[at + 2] if at + 2 < len(chunks) else None
        described = following is not None and (following.marker in {"for", "of"} or following.kind == "where")
        if described or second.words == ("one",):
            labels.append(second)
        elif len(first.words) == 1 and len(second.words) > 1:
            labels.append(first)
    return [piece for piece in chunks if not any(piece is label for label in labels)]


def _is_bare(chunks: Sequence[Chunk], at: int) -> bool:
    return at < len(chunks) and chunks[at].kind == "noun" and not chunks[at].marker


_COPULAS: Final = {(word,) for word in english.COPULAS}

Roles = tuple[Chunk, Chunk]  # pick, place


def _roles(chunks: Sequence[Chunk]) -> Roles | None:
    """Try the ways of saying it one after the other, the plainest first; each answers or passes."""
    for rule in (_goal, _goal_pronoun, _where, _with, _for, _transitive, _two_objects, _nearby, _in_order):
        roles = rule(chunks)
        if roles is not None:
            return roles
    return None


def _preferred(nouns: Sequence[Chunk]) -> Chunk | None:
    """Return the last noun phrase of several words, or the last at all: "a moment" and "a favour" name no object."""
    several = [noun for noun in nouns if len(noun.words) > 1]
    return several[-1] if several else nouns[-1] if nouns else None


def _split_at(chunks: Sequence[Chunk], piece: Chunk) -> tuple[list[Chunk], list[Chunk]]:
    at = next(i for i, other in enumerate(chunks) if other is piece)
    return list(chunks[:at]), list(chunks[at + 1 :])


def _marked(chunks: Sequence[Chunk], *markers: str) -> list[Chunk]:
    return [noun for noun in _nouns(chunks) if noun.marker in markers]


def _goal(chunks: Sequence[Chunk]) -> Roles | None:
    """Read "put A in B", "in B goes A", "A into B", "a home for A in B"."""
    place = _preferred(_marked(chunks, "goal"))
    if place is None:
        return None
    before, after = _split_at(chunks, place)
    for first, second in pairwise(before):
        if _is_named(first) and first.marker == "" and _is_named(second) and second.marker in {"for", "of"}:
            return second, place
    bare = [*_marked(after, "")[:1], *_marked(before, "")]
    pick = _preferred(bare) or _preferred(_marked(chunks, "for")) or _preferred(_marked(chunks, "with", "of"))
    return (pick, place) if pick is not None else None


def _goal_pronoun(chunks: Sequence[Chunk]) -> Roles | None:
    """Read "take B and put A in it", "find A and B and put it in there", "B is what A goes into"."""
    for pronoun in chunks:
        if pronoun.kind != "pronoun" or pronoun.marker not in {"goal", "near"}:
            continue
        before, after = _split_at(chunks, pronoun)
        nouns = _marked(before, "", "with", "near")
        if len(nouns) == 1 and _marked(after, ""):  # "the bowl: in it goes the block"
            return _marked(after, "")[0], nouns[0]
        if len(nouns) < 2:
            continue
        last = max(i for i, piece in enumerate(before) if piece is nouns[-1])
        object_pronoun = any(p.kind == "pronoun" and p.words in _OBJECT_PRONOUNS for p in before[last + 1 :])
        return (nouns[-2], nouns[-1]) if object_pronoun else (nouns[-1], nouns[-2])
    return None


_OBJECT_PRONOUNS: Final = {("it",), ("them",), ("that",), ("this",)}


def _where(chunks: Sequence[Chunk]) -> Roles | None:
    """Read "B is where A belongs"."""
    where = next((piece for piece in chunks if piece.kind == "where"), None)
    if where is None:
        return None
    before, after = _split_at(chunks, where)
    place, pick = _preferred(_marked(before, "")), _preferred(_marked(after, "")[:1])
    return (pick, place) if pick is not None and place is not None else None


def _with(chunks: Sequence[Chunk]) -> Roles | None:
    """Read "fill B with A", "with A, fill B"."""
    pick, place = _preferred(_marked(chunks, "with")), _preferred(_marked(chunks, ""))
    return (pick, place) if pick is not None and place is not None else None


def _for(chunks: Sequence[Chunk]) -> Roles | None:
    """Read "use B for A", "B is the home of A", "the place for A is B"."""
    pick = _preferred(_marked(chunks, "for", "of"))
    if pick is None:
        return None
    place = _preferred(_marked(chunks, "", "near"))
    return (pick, place) if place is not None else None


def _transitive(chunks: Sequence[Chunk]) -> Roles | None:
    """Read a subject and its verb: "B should hold A", "A enters B", "A must be held by B"."""
    agent = _preferred(_marked(chunks, "by"))
    for subject, verb, target in _clauses(chunks):
        enters = any(english.lemma(word) in english.ENTERING_VERBS for word in verb)
        if target is not None:
            return (subject, target) if enters else (target, subject)
        if agent is not None and agent is not subject:
            participle = any(word.endswith(("ed", "en")) or word in english.IRREGULAR_PARTICIPLES for word in verb)
            if participle:
                return (agent, subject) if enters else (subject, agent)
    return None


def _clauses(chunks: Sequence[Chunk]) -> list[tuple[Chunk, tuple[str, ...], Chunk | None]]:
    """Return each subject with its verbs and its direct object, if it has one."""
    found = []
    for i, subject in enumerate(chunks):
        if not _is_named(subject) or subject.marker:
            continue
        verb: list[str] = []
        target = None
        for piece in chunks[i + 1 :]:
            if piece.kind == "verb":
                verb.extend(piece.words)
            elif piece.kind != "auxiliary" and (verb or piece.kind != "break"):
                target = piece if _is_named(piece) and piece.marker == "" else None
                break
        if verb:
            found.append((subject, tuple(verb), target))
    return found


def _two_objects(chunks: Sequence[Chunk]) -> Roles | None:
    """Read "give B A": the receiver comes first."""
    for verb, first, second in zip(chunks, chunks[1:], chunks[2:], strict=False):
        bare = _is_named(first) and _is_named(second) and not first.marker and not second.marker
        if verb.kind == "verb" and bare:
            return second, first
    return None


def _nearby(chunks: Sequence[Chunk]) -> Roles | None:
    """Read "hold A over B", where no target is named more clearly."""
    place, pick = _preferred(_marked(chunks, "near", "by")), _preferred(_marked(chunks, ""))
    return (pick, place) if pick is not None and place is not None else None


def _in_order(chunks: Sequence[Chunk]) -> Roles | None:
    """Read "A, B": without any sign, what to pick comes first."""
    nouns = _marked(chunks, "", "with", "for", "near", "by")
    return (nouns[0], nouns[1]) if len(nouns) > 1 else None
