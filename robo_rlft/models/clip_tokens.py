"""Words as rows of numbers: the table of learned tokens and the door for texts.

Knows nothing of images. Tokens are those of open_clip's tokenizer; a small model learns rows for a few of its 49,408
tokens only, and every other token shares one learned row that stands for "a word that I do not know".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

from robo_rlft.language.instruction import InstructionError, check_instruction

UNKNOWN = -1  # the token id under which the unknown row is listed


class TokenTable(nn.Module):
    """An embedding of few tokens that keeps the tokenizer's own ids; unlisted ids read the unknown row.

    `token` lists the id of each row in ascending order, the unknown row first. Loading a state replaces both, so tables
    of any length load into each other.
    """

    def __init__(self, *, tokens: Iterable[int], width: int, std: float = 0.02) -> None:
        super().__init__()
        ids = sorted({int(t) for t in tokens} | {UNKNOWN})
        self.token: Tensor
        self.register_buffer("token", torch.tensor(ids, dtype=torch.int64))
        self.weight = nn.Parameter(torch.randn(len(ids), width) * std)

    def rows(self, ids: Tensor) -> Tensor:
        """Return the row of each token id; any shape."""
        row = torch.searchsorted(self.token, ids.contiguous()).clamp(max=len(self.token) - 1)
        return torch.where(self.token[row] == ids, row, torch.zeros_like(row))

    def forward(self, ids: Tensor) -> Tensor:
        """Return the embeddings (..., width) of token ids (...)."""
        return nn.functional.embedding(self.rows(ids), self.weight)

    def knows(self, token: int) -> bool:
        """Tell whether a token has a row of its own."""
        return bool((self.token == token).any())

    def add(self, tokens: Iterable[int]) -> None:
        """Give tokens that have none a row of their own, a copy of the unknown one."""
        new = sorted({int(t) for t in tokens} - {int(t) for t in self.token})
        if not new:
            return
        ids = torch.cat([self.token, self.token.new_tensor(new)])
        order = torch.argsort(ids)
        weight = torch.cat([self.weight.detach(), self.weight.detach()[:1].expand(len(new), -1)])[order]
        self._replace(ids[order], weight)

    def _replace(self, token: Tensor, weight: Tensor) -> None:
        self.token = token.clone()
        self.weight = nn.Parameter(weight.clone(), requires_grad=self.weight.requires_grad)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        token, weight = state_dict.get(f"{prefix}token"), state_dict.get(f"{prefix}weight")
        if token is not None and weight is not None and token.shape != self.token.shape:
            device, dtype = self.weight.device, self.weight.dtype
            self._replace(token.to(device), weight.to(device=device, dtype=dtype))
        super()._load_from_state_dict(state_dict, prefix, *args)


@lru_cache(maxsize=1)
def tokenizer() -> SimpleTokenizer:
    """Return open_clip's tokenizer, built once."""
    return SimpleTokenizer()


def split_words(text: str) -> tuple[str, ...]:
    """Return a text's words in lower case, as the tokenizer separates them."""
    coder = tokenizer()
    return tuple(coder.pat.findall(coder.clean_fn(text)))


def word_tokens(word: str) -> tuple[int, ...]:
    """Return the token ids of a word or text, without start and end marks."""
    return tuple(tokenizer().encode(word))


def special_tokens() -> tuple[int, int]:
    """Return the ids of the start and end marks."""
    coder = tokenizer()
    return int(coder.sot_token_id), int(coder.eot_token_id)


def tokenize(texts: Sequence[str], context_length: int) -> Tensor:
    """Return token ids (N, context_length), marks included, zero padded.

    Raises:
        InstructionError: A text cannot be an instruction, or has more tokens than the encoder reads; the tokenizer
            alone would cut it silently.
    """
    start, end = special_tokens()
    result = torch.zeros(len(texts), context_length, dtype=torch.int64)
    for row, text in zip(result, texts, strict=True):
        ids = [start, *word_tokens(check_instruction(text)), end]
        if len(ids) > context_length:
            raise InstructionError(
                f"expected a phrase of at most {context_length - 2} tokens; got {len(ids) - 2}: {text[:60]!r}. "
                "Name the object in fewer words, such as 'red block'."
            )
        row[: len(ids)] = torch.tensor(ids)
    return result
