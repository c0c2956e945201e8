"""Short films that any browser plays: H.264 in MP4, small enough to be carried inside a page.

Knows nothing of simulators; frames are arrays.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

FPS = 24
HOLD = 0.8  # seconds for which the last frame stays
CAPTION_LINES, CAPTION_SIZE, CAPTION_LEADING, CAPTION_MARGIN = 2, 13, 17, 6  # pixels, all but the first


def caption(frames: Sequence[npt.NDArray[np.uint8]], text: str) -> list[npt.NDArray[np.uint8]]:
    """Return the frames with a text in a bar above the picture; players lay their buttons over its foot.

    The bar's height does not depend on the text, so that films with other texts can be joined to these.

    Args:
        frames: Each (height, width, 3), RGB, all of one width.
        text: At most `CAPTION_LINES` lines of it are shown; the rest becomes an ellipsis.
    """
    if not frames:
        return []
    plain = text.encode("utf-8", "replace").decode()  # half a pair of surrogates has no letter
    bar = _bar(" ".join(plain.split()), frames[0].shape[1])
    return [np.concatenate([bar, frame]) for frame in frames]


def _bar(text: str, width: int) -> npt.NDArray[np.uint8]:
    image = Image.new("RGB", (width, CAPTION_LINES * CAPTION_LEADING + 2 * CAPTION_MARGIN), (24, 28, 32))
    draw = ImageDraw.Draw(image)
    for i, line in enumerate(_wrapped(text, width - 2 * CAPTION_MARGIN)):
        draw.text((CAPTION_MARGIN, CAPTION_MARGIN + i * CAPTION_LEADING), line, font=_font(), fill=(240, 243, 246))
    return np.asarray(image)


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` pixels, within words where one is longer than a line."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if _font().getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if _font().getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    if len(lines) > CAPTION_LINES:
        lines = lines[:CAPTION_LINES]
        while lines[-1] and _font().getlength(lines[-1] + "…") > width:
            lines[-1] = lines[-1][:-1]
        lines[-1] += "…"
    return lines


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    # Matplotlib brings this font along, with the letters of most alphabets.
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), CAPTION_SIZE)


def encode_mp4(
    frames: Sequence[npt.NDArray[np.uint8]], *, fps: int = FPS, quality: int = 28, hold: float = HOLD
) -> bytes:
    """Encode frames as an MP4 file.

    Args:
        frames: Each (height, width, 3), RGB, all of one shape. An odd row or column at the end is repeated, since
            the colours of yuv420p are stored for every second pixel.
        fps: Frames a second.
        quality: x264's constant rate factor: 18 is near lossless, 28 small.
        hold: Seconds for which the last frame stays, so that the outcome can be seen.

    Returns:
        The file's bytes. The same frames show the same pictures, but x264 does not always write them in the same
        bytes: compare films by `decode_mp4`.

    Raises:
        ValueError: There are no frames, or they are not uint8 RGB of one shape.
    """
    if not frames:
        raise ValueError("expected at least one frame, got none")
    shape = frames[0].shape
    if len(shape) != 3 or shape[2] != 3 or any(f.shape != shape or f.dtype != np.uint8 for f in frames):
        found = sorted({f"{f.dtype} {f.shape}" for f in frames})
        raise ValueError(f"expected frames uint8 (height, width, 3) of one shape, got {', '.join(found[:4])}")
    padded = [np.pad(f, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), mode="edge") for f in frames]
    padded += [padded[-1]] * round(hold * fps)
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="mp4") as container:
        # One thread, so that the pictures do not depend on the number of cores.
        options = {"crf": str(quality), "preset": "slow", "profile": "main", "threads": "1"}
        stream: Any = container.add_stream("libx264", rate=Fraction(fps), options=options)
        stream.height, stream.width = padded[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in padded:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return buffer.getvalue()


def decode_mp4(data: bytes) -> list[npt.NDArray[np.uint8]]:
    """Return the frames of an MP4 file, each (height, width, 3), RGB."""
    with av.open(io.BytesIO(data), mode="r") as container:
        return [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in container.decode(video=0)]


def smaller_mp4(data: bytes, *, quality: int) -> bytes:
    """Return a film of `encode_mp4` in fewer bytes, with the same frames at a higher `quality` number; never larger."""
    again = encode_mp4(decode_mp4(data), quality=quality, hold=0.0)
    return min(data, again, key=len)
