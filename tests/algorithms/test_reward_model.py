"""A reward learns what people prefer from few labels, and refuses labels that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning import LightningDataModule
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from robo_rlft.algorithms.preferences import accuracy
from robo_rlft.algorithms.reward_model import RewardModel
from robo_rlft.data.comparisons import Attempts, ComparisonData, LabelBatch
from robo_rlft.models.outcomes import Judges
from robo_rlft.records import Observation
from robo_rlft.rewards.learned import LearnedReward, load_reward
from tests.policies.fakes import SQUARE, ColorEncoder

SENTENCE = "put the red block in the green bowl"
COUNT = 40


def table(center: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A green bowl, low and wide, in the middle, and a red block, high, somewhere."""
    color = torch.full((3, 32, 32), 20, dtype=torch.uint8)
    height = torch.zeros(32, 32)
    color[:, 10:22, 10:22] = torch.tensor([0, 250, 0], dtype=torch.uint8)[:, None, None]
    height[10:22, 10:22] = 0.01
    row, column = center
    color[:, row - 2 : row + 3, column - 2 : column + 3] = torch.tensor([250, 0, 0], dtype=torch.uint8)[:, None, None]
    height[row - 2 : row + 3, column - 2 : column + 3] = 0.05
    return color, height


class Toy(ComparisonData):
    """Attempts that end in the bowl or beside it; the first half in it."""

    def __init__(self, mode: str = "compare") -> None:
        LightningDataModule.__init__(self)
        generator = torch.Generator().manual_seed(0)
        inside = [(14 + int(a), 14 + int(b)) for a, b in torch.randint(5, (COUNT // 2, 2), generator=generator)]
        beside = [(3 + int(a), 3 + int(b) * 23) for a, b in torch.randint(2, (COUNT // 2, 2), generator=generator)]
        places = [table(center) for center in (*inside, *beside)]
        start = table((4, 16))
        words = (SENTENCE,) * COUNT
        self.attempts = Attempts(
            first=Observation(
                color=start[0].expand(COUNT, -1, -1, -1), height=start[1].expand(COUNT, -1, -1), instruction=words
            ),
            last=Observation(
                color=torch.stack([c for c, _ in places]), height=torch.stack([h for _, h in places]), instruction=words
            ),
            scripts=((SENTENCE,),) * COUNT,
        )
        self.mode, self.test = mode, None
        good = torch.arange(COUNT) < COUNT // 2
        pairs = torch.randint(COUNT, (60, 2), generator=generator)
        left, right = pairs.unbind(1)
        said = torch.where(good[left] == good[right], 2, torch.where(good[left], 0, 1))
        if mode == "success":
            left = right = torch.randperm(COUNT, generator=generator)
            said = good[left].long()
        self._train = LabelBatch(left=left, right=right, said=said, number=torch.arange(len(said)))

    def setup(self, stage: str) -> None: ...

    def train_dataloader(self) -> DataLoader[LabelBatch]:
        rows = [self._train[torch.arange(i, i + 20)] for i in range(0, len(self._train.said), 20)]
        return DataLoader(rows, batch_size=None, collate_fn=lambda batch: batch)  # type: ignore[arg-type]

    def val_dataloader(self) -> list[LabelBatch]:
        return []


def trained(mode: str = "compare", kind: str = "preference", steps: int = 60, members: int = 2) -> RewardModel:
    torch.manual_seed(0)
    reward = LearnedReward(encoder=ColorEncoder(), judges=Judges(members=members, width=6), workspace=SQUARE, kind=kind)
    module = RewardModel(reward=reward, max_steps=steps, warmup_steps=2, lr=1e-2, max_shift=0.0)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_epochs=1000, accelerator="cpu", enable_model_summary=False, **options)
    trainer.fit(module, datamodule=Toy(mode))
    return module


def scores(module: RewardModel) -> torch.Tensor:
    attempts = Toy().attempts
    reward = module.reward.eval()
    with torch.no_grad():
        return reward.score(reward.see(attempts.first), reward.see(attempts.last), attempts.scripts)


GOOD = (torch.arange(COUNT) < COUNT // 2).float()


def test_what_is_preferred_is_worth_more_and_pay_is_normalised() -> None:
    found = scores(trained())
    for member in found:
        gap = member[:, None] - member[None]
        assert float(accuracy(gap.flatten(), (GOOD[:, None] - GOOD[None]).flatten())) > 0.95
    together = found.mean(dim=0)
    assert float(together.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(together.std(correction=0)) == pytest.approx(1.0, abs=1e-4)


def test_a_classifier_tells_success_in_odds() -> None:
    found = scores(trained("success", "success", steps=150))
    assert ((found > 0).float() == GOOD).float().mean() > 0.95


def test_the_same_seed_gives_the_same_reward_and_its_file_too(tmp_path: Path) -> None:
    one, other = trained(steps=5), trained(steps=5)
    assert torch.equal(scores(one), scores(other))
    path = one.save(tmp_path, metadata={})
    again = load_reward(path, trust=["tests.policies.fakes.ColorEncoder"])
    for name, value in one.reward.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_members_learn_from_labels_of_their_own_and_one_alone_from_all() -> None:
    module = trained(steps=1, members=3)
    weights = module._weights
    assert weights.shape == (3, 60) and weights.sum(dim=1).tolist() == [60.0] * 3
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(trained(steps=1, members=1)._weights, torch.ones(1, 60))


def test_labels_of_another_mode_are_refused() -> None:
    with pytest.raises(ValueError, match="mode=success make a reward of kind success, got preference"):
        trained("success", "preference")
