from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import pytest
import torch

from robo_rlft.geometry import Workspace
from robo_rlft.language.instruction import InstructionError
from robo_rlft.models.fusion import SimilarityFusion, TiledFusion
from robo_rlft.models.streams import ConvStream, TwoStream
from robo_rlft.policies.transporter import TransporterPolicy, crop_cells
from robo_rlft.records import Observation, PickPlace, Policy, concatenate
from tests.policies.fakes import SQUARE, ColorEncoder, scenes

TINY = Workspace(x_min=0.0, x_max=0.3, y_min=0.0, y_max=0.3, pixel_size=0.1)


def make(
    *,
    workspace: Workspace = SQUARE,
    rotations: int = 4,
    trained: bool = True,
    seed: int = 0,
    fusion: SimilarityFusion | TiledFusion | None = None,
    precision: str = "float32",
    picture: str = "height",
) -> TransporterPolicy:
    """A small policy; `trained` fills in what starts at zero."""
    torch.manual_seed(seed)
    policy = TransporterPolicy(
        encoder=ColorEncoder(stride=1),
        fusion=fusion or SimilarityFusion(),
        stream=TwoStream(width=4, dilations=(1, 2))
        if isinstance(fusion, TiledFusion)
        else ConvStream(width=8, dilations=(1, 2)),
        workspace=workspace,
        rotations=rotations,
        precision=precision,
        picture=picture,
    )
    if trained:
        for name, parameter in policy.named_parameters():
            if "encoder" not in name and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.3)
    return policy.eval()


@pytest.mark.parametrize(("picture", "reads"), [("height", False), ("rgbd", True)])
def test_colours_reach_the_stream_through_the_encoder_alone_unless_it_sees_them(picture: str, reads: bool) -> None:
    policy, scene = make(picture=picture), scenes(SQUARE, 2)
    encoded, recoloured = policy.encode(scene), policy.encode(replace(scene, color=255 - scene.color))
    assert not torch.equal(encoded.dense, recoloured.dense)
    picks = torch.tensor([[3, 4], [10, 20]])
    ours, theirs = (policy._perceive(replace(encoded, image=one.image)).features for one in (encoded, recoloured))
    assert torch.equal(ours, theirs) is not reads
    assert policy.place_logits(encoded, picks).shape == (2, 4, *SQUARE.shape)


def test_an_unknown_picture_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="picture is one of height, rgbd; got 'gray'"):
        make(picture="gray")


def everything(policy: TransporterPolicy) -> PickPlace:
    """Every action of a policy, (1, all)."""
    pixels = list(itertools.product(range(policy.workspace.rows), range(policy.workspace.columns)))
    rows = list(itertools.product(pixels, pixels, range(policy.rotations)))
    return PickPlace(
        pick=torch.tensor([[r[0] for r in rows]]),
        place=torch.tensor([[r[1] for r in rows]]),
        rotation=torch.tensor([[r[2] for r in rows]]),
    )


def flat_scene(workspace: Workspace, batch: int = 1) -> Observation:
    scene = scenes(workspace, batch)
    return Observation(color=scene.color, height=torch.zeros_like(scene.height), instruction=scene.instruction)


def test_it_is_a_policy() -> None:
    assert isinstance(make(), Policy)


def test_probabilities_of_all_162_actions_sum_to_one_in_float64() -> None:
    policy = make(workspace=TINY, rotations=2).double()
    actions = everything(policy)
    scores = policy.evaluate_actions(flat_scene(TINY), actions)
    assert actions.rotation.shape == (1, 162)
    assert scores.log_prob.dtype is torch.float64
    assert torch.isclose(scores.log_prob.exp().sum(), torch.ones((), dtype=torch.float64), atol=1e-12)


def test_entropies_are_those_of_the_enumerated_factors() -> None:
    policy = make(workspace=TINY, rotations=2).double()
    scores = policy.evaluate_actions(flat_scene(TINY), everything(policy))
    place = scores.place_log_prob[0].view(9, 18)  # actions run over places and rotations fastest
    pick = scores.pick_log_prob[0].view(9, 18)[:, 0]
    assert torch.allclose(scores.place_entropy[0].view(9, 18)[:, 0], -(place.exp() * place).sum(dim=1))
    assert torch.allclose(scores.pick_entropy[0, 0], -(pick.exp() * pick).sum())


def test_an_untrained_policy_is_exactly_the_prior() -> None:
    policy, scene = make(trained=False), scenes(SQUARE, 2)
    maps = policy.maps(scene)
    mask = scene.height > 0.005
    pick = (12.0 * maps.similarity[:, 0]).masked_fill(~mask, -torch.inf).flatten(1).softmax(1)
    place = (12.0 * maps.similarity[:, 1]).flatten(1).softmax(1) / policy.rotations
    assert torch.allclose(maps.pick.flatten(1), pick, atol=1e-7)
    for rotation in range(policy.rotations):
        assert torch.allclose(maps.place[:, rotation].flatten(1), place, atol=1e-7)


def test_an_untrained_policy_takes_the_red_block_to_the_green_bowl() -> None:
    scene = scenes(SQUARE, 4, seed=3)
    action = make(trained=False).act(scene, greedy=True).action
    for i in range(4):
        assert scene.color[i, :, action.pick[i, 0], action.pick[i, 1]].tolist() == [255, 0, 0]
        assert scene.color[i, :, action.place[i, 0], action.place[i, 1]].tolist() == [0, 255, 0]


def test_every_trained_part_gets_a_gradient_within_two_steps() -> None:
    policy, scene = make(trained=False), scenes(SQUARE, 2)
    action = policy.act(scene, generator=torch.Generator().manual_seed(0)).action
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    for _ in range(3):  # what follows a layer that starts at zero gets its gradient one step later
        optimizer.zero_grad()
        (-policy.evaluate_actions(scene, action).log_prob.sum()).backward()
        optimizer.step()
    still = [n for n, p in policy.named_parameters() if "encoder" not in n and (p.grad is None or not p.grad.any())]
    assert still == []


def test_the_mask_is_a_function_of_the_height_alone_and_all_true_where_nothing_stands() -> None:
    policy, scene = make(), scenes(SQUARE, 1)
    assert torch.equal(policy.encode(scene).mask, scene.height > 0.005)
    assert policy.encode(flat_scene(SQUARE)).mask.all()


def test_a_pick_beside_the_mask_has_log_probability_minus_infinity_and_nothing_is_nan() -> None:
    policy, scene = make(), scenes(SQUARE, 1)
    row, column = (scene.height[0] <= 0.005).nonzero()[0].tolist()
    action = PickPlace(pick=torch.tensor([[row, column]]), place=torch.tensor([[0, 0]]), rotation=torch.tensor([0]))
    scores = policy.evaluate_actions(scene, action)
    assert scores.log_prob.item() == -torch.inf
    assert all(torch.isfinite(x).all() for x in (scores.place_log_prob, scores.pick_entropy, scores.place_entropy))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "auto"])
def test_acting_and_scoring_agree_to_the_bit_in_any_batch(precision: str) -> None:
    policy, scene = make(precision=precision), scenes(SQUARE, 7)  # more than acting looks at at once
    decision = policy.act(scene, samples=3, generator=torch.Generator().manual_seed(1))
    scores = policy.evaluate_actions(scene, decision.action)
    some = policy.evaluate_actions(scene[1:3], decision.action[1:3])
    assert decision.log_prob.shape == (7, 3)
    assert torch.equal(scores.log_prob, decision.log_prob)
    assert torch.equal(some.log_prob, scores.log_prob[1:3])


def test_what_is_encoded_once_gives_the_same_answers() -> None:
    policy, scene = make(), scenes(SQUARE, 3)
    encoded = concatenate([policy.encode(scene[:1]), policy.encode(scene[1:])])
    plain = policy.act(scene, samples=2, generator=torch.Generator().manual_seed(0))
    again = policy.act(scene, samples=2, generator=torch.Generator().manual_seed(0), encoded=encoded)
    assert torch.equal(plain.log_prob, again.log_prob)
    scores = policy.evaluate_actions(scene, plain.action, encoded=encoded)
    assert torch.equal(scores.log_prob, plain.log_prob)


def test_the_same_generator_gives_the_same_actions_and_another_does_not() -> None:
    policy, scene = make(), scenes(SQUARE, 2)
    first, second, other = (
        policy.act(scene, samples=8, generator=torch.Generator().manual_seed(seed)).action.place for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_greedy_takes_the_likeliest_pick_then_the_likeliest_place() -> None:
    policy, scene = make(), scenes(SQUARE, 2)
    action, maps = policy.act(scene, greedy=True).action, policy.maps(scene)
    assert torch.equal(action.pick, maps.chosen)
    for i in range(2):
        assert maps.place[i, action.rotation[i], action.place[i, 0], action.place[i, 1]] == maps.place[i].max()


def test_one_observation_gives_one_decision() -> None:
    policy, scene = make(), scenes(SQUARE, 2)
    one = scene[1]
    decision = policy.act(one, greedy=True)
    assert decision.log_prob.shape == ()
    assert decision.action.pick.tolist() == policy.act(scene, greedy=True).action.pick[1].tolist()
    assert policy.act(one, samples=3).action.pick.shape == (3, 2)
    assert policy.evaluate_actions(one, decision.action).log_prob == decision.log_prob
    assert policy.maps(one).place.shape == (4, 32, 32)


def test_kl_equals_the_enumerated_sum_and_is_zero_to_itself() -> None:
    policy, reference = make(workspace=TINY, rotations=2).double(), make(workspace=TINY, rotations=2, seed=5).double()
    scene, actions = flat_scene(TINY), everything(policy)
    picks = actions.pick[:, ::18]
    pick_kl, place_kl = policy.kl(scene, reference, picks)
    p = policy.evaluate_actions(scene, actions).log_prob
    q = reference.evaluate_actions(scene, actions).log_prob
    own = policy.evaluate_actions(scene, actions).pick_log_prob[:, ::18].exp()
    assert torch.allclose(pick_kl + (own * place_kl).sum(dim=1), (p.exp() * (p - q)).sum(dim=1))
    assert all(torch.equal(x, torch.zeros_like(x)) for x in policy.kl(scene, copy.deepcopy(policy), picks))


def test_kl_is_known_between_policies_that_see_different_pictures() -> None:
    policy, reference, scene = make(), make(picture="rgbd"), scenes(SQUARE, 1)
    pick_kl, place_kl = policy.kl(scene, reference, torch.tensor([[[3, 4], [5, 6]]]))
    assert pick_kl.min() > 0
    assert place_kl.shape == (1, 2)


def test_kl_has_gradients_for_this_policy_alone() -> None:
    policy, reference, scene = make(), make(seed=5), scenes(SQUARE, 1)
    pick_kl, place_kl = policy.kl(scene, reference, torch.tensor([[[3, 4], [5, 6]]]))
    (pick_kl.sum() + place_kl.sum()).backward()
    assert place_kl.shape == (1, 2)
    assert policy.place_head.key.weight.grad is not None
    assert all(p.grad is None for p in reference.parameters())


def test_naming_what_is_not_there_lowers_the_confidence() -> None:
    policy, scene = make(), scenes(SQUARE, 1)
    color = scene.color.clone()
    color[:, 0] = 0  # nothing red is left
    without = Observation(color=color, height=scene.height, instruction=scene.instruction)
    assert policy.act(scene, greedy=True).confidence.item() > 0.8
    assert policy.act(without, greedy=True).confidence.item() < 0.2


def test_a_sentence_without_both_noun_phrases_is_refused() -> None:
    with pytest.raises(InstructionError, match="found no words for where"):
        make().act(scenes(SQUARE, 1, sentence="pick up the red block"))


def test_maps_of_another_workspace_are_refused() -> None:
    with pytest.raises(ValueError, match="workspace"):
        make().act(scenes(TINY, 1))


def test_an_unfrozen_encoder_gets_a_gradient_and_a_frozen_one_none() -> None:
    for frozen in (False, True):
        policy, scene = make(), scenes(SQUARE, 1)
        if not frozen:
            policy.encoder.unfreeze()  # type: ignore[attr-defined]
        action = policy.act(scene, greedy=True).action
        policy.evaluate_actions(scene, action).log_prob.sum().backward()
        gain = policy.encoder.gain  # type: ignore[attr-defined]
        assert (gain.grad is None) == frozen


@pytest.mark.parametrize("fusion", [SimilarityFusion, TiledFusion])
@pytest.mark.parametrize("pixel_size", [0.00625, 0.003125, 0.1])
def test_any_grid_and_fusion_works(fusion: type[SimilarityFusion | TiledFusion], pixel_size: float) -> None:
    workspace = Workspace(x_min=0.0, x_max=0.3, y_min=0.0, y_max=0.5, pixel_size=pixel_size)
    policy = make(workspace=workspace, rotations=2, fusion=fusion())
    decision = policy.act(scenes(workspace, 2), samples=2)
    assert torch.isfinite(decision.log_prob).all()


def test_the_crop_is_the_least_odd_square_that_covers_its_size() -> None:
    # 15 cm are 12 cells of 12.5 mm, 24 of 6.25 mm, 1.5 of 10 cm.
    assert [crop_cells(0.15, p) for p in (0.00625, 0.003125, 0.05)] == [13, 25, 3]


def test_a_policy_acts_on_what_an_environment_gives() -> None:
    policy, scene = make(), scenes(SQUARE, 1)[0]
    seen = {"color": scene.color.permute(1, 2, 0).numpy(), "height": scene.height.numpy(), "instruction": "x"}
    seen["instruction"] = scene.instruction
    action = policy.act(seen, greedy=True).action
    expected = policy.act(scene, greedy=True).action
    assert action.to_array().tolist() == [*expected.pick.tolist(), *expected.place.tolist(), int(expected.rotation)]
    with pytest.raises(ValueError, match="expected an Observation, or a mapping with color, height, instruction"):
        policy.act({"color": seen["color"]}, greedy=True)
    with pytest.raises(ValueError, match=r"expected colour \(H, W, 3\)"):
        policy.act({**seen, "color": scene.color.numpy()}, greedy=True)


def test_a_height_map_with_nan_is_refused() -> None:
    scene = scenes(SQUARE, 1)
    scene.height[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="got 1 that are NaN or infinite"):
        make().act(scene, greedy=True)


@pytest.mark.parametrize("sentence", [5, None, "", "x" * 201, "put <end_of_text> in the bowl"])
def test_what_is_no_sentence_is_refused(sentence: object) -> None:
    scene = scenes(SQUARE, 1)[0]
    with pytest.raises(InstructionError, match="expected"):
        make().act(replace(scene, instruction=sentence), greedy=True)  # type: ignore[arg-type]
