"""Which questions `robo-rlft label` asks first, and which not again: by a learned reward, and by earlier labels.

Knows files of rewards and of labels, not pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from robo_rlft.commands.console import ProgressLine
from robo_rlft.commands.policies import file_sha256
from robo_rlft.commands.process import prepare
from robo_rlft.commands.report import runs_of
from robo_rlft.config import ConfigError, UserError
from robo_rlft.data.comparisons import Attempts
from robo_rlft.data.episodes import read_episode
from robo_rlft.data.labels import FILE, read_labels
from robo_rlft.data.questions import Order, disputed_first
from robo_rlft.rewards.learned import LearnedReward, RewardFileError, load_reward

RANDOM: Final = "random"
DISAGREEMENT: Final = "disagreement"
# Mode of labels -> the kind of reward that is learned from them.
KINDS: Final[Mapping[str, str]] = {"compare": "preference", "success": "success"}
_AT_ONCE = 16  # attempts that are judged at a time


def check_order(values: Mapping[str, Any]) -> None:
    """Refuse an order without the reward that it is by, and the other way round."""
    told = values["reward_model"] is not None
    if values["order"] == DISAGREEMENT and not told:
        raise ConfigError(
            "reward_model: order=disagreement needs the reward whose members may disagree; expected reward_model=FILE "
            "of `robo-rlft train algorithm=reward_model`"
        )
    if values["order"] != DISAGREEMENT and told:
        raise ConfigError(
            f"reward_model: is for order=disagreement, got order={values['order']}; leave one of them out"
        )


def digests(values: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the hashes of all files that the questions follow from, under a key of their own; nothing without any.

    Raises:
        UserError: one of them is not there.
    """
    files = {"reward_model": [Path(values["reward_model"])]} if values["reward_model"] is not None else {}
    if values["earlier"] is not None:
        files["earlier"] = [folder / FILE for folder in runs_of(values["earlier"], "earlier")]
    for key, paths in files.items():
        for path in paths:
            if not path.is_file():
                raise UserError(f"{key}: expected a file at {path}, found none")
    found = {key: " ".join(file_sha256(path) for path in paths) for key, paths in files.items()}
    return {"sha256": found} if found else {}


def asked_before(values: Mapping[str, Any], digest: str) -> set[frozenset[str]]:
    """Return the attempts that earlier labels are of, those of a question together.

    Args:
        values: the command's.
        digest: of the attempts that are asked about now.

    Raises:
        UserError: earlier labels are of another mode or of other attempts.
    """
    found: set[frozenset[str]] = set()
    for folder in runs_of(values["earlier"], "earlier") if values["earlier"] is not None else []:
        labels = read_labels(folder)
        if (labels.mode, labels.digest) != (values["mode"], digest):
            other = f"mode={labels.mode}" if labels.mode != values["mode"] else f"the attempts in {labels.episodes}"
            raise UserError(
                f"earlier: expected labels with mode={values['mode']} of the attempts in {values['from']}, found some "
                f"of {other} in {folder}; leave it out"
            )
        found |= {frozenset(label.question.episodes) for label in labels.labels}
    return found


def order_by(
    values: Mapping[str, Any], folder: Path, names: Sequence[str], console: Console, *, trust: Sequence[str] = ()
) -> Order | None:
    """Return the order of the questions about attempts in a folder; None for one at random.

    Raises:
        RewardFileError: the reward cannot be used, or not for these attempts.
    """
    if values["order"] != DISAGREEMENT:
        return None
    prepare(values)
    path = Path(values["reward_model"])
    reward = load_reward(path, trust=trust)
    _check_reward(reward, path, mode=values["mode"])
    scores: dict[str, npt.NDArray[np.float64]] = {}
    with ProgressLine(console, "judge") as line:
        for begin in range(0, len(names), _AT_ONCE):
            some = names[begin : begin + _AT_ONCE]
            scores |= dict(zip(some, _judge(reward, path, folder, some), strict=True))
            line.update(len(scores), len(names), "attempts")
    return disputed_first(scores)


def _check_reward(reward: LearnedReward, path: Path, *, mode: str) -> None:
    members = len(reward.judges.members)
    if reward.kind != KINDS[mode]:
        raise RewardFileError(
            f"reward_model: expected a reward of kind {KINDS[mode]} for mode={mode}, got one of kind {reward.kind} in "
            f"{path}; choose another file, or the other mode"
        )
    if members < 2:
        raise RewardFileError(
            f"reward_model: expected an ensemble, whose members may disagree, got {members} member in {path}; learn "
            "one with algorithm.reward.judges.members=5"
        )


@torch.no_grad()
def _judge(reward: LearnedReward, path: Path, folder: Path, names: Sequence[str]) -> Sequence[npt.NDArray[np.float64]]:
    """Return what each member says of attempts, (A, M): scores, or the probability that all was done."""
    episodes = [read_episode(folder / name) for name in names]
    for name, episode in zip(names, episodes, strict=True):
        if episode.workspace != reward.workspace:
            raise RewardFileError(
                f"reward_model: expected one that learned from pictures of {episode.workspace}, as {folder / name} has "
                f"them, got one of {reward.workspace} in {path}; learn one from attempts of this policy"
            )
    seen = Attempts.of(episodes)
    said = reward.score(reward.see(seen.first), reward.see(seen.last), seen.scripts)
    said = said.sigmoid() if reward.kind == "success" else said
    return list(said.T.double().numpy())
