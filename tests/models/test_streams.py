from __future__ import annotations

import pytest
import torch

from robo_rlft.models.streams import ConvStream, PixelStream, TwoStream, compute_dtype, space_to_depth

DIM = 3  # of the features that a TwoStream reads
IMAGE_CHANNELS = 16  # of a picture with colours


def connected(channels: int = 4) -> ConvStream:
    stream = ConvStream(width=8, dilations=(1, 2))
    stream.connect(image=channels, fused=0)
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


def two_streams() -> TwoStream:
    torch.manual_seed(0)
    stream = TwoStream(width=4, dilations=(1, 2))
    stream.connect(image=IMAGE_CHANNELS, fused=3 * DIM)
    return stream


def two_stream_inputs(rows: int = 10, columns: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    picture = torch.randn(2, IMAGE_CHANNELS + DIM, rows, columns, generator=generator)
    words = torch.randn(2, 2 * DIM, 1, 1, generator=generator).expand(-1, -1, rows, columns)
    return torch.cat([picture, words], dim=1)


def changed(inputs: torch.Tensor, channels: slice) -> list[bool]:
    """Tell for the pick's, the query's and the key's features whether they change with some of the inputs."""
    stream, other = two_streams(), inputs.clone()
    other[:, channels] += 1.0
    pairs = zip(stream(inputs).chunk(3, dim=1), stream(other).chunk(3, dim=1), strict=True)
    return [not torch.allclose(before, after) for before, after in pairs]


def test_two_streams_each_for_pick_query_and_key_see_the_picture() -> None:
    inputs = two_stream_inputs()
    assert two_streams()(inputs).shape == (2, 12, 10, 6)
    assert changed(inputs, slice(0, 1)) == [True, True, True]
    assert changed(inputs, slice(IMAGE_CHANNELS, IMAGE_CHANNELS + 1)) == [True, True, True]


def test_the_pick_and_the_query_read_the_first_words_and_the_key_the_second() -> None:
    inputs, first = two_stream_inputs(), IMAGE_CHANNELS + DIM
    assert changed(inputs, slice(first, first + DIM)) == [True, True, False]
    assert changed(inputs, slice(first + DIM, first + 2 * DIM)) == [False, False, True]


def test_words_multiply_every_level_of_the_semantic_stream() -> None:
    inputs = two_stream_inputs()
    stream = two_streams()
    inputs[:, :IMAGE_CHANNELS] = 0.0
    for pair in stream.networks:
        for layer in pair.words:  # type: ignore[union-attr]
            torch.nn.init.zeros_(layer.weight)  # type: ignore[union-attr, arg-type]
            torch.nn.init.zeros_(layer.bias)  # type: ignore[union-attr, arg-type]
    silenced = stream(inputs)
    inputs[:, IMAGE_CHANNELS:] *= 2.0
    assert torch.equal(stream(inputs), silenced)  # nothing of CLIP's passes a level whose factor is zero


def test_a_scene_of_two_streams_does_not_depend_on_its_batch_or_the_mode() -> None:
    stream, inputs = two_streams(), two_stream_inputs()
    assert torch.allclose(stream(inputs)[1:], stream(inputs[1:]), atol=1e-5)
    assert torch.equal(stream.train()(inputs), stream.eval()(inputs))


def test_two_streams_refuse_inputs_that_are_not_those_of_tiled_fusion() -> None:
    for fused in (0, 2):
        with pytest.raises(ValueError, match="TiledFusion"):
            TwoStream().connect(image=IMAGE_CHANNELS, fused=fused)


def test_no_trunk_passes_its_inputs_on() -> None:
    stream, inputs = PixelStream(), torch.randn(2, 18, 4, 5)
    stream.connect(image=16, fused=2)
    assert stream.width == 18
    assert torch.equal(stream(inputs), inputs)


def test_float64_parameters_are_never_rounded() -> None:
    parameter = torch.zeros(1, dtype=torch.float64)
    assert {compute_dtype(name, parameter) for name in ("auto", "float32", "bfloat16")} == {torch.float64}


def test_an_unknown_precision_lists_the_choices() -> None:
    with pytest.raises(ValueError, match="auto, float32, bfloat16"):
        compute_dtype("half", torch.zeros(1))
