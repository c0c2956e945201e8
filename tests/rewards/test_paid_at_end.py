"""What a learned reward pays RL: with caution, within limits, from a file of the right kind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robo_rlft.geometry import Workspace
from robo_rlft.records import Observation, OutcomeReward, Reward
from robo_rlft.rewards.learned import RewardFileError, save_reward
from robo_rlft.rewards.paid_at_end import PreferenceReward, SuccessReward
from tests.policies.fakes import SQUARE, scenes
from tests.rewards.test_learned import RED, TRUST, make


def saved(folder: Path, kind: str = "preference") -> Path:
    save_reward(make(kind), folder / "reward.safetensors", metadata={})
    return folder / "reward.safetensors"


def told(scores: list[list[float]], monkeypatch: pytest.MonkeyPatch, reward: PreferenceReward | SuccessReward) -> None:
    monkeypatch.setattr(type(reward), "scores", lambda *_: torch.tensor(scores))


PICTURES: Observation = scenes(SQUARE, 2)


def test_disagreement_costs_and_pay_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = PreferenceReward(model=saved(tmp_path), pessimism=0.5, limit=3.0)
    told([[1.0, 9.0, -9.0], [3.0, 9.0, -9.0]], monkeypatch, reward)
    paid = reward.outcomes(first=PICTURES, last=PICTURES, scripts=[])
    # Mean 2 and deviation 1; the members agree on the others, beyond the limit.
    torch.testing.assert_close(paid["preference"], torch.tensor([1.5, 3.0, -3.0]))


def test_success_is_as_probable_as_the_least_sure_member_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = SuccessReward(model=saved(tmp_path, "success"))
    told([[0.0, 5.0], [3.0, -50.0]], monkeypatch, reward)
    torch.testing.assert_close(
        reward.outcomes(first=PICTURES, last=PICTURES, scripts=[])["success"], torch.tensor([0.5, 0.0])
    )


def test_it_pays_attempts_and_not_steps(tmp_path: Path) -> None:
    reward = PreferenceReward(model=saved(tmp_path))
    with pytest.raises(RuntimeError, match=r"load\(\) comes before"):
        reward.outcomes(first=PICTURES, last=PICTURES, scripts=[(RED,), (RED,)])
    reward.load(workspace=SQUARE, trust=TRUST)
    assert isinstance(reward, OutcomeReward) and isinstance(reward, Reward)
    assert reward(before=0.0, after=1.0, observation=None, final=None) == {}
    paid = reward.outcomes(first=PICTURES, last=scenes(SQUARE, 2, seed=1), scripts=[(RED,), (RED,)])
    assert paid["preference"].shape == (2,)


def test_a_file_of_another_kind_is_refused_with_the_right_choice(tmp_path: Path) -> None:
    with pytest.raises(RewardFileError, match="choose reward=preference"):
        SuccessReward(model=saved(tmp_path)).load(workspace=SQUARE, trust=TRUST)


def test_pictures_of_another_size_and_classes_without_trust_are_refused(tmp_path: Path) -> None:
    reward = PreferenceReward(model=saved(tmp_path))
    with pytest.raises(RewardFileError, match="expected a reward that learned from pictures of"):
        reward.load(workspace=Workspace(), trust=TRUST)
    with pytest.raises(RewardFileError, match="trust it"):
        reward.load(workspace=SQUARE)


def test_caution_below_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pessimism of at least 0"):
        PreferenceReward(model=tmp_path, pessimism=-1.0)
