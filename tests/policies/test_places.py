"""The place factor a few picks at a time, against the whole maps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robo_rlft.geometry import Workspace
from robo_rlft.policies import places
from robo_rlft.policies.factors import draw
from robo_rlft.policies.places import _invert
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.records import PickPlace
from tests.policies.fakes import SQUARE, scenes
from tests.policies.test_transporter import make

ODD = Workspace(x_min=0.0, x_max=0.07, y_min=0.0, y_max=0.09, pixel_size=0.01)  # 9 x 7
GRIDS = [SQUARE, ODD]


def some_actions(workspace: Workspace, *, rotations: int, batch: int = 2, count: int = 3) -> PickPlace:
    generator = torch.Generator().manual_seed(0)
    limit = torch.tensor(workspace.shape)
    pick, place = (
        (torch.rand(batch, count, 2, generator=generator, dtype=torch.float64) * limit).long() for _ in range(2)
    )
    return PickPlace(pick=pick, place=place, rotation=torch.randint(rotations, (batch, count), generator=generator))


def gradients(policy: TransporterPolicy, loss: Tensor) -> Tensor:
    weights = [p for p in policy.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, weights, allow_unused=True, retain_graph=True)
    pairs = zip(weights, found, strict=True)
    return torch.cat([torch.zeros_like(w).flatten() if g is None else g.flatten() for w, g in pairs])


@pytest.mark.parametrize("workspace", GRIDS)
@pytest.mark.parametrize("numbers", [1, 2**30])
def test_scores_divergences_and_gradients_are_those_of_the_whole_maps(
    workspace: Workspace, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_NUMBERS", numbers)
    policy, reference = (make(workspace=workspace, seed=seed).double() for seed in (0, 5))
    encoded, action = policy.encode(scenes(workspace, 2)), some_actions(workspace, rotations=4)
    compared = policy.compare(encoded, action, reference=reference)
    factors = policy.factors(encoded, action.pick)
    scores, (pick_kl, place_kl) = factors.scores(action), factors.kl(reference.factors(encoded, action.pick))
    torch.testing.assert_close(compared.pick_kl, pick_kl)
    for name in ("pick_log_prob", "pick_entropy"):
        torch.testing.assert_close(getattr(compared.scores, name), getattr(scores, name))
    pairs = [
        (compared.scores.place_log_prob, scores.place_log_prob),
        (compared.scores.place_entropy, scores.place_entropy),
        (compared.place_kl, place_kl),
    ]
    pairs.append(
        (sum(i * ours for i, (ours, _) in enumerate(pairs, 1)), sum(i * w for i, (_, w) in enumerate(pairs, 1)))
    )
    weight = torch.linspace(-1.0, 2.0, 6, dtype=torch.float64).view(2, 3)  # so that no two errors cancel
    for ours, whole in pairs:
        torch.testing.assert_close(ours, whole)
        expected = gradients(policy, (weight * whole).sum())
        assert expected.abs().max() > 1e-3
        torch.testing.assert_close(gradients(policy, (weight * ours).sum()), expected, rtol=1e-6, atol=1e-9)


def test_large_queries_are_correlated_by_fourier_transforms_with_the_same_scores() -> None:
    workspace = Workspace(x_min=0.0, x_max=0.2, y_min=0.0, y_max=0.2, pixel_size=0.004)  # 50 x 50; crops of 19 cells
    policy = make(workspace=workspace)
    encoded, action = policy.encode(scenes(workspace, 2)), some_actions(workspace, rotations=4)
    assert policy.place_head.cells == 19
    compared, factors = policy.compare(encoded, action), policy.factors(encoded, action.pick)
    torch.testing.assert_close(compared.scores.place_log_prob, factors.scores(action).place_log_prob, rtol=0, atol=1e-4)
    assert not compared.place_kl.any()


@pytest.mark.parametrize("workspace", GRIDS)
def test_draws_are_those_from_the_whole_map_in_the_order_of_rotation_row_and_column(workspace: Workspace) -> None:
    policy = make(workspace=workspace).double()
    encoded = policy.encode(scenes(workspace, 2))
    decision = policy.act(scenes(workspace, 2), samples=50, generator=torch.Generator().manual_seed(3), encoded=encoded)
    uniform = torch.rand(2, 2, 50, generator=torch.Generator().manual_seed(3), dtype=torch.float64)[1]
    whole = policy.factors(encoded, decision.action.pick).place.flatten(2)  # (2, 50, R H W)
    expected = draw(whole.flatten(0, 1), uniform.view(-1, 1)).view(2, 50)
    action, (rows, columns) = decision.action, workspace.shape
    assert torch.equal((action.rotation * rows + action.place[..., 0]) * columns + action.place[..., 1], expected)
    torch.testing.assert_close(decision.place_log_prob, whole.gather(2, expected[..., None])[..., 0])
    torch.testing.assert_close(decision.pick_log_prob + decision.place_log_prob, decision.log_prob)


def test_what_has_no_mass_is_never_drawn() -> None:
    mass = torch.tensor([[0.0, 0.2, 0.0, 0.5, 0.3, 0.0]])
    for number, index, rest in ((0.0, 1, 0.0), (0.1, 1, 0.5), (0.2, 3, 0.0), (0.95, 4, 5 / 6), (1.0, 4, 1.0)):
        drawn = _invert(mass, torch.tensor([number], dtype=torch.float64))
        assert drawn.index.item() == index
        assert drawn.rest.item() == pytest.approx(rest, abs=1e-6)


@pytest.mark.parametrize("name", ["pick", "place", "rotation"])
def test_an_action_beside_the_maps_is_refused(name: str) -> None:
    policy, scene = make(), scenes(SQUARE, 2)
    action = some_actions(SQUARE, rotations=4)
    wrong = PickPlace(**{**vars(action), name: getattr(action, name) + 99})
    with pytest.raises(ValueError, match="expected a (row|rotation)"):
        policy.compare(policy.encode(scene), wrong)
