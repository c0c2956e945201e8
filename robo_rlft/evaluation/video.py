"""Short films that any browser plays: H.264 in MP4, small enough to be carried inside a page.

Knows nothing of simulators; frames are arrays.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt


def encode_mp4(
    frames: Sequence[npt.NDArray[np.uint8]], *, fps: int = 24, quality: int = 28, hold: float = 0.8
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
