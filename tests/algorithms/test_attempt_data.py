"""A policy's own attempts as examples: what they are worth, what is kept, what a kill costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robo_rlft.algorithms import attempt_data
from robo_rlft.algorithms.attempt_data import AttemptData, resampled
from robo_rlft.data.archive import EpisodeError
from robo_rlft.data.context import TrainContext
from robo_rlft.data.episodes import EpisodeWriter
from robo_rlft.env import Place
from robo_rlft.geometry import Workspace
from robo_rlft.records import Observation
from robo_rlft.rewards.person import PersonReward
from robo_rlft.rewards.total import TotalReward
from robo_rlft.rollout.episode import Episode
from tests.algorithms.table_policy import TablePolicy

GRID = Workspace(x_min=0.0, x_max=0.3, y_min=0.0, y_max=0.3, pixel_size=0.1)  # 3 x 3


def an_episode(seed: int, *, paid: float, column: int = 0, steps: int = 1) -> Episode:
    """Return an episode whose actions pick in a column, so that batches show whose they are."""
    rewards = np.zeros(steps, dtype=np.float32)
    rewards[-1] = paid
    return Episode(
        task="stacks",
        split="seen",
        phase="train",
        seed=seed,
        instructions=("put the red block on the blue block",) * steps,
        pick_names=("red block",) * steps,
        place_names=("blue block",) * steps,
        color=np.zeros((steps + 1, 3, 3, 3), dtype=np.uint8),
        height=np.full((steps + 1, 3, 3), 0.04, dtype=np.float32),
        pick=np.array([[0, column]] * steps),
        place=np.zeros((steps, 2), dtype=np.int64),
        rotation=np.zeros(steps, dtype=np.int64),
        symmetry=np.ones(steps, dtype=np.int64),
        rewards=rewards,
        success=paid > 0.99,
        failure=None if paid > 0.99 else "timed_out",
        rotations=2,
        workspace=GRID,
        attempt=0,
    )


class Acting:
    """Stands in for acting: even scenes succeed; counts what it was asked for."""

    restores, told_by, place = False, "person", Place(task="stacks", split="seen", phase="train")

    def __init__(self, *, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.made: list[int] = []

    def record(self, pool: object, actor: object, seeds: Sequence[int], **_: Any) -> list[Episode]:
        if self.stop_after is not None and len(self.made) == self.stop_after:
            raise KeyboardInterrupt
        self.made.append(seeds[0])
        paid = float(seeds[0] % 2 == 0)
        return [an_episode(seeds[0], paid=paid, column=2 if paid else 1)]

    def close(self) -> None: ...


class Half:
    """A learned reward that halves what the picture's first pixel says."""

    def outcomes(
        self, *, first: Observation, last: Observation, scripts: Sequence[tuple[str, ...]]
    ) -> dict[str, Tensor]:
        return {"half": torch.full((len(scripts),), 0.5), "more": torch.arange(float(len(scripts)))}


def make(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    acting: Acting | None = None,
    shown: Path | None = None,
    reward: Any = None,
    **options: Any,
) -> AttemptData:
    acting = acting or Acting()
    monkeypatch.setattr(attempt_data, "EnvPool", lambda **_: acting)
    monkeypatch.setattr(attempt_data, "record_attempts", acting.record)
    context = TrainContext(
        policy=TablePolicy(),
        workspace=GRID,
        make_env=lambda: None,  # type: ignore[arg-type,return-value]
        data_dir=shown,
        run_dir=folder,
        seed=3,
        workers=0,
        reward=reward,
    )
    small = {"episodes": 8, "episodes_per_iteration": 8, "steps_per_epoch": 4, "batch_size": 8, "augment": False}
    data = AttemptData(context=context, **{**small, **options})
    data.setup("fit")
    return data


def columns(data: AttemptData) -> list[int]:
    """Return the columns that an epoch's examples pick in."""
    return [int(c) for batch in data.train_dataloader() for c in batch.action.pick[:, 1]]


def test_filtered_keeps_what_succeeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make(tmp_path, monkeypatch)
    assert set(columns(data)) == {2}
    assert data.told["charts/episodes"] == 8
    assert data.told["charts/kept"] == 8 * data.told["rollout/success"]


def test_advantage_counts_each_as_the_exponential_of_what_it_is_above_the_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make(tmp_path, monkeypatch, weighting="advantage", temperature=0.5, max_weight=2.0)
    data.train_dataloader()
    worth = np.array(data._worth)
    expected = np.minimum(np.exp((worth - worth.mean()) / 0.5), 2.0)
    np.testing.assert_allclose(data.weights(), expected)
    assert set(columns(data)) == {1, 2}


def test_demonstrations_have_their_share_of_every_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(4):
        EpisodeWriter(tmp_path / "demos").write(an_episode(seed, paid=1.0, column=0))
    data = make(tmp_path / "run", monkeypatch, shown=tmp_path / "demos", demonstrations=0.25, steps_per_epoch=64)
    found = columns(data)
    assert found.count(0) / len(found) == pytest.approx(0.25, abs=0.02)


def test_a_rewards_terms_add_up_and_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make(tmp_path, monkeypatch, reward=Half(), threshold=0.4)
    data.train_dataloader()
    assert data.told["reward/half"] == 0.5
    assert data._worth == [0.5] * 8  # one attempt is judged at a time: `more` is 0
    assert data.told["charts/kept"] == 8


def test_a_kill_loses_no_episode_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, before, after = Acting(), Acting(stop_after=5), Acting()
    unbroken = columns(make(tmp_path / "whole", monkeypatch, acting=whole))
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "broken", monkeypatch, acting=before).train_dataloader()
    assert len(list((tmp_path / "broken" / "episodes").glob("*.npz"))) == 5
    assert columns(make(tmp_path / "broken", monkeypatch, acting=after)) == unbroken
    assert before.made + after.made == whole.made


def test_figures_are_of_the_newest_attempts_after_a_kill_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(tmp_path, monkeypatch, episodes_per_iteration=4)
    for step in (0, 4):
        whole.trainer = SimpleNamespace(global_step=step)  # type: ignore[assignment]
        whole.train_dataloader()
    again = make(tmp_path, monkeypatch, acting=Acting(stop_after=0), episodes_per_iteration=4)
    again.trainer = SimpleNamespace(global_step=4)  # type: ignore[assignment]
    again.train_dataloader()
    assert again.told == whole.told
    assert whole.told["rollout/success"] == sum(whole._worth[4:]) / 4


def test_a_sum_that_pays_for_steps_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = TotalReward(terms={"half": Half(), "done": PersonReward()}, weights={"half": 1.0, "done": 1.0})
    with pytest.raises(ValueError, match="expected terms that judge whole attempts"):
        make(tmp_path, monkeypatch, reward=both)


def test_logged_attempts_count_and_the_budget_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(6):
        EpisodeWriter(tmp_path / "logged").write(an_episode(seed, paid=1.0))
    acting = Acting()
    data = make(tmp_path / "run", monkeypatch, acting=acting, logged=tmp_path / "logged")
    data.train_dataloader()
    data.train_dataloader()
    assert len(acting.made) == 2  # 8 in all
    with pytest.raises(EpisodeError, match="expected at most episodes=4 logged attempts, got 6"):
        make(tmp_path / "other", monkeypatch, logged=tmp_path / "logged", episodes=4)


def test_nothing_to_learn_from_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make(tmp_path, monkeypatch, threshold=2.0)
    with pytest.raises(EpisodeError, match=r"none of 8 attempts was worth 2\.0.*weighting=advantage"):
        data.train_dataloader()


def test_attempts_of_test_scenes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    EpisodeWriter(tmp_path / "logged").write(replace(an_episode(1, paid=1.0), phase="test"))
    with pytest.raises(EpisodeError, match="training may see seen/train only"):
        make(tmp_path / "run", monkeypatch, logged=tmp_path / "logged")


def test_rows_are_drawn_as_often_as_their_weights_say() -> None:
    # Shares 1/8, 0, 3/8 and 4/8 of 16 draws: 2, 0, 6 and 8, and systematic resampling misses each by less than one.
    rows = resampled(np.array([1.0, 0.0, 3.0, 4.0]), 16, np.random.default_rng(0))
    assert np.abs(np.bincount(rows, minlength=4) - [2, 0, 6, 8]).max() <= 1
    assert 1 not in rows


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"temperature": 0.0}, {"max_weight": 0.5}, {"demonstrations": 1.0}])
def test_what_cannot_be_is_refused(wrong: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="expected|share"):
        make(tmp_path, monkeypatch, **wrong)
