"""`robo-rlft distill`: take the attempts that a reward ranks highest over as demonstrations, and say whose they are.

`train algorithm=bc data=DEMONSTRATIONS,DISTILLED` learns from both. Every episode keeps the hash of the policy that
made it and of the reward that chose it, the score, and how far that policy was from another one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from rich.console import Console

from robo_rlft.commands.checks import RunArguments, check
from robo_rlft.commands.console import ProgressLine
from robo_rlft.commands.policies import file_sha256
from robo_rlft.commands.process import prepare
from robo_rlft.commands.report import runs_of
from robo_rlft.commands.rewards import build_reward, pays_at_the_end, reward_files
from robo_rlft.commands.runs import CONFIG_FILE, RUN_FILE, Run, folder_for, open_run, read_config, read_run
from robo_rlft.config import Composed, ConfigError, UserError
from robo_rlft.data.comparisons import Attempts
from robo_rlft.data.demonstrations import examples
from robo_rlft.data.episodes import EpisodeWriter, read_episode
from robo_rlft.data.labels import attempts_digest
from robo_rlft.data.provenance import provenance
from robo_rlft.policies.io import load_policy
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.rewards.similarity import SimilarityReward
from robo_rlft.rewards.total import parts, payment, pays_for_steps
from robo_rlft.rollout.episode import Chosen, Episode

_AT_ONCE = 16  # attempts that are judged at a time


@dataclass(frozen=True, kw_only=True)
class Arguments(RunArguments):
    """What `distill` takes beside its group; `from` is a word of Python's own."""

    keep: Annotated[float, Field(gt=0.0, le=1.0)]
    least: float | None
    per_scene: PositiveInt | None
    checkpoint: Path | None
    reference: Path | None


@dataclass(frozen=True, kw_only=True)
class Scored:
    """An attempt, and what it is worth."""

    path: Path
    scene: tuple[str, str, str, int]
    score: float


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The policy that made the attempts, and the one that it is compared to."""

    policy: TransporterPolicy
    reference: TransporterPolicy
    sha256: str  # of the first one's file
    reference_sha256: str

    @torch.no_grad()
    def kl(self, episode: Episode) -> tuple[float, ...]:
        """Return KL(policy || reference) at each decision, nats: exact sums over picks, and over places at the pick."""
        made = examples([episode])
        picks = made.action.pick[:, None]
        pick_kl, place_kl = self.policy.kl(made.observation, self.reference, picks)
        return tuple(float(nats) for nats in pick_kl + place_kl[:, 0])


def check_config(composed: Composed) -> None:
    """Refuse whatever cannot work, before anything is built."""
    values = {key: value for key, value in composed.values.items() if key != "from"}
    provided = {"workspace", "rotations"}
    check(Composed(**{**vars(composed), "values": values}), Arguments, ("reward",), provided=provided)


def run(composed: Composed, console: Console) -> Path:
    """Write the chosen episodes; return their folder."""
    check_config(composed)
    values = composed.values
    prepare(values)
    folders = runs_of(values["from"])
    if len(folders) != 1:
        raise UserError(f"from: expected one run, got {len(folders)}; distil them one after the other")
    paths = _attempts(folder := folders[0])
    sha256 = _digests(values, folder)
    config = {**values, "from": str(folder), "sha256": sha256}
    target = folder_for(values, f"distill-{folder.name}-{composed.choices['reward']}-seed{values['seed']}")
    with open_run(
        target, command="distill", config=config, overrides=composed.overrides, overwrite=values["overwrite"]
    ) as opened:
        if opened.finished:
            console.print(f"{target} is finished already; overwrite=true chooses anew", markup=False)
            return target
        kept = _distill(composed, opened, console, paths, sha256)
    console.print(f"{kept} of {len(paths)} attempts taken over as demonstrations, in {target}", markup=False)
    return target


def _attempts(folder: Path) -> list[Path]:
    if (folder / RUN_FILE).exists() and read_run(folder).get("status") != "finished":
        raise UserError(f"from: {folder} is not finished, and others would be chosen then; repeat its command first")
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise UserError(
            f"from: expected episodes (*.npz) in {folder}, found none; `robo-rlft collect checkpoint=FILE tries=4` "
            "makes them"
        )
    return paths


def _digests(values: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the hashes of all that the choice follows from."""
    found = {"from": attempts_digest(folder)}
    models = reward_files(values["reward"])
    if len(models) > 1:  # of a sum
        found["reward"] = hashlib.sha256("".join(map(file_sha256, models)).encode()).hexdigest()
    files = {"reward": models[0] if len(models) == 1 else None}
    files |= {key: values[key] for key in ("checkpoint", "reference")}
    for key, file in files.items():
        if file is not None:
            if not Path(file).is_file():
                raise UserError(f"{key}: expected a file at {file}, found none")
            found[key] = file_sha256(Path(file))
    return found


def _distill(
    composed: Composed, opened: Run, console: Console, paths: Sequence[Path], sha256: Mapping[str, str]
) -> int:
    """Judge all attempts and write the best; return how many."""
    values = composed.values
    pair = None if values["reference"] is None else _pair(values, paths[0].parent, composed.trust)
    told = None if values["checkpoint"] is None else file_sha256(Path(values["checkpoint"]))
    file = _policy_file(values, paths[0].parent)
    policy = pair.policy if pair else None if file is None else load_policy(file, trust=composed.trust)
    judged = list(_judge(composed, console, paths, policy))
    kept = chosen(judged, keep=values["keep"], least=values["least"], per_scene=values["per_scene"])
    if not kept:
        best = max(one.score for one in judged)
        raise UserError(f"least: no attempt's score is {values['least']} or more; the best one's is {best:.3f}")
    writer, written = EpisodeWriter(opened.path), []
    with ProgressLine(console, "distill") as line:
        for number, one in enumerate(kept, start=1):
            episode = _by_its_policy(one.path, told if pair is None else pair.sha256)
            why = Chosen(
                reward=str(composed.choices["reward"]),
                score=one.score,
                reward_sha256=sha256.get("reward"),
                kl=() if pair is None else pair.kl(episode),
                reference_sha256=None if pair is None else pair.reference_sha256,
            )
            written.append(replace(episode, chosen=why))
            writer.write(written[-1])
            line.update(number, len(kept), f"score {one.score:.2f}")
    opened.notes |= provenance(paths[0].parent, written)
    opened.notes |= {"of": len(judged), "successes": sum(episode.success for episode in written)}
    return len(kept)


def chosen(judged: Sequence[Scored], *, keep: float, least: float | None, per_scene: int | None) -> list[Scored]:
    """Return the best attempts, the best first; equal ones in the order of their names.

    Args:
        judged: all attempts.
        keep: share of them to return, at most; one at least.
        least: none whose score is below this.
        per_scene: at most so many of one scene.
    """
    of: Counter[tuple[str, str, str, int]] = Counter()
    found = []
    for one in sorted(judged, key=lambda one: (-one.score, one.path.name)):
        of[one.scene] += 1
        if (per_scene is None or of[one.scene] <= per_scene) and (least is None or one.score >= least):
            found.append(one)
    return found[: max(1, round(keep * len(judged)))]


@torch.no_grad()
def _judge(
    composed: Composed, console: Console, paths: Sequence[Path], policy: TransporterPolicy | None
) -> Iterator[Scored]:
    """Return what the reward says of every attempt; one that pays step by step says what was paid.

    What judges with an encoder and has none of its own sees with the policy's.

    Raises:
        UserError: the attempts are of different grids, nobody judged them, or there is no encoder to see with.
        RewardFileError: the reward cannot be used for these attempts.
    """
    workspace, rotations = (first := read_episode(paths[0])).workspace, first.rotations
    reward = build_reward(composed, workspace=workspace, rotations=rotations, policy=policy)
    whole = pays_at_the_end(reward)
    if whole and pays_for_steps(reward):
        raise UserError("reward: a sum of what judges steps and of what judges attempts ranks none; leave one kind out")
    if policy is None and any(isinstance(part, SimilarityReward) and part.encoder is None for part in parts(reward)):
        raise UserError("checkpoint: expected the policy that made the attempts, with whose encoder they are seen")
    with ProgressLine(console, "judge") as line:
        for begin in range(0, len(paths), _AT_ONCE):
            some = paths[begin : begin + _AT_ONCE]
            episodes = [read_episode(path) for path in some]
            if any(episode.workspace != workspace for episode in episodes):
                raise UserError(f"from: expected attempts on one grid in {paths[0].parent}, found several")
            if not whole and any(episode.told_by == "nobody" for episode in episodes):
                raise UserError(
                    "from: nobody said whether these attempts succeeded; expected a reward that was learned, such as "
                    "reward=preference reward.model=FILE"
                )
            scores = [episode.return_ for episode in episodes]
            if whole:
                seen = Attempts.of(episodes)
                terms = reward.outcomes(first=seen.first, last=seen.last, scripts=seen.scripts)
                scores = torch.as_tensor(payment(reward, terms)).tolist()
            for path, episode, score in zip(some, episodes, scores, strict=True):
                scene = (episode.task, episode.split, episode.phase, episode.seed)
                yield Scored(path=path, scene=scene, score=score)
            line.update(begin + len(some), len(paths), "attempts")


def _by_its_policy(path: Path, told: str | None) -> Episode:
    """Return an attempt with the hash of the policy that made it.

    Args:
        path: of the attempt.
        told: the hash of the file that the user names as its policy.
    """
    episode = read_episode(path)
    made = episode.policy_sha256
    if made is None and told is None:
        raise UserError(f"from: {path} does not say which policy made it; checkpoint=FILE says so")
    if None not in (made, told) and made != told:
        raise UserError(
            f"checkpoint: expected the policy that made {path} ({str(made)[:8]}), got another ({str(told)[:8]}); "
            "checkpoint=FILE names it"
        )
    return replace(episode, policy_sha256=made or told)


def _policy_file(values: Mapping[str, Any], folder: Path) -> Path | None:
    """Return the file of the policy that made the attempts, as the command or their run names it; None: not there."""
    file = values["checkpoint"]
    if file is None and (folder / CONFIG_FILE).exists():
        file = read_config(folder).get("checkpoint")
    return Path(file) if file is not None and Path(file).is_file() else None


def _pair(values: Mapping[str, Any], folder: Path, trust: Sequence[str]) -> Pair:
    """Return the policy that made the attempts, as the command or their run names it, and the reference."""
    file = _policy_file(values, folder)
    if file is None:
        raise ConfigError(
            f"checkpoint: a KL needs the policy that made the attempts, and {folder} names none that is there; "
            "expected checkpoint=FILE"
        )
    policy, reference = load_policy(file, trust=trust), load_policy(Path(values["reference"]), trust=trust)
    for name in ("workspace", "rotations"):
        if getattr(policy, name) != getattr(reference, name):
            raise ConfigError(
                f"reference: expected a policy with {name} {getattr(policy, name)}, as {file} has, got "
                f"{getattr(reference, name)}; choose the policy that the other one began as"
            )
    return Pair(
        policy=policy.eval(),
        reference=reference.eval(),
        sha256=file_sha256(file),
        reference_sha256=file_sha256(Path(values["reference"])),
    )
