from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from robo_rlft.geometry import Workspace, rotate_xy
from robo_rlft.models import heads
from robo_rlft.models.heads import MapHead, PlaceHead, correlate_by_fft, correlate_directly, rotated_crops

L_SHAPE = [(0.0, 0.0), (0.02, 0.0), (0.04, 0.0), (0.0, 0.02)]  # metres; long arm along +x, short arm along +y


def drawn(workspace: Workspace, center: tuple[float, float], angle: float) -> Tensor:
    """A map (1, 1, H, W) that is 1 on an L turned by `angle` in the world about `center` (metres)."""
    image = torch.zeros(1, 1, *workspace.shape)
    for point in L_SHAPE:
        x, y = rotate_xy(point, angle)
        row, column = workspace.xy_to_pixel((center[0] + x, center[1] + y))
        image[0, 0, row, column] = 1.0
    return image


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_an_l_fits_best_at_the_rotation_that_turns_it_onto_its_copy(turn: int) -> None:
    # Maps of the world in half-resolution cells of 2 cm; the pick is a full-resolution pixel of 1 cm.
    cells = Workspace(x_min=0.0, x_max=0.6, y_min=0.0, y_max=0.6, pixel_size=0.02)
    pick_xy, place_xy = cells.pixel_to_xy((8, 9)), cells.pixel_to_xy((20, 18))
    query = drawn(cells, tuple(pick_xy), 0.0)
    scene = drawn(cells, tuple(place_xy), turn * math.pi / 2.0)
    # The centre of cell (8, 9) is the corner of four pixels: the mean over them has no sub-cell offset.
    picks = torch.tensor([[[16, 18], [16, 19], [17, 18], [17, 19]]])
    crops = rotated_crops(query, picks, cells=9, rotations=4).mean(dim=1)  # (1, R, C, 9, 9)
    keys = scene[:, None].expand(-1, 4, -1, -1, -1)
    fits = correlate_directly(keys, crops)[0]
    best = int(fits.flatten(1).amax(dim=1).argmax())
    assert best == turn
    row, column = divmod(int(fits[best].argmax()), fits.shape[-1])
    assert (row // 2, column // 2) == (20, 18)


def test_a_quarter_turn_of_the_crop_is_a_quarter_turn_of_the_features() -> None:
    # +90 degrees in the world takes +column to +row; torch.rot90 with k = -1 does the same to an image.
    features = torch.randn(1, 3, 9, 9)
    pick = torch.tensor([[[8, 9]]])
    crops = rotated_crops(features, pick, cells=5, rotations=4)
    # Pixel (8, 9) of 18 x 18 turns about the centre (8.5, 8.5) to row 8.5 + 0.5 = 9, column 8.5 + 0.5 = 9.
    turned = rotated_crops(torch.rot90(features, -1, (2, 3)), torch.tensor([[[9, 9]]]), cells=5, rotations=4)
    assert torch.allclose(crops[:, :, 1], turned[:, :, 0], atol=1e-5)
    assert not torch.allclose(crops[:, :, 3], turned[:, :, 0], atol=1e-2)


def test_the_crop_is_centred_on_the_picks_pixel() -> None:
    # A map whose value is its own column in half-resolution cells: pixel column 10 has its centre at 10.5 / 2 - 0.5.
    ramp = torch.arange(12.0).expand(1, 1, 12, 12)
    crop = rotated_crops(ramp, torch.tensor([[[11, 10]]]), cells=3, rotations=1)[0, 0, 0, 0]
    assert torch.allclose(crop[1], torch.tensor([3.75, 4.75, 5.75]), atol=1e-5)


@pytest.mark.parametrize("size", [3, 13, 17])
def test_fourier_and_direct_correlation_agree(size: int) -> None:
    keys = torch.randn(2, 4, 3, 12, 9, dtype=torch.float64)
    queries = torch.randn(2, 5, 3, size, size, dtype=torch.float64)
    assert torch.allclose(correlate_directly(keys, queries), correlate_by_fft(keys, queries), atol=1e-10)


def test_large_float32_crops_take_the_fourier_way(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    fourier = correlate_by_fft

    def spy(keys: Tensor, queries: Tensor) -> Tensor:
        taken.append(queries.shape[-1])
        return fourier(keys, queries)

    monkeypatch.setattr(heads, "correlate_by_fft", spy)
    for size in (13, 15):
        heads.correlate(torch.randn(1, 4, 2, 8, 8), torch.randn(1, 1, 2, size, size))
    assert taken == [15]


def test_phases_are_the_four_pixels_of_a_cell() -> None:
    keys = torch.zeros(1, 4, 1, 2, 2)
    keys[0, 1] = 1.0  # phase 1: upper row, right column
    fits = correlate_directly(keys, torch.ones(1, 1, 1, 1, 1))[0, 0]
    assert torch.equal(fits, torch.tensor([[0.0, 1.0], [0.0, 0.0]]).repeat(2, 2))


def test_untrained_heads_add_nothing_yet_have_a_gradient() -> None:
    features = torch.randn(2, 8, 10, 6)
    picks = torch.tensor([[[3, 4]], [[10, 0]]])
    place = PlaceHead(width=8, channels=4, cells=5, rotations=3)
    fits = place(features, picks, torch.float32)
    pick = MapHead(width=8)(features)
    assert fits.shape == (2, 1, 3, 20, 12)
    assert not fits.any()
    assert not pick.any()
    (fits * torch.randn_like(fits)).sum().backward()
    assert place.key.weight.grad is not None
    assert place.key.weight.grad.abs().sum() > 0


def test_an_even_crop_is_refused() -> None:
    with pytest.raises(ValueError, match="odd side"):
        PlaceHead(width=8, channels=4, cells=12, rotations=3)
