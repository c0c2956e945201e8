"""Behaviour cloning as a Lightning module, on a policy of free numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningDataModule, Trainer
from torch.utils.data import DataLoader

from robo_rlft.algorithms.bc import BehaviorCloning, equal_turns_log_prob
from robo_rlft.algorithms.schedules import warmup_cosine
from robo_rlft.commands.checkpoints import KeepLast
from robo_rlft.data.augmentation import Example
from robo_rlft.data.batches import as_transitions
from robo_rlft.records import PickPlace, Transition
from tests.algorithms.table_policy import TablePolicy, actions, observations


def demonstrations(picks: list[int], places: list[int], *, symmetry: int = 1) -> Transition:
    action = actions(torch.tensor(picks), torch.tensor(places))
    turns = torch.full((len(picks),), symmetry, dtype=torch.int64)
    return as_transitions(Example(observation=observations(len(picks)), action=action, symmetry=turns))


class Batches(LightningDataModule):
    def __init__(self, train: list[Transition], val: list[Transition]) -> None:
        super().__init__()
        self.train, self.val = train, val

    def train_dataloader(self) -> Any:
        return DataLoader(self.train, batch_size=None, collate_fn=lambda batch: batch)

    def val_dataloader(self) -> Any:
        return DataLoader(self.val, batch_size=None, collate_fn=lambda batch: batch)


def run(
    policy: TablePolicy,
    folder: Path,
    train: Transition,
    val: Transition | None,
    *,
    resume: Path | None = None,
    **options: Any,
) -> tuple[BehaviorCloning, Trainer]:
    module = BehaviorCloning(policy=policy, **{"warmup_steps": 0, **options})  # type: ignore[arg-type]
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        callbacks=[KeepLast(folder=folder)],
    )
    data = Batches([train] * 5, [] if val is None else [val])
    trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    return module, trainer


def test_the_exact_loss_is_the_negative_log_likelihood() -> None:
    policy = TablePolicy(seed=1)
    batch = demonstrations([4, 0, 8], [3, 17, 9])
    module = BehaviorCloning(policy=policy, pick_sigma=0.0, place_sigma=0.0)  # type: ignore[arg-type]
    pick_loss, place_loss = module.losses(batch)
    scores = policy.evaluate_actions(batch.observation, batch.action)
    torch.testing.assert_close(pick_loss, -scores.pick_log_prob.mean())
    torch.testing.assert_close(place_loss, -scores.place_log_prob.mean())


def test_it_learns_what_was_demonstrated_and_reports_it(tmp_path: Path) -> None:
    policy = TablePolicy(seed=0)
    batch = demonstrations([4, 4], [3, 12])  # place cell 3 with both rotations
    _, trainer = run(policy, tmp_path, batch, batch, lr=0.1, max_steps=100, pick_sigma=0.0, place_sigma=0.0)
    assert policy.pick.softmax(0)[4] > 0.95
    assert policy.place.softmax(1)[4, 3].item() == pytest.approx(0.5, abs=0.05)
    assert trainer.global_step == 100
    # Half of the demonstrations have each rotation: ln 2 is the least possible.
    assert trainer.callback_metrics["val/nll"].item() == pytest.approx(math.log(2.0), abs=0.15)
    assert {"train/loss", "train/grad_norm", "val/nll", "charts/learning_rate"} <= set(trainer.callback_metrics)


def test_turns_that_come_to_the_same_are_learnt_alike_and_cost_nothing(tmp_path: Path) -> None:
    batch = demonstrations([4], [3], symmetry=2)  # place cell 3 with rotation 0; rotation 1 is place 12
    for symmetry, learnt in ((1, [1.0, 0.0]), (2, [0.5, 0.5])):
        policy = TablePolicy(seed=0)
        train = demonstrations([4], [3], symmetry=symmetry)
        _, trainer = run(policy, tmp_path, train, batch, lr=0.1, max_steps=200, pick_sigma=0.0, place_sigma=0.0)
        assert policy.place.softmax(1)[4, [3, 12]].tolist() == pytest.approx(learnt, abs=0.05)
        # Whichever of the equal turns it takes, validation is content: all of the probability lies on them.
        assert trainer.callback_metrics["val/nll"].item() < 0.15


def test_the_log_probability_of_equal_turns_is_that_of_their_sum() -> None:
    # Two rotations at one pixel with 0.1 and 0.3 of all, elsewhere the rest.
    place = torch.tensor([[[[0.1, 0.2]], [[0.3, 0.4]]]]).log().expand(2, -1, -1, -1)
    action = PickPlace(pick=torch.zeros(2, 2).long(), place=torch.zeros(2, 2).long(), rotation=torch.tensor([0, 0]))
    log_prob = equal_turns_log_prob(place, action, torch.tensor([1, 2]))
    assert log_prob.exp().tolist() == pytest.approx([0.1, 0.4])


def test_blurred_labels_leave_probability_beside_the_demonstrated_pixel(tmp_path: Path) -> None:
    policy = TablePolicy(seed=0)
    batch = demonstrations([4], [4])
    run(policy, tmp_path, batch, None, lr=0.1, max_steps=200, pick_sigma=0.7, place_sigma=0.0, weight_decay=0.0)
    learnt = policy.pick.softmax(0)
    # The optimum of a cross-entropy is its label: one pixel away exp(-1 / (2 * 0.49)) = 0.360 of the centre.
    assert (learnt[1] / learnt[4]).item() == pytest.approx(0.360, abs=0.02)


def test_the_weights_with_the_least_validation_loss_stay(tmp_path: Path) -> None:
    policy = TablePolicy(seed=0, scale=0.01)
    # Training wants pixel 4 alone; validation saw 4 and 5. At first both gain from knowing 4; then only training does.
    train, val = demonstrations([4] * 4, [3] * 4), demonstrations([4, 4, 5], [3, 3, 3])
    module, trainer = run(policy, tmp_path, train, val, lr=0.1, max_steps=200, pick_sigma=0.0, place_sigma=0.0)
    kept = policy.evaluate_actions(val.observation, val.action).log_prob.mean().neg().item()
    assert kept == pytest.approx(module.best_nll, rel=1e-5)
    assert trainer.callback_metrics["val/nll"].item() > kept + 0.05  # the last weights were worse


def test_patience_ends_training_when_validation_gets_no_better(tmp_path: Path) -> None:
    train, val = demonstrations([4] * 4, [3] * 4), demonstrations([4, 4, 5], [3, 3, 3])
    _, trainer = run(TablePolicy(scale=0.01), tmp_path, train, val, lr=0.1, max_steps=1000, patience=3)
    assert trainer.global_step < 500


def test_a_resumed_run_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    train, val = demonstrations([4, 4, 5], [3, 12, 3]), demonstrations([4], [3])
    options = {"lr": 0.05, "max_steps": 20}
    whole = TablePolicy(seed=0)
    run(whole, tmp_path / "whole", train, val, **options)

    class Killed(Exception):
        pass

    class Mortal(TablePolicy):
        steps = 0

        def factors(self, *arguments: Any) -> Any:
            self.steps += torch.is_grad_enabled()
            if self.steps > 12:
                raise Killed
            return super().factors(*arguments)

    with pytest.raises(Killed):
        run(Mortal(seed=0), tmp_path / "part", train, val, **options)
    rest = TablePolicy(seed=0)
    run(rest, tmp_path / "rest", train, val, resume=tmp_path / "part" / "last.ckpt", **options)
    assert torch.equal(rest.pick, whole.pick)
    assert torch.equal(rest.place, whole.place)


@pytest.mark.parametrize("train_encoder", [False, True])
def test_the_encoder_learns_only_when_asked_to(tmp_path: Path, train_encoder: bool) -> None:
    policy = TablePolicy(seed=0)
    run(policy, tmp_path, demonstrations([4], [3]), None, lr=0.1, max_steps=5, train_encoder=train_encoder)
    assert (policy.encoder.weight.item() != 1.0) == train_encoder


def test_the_learning_rate_rises_to_one_and_falls_to_zero() -> None:
    share = [warmup_cosine(step, warmup_steps=4, max_steps=104) for step in range(110)]
    assert share[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert share[54] == pytest.approx(0.5)  # half-way between 4 and 104
    assert share[104:] == pytest.approx([0.0] * 6)
