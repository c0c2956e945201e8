from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from robo_rlft.models.fusion import SimilarityFusion, TiledFusion, similarity, upsample


def features(rows: int = 4, columns: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    dense = F.normalize(torch.randn(2, 5, rows, columns, generator=generator), dim=1)
    phrases = F.normalize(torch.randn(2, 2, 5, generator=generator), dim=2)
    sentence = F.normalize(torch.randn(2, 5, generator=generator), dim=1)
    return dense, phrases, sentence


def test_similarity_is_one_where_a_cell_is_the_phrase() -> None:
    dense, phrases, _ = features()
    dense[1, :, 2, 3] = phrases[1, 0]
    assert torch.isclose(similarity(dense, phrases)[1, 0, 2, 3], torch.tensor(1.0))


def test_upsampling_aligns_centres() -> None:
    # Cells of 4 pixels with centres at 1.5 and 5.5: the linear map f(x) = x is found again between them.
    ramp = torch.tensor([1.5, 5.5, 9.5]).view(1, 1, 1, 3)
    assert upsample(ramp, (1, 12))[0, 0, 0, 2:10].tolist() == list(range(2, 10))


def test_the_prior_of_picking_is_the_pick_phrase_and_of_placing_the_place_phrase() -> None:
    dense, phrases, sentence = features()
    fused = SimilarityFusion(prior_scale=7.0)(dense, phrases, sentence, (16, 24))
    swapped = SimilarityFusion(prior_scale=7.0)(dense, phrases.flip(1), sentence, (16, 24))
    maps = upsample(similarity(dense, phrases), (16, 24))
    assert torch.allclose(fused.pick, 7.0 * maps[:, 0])
    assert torch.allclose(fused.place, 7.0 * maps[:, 1])
    assert torch.allclose(swapped.pick, fused.place)


def test_channels_have_half_the_resolution_rounded_up() -> None:
    for fusion in (SimilarityFusion(), TiledFusion()):
        fusion.connect(dim=5)
        fused = fusion(*features(), (15, 24))
        assert fused.channels.shape == (2, fusion.channels, 8, 12)
        assert fused.pick.shape == fused.place.shape == (2, 15, 24)


@pytest.mark.parametrize("words", ["sentence", "phrases"])
def test_tiled_fusion_puts_the_words_at_every_pixel_and_has_no_prior(words: str) -> None:
    fusion = TiledFusion(words=words)
    fusion.connect(dim=5)
    dense, phrases, sentence = features()
    fused = fusion(dense, phrases, sentence, (16, 24))
    assert fusion.channels == 15
    assert not fused.pick.any()
    assert not fused.place.any()
    picture, taken, target = fused.channels.split(5, dim=1)
    assert torch.allclose(picture, upsample(dense, (8, 12)))
    pick, place = (sentence, sentence) if words == "sentence" else (phrases[:, 0], phrases[:, 1])
    assert torch.equal(taken, pick[:, :, None, None].expand(2, 5, 8, 12))
    assert torch.equal(target, place[:, :, None, None].expand(2, 5, 8, 12))


def test_tiled_fusion_lists_the_words_that_it_knows() -> None:
    with pytest.raises(ValueError, match="phrases, sentence; got 'nouns'"):
        TiledFusion(words="nouns")
