"""What decisions are credited with."""

from __future__ import annotations

import pytest
import torch

from robo_rlft.algorithms.credit import Credit, Rewards, advantages, credited, mixed, value


def one_scene(reward: list[list[float]], *, done: list[list[bool]] | None = None) -> Rewards:
    """Return T rows of K rewards of one scene; without `done` all end at the last step, with success."""
    paid = torch.tensor(reward)[:, None]
    over = torch.zeros_like(paid, dtype=torch.bool)
    over[-1] = True
    if done is not None:
        over = torch.tensor(done)[:, None]
    return Rewards(reward=paid, valid=torch.ones_like(over), terminated=over, done=over)


def test_each_credit_pays_a_decision_as_it_says() -> None:
    paid = one_scene([[1.0, 0.0], [2.0, 4.0], [0.0, 8.0]])
    assert credited(paid, "episode")[:, 0].tolist() == [[3.0, 12.0]] * 3
    assert credited(paid, "to_go")[:, 0].tolist() == [[3.0, 12.0], [2.0, 12.0], [0.0, 8.0]]
    assert credited(paid, "state")[:, 0].tolist() == [[1.0, 0.0], [2.0, 4.0], [0.0, 8.0]]
    # Of two, the other is the baseline.
    assert advantages(paid, "to_go")[:, 0].tolist() == [[-9.0, 9.0], [-10.0, 10.0], [-8.0, 8.0]]


@pytest.mark.parametrize("credit", ["to_go", "state"])
def test_with_one_step_all_are_the_same_to_the_bit(credit: Credit) -> None:
    reward = torch.rand(1, 5, 4, generator=torch.Generator().manual_seed(0))
    yes = torch.ones_like(reward, dtype=torch.bool)
    paid = Rewards(reward=reward, valid=yes, terminated=yes, done=yes)
    assert torch.equal(advantages(paid, credit), advantages(paid, "episode"))


def test_groups_are_mixed_where_any_value_differs() -> None:
    assert mixed(torch.tensor([[0.5, 0.5, 0.5], [0.5, 0.5, 0.25]])).tolist() == [False, True]


def test_a_chain_counts_later_steps_with_the_share_that_gets_there() -> None:
    # Step 0: of four outcomes one succeeds and one is over without; step 1: three of four succeed.
    terminated = [[True, False, False, False], [True, True, True, False]]
    over = [[True, True, False, False], [True, True, True, True]]
    paid = one_scene([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]], done=over)
    paid = Rewards(**{**vars(paid), "terminated": torch.tensor(terminated)[:, None]})
    found = value(paid, branched=True)
    assert found.success.tolist() == [0.25 + 0.5 * 0.75]
    assert found.episodic_return.tolist() == [0.25 + 0.5 * 0.75]
    # As four episodes of their own, all four of step 1 having been reached: 1, 1, 1 and 0 end well.
    assert value(paid, branched=False).success.tolist() == [0.75]
