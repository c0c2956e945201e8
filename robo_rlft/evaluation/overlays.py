"""Pictures of the workspace with what a policy makes of it laid over.

Arrays come as (H, W): rows along y, columns along x. People see them as from behind the robot, which stands below the
picture: x runs up, y (the robot's left) runs to the left. Knows nothing of policies.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image

HEAT = "inferno"  # probabilities: dark is nothing, bright is much
SIMILARITY = "viridis"  # both are ordered in brightness, so that they read without colour vision and in print


def landscape(grid: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn (H, W, ...) into (W, H, ...) as seen from behind the robot, looking down at the table."""
    turned: npt.NDArray[Any] = np.swapaxes(grid, 0, 1)[::-1, ::-1]
    return turned


def landscape_point(pixel: Sequence[int], shape: tuple[int, int]) -> tuple[float, float]:
    """Return where the centre of a pixel (row, column) of an (H, W) grid lies in the landscape picture.

    Returns:
        (x, y) from the picture's upper left corner, in pixels.
    """
    rows, columns = shape
    return rows - pixel[0] - 0.5, columns - pixel[1] - 0.5


def heat_overlay(color: npt.NDArray[np.uint8], probability: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Lay a map of probability over a grey picture.

    The colour and its strength grow with the square root of p / max p, since a map that is sure of itself would
    otherwise show as a single bright pixel.

    Args:
        color: (H, W, 3), RGB.
        probability: (H, W), at least 0.

    Returns:
        (H, W, 3), RGB.
    """
    check_map(color, probability)
    peak = float(probability.max())
    share = np.sqrt(np.clip(probability, 0.0, None) / peak) if peak > 0 else np.zeros(probability.shape)
    gray = np.repeat(color.astype(np.float64).mean(axis=2, keepdims=True), 3, axis=2) * 0.6
    # The colormap's black start would hide the picture's dark parts: begin at a visible purple.
    heat = colormaps[HEAT](0.25 + 0.75 * share)[..., :3] * 255.0
    strength = np.clip(share * 1.25, 0.0, 1.0)[..., None]
    blended: npt.NDArray[np.uint8] = np.round(gray * (1 - strength) + heat * strength).astype(np.uint8)
    return blended


def similarity_picture(similarity: npt.NDArray[np.floating[Any]], limits: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Paint a map of similarity (H, W) with one scale, so that two maps can be compared by eye: (H, W, 3), RGB."""
    low, high = limits
    scaled = (np.asarray(similarity, dtype=np.float64) - low) / max(high - low, 1e-9)
    painted: npt.NDArray[np.uint8] = colormaps[SIMILARITY](np.clip(scaled, 0.0, 1.0), bytes=True)[..., :3]
    return painted


def png(image: npt.NDArray[np.uint8]) -> bytes:
    """Return (rows, columns, 3) RGB as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def webp(image: npt.NDArray[np.uint8], *, quality: int = 82) -> bytes:
    """Return (rows, columns, 3) RGB as the bytes of a WebP file: a quarter of a PNG's, and not quite exact."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "WEBP", quality=quality, method=6)
    return buffer.getvalue()


def check_map(color: npt.NDArray[np.uint8], values: npt.NDArray[np.floating[Any]]) -> None:
    """Raise `ValueError` unless `color` is uint8 (H, W, 3) and `values` finite and (H, W)."""
    if color.ndim != 3 or color.shape[2] != 3 or color.dtype != np.uint8:
        raise ValueError(f"expected a picture uint8 (H, W, 3), got {color.dtype} {color.shape}")
    if values.shape != color.shape[:2]:
        raise ValueError(f"expected a map of the picture's shape {color.shape[:2]}, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("expected finite values in a map, got NaN or infinity")
