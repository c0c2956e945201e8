"""Attempts of the policy in training, each kept for good, as examples for cloning: the better, the more often seen.

For tables that nobody can put back: one episode after the other, written down as soon as it is over, and learned from
in every later iteration. Knows policies, episodes and rewards of whole attempts, not who laid the table. Filtered
behaviour cloning keeps what succeeded; advantage weighting is Peng et al. 2019, "Advantage-weighted regression":
an attempt with reward r counts exp((r - mean) / temperature).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from lightning import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from robo_rlft.algorithms.rollouts import scene_seed
from robo_rlft.data.archive import EpisodeError
from robo_rlft.data.augmentation import Example
from robo_rlft.data.batches import Batching, check_source
from robo_rlft.data.comparisons import Attempts
from robo_rlft.data.context import TrainContext
from robo_rlft.data.demonstrations import examples, source_of
from robo_rlft.data.episodes import EpisodeWriter, read_episode, read_episodes
from robo_rlft.records import Transition, concatenate
from robo_rlft.rewards.total import payment, pays_for_steps
from robo_rlft.rollout.attempts import Actor, Sharpened, record_attempts
from robo_rlft.rollout.episode import Episode
from robo_rlft.rollout.pool import EnvPool

Weighting = Literal["filtered", "advantage"]
FOLDER = "episodes"  # of a run, for what it tried
_NUMBERS, _ACTIONS, _ROWS = 21, 22, 23  # what a random stream is for
_RESAMPLED = 4  # draws for each example that there is
_JUDGED_AT_ONCE = 32


class AttemptData(LightningDataModule):
    """Every decision of every attempt as one example, drawn in proportion to what its attempt was worth.

    An attempt is worth what the run's reward says of it as a whole, or what it was paid step by step where the reward
    judges none as a whole. Each iteration is an epoch: so many new attempts of the present policy, then gradient steps
    on all there are. Once the budget is spent only the steps are left.

    Args:
        context: the run; `context.data_dirs` are the folders of demonstrations to mix in, if any.
        episodes: attempts in all, logged ones included.
        episodes_per_iteration: new ones before each epoch.
        among: try the likeliest of so many samples; 1 samples as the policy is, see `rollout.attempts.Sharpened`.
        logged: a folder of attempts to begin with; they count, and are judged anew.
        weighting: "filtered": attempts worth at least `threshold` count 1 and others 0; "advantage": each counts
            exp((worth - mean) / temperature), `max_weight` at most.
        threshold: of "filtered".
        temperature: of "advantage".
        max_weight: likewise.
        demonstrations: share of each batch's examples that are demonstrations, where there are any: the term of
            behaviour cloning that keeps the policy near them.
        batch_size: examples of a step.
        steps_per_epoch: gradient steps of an iteration.
        augment: move examples at random in the plane of the table.
        allow_leak: accept attempts and demonstrations that are not seen/train.
    """

    acts_live = True  # needs no scene twice
    several_folders = True

    def __init__(
        self,
        *,
        context: TrainContext,
        episodes: int = 500,
        episodes_per_iteration: int = 50,
        among: int = 4,
        logged: Path | None = None,
        weighting: Weighting = "filtered",
        threshold: float = 0.5,
        temperature: float = 0.3,
        max_weight: float = 20.0,
        demonstrations: float = 0.25,
        batch_size: int = 8,
        steps_per_epoch: int = 80,
        augment: bool = True,
        allow_leak: bool = False,
    ) -> None:
        super().__init__()
        if min(episodes, episodes_per_iteration, among) < 1 or temperature <= 0.0 or max_weight < 1.0:
            raise ValueError(
                "expected episodes, episodes_per_iteration and among of at least 1, a temperature above 0 and a "
                f"max_weight of at least 1, got {episodes}, {episodes_per_iteration}, {among}, {temperature} and "
                f"{max_weight}"
            )
        if context.reward is not None and pays_for_steps(context.reward):
            raise ValueError(
                "reward: logged attempts were paid for steps by whoever watched them then, so a sum with such a term "
                "says nothing of them; expected terms that judge whole attempts (preference, success, similarity)"
            )
        if not 0.0 <= demonstrations < 1.0:
            raise ValueError(f"demonstrations is a share from 0 to below 1; got {demonstrations}")
        self.context = context
        self.episodes, self.episodes_per_iteration, self.logged = episodes, episodes_per_iteration, logged
        self.among = among
        self.weighting, self.threshold = weighting, threshold
        self.temperature, self.max_weight = temperature, max_weight
        self.demonstrations, self.allow_leak = demonstrations, allow_leak
        self.batching = Batching(
            seed=context.seed,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            val_views=1,
            augment=augment,
        )
        self.leak: str | None = None  # what else than seen/train there is
        self.told: dict[str, float] = {}  # what the newest attempts came to, for the log
        self._pool: EnvPool | None = None
        self._read = False
        self._demonstrated: Example | None = None
        self._attempts: list[Episode] = []
        self._worth: list[float] = []  # of each attempt
        self._terms: list[dict[str, float]] = []  # likewise, by the reward's named terms
        self._begun = 0  # logged attempts

    def setup(self, stage: str) -> None:
        """Read demonstrations and logged attempts, once; start the environment."""
        if self._read:
            self._start()
            return
        if self.context.make_env is None:
            raise ValueError("expected a robot or a simulator to act with, got none")
        logged = [] if self.logged is None else read_episodes(Path(self.logged))
        if len(logged) > self.episodes:
            raise EpisodeError(
                f"{self.logged}: expected at most episodes={self.episodes} logged attempts, got {len(logged)}"
            )
        if self.context.reward is None and any(episode.told_by == "nobody" for episode in logged):
            raise EpisodeError(
                f"{self.logged}: nobody said whether these attempts succeeded, so they are worth nothing by "
                "themselves; expected a reward that was learned (reward=success reward.model=FILE), or attempts that "
                "somebody judged"
            )
        folders = self.context.data_dirs
        read = [read_episodes(folder) for folder in folders]
        sources = [source_of(e, Path(str(self.logged))) for e in logged]
        sources += [source_of(e, folder) for folder, some in zip(folders, read, strict=True) for e in some]
        shown = [episode for some in read for episode in some]
        if sources:
            self.leak = check_source(sources, self.context, allow_leak=self.allow_leak)
        self._demonstrated = examples(shown) if shown else None
        self._add(logged)
        self._begun = len(logged)
        self._read = True
        self._start()

    def _start(self) -> None:
        if self._pool is None:
            assert self.context.make_env is not None
            self._pool = EnvPool(make_env=self.context.make_env, workers=0)

    def teardown(self, stage: str) -> None:
        """Release the robot, or stop the simulator."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def train_dataloader(self) -> DataLoader[Transition]:
        """Try what is due, and return batches (B,) for the steps of one epoch that are still to come."""
        step = 0 if self.trainer is None else self.trainer.global_step
        iteration = step // self.batching.steps_per_epoch
        due = min(self.episodes, self._begun + (iteration + 1) * self.episodes_per_iteration)
        for number in range(len(self._attempts) - self._begun, due - self._begun):
            self._add([self._attempt(number)])
        # Not what was added just now: a run that is taken up again reads its earlier attempts too.
        self.told = self._figures(since=self._begun + iteration * self.episodes_per_iteration)
        pool = _Drawn(*self._draw(np.random.default_rng((self.context.seed, iteration, _ROWS))))
        return self.batching.train(pool, lambda: 0 if self.trainer is None else self.trainer.global_step)

    def _attempt(self, number: int) -> Episode:
        """Return a new attempt of the present policy, or, after a kill, the one that was kept."""
        assert self._pool is not None
        place = self._pool.place
        writer = EpisodeWriter(self.context.run_dir / FOLDER)
        seed = scene_seed(self.context.seed, _NUMBERS, number)
        path = writer.path(task=place.task, split=place.split, phase=place.phase, seed=seed, attempt=0)
        if path.exists():
            return read_episode(path)
        policy = self.context.policy
        entropy = np.random.SeedSequence((self.context.seed, number, _ACTIONS)).generate_state(1)[0]
        training = isinstance(policy, nn.Module) and policy.training
        if isinstance(policy, nn.Module):
            policy.eval()
        actor = Actor(
            policy=policy if self.among == 1 else Sharpened(policy, among=self.among),
            workspace=self.context.workspace,
            rotations=int(policy.rotations),  # type: ignore[attr-defined]  # not of the Protocol
            sha256=None,
        )
        generator = torch.Generator().manual_seed(int(entropy))
        (episode,) = record_attempts(self._pool, actor, [seed], task=place.task, generator=generator)
        if isinstance(policy, nn.Module):
            policy.train(training)
        writer.write(episode)
        return episode

    def _add(self, episodes: Sequence[Episode]) -> None:
        """Judge attempts and keep them."""
        for start in range(0, len(episodes), _JUDGED_AT_ONCE):
            some = episodes[start : start + _JUDGED_AT_ONCE]
            terms = self._judge(some)
            self._attempts += some
            self._terms += terms
            self._worth += [float(payment(self.context.reward, one)) for one in terms]

    def _judge(self, episodes: Sequence[Episode]) -> list[dict[str, float]]:
        if self.context.reward is None:
            return [{"return": episode.return_} for episode in episodes]
        seen = Attempts.of(episodes)
        told = self.context.reward.outcomes(first=seen.first, last=seen.last, scripts=seen.scripts)
        return [{name: float(values[i]) for name, values in told.items()} for i in range(len(episodes))]

    def weights(self) -> npt.NDArray[np.float64]:
        """Return what each attempt counts, (attempts,)."""
        worth = np.array(self._worth)
        if self.weighting == "filtered":
            return (worth >= self.threshold).astype(np.float64)
        grown: npt.NDArray[np.float64] = np.exp((worth - worth.mean()) / self.temperature)
        return np.minimum(grown, self.max_weight)

    def _draw(self, rng: np.random.Generator) -> tuple[Example, Tensor]:
        """Return all examples, and the rows of them that an epoch reads, in proportion to their weights."""
        weights = self.weights()
        parts = [] if self._demonstrated is None else [self._demonstrated]
        rows: list[npt.NDArray[np.int64]] = []
        kept = [episode for episode, weight in zip(self._attempts, weights, strict=True) if weight > 0.0]
        begin = 0 if self._demonstrated is None else len(self._demonstrated)
        if kept:
            tried = examples(kept)
            each = np.repeat(weights[weights > 0.0], [episode.steps for episode in kept])
            rows.append(begin + resampled(each, _RESAMPLED * len(tried), rng))
            parts.append(tried)
        if self._demonstrated is not None and (self.demonstrations > 0.0 or not kept):
            share = self.demonstrations if kept else 0.5
            count = round((len(rows[0]) if kept else begin) * share / (1.0 - share))
            rows.append(resampled(np.ones(begin), max(1, count), rng))
        if not rows:
            raise EpisodeError(
                f"none of {len(self._attempts)} attempts was worth {self.threshold}, and there are no demonstrations: "
                "nothing is left to learn from. Begin with a better policy, more episodes_per_iteration, a lower "
                "algorithm.data.threshold, algorithm.data.weighting=advantage, or data=DEMONSTRATIONS"
            )
        whole = parts[0] if len(parts) == 1 else concatenate(parts)
        return whole, torch.from_numpy(np.concatenate(rows))

    def _figures(self, *, since: int) -> dict[str, float]:
        """Return what the newest attempts came to."""
        figures = {"charts/episodes": float(len(self._attempts)), "charts/kept": float((self.weights() > 0.0).sum())}
        new = self._attempts[since:]
        if new:
            figures["rollout/success"] = sum(e.success for e in new) / len(new)
            figures["rollout/episodic_return"] = sum(self._worth[since:]) / len(new)
            for name in self._terms[-1]:
                figures[f"reward/{name}"] = sum(one[name] for one in self._terms[since:]) / len(new)
        return figures

    def val_dataloader(self) -> Iterable[Transition]:
        """Return nothing: what was tried changes from one iteration to the next, and so would a validation loss."""
        return []


def resampled(weights: npt.NDArray[np.float64], count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return `count` indices of weights (N,), each as often as its share of them says, within one.

    Systematic resampling: one random offset, equal steps.
    """
    edges = np.cumsum(weights) / weights.sum()
    points = (np.arange(count) + rng.random()) / count
    return np.minimum(np.searchsorted(edges, points, side="right"), len(weights) - 1).astype(np.int64)


class _Drawn:
    """Examples of which each may come several times."""

    def __init__(self, examples: Example, rows: Tensor) -> None:
        self._examples, self._rows = examples, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Tensor) -> Example:
        return self._examples[self._rows[index]]
