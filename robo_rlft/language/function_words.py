"""The closed classes of English: the few words that tell how a sentence is built, whatever it is about.

Knows no colour and no object. Determiners, prepositions, pronouns, auxiliaries, conjunctions and politeness are listed
whole. Of verbs there are three short lists: those that say that something is placed, is somewhere, or contains; any
other verb is known by its position or its ending.
"""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SINGULAR_DETERMINERS: Final = _words("a an this another every each one either")
PLURAL_DETERMINERS: Final = _words("these those all both two three four five six several many few")
DETERMINERS: Final = (
    SINGULAR_DETERMINERS | PLURAL_DETERMINERS | _words("the my your our his her its their any some whichever other")
)
MEASURES: Final = _words("couple pair bunch lot group kind sort one some any all each both two three four")

PREPOSITIONS: Final[dict[str, str]] = {
    word: marker
    for marker, words in {
        "goal": "in into inside within on onto upon atop to",
        "near": "over above under underneath beneath below beside near at behind between against around toward towards "
        "along across through past opposite among",
        "by": "by",
        "source": "from off",
        "with": "with using via",
        "for": "for",
        "of": "of",
        "other": "without except despite as than unlike",
    }.items()
    for word in words.split()
}
"""What each preposition makes of its noun phrase: a goal, a thing nearby, a source, an instrument, ..."""

PRONOUNS: Final = _words(
    "i you we they he she it them him me us itself themselves that this there here something everything everyone "
    "someone what mine yours"
)
AUXILIARIES: Final = _words(
    "is are was were be been being am do does did has had can could will would shall should may might must ought "
    "cannot don't won't gonna gotta supposed"
)
COPULAS: Final = _words("is are was were looks look appears appear seems seem")
RELATIVES: Final = _words("that which who")
CONJUNCTIONS: Final = _words(
    "and & but or so then until till because while if when whenever whether once after before unless"
)
ADVERBS: Final = _words(
    "please kindly pls plz thanks thank cheers ok okay hey hi hello sorry yes no well now just also too again up down "
    "away back out together really very maybe perhaps about only ever always still already alone first finally next"
)
HEDGES: Final = _words("very really")
LOCATIONS: Final = _words(
    "left right top bottom middle centre center front back side corner edge end table tabletop desk scene floor hand"
)
"""Nouns that say where on the table something is, and so name no object of their own."""

POSTURE_VERBS: Final = _words("go belong sit lie rest stay live land fit come end wind sleep stand fall remain")
CONTAINING_VERBS: Final = _words("contain hold receive get take house have accept include carry need want")
ENTERING_VERBS: Final = _words("enter fill join occupy reach meet")
PLACING_VERBS: Final = _words(
    "put place move set lay drop pick take get grab bring carry lift throw toss stick push slide insert transfer add "
    "deposit leave keep hold store pack load fill stuff use give hand send deliver return stack tuck pop chuck stow "
    "want need"
)
LISTED_VERBS: Final = POSTURE_VERBS | CONTAINING_VERBS | ENTERING_VERBS | PLACING_VERBS
FINITE_OPENERS: Final = _words("ensure sure certain check verify confirm see know remember hope wish guarantee say")
"""Before a whole clause: "ensure the block goes ..."."""

BARE_OPENERS: Final = _words("let make help do does did can could will would shall should may might must")
"""Before a clause with a bare infinitive: "let the block rest ...", "should the block go ..."."""

MIXED_OPENERS: Final = _words("have watch see")
"""Before a bare infinitive or none at all: "have the block rest ...", "have the block in ..."."""

SMALL_OPENERS: Final = _words("want wants wanted need needs needed like love prefer get")
"""Before a clause without a finite verb: "I want the block placed ..."."""

_LEMMAS: Final = {
    "goes": "go", "gone": "go", "lying": "lie", "lain": "lie", "held": "hold", "got": "get", "gotten": "get",
    "has": "have", "had": "have", "taken": "take", "took": "take", "kept": "keep", "laid": "lay", "brought": "bring",
    "thrown": "throw", "stuck": "stick", "left": "leave", "slid": "slide", "given": "give", "sent": "send",
    "stood": "stand", "fallen": "fall", "sat": "sit",
}  # fmt: skip
IRREGULAR_PARTICIPLES: Final = _words("put set laid held kept stuck thrown brought taken left slid sent given")
_IRREGULAR_PLURALS: Final = {
    "knives": "knife", "shelves": "shelf", "loaves": "loaf", "leaves": "leaf", "halves": "half", "mice": "mouse",
    "dice": "die",
}  # fmt: skip
_WITHOUT_SINGULAR: Final = _words(
    "scissors pliers tongs tweezers glasses goggles headphones binoculars shorts lens gas"
)

_REWRITES: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        ("[\u2018\u2019`]", "'"),
        (r"\s*(?:[-=]+>|[\u2192\u21d2])\s*", " into "),
        (r"\b(?:on|in|at|to|into|onto) (?:the )?(?:very )?"
         r"(?:top|middle|cent(?:re|er)|bottom|inside|interior) of\b", "into"),
        (r"\b(?:(?:on|in|at|to|from) )?(?:the |your )?(?:(?:far|near) )?"
         r"(?:left|right|front|back|side|edge|corner|end)(?:[- ]hand side)? of\b", "beside"),
        (r"\b(?:next|close|adjacent) to\b|\baway from\b", "beside"),
        (r"\bout of\b", "from"),
        (r"\binside of\b", "inside"),
        (r"\b(?:target|destination)\s*:", "into"),
        (r"\b(?:rather than|instead of)\b", "except"),
        (r"\bnot(?: (?:in|into|inside|on|onto|to))? (?=(?:the|a|an|any|this|that)\b)", "except "),
        (r"\bnot\b", ""),
        (r"\b(?:make|makes|making|be) (?:sure|certain)(?: that)?\b", "ensure"),
        (r"\bthank you\b", "thanks"),
        (r"\b(?:would|'d) like\b", " want"),
        (r"\b(that|which|who|it|there|here|what|where)'s\b", r"\1 is"),
        (r"\blet's\b", "let us"),
        (r"(?<=\w)'(?:d|ll|re|ve|m)\b", ""),
        (r"\b(?:the|my|your|our|a|his|her) [^\W_]+'s\b", "the"),
        (r"'s\b", ""),
        (r"-colou?red\b|(?<=\w)-ish\b", ""),
    )
)  # fmt: skip
"""Spellings and fixed groups of function words, brought to one word each."""

_TOKEN: Final = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*|[,.;:!?()&\u2013\u2014]|(?<=\s)-(?=\s)")


def tokens(sentence: str) -> list[str]:
    """Split a sentence into lower-case words and punctuation marks, fixed groups of function words made one word."""
    text = sentence.lower()
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return _TOKEN.findall(text)


def is_closed(word: str) -> bool:
    """Tell whether a token is a function word or punctuation, so that it cannot be part of a noun phrase's content."""
    return (
        not word[0].isalnum()
        or word in DETERMINERS
        or word in PREPOSITIONS
        or word in PRONOUNS
        or word in AUXILIARIES
        or word in CONJUNCTIONS
        or word in ADVERBS
        or word in RELATIVES
        or word == "where"
    )


def lemma(word: str) -> str:
    """Return a verb's base form where it is listed or regular; a word that is no listed verb comes back as it is."""
    if word in _LEMMAS:
        return _LEMMAS[word]
    if word.endswith("ies") and word[:-3] + "y" in LISTED_VERBS:
        return word[:-3] + "y"
    for ending in ("es", "s", "ing", "ed", "d"):
        stem = word.removesuffix(ending)
        for base in (stem, stem + "e", stem[:-1]):
            if stem != word and base in LISTED_VERBS:
                return base
    return word


def singular(noun: str) -> str:
    """Return a plural noun's singular by the regular rules of spelling; "glass", "scissors" and singulars stay."""
    if noun in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[noun]
    if len(noun) < 4 or not noun.endswith("s") or noun.endswith(("ss", "us", "is")) or noun in _WITHOUT_SINGULAR:
        return noun
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if noun.endswith(("ches", "shes", "sses", "xes", "zzes")) or (noun.endswith("oes") and len(noun) > 5):
        return noun[:-2]
    return noun[:-1]
