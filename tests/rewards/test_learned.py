"""A learned reward judges pictures by sentences, adds up a script, and reads back from its file to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robo_rlft.models.outcomes import Judges
from robo_rlft.policies.io import PolicyFileError, load_policy
from robo_rlft.rewards.learned import LearnedReward, RewardFileError, load_reward, read_reward_header, save_reward
from tests.policies.fakes import SQUARE, ColorEncoder, scenes

RED, BLUE = "put the red block in the green bowl", "put the blue block in the green bowl"
TRUST = ["tests.policies.fakes.ColorEncoder"]


def make(kind: str = "preference") -> LearnedReward:
    torch.manual_seed(0)
    return LearnedReward(encoder=ColorEncoder(), judges=Judges(members=2, width=4), workspace=SQUARE, kind=kind)


def score(reward: LearnedReward, *scripts: tuple[str, ...]) -> torch.Tensor:
    first, last = (reward.see(scenes(SQUARE, len(scripts), seed=seed)) for seed in (0, 1))
    with torch.no_grad():
        return reward.score(first, last, scripts)


def test_a_script_is_worth_the_sum_of_its_sentences() -> None:
    reward = make()
    # The same scene and attempt three times, as `scenes` draws another for each row: judged one by one.
    first, last = (reward.see(scenes(SQUARE, 1, seed=seed)) for seed in (0, 1))
    with torch.no_grad():
        red, blue, both = (reward.score(first, last, [script]) for script in ((RED,), (BLUE,), (RED, BLUE)))
    assert red.shape == (2, 1)
    assert not torch.equal(red, blue)
    torch.testing.assert_close(both, red + blue)


def test_attempts_are_judged_apart_from_each_other() -> None:
    reward = make()
    together = score(reward, (RED,), (BLUE, RED), (BLUE,))
    first, last = (reward.see(scenes(SQUARE, 3, seed=seed)) for seed in (0, 1))
    with torch.no_grad():
        alone = reward.score(first[1:2], last[1:2], [(BLUE, RED)])
    torch.testing.assert_close(alone[:, 0], together[:, 1])


def test_scores_are_calibrated_member_by_member() -> None:
    reward = make()
    raw = score(reward, (RED,))
    reward.mean, reward.deviation = torch.tensor([1.0, 0.0]), torch.tensor([2.0, 4.0])
    torch.testing.assert_close(
        score(reward, (RED,)), (raw - torch.tensor([[1.0], [0.0]])) / torch.tensor([[2.0], [4.0]])
    )


def test_a_file_gives_the_same_scores_to_the_bit(tmp_path: Path) -> None:
    reward = make(kind="success")
    reward.mean = torch.tensor([0.1, 0.2])
    save_reward(reward, tmp_path / "reward.safetensors", metadata={"commit": "abc"})
    again = load_reward(tmp_path / "reward.safetensors", trust=TRUST)
    assert torch.equal(score(again, (RED,)), score(reward, (RED,)))
    assert not any(p.requires_grad for p in again.parameters())
    header = read_reward_header(tmp_path / "reward.safetensors")
    assert (header["kind"], header["metadata"], header["format"]) == ("success", {"commit": "abc"}, "robo_rlft.reward")


def test_only_what_is_known_or_trusted_is_built_and_a_reward_is_no_policy(tmp_path: Path) -> None:
    save_reward(make(), tmp_path / "reward.safetensors", metadata={})
    with pytest.raises(RewardFileError, match=r"tests.policies.fakes.ColorEncoder.*load_reward\(path, trust="):
        load_reward(tmp_path / "reward.safetensors")
    with pytest.raises(PolicyFileError, match="expected a file of format 'robo_rlft.policy'"):
        load_policy(tmp_path / "reward.safetensors", trust=TRUST)
    with pytest.raises(RewardFileError, match="train algorithm=reward_model"):
        load_reward(tmp_path / "none.safetensors")


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind is one of preference, success"):
        make(kind="hope")
