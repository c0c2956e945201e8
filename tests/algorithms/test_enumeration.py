"""RLOO's gradients against sums over everything that can happen.

A transporter on 3 x 3 pixels with 2 rotations has 162 actions. A task of two steps has three: 0 and 1 lead to a state
of their own, where any of the three ends it, and 2 ends it at once.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from robo_rlft.algorithms.credit import Credit, Rewards, advantages, value
from robo_rlft.algorithms.groups import GroupBatch
from robo_rlft.algorithms.losses import leave_one_out_advantage
from robo_rlft.algorithms.rloo import Rloo
from robo_rlft.geometry import Workspace
from robo_rlft.models.fusion import SimilarityFusion
from robo_rlft.models.streams import ConvStream
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.records import Observation, PickPlace
from tests.algorithms.table_policy import PLACES, actions
from tests.policies.fakes import ColorEncoder

SENTENCE = "put the red block in the green bowl"
TINY = Workspace(x_min=0.0, x_max=0.3, y_min=0.0, y_max=0.3, pixel_size=0.1)  # 3 x 3


def make_policy(seed: int, *, precision: str = "float32") -> TransporterPolicy:
    """Return a policy in float64 whose every weight is a random number."""
    policy = TransporterPolicy(
        encoder=ColorEncoder(stride=1),
        fusion=SimilarityFusion(prior_scale=1.0),
        stream=ConvStream(width=4, dilations=(1,)),
        workspace=TINY,
        rotations=2,
        crop_size=0.3,
        place_channels=2,
        precision=precision,
    ).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return policy


def scene(batch: int) -> Observation:
    """Return one scene `batch` times: nine pixels of random colours, all high enough to be picked."""
    generator = torch.Generator().manual_seed(7)
    color = torch.randint(0, 256, (1, 3, 3, 3), generator=generator, dtype=torch.uint8)
    height = 0.02 + 0.08 * torch.rand(1, 3, 3, generator=generator)
    return Observation(
        color=color.expand(batch, -1, -1, -1), height=height.expand(batch, -1, -1), instruction=(SENTENCE,) * batch
    )


def every_action() -> PickPlace:
    index = torch.arange(9 * PLACES)
    return actions(index // PLACES, index % PLACES)[None]


def gradients(loss: Tensor, policy: TransporterPolicy) -> Tensor:
    weights = [p for p in policy.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return torch.cat(
        [torch.zeros_like(w).flatten() if g is None else g.flatten() for w, g in zip(weights, found, strict=True)]
    )


def test_rloo_over_all_pairs_of_actions_is_the_policy_gradient() -> None:
    policy = make_policy(1)
    module = Rloo(policy=policy)
    reward = torch.rand(162, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    every = policy.evaluate_actions(scene(1), every_action())
    probability = every.log_prob[0].exp()
    assert probability.sum().item() == pytest.approx(1.0, abs=1e-12)
    exact = gradients((probability * reward).sum(), policy)

    averaged = torch.zeros_like(exact)
    pairs = torch.cartesian_prod(torch.arange(162), torch.arange(162))  # every ordered pair, with itself too
    for pair in pairs.split(7000):
        weight = probability[pair].prod(dim=1).detach()
        # The loss is a mean over decisions and linear in the advantage, so the groups' weights may go there, and as
        # all groups are of one scene, they may share its row.
        advantage = leave_one_out_advantage(reward[pair]) * (weight * len(pair))[:, None]
        pair = pair.flatten()
        batch = GroupBatch(
            observation=scene(1),
            action=actions(pair // PLACES, pair % PLACES)[None],
            pick_log_prob=every.pick_log_prob[0].detach()[pair][None],
            place_log_prob=every.place_log_prob[0].detach()[pair][None],
            advantage=advantage.view(1, -1),
        )
        averaged += gradients(module.losses(batch).policy_loss, policy)
    assert exact.abs().max() > 1e-3
    assert (averaged + exact).abs().max() < 1e-5  # the loss is minus the objective


def test_the_kl_over_all_picks_is_exact_in_value_and_gradient() -> None:
    reference, policy = make_policy(2), make_policy(1)
    module = Rloo(policy=reference)  # whose copy becomes the reference
    module.policy = policy
    scores, theirs = (p.evaluate_actions(scene(1), every_action()) for p in (policy, reference))
    exact = (scores.log_prob.exp() * (scores.log_prob - theirs.log_prob.detach())).sum()  # over 162 actions
    exact_gradient = gradients(exact, policy)

    total, gradient = 0.0, torch.zeros_like(exact_gradient)
    for cell in range(9):
        action = actions(torch.tensor([[cell]]), torch.tensor([[0]]))
        old = policy.evaluate_actions(scene(1), action)
        batch = GroupBatch(
            observation=scene(1),
            action=action,
            pick_log_prob=old.pick_log_prob.detach(),
            place_log_prob=old.place_log_prob.detach(),
            advantage=torch.zeros(1, 1, dtype=torch.float64),
        )
        kl = module.losses(batch).kl
        probability = old.pick_log_prob.exp().item()
        total += probability * kl.item()
        gradient += probability * gradients(kl, policy)
    assert exact.item() > 0.05
    assert total == pytest.approx(exact.item(), abs=1e-5)
    assert (gradient - exact_gradient).abs().max() < 1e-5


def test_the_divergence_over_the_policys_own_picks_is_the_exact_kl() -> None:
    reference, policy = make_policy(2), make_policy(1)
    module = Rloo(policy=reference)
    module.policy = policy
    scores, theirs = (p.evaluate_actions(scene(1), every_action()) for p in (policy, reference))
    exact = (scores.log_prob.exp() * (scores.log_prob - theirs.log_prob)).sum().item()
    nothing = torch.zeros(1, 9, dtype=torch.float64)
    action = actions(torch.arange(9)[None], torch.zeros(1, 9, dtype=torch.int64))  # every pick, any place
    batch = GroupBatch(
        observation=scene(1), action=action, pick_log_prob=nothing, place_log_prob=nothing, advantage=nothing
    )
    chances = policy.evaluate_actions(scene(1), action).pick_log_prob.exp()
    assert (chances * module.divergence(batch)).sum().item() == pytest.approx(exact, abs=1e-5)
    assert exact > 0.05


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("minibatch", [8, 3])
def test_the_ratio_is_one_for_actions_of_the_policy_itself(precision: str, minibatch: int) -> None:
    policy = make_policy(3, precision=precision).float()
    module = Rloo(policy=policy)
    seen = scene(8)
    decision = policy.act(seen, samples=4, generator=torch.Generator().manual_seed(0))
    scores = policy.evaluate_actions(seen, decision.action)
    torch.testing.assert_close(decision.log_prob, scores.log_prob.detach(), atol=1e-3, rtol=0.0)
    batch = GroupBatch(
        observation=seen,
        action=decision.action,
        pick_log_prob=scores.pick_log_prob.detach(),
        place_log_prob=scores.place_log_prob.detach(),
        advantage=torch.ones(8, 4),
    )[:minibatch]
    module.check_ratio(batch, module.losses(batch).scores)


END = 2  # the action that ends the episode at the first step
PAID = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64)  # at the first step
PAID_LATER = torch.tensor([[0.5, 0.1, -0.4], [0.0, 0.8, 0.2]], dtype=torch.float64)  # in either state
WINS_LATER = torch.tensor([[True, False, False], [False, True, False]])  # 2 wins at the first step


@dataclass(frozen=True)
class TwoSteps:
    """Every outcome of a group of two decisions a step, with its probability; states are -1 where there is none."""

    weight: Tensor  # (G,)
    first: Tensor  # int64 (G, 2), actions
    state: Tensor  # int64 (G, 2), where each decision of the second step is made
    second: Tensor  # int64 (G, 2)

    def rewards(self) -> Rewards:
        there, state = self.state >= 0, self.state.clamp(min=0)
        later = torch.where(there, PAID_LATER[state, self.second], 0.0)
        ended = torch.stack([self.first == END, there & WINS_LATER[state, self.second]])
        return Rewards(
            reward=torch.stack([PAID[self.first], later]),
            valid=torch.stack([torch.ones_like(there), there]),
            terminated=ended,
            done=torch.stack([self.first == END, there]),
        )

    def log_prob(self, logits: Tensor) -> Tensor:
        """Return the log-probabilities (2, G, 2) of the decisions under logits (3, 3): the start's, then a state's."""
        table = logits.log_softmax(1)
        later = torch.where(self.state >= 0, table[self.state.clamp(min=0) + 1, self.second], 0.0)
        return torch.stack([table[0][self.first], later])


def groups(logits: Tensor, *, branched: bool) -> TwoSteps:
    prob = logits.detach().softmax(1)
    weight, first, state, second = [], [], [], []

    def add(chance: Tensor, one: tuple[int, int], where: tuple[int, int]) -> None:
        for then in itertools.product(range(3), repeat=2):
            told = [(s, a) for s, a in zip(where, then, strict=True) if s >= 0]
            if any(s < 0 and a > 0 for s, a in zip(where, then, strict=True)):
                continue  # nothing is decided there: once is enough
            weight.append(chance * math.prod(float(prob[s + 1, a]) for s, a in told))
            first.append(one), state.append(where), second.append(then)

    for one in itertools.product(range(3), repeat=2):
        chance, alive = prob[0, list(one)].prod(), [a for a in one if a != END]
        if not branched:
            add(chance, one, tuple(a if a != END else -1 for a in one))
        elif not alive:
            add(chance, one, (-1, -1))
        for source in alive if branched else []:
            add(chance / len(alive), one, (source, source))
    return TwoSteps(torch.stack([torch.as_tensor(w) for w in weight]), *map(torch.tensor, (first, state, second)))


def gradient_of_groups(logits: Tensor, credit: Credit) -> Tensor:
    made = groups(logits, branched=credit == "state")
    assert made.weight.sum().item() == pytest.approx(1.0)
    paid = made.rewards()
    surrogate = (advantages(paid, credit) * made.log_prob(logits) * paid.valid).sum(dim=0).mean(dim=1)
    return torch.autograd.grad((made.weight * surrogate).sum(), logits)[0]


def some_logits() -> Tensor:
    values = torch.randn(3, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return values.requires_grad_()


def expected_return(logits: Tensor) -> Tensor:
    prob = logits.softmax(1)
    return prob[0] @ PAID + (prob[0, :2, None] * prob[1:] * PAID_LATER).sum()


@pytest.mark.parametrize("credit", ["episode", "to_go"])
def test_credit_of_episodes_gives_the_gradient_of_the_expected_return(credit: Credit) -> None:
    logits = some_logits()
    exact = torch.autograd.grad(expected_return(logits), logits)[0]
    assert exact.abs().min() > 1e-4
    torch.testing.assert_close(gradient_of_groups(logits, credit), exact)


def test_credit_of_states_gives_the_gradient_of_immediate_rewards_where_the_policy_goes() -> None:
    logits = some_logits()
    prob = logits.softmax(1)
    # The second step is reached unless both decisions of the first end it; then by an outcome that did not.
    ends = prob[0, END].detach()
    visited = (1.0 - ends**2) * prob[0, :2].detach() / (1.0 - ends)
    immediate = prob[0] @ PAID + (visited[:, None] * prob[1:] * PAID_LATER).sum()
    exact = torch.autograd.grad(immediate, logits)[0]
    torch.testing.assert_close(gradient_of_groups(logits, "state"), exact)
    true = torch.autograd.grad(expected_return(logits), logits)[0]
    assert (true[0] - exact[0]).abs().max() > 0.01  # myopic: the first decision is not paid for what it leads to


@pytest.mark.parametrize("branched", [False, True])
def test_return_and_success_are_told_without_bias_from_episodes_and_from_chains(branched: bool) -> None:
    prob = some_logits().detach().softmax(1)
    success = prob[0, END] + (prob[0, :2, None] * prob[1:] * WINS_LATER).sum()
    made = groups(some_logits(), branched=branched)
    found = value(made.rewards(), branched=branched)
    assert (made.weight * found.episodic_return).sum().item() == pytest.approx(expected_return(some_logits()).item())
    assert (made.weight * found.success).sum().item() == pytest.approx(success.item())
