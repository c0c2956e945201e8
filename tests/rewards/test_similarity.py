"""What CLIP alone says rises when the thing that was named is seen at its place, and falls when it is taken away."""

from __future__ import annotations

import math

import pytest
import torch

from robo_rlft.language.instruction import InstructionError
from robo_rlft.records import Observation, OutcomeReward, Reward
from robo_rlft.rewards.similarity import SimilarityReward, together
from tests.policies.fakes import COLORS, SQUARE, ColorEncoder

RED, BLUE = "put the red block in the green bowl", "put the blue block in the green bowl"
APART = {"red": (0, 0), "blue": (24, 4), "green": (12, 24)}
RED_THERE = {**APART, "red": (12, 16)}


def picture(*places: dict[str, tuple[int, int]]) -> Observation:
    """Squares of 8 pixels on a gray table of 32 x 32, at their rows and columns."""
    color = torch.full((len(places), 3, *SQUARE.shape), 90, dtype=torch.uint8)
    for scene, things in enumerate(places):
        for name, (row, column) in things.items():
            rgb = (torch.tensor(COLORS[name]) * 255).to(torch.uint8)
            color[scene, :, row : row + 8, column : column + 8] = rgb[:, None, None]
    height = torch.zeros(len(places), *SQUARE.shape)
    return Observation(color=color, height=height, instruction=("",) * len(places))


def similarity(first: Observation, last: Observation, scripts: list[tuple[str, ...]]) -> torch.Tensor:
    reward = SimilarityReward(workspace=SQUARE, encoder=ColorEncoder(), temperature=0.02)
    return reward.outcomes(first=first, last=last, scripts=scripts)["similarity"]


def test_what_was_put_beside_its_place_pays_and_what_was_taken_away_costs() -> None:
    first, last = picture(APART, RED_THERE, APART, APART), picture(RED_THERE, APART, APART, RED_THERE)
    paid = similarity(first, last, [(RED,), (RED,), (RED,), (BLUE,)])
    assert paid[0] > 0.1
    torch.testing.assert_close(paid[1], -paid[0])
    assert paid[2] == 0.0
    assert abs(paid[3]) < 0.01  # the red one was not asked for


def test_a_script_pays_the_mean_of_its_sentences() -> None:
    first, last = picture(APART, APART, APART), picture(RED_THERE, RED_THERE, RED_THERE)
    red, blue, both = similarity(first, last, [(RED,), (BLUE,), (RED, BLUE)])
    torch.testing.assert_close(both, (red + blue) / 2.0)


def test_together_is_the_nearness_of_two_draws_against_that_of_two_of_either() -> None:
    # One row of three cells, 0.1 m each; the first is at cell 0 for sure, the second at cell 1 or 2 by halves.
    maps = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]])[:, :, None]
    found = together(maps, size=(0.1, 0.3), temperature=0.001, reach=0.1)
    # k(p, q) = (e^-1/2 + e^-2) / 2, k(p, p) = 1, and k(q, q) = (1 + e^-1/2) / 2: two draws are at one cell by halves.
    near, own = (math.exp(-0.5) + math.exp(-2.0)) / 2.0, (1.0 + math.exp(-0.5)) / 2.0
    torch.testing.assert_close(found, torch.tensor([near / math.sqrt(own)]))
    turned = together(maps.mT, size=(0.3, 0.1), temperature=0.001, reach=0.1)
    torch.testing.assert_close(turned, found)


def test_two_things_seen_alike_are_wholly_together() -> None:
    map_ = torch.randn(2, 1, 5, 4, generator=torch.Generator().manual_seed(0))
    found = together(map_.expand(-1, 2, -1, -1), size=(0.5, 0.4), temperature=0.1, reach=0.05)
    torch.testing.assert_close(found, torch.ones(2))


def test_it_pays_attempts_and_not_steps_and_needs_eyes_for_that() -> None:
    reward = SimilarityReward(workspace=SQUARE)
    assert isinstance(reward, Reward) and isinstance(reward, OutcomeReward)
    assert reward(before=0.0, after=1.0, observation=None, final=None) == {}
    with pytest.raises(RuntimeError, match="expected an encoder"):
        reward.outcomes(first=picture(APART), last=picture(APART), scripts=[(RED,)])


def test_the_encoder_is_left_as_it_is() -> None:
    encoder = ColorEncoder()
    encoder.unfreeze()
    reward = SimilarityReward(workspace=SQUARE, encoder=encoder)
    paid = reward.outcomes(first=picture(APART), last=picture(RED_THERE), scripts=[(RED,)])
    assert not paid["similarity"].requires_grad
    assert encoder.gain.requires_grad and not encoder.frozen


def test_a_sentence_that_names_nothing_is_refused() -> None:
    seen = picture(APART)
    with pytest.raises(InstructionError, match="no words for where to put it"):
        similarity(seen, seen, [("tidy up",)])


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"reach": -0.1}, {"reach": math.nan}])
def test_a_rule_without_size_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="temperature and a reach above 0"):
        SimilarityReward(workspace=SQUARE, **options)
