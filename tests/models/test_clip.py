"""The encoder: shapes, freezing, precision, texts and files. Weights here are random unless a test says otherwise."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor, nn

from robo_rlft.language.instruction import InstructionError
from robo_rlft.models import clip_towers, clip_weights
from robo_rlft.models.clip import ClipEncoder
from robo_rlft.models.precision import resolve_precision


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    torch.manual_seed(0)
    return ClipEncoder(pretrained=None, precision="float32")


def _images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def _small(vision: CLIPVisionCfg) -> CLIP:
    torch.manual_seed(0)
    text = CLIPTextCfg(context_length=8, vocab_size=10, width=16, heads=2, layers=1)
    return CLIP(embed_dim=24, vision_cfg=vision, text_cfg=text).eval()


@pytest.fixture
def resnet() -> CLIP:
    return _small(CLIPVisionCfg(layers=(1, 1, 1, 1), width=8, image_size=64))


@pytest.fixture
def vit() -> CLIP:
    return _small(CLIPVisionCfg(layers=2, width=32, head_width=16, patch_size=16, image_size=64))


def test_dense_features_are_unit_vectors_on_a_quarter_grid(encoder: ClipEncoder) -> None:
    features = encoder.dense(_images(2, 3, 160, 80))
    assert features.shape == (2, 64, 40, 20)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2, 40, 20))


def test_a_picture_at_half_the_pixel_size_is_seen_at_the_scale_of_training(encoder: ClipEncoder) -> None:
    coarse = _images(1, 3, 40, 20).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    fine = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert encoder.pixel_size == 0.00625
    seen = encoder.dense(fine, pixel_size=0.003125)
    assert seen.shape == (1, 64, 40, 20)
    # The resized picture differs from the coarse one at the squares' edges only.
    agreement = (seen * encoder.dense(coarse, pixel_size=0.00625)).sum(dim=1)
    assert agreement.mean() > 0.98
    assert encoder.dense(fine).shape == (1, 64, 80, 40)


def test_a_size_that_is_no_multiple_of_the_stride_is_taken(encoder: ClipEncoder) -> None:
    assert encoder.dense(_images(1, 3, 101, 63)).shape == (1, 64, 25, 16)


def test_one_picture_has_the_same_features_alone_and_in_a_batch(encoder: ClipEncoder) -> None:
    images = _images(3, 3, 64, 48)
    torch.testing.assert_close(encoder.dense(images)[1:2], encoder.dense(images[1:2]), atol=1e-5, rtol=0)


def test_bfloat16_changes_the_features_little(encoder: ClipEncoder) -> None:
    torch.manual_seed(0)
    low = ClipEncoder(pretrained=None, precision="bfloat16")
    low.load_state_dict(encoder.state_dict())
    images = _images(1, 3, 64, 48)
    features = low.dense(images)
    assert features.dtype == torch.float32
    assert (features * encoder.dense(images)).sum(dim=1).min() > 0.99


def test_an_unknown_precision_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="auto, float32, bfloat16; got 'half'"):
        resolve_precision("half")


def test_nothing_moves_in_a_frozen_encoder_even_in_training_mode() -> None:
    encoder = ClipEncoder(pretrained=None, precision="float32")
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    nn.Sequential(encoder).train()
    features = encoder.dense(_images(2, 3, 32, 32))
    assert not features.requires_grad
    assert not any(module.training for module in encoder.modules())
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_an_unfrozen_encoder_learns_and_its_statistics_move() -> None:
    encoder = ClipEncoder(pretrained=None, precision="float32")
    encoder.unfreeze()
    encoder.train()
    before = encoder.model.visual.bn1.running_mean.clone()
    (encoder.dense(_images(2, 3, 32, 32)).mean() + encoder.text(["red block"]).sum()).backward()
    assert encoder.model.visual.conv1.weight.grad is not None
    assert encoder.model.token_embedding.weight.grad is not None
    assert not torch.equal(encoder.model.visual.bn1.running_mean, before)


def test_resnet_cells_of_an_even_picture_equal_the_pooled_feature(
    resnet: CLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where all cells are alike and have no position, attention averages equal values: pool and cell agree.
    monkeypatch.setattr(clip_towers, "_resnet_trunk", lambda visual, image: image)
    pool = resnet.visual.attnpool
    with torch.no_grad():
        pool.positional_embedding.zero_()
        cells = torch.randn(1, 256, 1, 1, generator=torch.Generator().manual_seed(0)).expand(1, 256, 2, 2)
        features, pooled = clip_towers.dense_features(resnet.visual, cells), pool(cells)
    torch.testing.assert_close(features, pooled[:, :, None, None].expand_as(features), atol=1e-5, rtol=1e-4)


def test_resnet_features_have_the_text_space_at_stride_32(resnet: CLIP) -> None:
    assert clip_towers.tower_stride(resnet.visual) == 32
    assert clip_towers.dense_features(resnet.visual, torch.randn(2, 3, 64, 96)).shape == (2, 24, 2, 3)


def test_vit_features_equal_a_last_block_where_tokens_see_themselves_only(vit: CLIP) -> None:
    visual = vit.visual
    assert clip_towers.tower_stride(visual) == 16
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = clip_towers.dense_features(visual, image)
        x = visual.transformer.resblocks[0](visual._embeds(image))
        alone = torch.full((17, 17), float("-inf")).fill_diagonal_(0.0)
        x = visual.ln_post(visual.transformer.resblocks[1](x, attn_mask=alone)) @ visual.proj
    torch.testing.assert_close(features.flatten(2).transpose(1, 2), x[:, 1:], atol=1e-5, rtol=1e-4)


def test_vit_takes_other_sizes_than_it_was_made_for(vit: CLIP) -> None:
    assert clip_towers.dense_features(vit.visual, torch.randn(1, 3, 96, 48)).shape == (1, 24, 6, 3)


def test_a_tower_without_dense_features_is_refused_by_name() -> None:
    model = nn.Sequential()
    model.visual = nn.Identity()
    with pytest.raises(ValueError, match="'odd' has Identity in Sequential"):
        clip_towers.check_towers(model, "odd")


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'RN5000'"):
        ClipEncoder(architecture="RN5000", pretrained=None)


def test_weights_that_are_not_here_are_refused_without_the_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(clip_weights, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(open_clip.pretrained, "download_pretrained", lambda *_: pytest.fail("went to the network"))
    with pytest.raises(FileNotFoundError, match="encoder.download=true"):
        ClipEncoder(architecture="RN50-quickgelu", pretrained="openai")
    with pytest.raises(ValueError, match="openai.*got 'openais'"):
        ClipEncoder(architecture="RN50-quickgelu", pretrained="openais")


def test_texts_are_unit_vectors_and_case_does_not_matter(encoder: ClipEncoder) -> None:
    texts = encoder.text(["red block", "Red  BLOCK", "blue bowl"])
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(3))
    assert torch.equal(texts[0], texts[1])
    assert not torch.allclose(texts[0], texts[2])
    assert encoder.text([]).shape == (0, 64)


def test_a_phrase_has_the_same_vector_whatever_is_asked_beside_it(encoder: ClipEncoder) -> None:
    together = encoder.text(["green plate", "gray ring"])[1]
    encoder.forget()
    assert torch.equal(encoder.text(["gray ring"])[0], together)


def test_remembered_texts_follow_new_weights(encoder: ClipEncoder) -> None:
    torch.manual_seed(5)
    other = ClipEncoder(pretrained=None, precision="float32")
    old, name = other.text(["red block"]), other.sha256
    other.load_state_dict(encoder.state_dict())
    assert not torch.allclose(other.text(["red block"]), old)
    assert torch.equal(other.text(["red block"]), encoder.text(["red block"]))
    assert other.sha256 == encoder.sha256 != name


@pytest.mark.parametrize(
    ("phrase", "message"),
    [
        ("a " * 80, "at most 75 tokens; got 80"),
        ("", "no words"),
        ("red <end_of_text> block", "control token"),
    ],
)
def test_texts_that_would_be_misread_are_refused(encoder: ClipEncoder, phrase: str, message: str) -> None:
    with pytest.raises(InstructionError, match=message):
        encoder.text([phrase])


def test_words_without_a_learned_token_are_named_and_read_alike(encoder: ClipEncoder) -> None:
    assert encoder.unknown_words("the crimson blorp, beside a Gizmo!") == ("blorp", "beside", "gizmo")
    assert encoder.unknown_words("the silver saucer") == ()
    assert torch.equal(encoder.text(["red sofa"]), encoder.text(["red lamp"]))


def test_presence_is_undecided_until_it_is_fitted(encoder: ClipEncoder) -> None:
    assert encoder.presence(torch.tensor([0.1, 0.9])).tolist() == [0.5, 0.5]


def test_a_saved_encoder_comes_back_equal_to_half_precision(encoder: ClipEncoder, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    encoder.save(path, metadata={"seed": 3})
    assert path.stat().st_size < clip_weights.MAX_BYTES
    read = ClipEncoder(pretrained=str(path), precision="float32")
    assert read.metadata["seed"] == 3
    assert read.metadata["format"] == "robo_rlft.clip"
    torch.testing.assert_close(read.text(["red block"]), encoder.text(["red block"]), atol=5e-3, rtol=0)
    assert ClipEncoder(pretrained=str(path)).sha256 == read.sha256


def test_files_that_are_no_encoder_are_refused(encoder: ClipEncoder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        ClipEncoder(pretrained=str(tmp_path / "absent.safetensors"))
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ValueError, match="cannot be read"):
        ClipEncoder(pretrained=str(tmp_path / "text.safetensors"))
    newer = tmp_path / "newer.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_weights, "FORMAT_VERSION", 99)
        encoder.save(newer, metadata={})
    with pytest.raises(ValueError, match="version 99; this program reads up to version 1"):
        ClipEncoder(pretrained=str(newer))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_weights, "FORMAT", "other")
        encoder.save(newer, metadata={})
    with pytest.raises(ValueError, match="it says 'other'"):
        ClipEncoder(pretrained=str(newer))
