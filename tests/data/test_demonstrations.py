"""Batches of demonstrated decisions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn

from robo_rlft.data.batches import as_transitions, batch_indices
from robo_rlft.data.context import TrainContext
from robo_rlft.data.demonstrations import DemonstrationData, examples
from robo_rlft.data.episodes import EpisodeError, EpisodeWriter
from robo_rlft.records import Transition
from tests.data.test_episodes import WORKSPACE, make_episode


def make_data(
    folder: Path | None, *more: Path, seed: int = 0, rotations: int = 12, **options: Any
) -> DemonstrationData:
    context = TrainContext(
        policy=SimpleNamespace(rotations=rotations),  # type: ignore[arg-type]
        workspace=WORKSPACE,
        make_env=None,
        data_dir=folder,
        more_data=more,
        run_dir=Path(),
        seed=seed,
        workers=0,
    )
    data = DemonstrationData(context=context, **options)
    data.setup("fit")
    return data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    writer = EpisodeWriter(tmp_path / "episodes")
    for seed in range(6):
        episode = make_episode(seed=seed, steps=1 + seed % 2)
        writer.write(episode if seed % 3 else replace(episode, success=False, failure="slipped"))
    return tmp_path / "episodes"


def named(batch: Transition) -> set[tuple[int, ...]]:
    """Return the actions of a batch, which tell its examples apart."""
    action = batch.action
    return {tuple(row) for row in torch.cat([action.pick, action.place, action.rotation[:, None]], dim=1).tolist()}


def batches(data: DemonstrationData) -> list[Transition]:
    return list(data.train_dataloader())


def test_every_step_of_an_episode_becomes_an_example_in_order() -> None:
    episode = make_episode(steps=2)
    made = examples([episode, make_episode(seed=1, steps=1)])
    assert made.observation.color.shape == (3, 3, *WORKSPACE.shape)
    assert made.observation.color.dtype == torch.uint8
    assert torch.equal(made.observation.color[1, 2], torch.from_numpy(episode.color[1, :, :, 2]))
    assert made.action.pick[:2].tolist() == episode.pick.tolist()
    assert made.action.rotation[:2].tolist() == episode.rotation.tolist()
    assert len(made.observation.instruction) == 3


def test_the_last_episodes_are_held_out(folder: Path) -> None:
    data = make_data(folder, val_episodes=2, augment=False, val_views=3)
    train = set().union(*map(named, batches(data)))
    held_out = named(as_transitions(examples([make_episode(seed=seed, steps=1 + seed % 2) for seed in (4, 5)])))
    assert len(train) == 6  # seeds 0 to 3 have 1 + 2 + 1 + 2 steps
    assert not train & held_out
    views = list(data.val_dataloader())
    assert sum(len(v.reward) for v in views) == 3 * 3  # three examples, three views of each
    assert named(views[0]) == held_out  # the first view is unmoved


@pytest.fixture
def attempts(tmp_path: Path) -> Path:
    """A policy's at the scenes 4 to 7, of which 4 and 5 are held out of the demonstrations."""
    for seed in range(4, 8):
        episode = replace(make_episode(seed=seed + 100, steps=1), seed=seed, attempt=0, policy_sha256="p")
        EpisodeWriter(tmp_path / "attempts").write(episode)
    return tmp_path / "attempts"


def test_episodes_of_several_folders_are_learned_from_but_not_those_at_held_out_scenes(
    folder: Path, attempts: Path
) -> None:
    data = make_data(folder, attempts, val_episodes=2, augment=False, val_views=1)
    learned = set().union(*map(named, batches(data)))
    own = named(as_transitions(examples([make_episode(seed=seed, steps=1 + seed % 2) for seed in range(4)])))
    assert learned - own == named(as_transitions(examples([make_episode(seed=seed, steps=1) for seed in (106, 107)])))
    assert own <= learned
    (held_out,) = data.val_dataloader()
    assert len(held_out.reward) == 3
    assert [told["episodes"] for told in data.provenance] == [4, 2]
    assert data.provenance[1]["policy_sha256"] == ["p"]
    every = make_data(folder, attempts, val_episodes=0)
    assert [told["episodes"] for told in every.provenance] == [6, 4]


def test_what_training_may_not_see_is_refused_in_every_folder(folder: Path, attempts: Path) -> None:
    EpisodeWriter(attempts).write(replace(make_episode(seed=9), phase="val", attempt=0))
    with pytest.raises(EpisodeError, match=r"attempts is seen/val.*allow_leak=true"):
        make_data(folder, attempts)
    assert make_data(folder, attempts, allow_leak=True).leak == "seen/val"


def test_validation_looks_at_the_same_pictures_each_time(folder: Path) -> None:
    data = make_data(folder)
    for a, b in zip(data.val_dataloader(), data.val_dataloader(), strict=True):
        assert torch.equal(a.observation.color, b.observation.color)


def test_nothing_is_held_out_when_so_asked(folder: Path) -> None:
    data = make_data(folder, val_episodes=0, augment=False)
    assert list(data.val_dataloader()) == []
    assert len(set().union(*map(named, batches(data)))) == 9


def test_failures_are_kept_unless_unwanted(folder: Path) -> None:
    everything, successes = (make_data(folder, val_episodes=0, augment=False, keep_failures=k) for k in (True, False))
    counts = [len(set().union(*map(named, batches(d)))) for d in (everything, successes)]
    assert counts == [9, 6]  # seeds 0 and 3 failed; they have 1 and 2 steps


def test_batches_are_a_function_of_seed_and_step(folder: Path) -> None:
    first, second, other = (batches(make_data(folder, seed=s, steps_per_epoch=4)) for s in (1, 1, 2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.observation.color, b.observation.color)
        assert torch.equal(a.action.place, b.action.place)
    assert not all(torch.equal(a.observation.color, c.observation.color) for a, c in zip(first, other, strict=True))
    assert not torch.equal(first[0].observation.color, first[1].observation.color)


def test_each_example_comes_once_before_any_comes_again() -> None:
    stream = torch.cat([batch_indices(3, step, 4, 6) for step in range(6)])
    assert [sorted(part.tolist()) for part in stream.split(6)] == [list(range(6))] * 4
    assert stream[:6].tolist() != stream[6:12].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"split": "unseen"}, "unseen/train.*allow_leak=true"), ({"phase": "test"}, "seen/test.*allow_leak=true")],
)
def test_what_training_may_not_see_is_refused(folder: Path, change: dict[str, str], message: str) -> None:
    EpisodeWriter(folder).write(replace(make_episode(seed=9), **change))  # type: ignore[arg-type]
    with pytest.raises(EpisodeError, match=message):
        make_data(folder)
    assert make_data(folder, allow_leak=True).train_dataloader() is not None


def test_another_grid_or_number_of_rotations_is_refused(folder: Path) -> None:
    with pytest.raises(EpisodeError, match=r"12 rotations.*36"):
        make_data(folder, rotations=36)


def test_too_few_or_no_demonstrations_are_refused(folder: Path) -> None:
    with pytest.raises(EpisodeError, match=r"more than 6 demonstrations.*got 6.*val_episodes=0"):
        make_data(folder, val_episodes=6)
    with pytest.raises(EpisodeError, match="data=DIR"):
        make_data(None)


class Recorder(LightningModule):
    """Trains one number and remembers what it saw; dies at a step if told so."""

    def __init__(self, dies_at: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.dies_at = dies_at
        self.seen: list[list[list[int]]] = []

    def training_step(self, batch: Transition, batch_idx: int) -> Tensor:
        if self.global_step == self.dies_at:
            self.trainer.save_checkpoint(Path(self.trainer.default_root_dir) / "middle.ckpt")
            raise KeyError("killed")
        self.seen.append(batch.action.pick.tolist())
        return self.weight**2

    def validation_step(self, batch: Transition, batch_idx: int) -> None:
        self.log("val/weight", self.weight.detach(), batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("reload", [0, 1])
def test_a_run_that_is_resumed_in_the_middle_of_an_epoch_sees_the_same_batches(
    folder: Path, tmp_path: Path, reload: int
) -> None:
    def fit(module: Recorder, resume: Path | None = None) -> list[list[list[int]]]:
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=3,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
            default_root_dir=tmp_path,
            reload_dataloaders_every_n_epochs=reload,
        )
        trainer.fit(module, make_data(folder, steps_per_epoch=5), ckpt_path=resume, weights_only=False)
        return module.seen

    whole = fit(Recorder())
    assert len(whole) == 15
    part = Recorder(dies_at=8)
    with pytest.raises(KeyError, match="killed"):
        fit(part)
    assert part.seen + fit(Recorder(), tmp_path / "middle.ckpt") == whole
