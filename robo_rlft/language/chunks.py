"""Cuts a sentence into chunks: noun phrases with the preposition before them, verbs, pronouns, breaks.

Knows function words only. A noun phrase is what follows a determiner or a preposition, up to the next function word;
what else stands between function words is taken for verbs. A word's meaning is never looked at, so unknown words stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from robo_rlft.language import function_words as english

Kind = Literal["noun", "pronoun", "verb", "auxiliary", "where", "break"]
Clause = Literal["start", "small", "mixed", "bare", "object"]  # what may end a noun phrase: see `_Chunker._split`


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A piece of a sentence."""

    kind: Kind
    words: tuple[str, ...] = ()
    marker: str = ""  # of a noun phrase or pronoun: what the preposition before it makes of it, "" without one

    @property
    def text(self) -> str:
        return " ".join(self.words)


def chunk(tokens: list[str], *, skip_locations: bool = True) -> list[Chunk]:
    """Cut tokens into chunks, noun phrases in the singular and without determiner.

    Args:
        tokens: Words and punctuation, from `function_words.tokens`.
        skip_locations: Leave out what a relative clause says about a thing's place ("that lies on the green plate").
    """
    return _Chunker(tokens, skip_locations=skip_locations).read()


_END: Final = "."


class _Chunker:
    """Reads tokens from left to right; `clause` tells what has been read of the clause so far."""

    def __init__(self, tokens: list[str], *, skip_locations: bool) -> None:
        self._tokens = tokens
        self._skip_locations = skip_locations
        self._at = 0
        self._chunks: list[Chunk] = []
        self._clause: Clause = "start"
        self._has_determiners = any(token in english.DETERMINERS for token in tokens)

    def read(self) -> list[Chunk]:
        while self._at < len(self._tokens):
            self._step()
        return self._chunks

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else _END

    def _add(self, kind: Kind, words: tuple[str, ...] = (), marker: str = "") -> None:
        self._chunks.append(Chunk(kind=kind, words=words, marker=marker))

    def _after_noun(self) -> bool:
        return bool(self._chunks) and self._chunks[-1].kind == "noun"

    def _follows_noun(self) -> bool:
        return len(self._chunks) > 1 and self._chunks[-2].kind == "noun"

    def _step(self) -> None:
        word = self._peek()
        if word in english.RELATIVES and self._after_noun():
            self._relative_clause()
        elif word == "where" or self._is_break(word):
            self._at += 1
            self._add("where" if word == "where" else "break")
            self._clause = "start"
        elif word in english.PREPOSITIONS:
            self._preposition()
        elif self._at_noun_phrase():
            self._noun_phrase("")
        elif word in english.PRONOUNS:
            self._pronoun()
        elif word in english.AUXILIARIES:
            self._at += 1
            self._add("auxiliary", (word,))
            self._clause = "bare" if word in english.BARE_OPENERS and not self._follows_noun() else "object"
        elif word in english.ADVERBS or (word.endswith("ly") and len(word) > 4):
            self._at += 1
        else:
            self._verbs()

    def _is_break(self, word: str) -> bool:
        if word == "that":  # a conjunction before a new clause: "make sure that the block ..."
            return self._peek(1) in english.DETERMINERS | english.PRONOUNS
        return word in english.CONJUNCTIONS or not word[0].isalnum()

    def _at_noun_phrase(self) -> bool:
        """Tell whether a determiner starts here, with something after it that it determines."""
        word, following = self._peek(), self._peek(1)
        if word in english.MEASURES and following == "of":
            return True
        if word in english.DETERMINERS or word in {"that", "one"}:
            return not english.is_closed(following) or following in english.DETERMINERS or following == "one"
        return False

    def _pronoun(self) -> None:
        word, following = self._peek(), self._peek(1)
        self._at += 1
        if word == "there" and (following in english.AUXILIARIES or following == "to"):
            return  # "there should be a block ..." says nothing about a place
        self._add("pronoun", (word,), "goal" if word in {"there", "here"} else "")
        if word in {"i", "you", "we"}:
            self._clause = "object"

    def _preposition(self) -> None:
        marker = english.PREPOSITIONS[self._peek()]
        infinitive = self._peek() == "to" and self._at_infinitive()
        self._at += 1
        following = self._peek()
        while following in english.HEDGES:
            self._at += 1
            following = self._peek()
        if infinitive or (following.endswith("ing") and self._peek(1) in english.DETERMINERS):
            return  # "to put the ...", "by putting the ...": a verb follows
        if following in english.PREPOSITIONS:
            return  # "down into", "over to": the last one counts
        if self._at_noun_phrase() or not english.is_closed(following):
            self._noun_phrase(marker)
        elif following in english.PRONOUNS:
            self._at += 1
            self._add("pronoun", (following,), "goal" if following in {"there", "here"} else marker)
        else:
            self._add("pronoun", (), marker)  # nothing follows: "what the block goes into"

    def _at_infinitive(self) -> bool:
        following = self._peek(1)
        if english.is_closed(following):
            return following in english.AUXILIARIES
        if not self._has_determiners or following in english.LISTED_VERBS:
            return following in english.LISTED_VERBS
        end = 2  # "to blue bowl." ends a clause with a noun phrase; "to relocate the block" does not
        while not english.is_closed(self._peek(end)):
            end += 1
        return end == 2 or not self._is_break(self._peek(end))

    def _content(self, *, noun: bool = True) -> list[str]:
        """Read words up to the next function word."""
        words: list[str] = []
        while not english.is_closed(self._peek()) or (noun and self._is_content(words)):
            words.append(self._peek())
            self._at += 1
        return words

    def _is_content(self, before: list[str]) -> bool:
        """Tell whether a function word stands for a thing here: "the red one", "the tin can"."""
        ends = self._peek(1) in english.PREPOSITIONS or self._is_break(self._peek(1))
        determined = bool(before) or self._peek(-1) in english.DETERMINERS or self._peek(-1) == "that"
        return determined and (self._peek() == "one" or (self._peek() == "can" and ends))

    def _determiners(self) -> str:
        """Read determiners and measures ("all of the", "a pair of"), and return the number that they tell, or ""."""
        number = ""
        while True:
            word, following = self._peek(), self._peek(1)
            if word in english.MEASURES and following == "of":
                self._at += 2
                number = "plural"
            elif self._at_noun_phrase():
                if word in english.SINGULAR_DETERMINERS or word in english.PLURAL_DETERMINERS:
                    number = "singular" if word in english.SINGULAR_DETERMINERS else "plural"
                self._at += 1
            else:
                return number

    def _noun_phrase(self, marker: str) -> None:
        number = self._determiners()
        while self._peek() in english.HEDGES:
            self._at += 1
        words = self._content()
        verbs = self._split(words, marker=marker, number=number)
        if self._peek() == "of" and words and not verbs and not english.is_closed(self._peek(1)):
            self._at += 1
            words = _with_substance(words, self._content())
        if not words:
            self._add("pronoun", (), marker)
            return
        self._add_noun(_without_color_word(words), marker, number)
        if verbs:
            self._add("verb", tuple(verbs))
        self._clause = "object"

    def _split(self, words: list[str], *, marker: str, number: str) -> list[str]:
        """Take the verbs off a noun phrase's end: "the red block goes | in", "the blue bowl ends | up holding".

        Which endings are verbs depends on the clause: a subject (at its start, after "ensure" or an inverted goal) may
        be followed by any of the listed verbs, after "let" by any verb; an object only by what cannot be a plural noun.
        """
        verbs: list[str] = []
        for i in range(1, len(words) - 1):  # "the block goes night night in ..."
            if words[i].endswith("s") and english.lemma(words[i]) in english.POSTURE_VERBS:
                verbs = words[i:]
                del words[i:]
                return verbs
        if len(words) > 1 and words[-1].endswith("ly") and len(words[-1]) > 4 and english.is_closed(self._peek()):
            words.pop()
        while len(words) > 1 and self._is_verb(words, marker=marker, number=number, more=bool(verbs)):
            verbs.insert(0, words.pop())
        return verbs

    def _is_verb(self, words: list[str], *, marker: str, number: str, more: bool) -> bool:
        last = words[-1]
        base = english.lemma(last)
        clause = self._clause
        if base != last and base in english.POSTURE_VERBS:
            return True
        if base != last and base in english.CONTAINING_VERBS:
            return more or self._peek() == "to" or self._peek() not in english.PREPOSITIONS
        if clause in {"bare", "mixed"} and not marker:
            verb_follows = self._peek() in english.ADVERBS and not english.is_closed(self._peek(1))
            unlisted = clause == "bare" and not more and not verb_follows and not self._at_end()
            return base in english.LISTED_VERBS or unlisted
        if clause in {"start", "small"} and self._is_participle(last):
            return not self._at_end()
        if clause != "start":
            return False
        if base in english.LISTED_VERBS:
            at_end = self._at_end() and base not in english.POSTURE_VERBS
            return not at_end and (base != last or number == "plural" or words[-2].endswith("s") or bool(marker))
        finite = last.endswith("s") and len(words) > 2 and number != "plural"
        return finite and not self._at_end() and english.singular(last) != last

    def _at_end(self) -> bool:
        return self._is_break(self._peek())

    def _is_participle(self, word: str) -> bool:
        return word in english.IRREGULAR_PARTICIPLES or (word.endswith(("ed", "ing")) and len(word) > 5)

    def _add_noun(self, words: list[str], marker: str, number: str) -> None:
        words = words if number == "singular" else [*words[:-1], english.singular(words[-1])]
        before = next((i for i in reversed(range(len(self._chunks))) if self._chunks[i].kind != "break"), None)
        if before is not None and self._chunks[before].kind == "noun" and len(words) > 1:
            noun = self._chunks[before]
            after_break = before < len(self._chunks) - 1
            color = words[-1] in {"color", "colour"} and not after_break  # "the block with a red colour"
            apposition = words[-1] == "one" and not marker and len(noun.words) == 1 and after_break
            if color or apposition:  # "the bowl, the blue one"
                self._chunks[before] = replace(noun, words=(*words[:-1], *noun.words))
                return
        self._add("noun", tuple(words), marker)

    def _relative_clause(self) -> None:
        """Read "that is blue" into the noun phrase, and pass over "that lies next to the green plate"."""
        self._at += 1
        start = self._at
        copula = self._peek() in english.COPULAS
        if self._peek() in english.AUXILIARIES | english.COPULAS:
            self._at += 1
        while self._peek() in english.HEDGES | english.ADVERBS:
            self._at += 1
        words = self._content()
        self._clause = "start"
        verbs = self._split(words, marker="", number="") if copula else []
        adjectives = copula and bool(words) and not self._is_participle(words[-1])
        if self._peek() in english.PREPOSITIONS and not adjectives and self._skip_locations:
            kept = list(self._chunks)
            self._preposition()
            self._chunks = kept
        elif adjectives and (verbs or self._peek() not in english.DETERMINERS):
            noun = self._chunks[-1]
            self._chunks[-1] = replace(noun, words=(*_without_color_word(words), *noun.words))
            if verbs:
                self._add("verb", tuple(verbs))
        else:
            self._at = start
            self._clause = "start" if self._peek() in english.DETERMINERS else "object"

    def _verbs(self) -> None:
        words = self._content(noun=False)
        if not words:  # a stray function word
            self._at += 1
            return
        self._add("verb", tuple(words))
        last = words[-1]
        if last in english.FINITE_OPENERS:
            self._clause = "start"
        elif last in english.BARE_OPENERS:
            self._clause = "bare"
        elif last in english.MIXED_OPENERS:
            self._clause = "mixed"
        else:
            self._clause = "small" if last in english.SMALL_OPENERS else "object"


def _without_color_word(words: list[str]) -> list[str]:
    """Put "block coloured red" in order, and drop the word "coloured" from "coloured block"."""
    for word in ("coloured", "colored", "painted"):
        if word in words:
            at = words.index(word)
            return words[at + 1 :] + words[:at] or words
    return words


def _with_substance(words: list[str], rest: list[str]) -> list[str]:
    """Join "cup" of "tea"; put "block" of "red colour" in order."""
    if rest[-1] in {"color", "colour"}:
        return [*rest[:-1], *words]
    return [*words, "of", *rest]
