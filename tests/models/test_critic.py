"""What a critic sees, and that it judges every scene for itself."""

from __future__ import annotations

import torch

from robo_rlft.models.critic import MAPS, Critic, critic_maps


def test_maps_are_the_cosines_with_both_phrases_and_the_height() -> None:
    dense = torch.zeros(1, 2, 4, 2)
    dense[:, 0] = 1.0  # like the first phrase everywhere
    maps = critic_maps(dense, torch.eye(2)[None], torch.full((1, 8, 4), 0.5))
    assert maps.shape == (1, MAPS, 8, 4)
    torch.testing.assert_close(maps.mean(dim=(0, 2, 3)), torch.tensor([1.0, 0.0, 0.5]))


def test_an_untrained_critic_expects_nothing() -> None:
    assert Critic(width=4)(torch.randn(3, MAPS, 16, 8)).tolist() == [0.0, 0.0, 0.0]


def test_a_critic_learns_to_tell_scenes_apart_and_judges_each_alone() -> None:
    torch.manual_seed(0)
    critic, maps = Critic(width=4), torch.randn(4, MAPS, 16, 8)
    wanted = torch.tensor([0.0, 1.0, 0.0, 1.0])
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        (critic(maps) - wanted).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        found = critic(maps)
        assert (found - wanted).abs().max() < 0.2
        torch.testing.assert_close(critic(maps[2:3])[0], found[2])
