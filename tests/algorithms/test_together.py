"""Demonstrations, BC and RLOO with the real policy, encoder and simulator, in small."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from lightning import LightningDataModule, LightningModule, Trainer

from robo_rlft.algorithms.bc import BehaviorCloning
from robo_rlft.algorithms.rloo import Rloo
from robo_rlft.algorithms.rollouts import RolloutData
from robo_rlft.data.batches import as_transitions
from robo_rlft.data.context import TrainContext
from robo_rlft.data.demonstrations import DemonstrationData, examples
from robo_rlft.data.episodes import EpisodeWriter
from robo_rlft.env import TabletopEnv
from robo_rlft.geometry import Workspace
from robo_rlft.models.clip import ClipEncoder
from robo_rlft.models.fusion import SimilarityFusion
from robo_rlft.models.streams import ConvStream
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.rollout.episode import Episode
from robo_rlft.rollout.pool import EnvPool
from robo_rlft.tasks.demonstrators import Demonstrator
from tests.simulated import env_factory

PIXEL_SIZE = 0.0125  # metres; 80 x 40


def make_policy() -> TransporterPolicy:
    torch.manual_seed(0)
    return TransporterPolicy(
        encoder=ClipEncoder(pretrained=None, precision="float32"),
        fusion=SimilarityFusion(),
        stream=ConvStream(width=8, dilations=(1, 2)),
        workspace=Workspace(pixel_size=PIXEL_SIZE),
        rotations=4,
        precision="float32",
    )


@pytest.fixture(scope="module")
def make_env() -> Callable[[], TabletopEnv]:
    return env_factory(pixel_size=PIXEL_SIZE)


@pytest.fixture(scope="module")
def episodes(make_env: Callable[[], TabletopEnv]) -> Iterator[list[Episode]]:
    with EnvPool(make_env=make_env) as pool:
        yield pool.demonstrate(range(3), Demonstrator())


def fit(module: LightningModule, data: LightningDataModule) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
    )
    trainer.fit(module, data)
    return trainer


def test_the_policy_learns_from_demonstrations_and_goes_through_an_iteration_of_rl(
    tmp_path: Path, make_env: Callable[[], TabletopEnv], episodes: list[Episode]
) -> None:
    writer = EpisodeWriter(tmp_path)
    for episode in episodes:
        writer.write(episode)
    policy = make_policy()
    context = TrainContext(
        policy=policy,
        workspace=policy.workspace,
        make_env=make_env,
        data_dir=tmp_path,
        run_dir=tmp_path,
        seed=0,
        workers=0,
    )
    everything = as_transitions(examples(episodes))
    encoder = {name: value.clone() for name, value in policy.encoder.state_dict().items()}

    def likelihood() -> float:
        with torch.no_grad():
            return policy.evaluate_actions(everything.observation, everything.action).log_prob.mean().item()

    before = likelihood()
    bc = BehaviorCloning(policy=policy, lr=3e-3, max_steps=30, warmup_steps=0)
    fit(bc, DemonstrationData(context=context, batch_size=4, steps_per_epoch=10, val_episodes=1))
    assert likelihood() > before + 1.0

    rloo = Rloo(policy=policy, iterations=1, allow_zero_success=True, lr=1e-3)
    trainer = fit(rloo, RolloutData(context=context, scenes=3, samples=2, skip_equal_groups=False))
    assert trainer.current_epoch == 1
    assert abs(trainer.callback_metrics["losses/approx_kl"].item()) < 1e-6  # one minibatch: nothing had moved yet
    assert all(torch.equal(value, encoder[name]) for name, value in policy.encoder.state_dict().items())


def test_end_to_end_training_reaches_both_towers_of_the_encoder(episodes: list[Episode]) -> None:
    policy = make_policy()
    bc = BehaviorCloning(policy=policy, train_encoder=True)
    sum(bc.losses(as_transitions(examples(episodes)))).backward()  # type: ignore[union-attr]
    moved = {name for name, p in policy.encoder.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert any("visual" in name and "conv" in name for name in moved)
    assert any("transformer" in name for name in moved - {n for n in moved if "visual" in n})
