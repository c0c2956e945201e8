"""Rollouts folded into batches, and their figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from robo_rlft.algorithms.groups import GroupBatch, episodic_kl, fold, joined, summarise
from robo_rlft.records import Transition
from robo_rlft.rollout.collect import Rollout
from tests.algorithms.table_policy import actions, observations


def step(samples: int, reward: list[float], valid: list[bool]) -> Transition:
    """One step of len(reward) rollouts; the i-th picks cell i."""
    count = len(reward)
    return Transition(
        observation=observations(count),
        action=actions(torch.arange(count) % 9, torch.arange(count)),
        symmetry=torch.ones(count, dtype=torch.int64),
        pick_log_prob=-torch.arange(count).float(),
        place_log_prob=torch.zeros(count),
        reward=torch.tensor(reward),
        terminated=torch.tensor(reward) > 0.5,
        truncated=torch.zeros(count, dtype=torch.bool),
        valid=torch.tensor(valid),
        group=torch.arange(count) // samples,
        advantage=torch.zeros(count),
    )


def rollout(steps: list[Transition], *, samples: int = 2, branched: bool = False) -> Rollout:
    made = Rollout(
        transitions=tuple(steps), encoded=(None,) * len(steps), samples=samples, branched=branched, starts=()
    )
    encoded = tuple(made.pictures(t) for t in range(len(steps)))  # the row of each picture
    return Rollout(**{**vars(made), "encoded": encoded})


def two_steps(*, branched: bool = False) -> Rollout:
    # Two groups of two. Rollout 1 ends after its first step; group 0 earns (0.25 + 0.75, 0), group 1 (0, 0).
    first = step(2, [0.25, 0.0, 0.0, 0.0], [True] * 4)
    second = step(2, [0.75, 9.0, 0.0, 0.0], [True, False, True, True])  # 9 is padding and must not count
    return rollout([first, second], branched=branched)


@pytest.mark.parametrize("branched", [False, True])
def test_terms_come_to_what_episodes_were_paid_by_each(branched: bool) -> None:
    made = two_steps(branched=branched)
    told = torch.stack([step.reward * step.valid for step in made.transitions])
    made = replace(made, terms={"half": told / 2.0, "rest": told * 3.0})
    found = summarise([made, made], "state" if branched else "episode")
    assert found.terms == {
        "half": pytest.approx(found.episodic_return / 2.0),
        "rest": pytest.approx(found.episodic_return * 3.0),
    }


def test_a_term_that_other_rollouts_lack_is_nothing_there() -> None:
    made = two_steps()
    found = summarise([replace(made, terms={"rare": torch.ones(2, 4)}), made], "episode")
    assert found.terms == {"rare": 1.0}  # 2 in each episode of the one, 0 in those of the other


def test_a_groups_first_decisions_share_a_row_and_later_ones_have_their_own() -> None:
    wide, single = fold(two_steps(), "episode")
    assert wide.batch.advantage.tolist() == [[1.0, -1.0], [0.0, 0.0]]
    assert wide.batch.pick_log_prob.tolist() == [[0.0, -1.0], [-2.0, -3.0]]
    assert wide.batch.action.pick.shape == (2, 2, 2)
    assert wide.batch.action.pick[1, 1].tolist() == [1, 0]  # cell 3
    assert len(wide.batch.observation.instruction) == 2
    assert wide.batch.encoded.tolist() == [0, 2]
    # The second step has three decisions, each with its episode's advantage.
    assert single.batch.advantage.tolist() == [[1.0], [0.0], [0.0]]
    assert single.batch.pick_log_prob.tolist() == [[0.0], [-2.0], [-3.0]]
    assert single.batch.encoded.tolist() == [0, 2, 3]
    assert [part.mixed.tolist() for part in (wide, single)] == [[True, False], [True, False, False]]


def test_rewards_to_go_compare_what_is_still_to_come_with_zero_for_those_that_are_over() -> None:
    wide, single = fold(two_steps(), "to_go")
    assert wide.batch.advantage.tolist() == [[1.0, -1.0], [0.0, 0.0]]
    # At the second step rollout 0 has 0.75 to come and rollout 1, which is over, 0.
    assert single.batch.advantage.tolist() == [[0.75], [0.0], [0.0]]
    assert single.mixed.tolist() == [True, False, False]


def test_states_compare_their_own_rewards_in_rows_of_k_at_every_step() -> None:
    first = step(2, [0.5, 0.0, 0.25, 0.25], [True] * 4)
    second = step(2, [0.0, 0.0, 0.0, 0.5], [False, False, True, True])
    parts = fold(rollout([first, second], branched=True), "state")
    assert [part.batch.advantage.tolist() for part in parts] == [[[0.5, -0.5], [0.0, 0.0]], [[-0.5, 0.5]]]
    assert [part.mixed.tolist() for part in parts] == [[True, False], [True]]
    assert parts[1].batch.encoded.tolist() == [2]


def test_what_is_left_out_counts_as_zero_among_its_own_kind() -> None:
    parts = fold(two_steps(), "episode")
    wide, single = joined(parts, [part.mixed for part in parts])
    # One of two groups stays, and of three later decisions one: the means over all are as they were.
    assert wide.advantage.tolist() == [[0.5, -0.5]]
    assert single.advantage.tolist() == [[pytest.approx(1.0 / 3.0)]]


def test_the_figures_of_episodes_are_plain_means() -> None:
    stats = summarise([two_steps()], "episode")
    assert (stats.rollouts, stats.decisions, stats.groups) == (4, 7, 2)
    assert (stats.episodic_return, stats.success, stats.mixed_groups) == (0.25, 0.25, 0.5)


def test_the_figures_of_states_count_the_states_visited() -> None:
    first = step(2, [0.75, 0.0, 0.25, 0.25], [True] * 4)
    second = step(2, [0.0, 1.0, 0.5, 0.0], [True] * 4)
    stats = summarise([rollout([first, second], branched=True)], "state")
    assert (stats.rollouts, stats.decisions, stats.groups, stats.mixed_groups) == (4, 8, 4, 0.75)
    # Scene 0: half of the outcomes succeed at once, half go on, of which half succeed: 0.5 + 0.5 * 0.5. Scene 1: never.
    assert stats.success == pytest.approx(0.75 / 2)
    # Scene 0: 0.375 + 0.5 * 0.5; scene 1: 0.25 + 1.0 * 0.25.
    assert stats.episodic_return == pytest.approx((0.625 + 0.5) / 2)


def one_more_than_the_pick(batch: GroupBatch) -> torch.Tensor:
    """A divergence of i + 1 for the i-th rollout, which picks cell i."""
    return batch.action.pick[..., 0] * 3.0 + batch.action.pick[..., 1] + 1.0


def test_an_episodes_kl_is_the_sum_over_its_steps_and_what_follows_its_end_adds_nothing() -> None:
    made = two_steps()
    found = episodic_kl([made], [fold(made, "episode")], "episode", one_more_than_the_pick)
    assert found == pytest.approx((2 * 1 + 1 * 2 + 2 * 3 + 2 * 4) / 4)


def test_a_chains_kl_counts_its_steps_by_the_share_of_episodes_that_reach_them() -> None:
    made = rollout([step(2, [0.75, 0.0, 0.25, 0.25], [True] * 4), step(2, [0.0] * 4, [True] * 4)], branched=True)
    found = episodic_kl([made], [fold(made, "state")], "state", one_more_than_the_pick)
    # Scene 0, whose decisions are 1 and 2 apart: half of it ends at once. Scene 1, 3 and 4 apart: all goes on.
    assert found == pytest.approx((1.5 * (1.0 + 0.5) + 3.5 * 2.0) / 2)


def test_the_true_return_is_what_the_task_grew_by_whatever_was_paid() -> None:
    made = two_steps()
    assert summarise([made], "episode").true_return is None
    gains = (torch.tensor([0.5, 0.0, 0.5, 0.5]), torch.tensor([0.5, 9.0, 0.0, -0.25]))  # 9 is padding
    stats = summarise([Rollout(**{**vars(made), "gains": gains})], "episode")
    assert stats.true_return == pytest.approx((1.0 + 0.0 + 0.5 + 0.25) / 4)
    assert stats.episodic_return == 0.25
