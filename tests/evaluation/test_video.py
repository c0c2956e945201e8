"""Films are small, browsers can play them, and they show the frames."""

from __future__ import annotations

import io

import av
import numpy as np
import numpy.typing as npt
import pytest

from robo_rlft.evaluation.video import caption, decode_mp4, encode_mp4, smaller_mp4


def film(count: int, height: int = 48, width: int = 64) -> list[npt.NDArray[np.uint8]]:
    """A white square that travels to the right over a dark ground."""
    frames = []
    for i in range(count):
        frame = np.full((height, width, 3), 40, dtype=np.uint8)
        frame[16:32, 2 * i : 2 * i + 16] = 255
        frames.append(frame)
    return frames


def test_the_film_shows_its_frames_and_holds_the_last() -> None:
    frames = film(12)
    decoded = decode_mp4(encode_mp4(frames, fps=10, hold=0.5))
    assert len(decoded) == 12 + 5
    for i in (0, 6, 11):
        assert np.abs(decoded[i].astype(int) - frames[i]).mean() < 8
    assert np.abs(decoded[-1].astype(int) - frames[-1]).mean() < 8


def test_it_is_h264_in_yuv420p() -> None:
    data = encode_mp4(film(5))
    with av.open(io.BytesIO(data), mode="r") as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")


def test_the_same_frames_show_the_same_pictures() -> None:
    # Not the same bytes: those vary from call to call.
    first = np.stack(decode_mp4(encode_mp4(film(5))))
    assert all((np.stack(decode_mp4(encode_mp4(film(5)))) == first).all() for _ in range(20))
    assert (np.stack(decode_mp4(encode_mp4(film(5)[::-1]))) != first).any()


def test_odd_sizes_are_padded() -> None:
    assert decode_mp4(encode_mp4(film(3, 47, 63)))[0].shape == (48, 64, 3)


def test_no_frames_and_mixed_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        encode_mp4([])
    with pytest.raises(ValueError, match="one shape"):
        encode_mp4([*film(1), *film(1, 50, 64)])
    with pytest.raises(ValueError, match="float64"):
        encode_mp4([np.zeros((8, 8, 3))])  # type: ignore[list-item]


def test_a_caption_stands_above_the_picture_and_leaves_it_as_it_is() -> None:
    frames = film(2, width=320)
    told = caption(frames, "put the red block in the blue bowl")
    bar = told[0].shape[0] - 48
    assert bar > 20
    assert all((a[bar:] == b).all() for a, b in zip(told, frames, strict=True))
    assert told[0][:bar].max() > 200  # letters
    assert caption([], "nothing to see") == []


@pytest.mark.parametrize("text", ["", "a" * 500, "word " * 200, "<b>\n\t\x00\u202e \ud800 \u5934"])
def test_captions_of_any_text_have_one_height(text: str) -> None:
    (frame,) = caption(film(1), text)
    assert frame.shape == caption(film(1), "short")[0].shape


def test_a_film_is_made_smaller_with_the_same_number_of_frames() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    data = encode_mp4(list(noise), quality=18)
    small = smaller_mp4(data, quality=40)
    assert len(small) < len(data) / 2
    assert len(decode_mp4(small)) == len(decode_mp4(data))
    assert smaller_mp4(small, quality=10) == small
