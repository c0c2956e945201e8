from __future__ import annotations

import pytest
import torch

from robo_rlft.models.streams import ConvStream, compute_dtype, space_to_depth


def connected(channels: int = 4) -> ConvStream:
    stream = ConvStream(width=8, dilations=(1, 2))
    stream.connect(channels=channels)
    for block in stream.blocks:
        torch.nn.init.normal_(block.second.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    return stream


def test_space_to_depth_pads_odd_sizes_below_and_right() -> None:
    image = torch.arange(1.0, 10.0).view(1, 1, 3, 3)
    # Cell (0, 0) holds pixels 1 2 / 4 5; cell (1, 1) holds pixel 9 alone, padded with zeros.
    folded = space_to_depth(image)
    assert folded[0, :, 0, 0].tolist() == [1, 2, 4, 5]
    assert folded[0, :, 1, 1].tolist() == [9, 0, 0, 0]


def test_a_scene_does_not_depend_on_its_batch() -> None:
    stream = connected()
    batch = torch.randn(5, 4, 10, 6)
    assert torch.allclose(stream(batch)[2:3], stream(batch[2:3]), atol=1e-5)


def test_training_and_evaluation_compute_the_same() -> None:
    stream, batch = connected(), torch.randn(2, 4, 10, 6)
    assert torch.equal(stream.train()(batch), stream.eval()(batch))


def test_float64_parameters_are_never_rounded() -> None:
    parameter = torch.zeros(1, dtype=torch.float64)
    assert {compute_dtype(name, parameter) for name in ("auto", "float32", "bfloat16")} == {torch.float64}


def test_an_unknown_precision_lists_the_choices() -> None:
    with pytest.raises(ValueError, match="auto, float32, bfloat16"):
        compute_dtype("half", torch.zeros(1))
