"""Teaching a trained encoder new words from text alone.

The rows of the new words' tokens are fitted so that a phrase with the new word has the features of the same phrase with
the known one. Nothing else changes. Knows no images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.func import functional_call

from robo_rlft.language.instruction import InstructionError, check_instruction
from robo_rlft.language.vocabulary import COLORS, SHAPES, SYNONYMS
from robo_rlft.models.clip import ClipEncoder
from robo_rlft.models.clip_tokens import TokenTable, tokenize, word_tokens
from robo_rlft.models.clip_towers import text_features

_ROWS: Final = "token_embedding.weight"


class WordsError(ValueError):
    """A list of new words that cannot be used; the message says which line, what was expected and what came."""


@dataclass(frozen=True, kw_only=True)
class WordPair:
    """A new word and a phrase that means the same."""

    word: str
    known: str
    where: str = ""  # for messages: "line 3 of words.txt"


@dataclass(frozen=True, kw_only=True)
class TaughtWord:
    """How well a word was learned."""

    word: str
    known: str
    cosine_before: float  # of the two phrases' features
    cosine_after: float


def read_words(path: Path) -> tuple[WordPair, ...]:
    """Return the pairs of a file with lines `new word = known phrase`; blank lines and comments (#) are skipped.

    Raises:
        WordsError: There is no such file, no pair in it, or a line that is not a pair.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WordsError(f"expected a text file with lines 'new word = known phrase' at {path}: {error}") from error
    pairs = []
    for number, line in enumerate(lines, start=1):
        text, where = line.strip(), f"line {number} of {path.name}"
        if not text or text.startswith("#"):
            continue
        word, equals, known = (part.strip().lower() for part in text.partition("="))
        if not equals or not word or not known or "=" in known:
            raise WordsError(f"{where}: expected 'new word = known phrase', such as 'vermilion = red'; got {text!r}")
        pairs.append(WordPair(word=word, known=known, where=where))
    if not pairs:
        raise WordsError(f"expected lines 'new word = known phrase' in {path}; found none")
    return tuple(pairs)


def teach_words(
    encoder: ClipEncoder, pairs: Sequence[WordPair], *, steps: int = 200, lr: float = 0.02
) -> tuple[TaughtWord, ...]:
    """Fit the token rows of new words to the text features of known phrases; seconds on one core.

    Phrases that hold none of the new words' unlearned tokens keep their features bit for bit.

    Args:
        encoder: is changed in place, and frozen.
        pairs: new words and what they mean.
        steps: of Adam.
        lr: Adam's, falling linearly to zero.

    Raises:
        WordsError: A known phrase is not known, a new word is known already or twice there, or a phrase cannot be read.
    """
    encoder.freeze()
    news = _check(encoder, pairs)
    table = encoder.model.token_embedding
    before = [_cosine(encoder, pair) for pair in pairs]
    if isinstance(table, TokenTable):
        table.add(news)
        rows = table.rows(torch.tensor(news, device=table.weight.device))
    else:
        rows = torch.tensor(news, device=table.weight.device)
    weight = table.weight.detach()
    encoder.forget()
    values = _fit(encoder, weight, rows, _start(encoder, pairs, news), pairs, steps=steps, lr=lr)
    with torch.no_grad():
        table.weight[rows] = values
    encoder.forget()
    taught = encoder.metadata.setdefault("taught", {})
    taught.update({pair.word: pair.known for pair in pairs})
    return tuple(
        TaughtWord(word=pair.word, known=pair.known, cosine_before=cosine, cosine_after=_cosine(encoder, pair))
        for pair, cosine in zip(pairs, before, strict=True)
    )


def _check(encoder: ClipEncoder, pairs: Sequence[WordPair]) -> list[int]:
    """Return the tokens to fit, ascending."""
    if not pairs:
        raise WordsError("expected at least one pair of a new word and a known phrase; got none")
    table = encoder.model.token_embedding
    of_known = {token for pair in pairs for token in word_tokens(pair.known)}
    news: set[int] = set()
    seen: set[str] = set()
    for pair in pairs:
        where = f"{pair.where}: " if pair.where else ""
        try:
            check_instruction(pair.word), check_instruction(pair.known)
        except InstructionError as error:
            raise WordsError(f"{where}{error}") from error
        unknown = encoder.unknown_words(pair.known)
        if unknown:
            raise WordsError(
                f"{where}expected a known phrase after '='; in {pair.known!r} the encoder does not know "
                f"{', '.join(unknown)}. Words that it knows are colours and shapes such as 'red' or 'blue bowl'."
            )
        tokens = set(word_tokens(pair.word))
        fresh = {t for t in tokens if not table.knows(t)} if isinstance(table, TokenTable) else tokens - of_known
        if not fresh or pair.word in seen:
            reason = "is there twice" if pair.word in seen else "is known already, or made of known pieces only"
            raise WordsError(f"{where}expected a new word before '='; {pair.word!r} {reason}. Leave the line out.")
        seen.add(pair.word)
        news |= fresh
    return sorted(news)


def _start(encoder: ClipEncoder, pairs: Sequence[WordPair], news: Sequence[int]) -> Tensor:
    """Return first values of the new rows: the mean row of the known phrases that each stands for."""
    table = encoder.model.token_embedding
    result = []
    for token in news:
        known = [t for pair in pairs if token in word_tokens(pair.word) for t in word_tokens(pair.known)]
        ids = torch.tensor(known, device=table.weight.device)
        result.append(table(ids).detach().mean(dim=0))
    return torch.stack(result)


def _fit(
    encoder: ClipEncoder,
    weight: Tensor,
    rows: Tensor,
    start: Tensor,
    pairs: Sequence[WordPair],
    *,
    steps: int,
    lr: float,
) -> Tensor:
    contexts = [context for pair in pairs for context in _contexts(pair)]
    ids = tokenize([new for new, _ in contexts], encoder.model.context_length).to(weight.device)
    goal = encoder.text([known for _, known in contexts])
    values = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([values], lr=lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    for _ in range(steps):
        changed = {_ROWS: weight.index_copy(0, rows, values)}
        features = functional_call(_TextTower(encoder), {f"model.{k}": v for k, v in changed.items()}, (ids,))
        loss = (1.0 - (features * goal).sum(dim=1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return values.detach()


class _TextTower(torch.nn.Module):
    """The text side alone, so that a call with other rows can be made."""

    def __init__(self, encoder: ClipEncoder) -> None:
        super().__init__()
        self.model = encoder.model

    def forward(self, ids: Tensor) -> Tensor:
        return text_features(self.model, ids)


def _contexts(pair: WordPair) -> list[tuple[str, str]]:
    """Return phrases with the new word, and the same with the known one."""
    word, known = pair.word, pair.known
    patterns = ["{}", "the {}", "a {}"]
    if known in _with_synonyms(tuple(COLORS)):
        patterns += [f"{{}} {shape}" for shape in _with_synonyms(SHAPES)] + ["{} object"]
    elif known in _with_synonyms(SHAPES):
        patterns += [f"{color} {{}}" for color in _with_synonyms(tuple(COLORS))]
    return [(pattern.format(word), pattern.format(known)) for pattern in patterns]


def _with_synonyms(words: tuple[str, ...]) -> tuple[str, ...]:
    return words + tuple(other for word in words for other in SYNONYMS.get(word, ()))


def _cosine(encoder: ClipEncoder, pair: WordPair) -> float:
    word, known = encoder.text([pair.word, pair.known])
    return float(word @ known)
