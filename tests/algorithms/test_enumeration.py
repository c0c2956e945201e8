"""RLOO's gradients for a transporter on 3 x 3 pixels with 2 rotations, against sums over all of its 162 actions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robo_rlft.algorithms.losses import leave_one_out_advantage
from robo_rlft.algorithms.rloo import Rloo
from robo_rlft.algorithms.rollouts import GroupBatch
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
    for pair in pairs.split(3000):
        weight = probability[pair].prod(dim=1).detach()
        # The loss is a mean over groups and linear in the advantage, so the groups' weights may go there.
        advantage = leave_one_out_advantage(reward[pair]) * (weight * len(pair))[:, None]
        batch = GroupBatch(
            observation=scene(len(pair)),
            action=actions(pair // PLACES, pair % PLACES),
            pick_log_prob=every.pick_log_prob[0].detach()[pair],
            place_log_prob=every.place_log_prob[0].detach()[pair],
            advantage=advantage,
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
