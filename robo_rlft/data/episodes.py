"""Episodes on disk: one compressed `.npz` file each, with a JSON record of what it holds.

Knows nothing of simulators or learning. Nothing in a file is ever executed: pickles are refused. Colours are stored as
they are, heights as whole tenths of a millimetre above `HEIGHT_MIN`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from robo_rlft.data.archive import HEIGHT_MAX, HEIGHT_MIN, HEIGHT_STEP, EpisodeError, Kind, metres, stored_height
from robo_rlft.geometry import Workspace
from robo_rlft.rollout.episode import FAILURES, JUDGES, Chosen, Episode

FORMAT = "robo_rlft.episode"
FORMAT_VERSION = 2
_ARRAYS = {
    "color": "uint8",
    "height": "uint16",
    "pick": "int64",
    "place": "int64",
    "rotation": "int64",
    "symmetry": "int64",
    "rewards": "float32",
}
_KIND = Kind(
    name="an episode",
    format=FORMAT,
    version=FORMAT_VERSION,
    types=_ARRAYS,
    again="delete it and collect it again with the same seed",
)
_WORDS = ("task", "split", "phase")
_LISTS = ("instructions", "pick_names", "place_names")  # of words, one for each action
# Of a policy's attempts alone; files without them are older, or a demonstrator's.
_OF_ATTEMPTS = {"attempt": None, "policy_sha256": None, "told_by": "task", "script": (), "chosen": None}


class EpisodeWriter:
    """Writes episodes into a folder, each complete or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, *, task: str, split: str, phase: str, seed: int, attempt: int | None = None) -> Path:
        """Return where the episode of this scene belongs; the same scene, and attempt, always has the same name."""
        number = "" if attempt is None else f"-{attempt:03d}"
        name = f"{task}-{split}-{phase}-{seed:010d}{number}.npz"
        if not re.fullmatch(r"[A-Za-z0-9_-]+\.npz", name):
            raise EpisodeError(f"task, split and phase must be plain words, got {task!r}, {split!r}, {phase!r}")
        return self.folder / name

    def write(self, episode: Episode) -> Path:
        """Check and write one episode; return its path. An earlier one of the same scene is replaced."""
        place = {name: getattr(episode, name) for name in (*_WORDS, "seed", "attempt")}
        path = self.path(**place)
        _check(episode, where=f"the episode for {path}")
        arrays = {name: getattr(episode, name) for name in _ARRAYS} | {"height": stored_height(episode.height)}
        meta = {name: getattr(episode, name) for name in (*_WORDS, *_LISTS, "seed", "success", "failure", "rotations")}
        meta |= {name: v for name, neutral in _OF_ATTEMPTS.items() if (v := getattr(episode, name)) != neutral}
        meta |= {} if episode.chosen is None else {"chosen": asdict(episode.chosen)}
        _KIND.write(path, arrays, meta | {"workspace": asdict(episode.workspace)})
        return path


def read_episode(path: Path) -> Episode:
    """Read and check one episode.

    Raises:
        EpisodeError: the file is missing, cut off, changed, foreign, from a newer version or holds impossible values.
    """
    contents = _KIND.read(path)
    meta = contents.meta
    try:
        values: dict[str, Any] = {**contents.arrays, "height": metres(contents.arrays["height"])}
        values |= {name: meta[name] for name in (*_WORDS, "seed", "success", "failure", "rotations")}
        values |= {name: tuple(meta[name]) for name in _LISTS}
        values |= {name: meta.get(name, neutral) for name, neutral in _OF_ATTEMPTS.items()}
        values["script"] = tuple(values["script"])
        values["chosen"] = None if values["chosen"] is None else _chosen(values["chosen"])
        episode = Episode(**values, workspace=Workspace(**meta["workspace"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _KIND.broken(path, f"its record lacks or misstates a field ({error})") from error
    _check(episode, where=str(path))
    return episode


def _chosen(told: Mapping[str, Any]) -> Chosen:
    return Chosen(**{**told, "kl": tuple(told.get("kl", ()))})


def read_episodes(folder: Path) -> list[Episode]:
    """Read every episode of a folder, in the order of their names.

    Raises:
        EpisodeError: there is no such folder, it holds no episode, or one of them cannot be read.
    """
    return list(iterate_episodes(folder))


def iterate_episodes(folder: Path) -> Iterator[Episode]:
    """Read the episodes of a folder one at a time, in the order of their names; errors as in `read_episodes`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise EpisodeError(f"expected a folder of episodes at {folder}, got none; `robo-rlft collect` makes one")
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise EpisodeError(f"expected episodes (*.npz) in {folder}, got none; `robo-rlft collect` makes them")
    for path in paths:
        yield read_episode(path)


def _check(episode: Episode, *, where: str) -> None:
    """Raise `EpisodeError` unless all shapes, types and ranges are right."""
    for fault in _faults(episode):
        raise EpisodeError(f"{where}: {fault}; collect it again, or mend what recorded it")


def _faults(episode: Episode) -> Iterator[str]:
    for name in _WORDS:
        if not isinstance(getattr(episode, name), str) or not getattr(episode, name):
            yield f"expected {name} to be a sentence or word, got {getattr(episode, name)!r}"
    for name in _LISTS:
        words = getattr(episode, name)
        if len(words) != episode.steps or not all(isinstance(word, str) and word for word in words):
            yield f"expected {name} to be a sentence or words for each of {episode.steps} actions, got {words!r}"
    if not all(isinstance(sentence, str) and sentence for sentence in episode.script):
        yield f"expected a script of sentences, got {episode.script!r}"
    if episode.attempt is not None and (type(episode.attempt) is not int or episode.attempt < 0):
        yield f"expected the number of an attempt, got {episode.attempt!r}"
    if not isinstance(episode.policy_sha256, str | None):
        yield f"expected a policy's hash, got {episode.policy_sha256!r}"
    if episode.told_by not in JUDGES:
        yield f"expected who told of success as one of {', '.join(JUDGES)}, got {episode.told_by!r}"
    if type(episode.seed) is not int or type(episode.rotations) is not int or episode.rotations < 1:
        yield f"expected a whole seed and at least 1 rotation, got {episode.seed!r} and {episode.rotations!r}"
    known = type(episode.success) is bool and episode.failure in (None, *FAILURES)
    if not known or episode.success == bool(episode.failure):
        yield (
            f"expected success without a failure, or one of {', '.join(FAILURES)}, "
            f"got success {episode.success!r} and failure {episode.failure!r}"
        )
    yield from _shape_faults(episode)
    if episode.chosen is not None:
        yield from _choice_faults(episode.chosen, steps=episode.steps)
    if not np.isfinite(episode.height).all():
        yield f"expected finite heights, got {int((~np.isfinite(episode.height)).sum())} that are not"
    low, high = float(episode.height.min()), float(episode.height.max())
    # Half a step: the ends of the range must survive rounding.
    if low < HEIGHT_MIN - HEIGHT_STEP / 2 or high > HEIGHT_MAX + HEIGHT_STEP / 2:
        hint = " (are these millimetres?)" if high > 2.0 else ""
        yield f"expected heights in [{HEIGHT_MIN}, {HEIGHT_MAX}] metres, got {low:g} to {high:g}{hint}"
    if not np.isfinite(episode.rewards).all():
        yield "expected finite rewards"
    for name in ("pick", "place"):
        if not episode.workspace.contains(getattr(episode, name)).all():
            yield f"expected {name} pixels on the grid {episode.workspace.shape}, got {getattr(episode, name).tolist()}"
    if ((episode.rotation < 0) | (episode.rotation >= episode.rotations)).any():
        yield f"expected rotation bins in [0, {episode.rotations}), got {episode.rotation.tolist()}"
    if (episode.symmetry < 1).any():
        yield f"expected a symmetry of at least 1, got {episode.symmetry.tolist()}"


def _choice_faults(chosen: Chosen, *, steps: int) -> Iterator[str]:
    numbers = (chosen.score, *chosen.kl)
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        yield f"expected finite numbers of why it was chosen, got score {chosen.score!r} and kl {chosen.kl!r}"
    if chosen.kl and len(chosen.kl) != steps:
        yield f"expected a kl for each of {steps} actions, got {len(chosen.kl)}"
    words = (chosen.reward, chosen.reward_sha256 or "", chosen.reference_sha256 or "")
    if not chosen.reward or not all(isinstance(word, str) for word in words):
        yield f"expected the name of a reward and hashes of files, got {words!r}"


def _shape_faults(episode: Episode) -> Iterator[str]:
    steps, grid = len(episode.rotation), episode.workspace.shape
    if steps < 1:
        yield "expected at least one action, got none"
    shapes: dict[str, tuple[int, ...]] = {"color": (steps + 1, *grid, 3), "height": (steps + 1, *grid)}
    shapes |= {"pick": (steps, 2), "place": (steps, 2)} | dict.fromkeys(("rotation", "symmetry", "rewards"), (steps,))
    for name, shape in shapes.items():
        if getattr(episode, name).shape != shape:
            yield f"expected {name} of shape {shape}, got {getattr(episode, name).shape}"
    for name in ("pick", "place", "rotation", "symmetry"):
        if getattr(episode, name).dtype.kind not in "iu":
            yield f"expected {name} to be whole numbers, got {getattr(episode, name).dtype}"
    if episode.color.dtype != np.uint8:
        yield f"expected colours as uint8, got {episode.color.dtype}"
