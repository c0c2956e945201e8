"""`robo-rlft train algorithm=clip words=FILE`: new words for a trained encoder, from text alone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from robo_rlft.algorithms.clip_words import read_words, teach_words
from robo_rlft.commands.policies import build_encoder
from robo_rlft.commands.provenance import commit
from robo_rlft.commands.runs import Run
from robo_rlft.config import Composed
from robo_rlft.evaluation.files import write_json
from robo_rlft.policies.io import load_policy, save_policy

FORMAT, FORMAT_VERSION = "robo_rlft.words", 1


def teach(composed: Composed, opened: Run, console: Console) -> Path:
    """Teach the words of a file; return the run's folder.

    With `init=FILE` they are taught to that policy's encoder, and the policy is written again with it; else to the
    encoder that the config's group `encoder` describes.
    """
    values = composed.values
    pairs = read_words(Path(str(values["words"])))
    policy = None if values["init"] is None else load_policy(Path(str(values["init"])), trust=composed.trust)
    encoder: Any = build_encoder(composed) if policy is None else policy.encoder
    taught = teach_words(encoder, pairs)
    metadata = {"words": {word.word: word.known for word in taught}, "commit": commit()}
    encoder.save(opened.path / "encoder.safetensors", metadata=metadata)
    if policy is not None:
        save_policy(policy, opened.path / "policy.safetensors", metadata=metadata)
    words = [asdict(word) for word in taught]
    content = {"format": FORMAT, "format_version": FORMAT_VERSION, "words": words}
    write_json(opened.path / "results.json", content)
    for word in taught:
        console.print(
            f"{word.word} = {word.known}: cosine {word.cosine_before:.2f} before, {word.cosine_after:.2f} now",
            markup=False,
        )
    files = "encoder.safetensors" + ("" if policy is None else " and policy.safetensors")
    console.print(f"taught: {files} in {opened.path}", markup=False)
    return opened.path
