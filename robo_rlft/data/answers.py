"""What people said in one or several runs of `robo-rlft label`, and where the attempts lie that they said it of.

Knows labels on disk, not how anything is learned from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robo_rlft.data.labels import Label, LabelError, Labels, attempts_digest, read_labels


@dataclass(frozen=True, kw_only=True)
class Answers:
    """All that says anything of attempts: skipped questions are left out."""

    mode: str  # of `robo_rlft.data.labels.ANSWERS`
    labels: tuple[Label, ...]  # run after run; an attempt's name begins with the digest of its folder
    files: dict[str, Path]  # of the attempts, by those names


def read_answers(folders: Sequence[Path]) -> Answers:
    """Read the labels in folders.

    Raises:
        LabelError: one cannot be read, they are of different modes, or the attempts are not those that were labelled.
    """
    labels: list[Label] = []
    files: dict[str, Path] = {}
    modes: dict[str, Path] = {}
    for folder in folders:
        found = read_labels(folder)
        modes.setdefault(found.mode, folder)
        attempts = episodes_folder(found, folder)
        if attempts_digest(attempts) != found.digest:
            raise LabelError(f"{attempts}: the attempts there are not those that were labelled; label these anew")
        for label in found.labels:
            if label.known:
                # Attempts of different folders may have the same name; those that were labelled twice are the same.
                names = tuple(f"{found.digest}/{name}" for name in label.question.episodes)
                labels.append(replace(label, question=replace(label.question, episodes=names)))
                files |= {name: attempts / Path(name).name for name in names}
    if len(modes) > 1:
        told = " and ".join(f"mode={mode} in {folder}" for mode, folder in modes.items())
        raise LabelError(f"expected labels of one mode, found {told}; learn from them one at a time")
    return Answers(mode=next(iter(modes)), labels=tuple(labels), files=files)


def episodes_folder(labels: Labels, told_in: Path) -> Path:
    """Return the folder of the attempts that labels are of: as they name it, or beside the labels' own.

    Raises:
        LabelError: it is in neither place.
    """
    named = Path(labels.episodes)
    places = [named, told_in.parent / named.name]
    for place in places:
        if place.is_dir():
            return place
    raise LabelError(
        f"{told_in}: expected the attempts that were labelled in {' or '.join(map(str, places))}, found no such folder"
    )
