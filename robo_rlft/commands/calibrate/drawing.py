"""What `calibrate` draws: the workspace's grid over the camera's picture, and the board to be printed.

Colours are Okabe & Ito's, which people without full colour vision tell apart; what matters is also said in words.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from robo_rlft.geometry import Workspace
from robo_rlft.robots.calibration.camera_pose import project
from robo_rlft.robots.calibration.charuco import Board
from robo_rlft.robots.calibration.rigid import Array, inverse

Color = tuple[int, int, int]
SKY, ORANGE, VERMILION, WHITE, BLACK = (86, 180, 233), (230, 159, 0), (213, 94, 0), (255, 255, 255), (0, 0, 0)
STEP = 0.1  # metres between two lines
_WIDTH = 1280  # pixels that the picture has at least, so that the labels can be read on a phone
_TEXT = 0.026  # of the picture's width
_OUTSIDE = 0.045  # metres from the border to the middle of a label
_A4 = (0.297, 0.210)  # metres, lying
_INCH = 0.0254  # metres


class GridPicture:
    """Draws on a camera's picture in world coordinates.

    Args:
        picture: (height, width, 3), RGB, undistorted.
        matrix: the camera's intrinsics.
        world_from_camera: its place.
        workspace: what is drawn.
    """

    def __init__(
        self, *, picture: npt.NDArray[np.uint8], matrix: Array, world_from_camera: Array, workspace: Workspace
    ) -> None:
        self._scale = max(1, math.ceil(_WIDTH / picture.shape[1]))
        size = (picture.shape[1] * self._scale, picture.shape[0] * self._scale)
        resized = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        # A little darker, so that the lines stand out on a white table too.
        self._canvas = (resized.astype(np.float32) * 0.8).astype(np.uint8)
        self._matrix, self._camera_from_world, self._workspace = matrix, inverse(world_from_camera), workspace
        self._unit = max(2, round(size[0] / 640))  # a thin line's width
        self._labels: list[tuple[str, Array, Color]] = []

    def draw(self, *, caption: str, marks: npt.ArrayLike = (), computed: npt.ArrayLike = ()) -> npt.NDArray[np.uint8]:
        """Return the picture with grid, axes, labels, and points.

        Args:
            caption: a line above.
            marks: (N, 2), pixels where points were marked: circles.
            computed: (N, 2), pixels where the calibration puts them: crosses.
        """
        self._grid()
        self._axes()
        for pixel in np.asarray(marks, dtype=np.float64).reshape(-1, 2):
            self._circle(pixel)
        for pixel in np.asarray(computed, dtype=np.float64).reshape(-1, 2):
            self._cross(pixel)
        legend = "circle: marked, cross: computed" if np.size(marks) else ""
        return self._with_text(caption, legend)

    def _grid(self) -> None:
        w = self._workspace
        for x in _multiples(w.x_min, w.x_max):
            self._line((x, w.y_min), (x, w.y_max), SKY, 1)
            self._label_end(f"{x:.1f}", [(x, w.y_min), (x, w.y_max)], (0.0, _OUTSIDE))
        for y in _multiples(w.y_min, w.y_max):
            self._line((w.x_min, y), (w.x_max, y), SKY, 1)
            self._label_end(f"{y:.1f}", [(w.x_max, y), (w.x_min, y)], (-_OUTSIDE, 0.0))
        corners = [(w.x_min, w.y_max), (w.x_max, w.y_max), (w.x_max, w.y_min), (w.x_min, w.y_min)]
        for a, b in itertools.pairwise(corners):
            self._line(a, b, ORANGE, 2)
        self._line(corners[3], corners[0], VERMILION, 5)
        self._label("robot's side", (w.x_min - 1.6 * _OUTSIDE, (w.y_min + w.y_max) / 2), WHITE)

    def _axes(self) -> None:
        w = self._workspace
        x, y = (w.x_min + w.x_max) / 2, (w.y_min + w.y_max) / 2
        length = min(w.x_max - w.x_min, w.y_max - w.y_min) / 4
        for name, (dx, dy) in (("x forward, m", (length, 0.0)), ("y left, m", (0.0, length))):
            self._line((x, y), (x + dx, y + dy), WHITE, 2)
            self._head((x, y), (x + dx, y + dy))
            self._label(name, (x + 1.25 * dx, y + 1.7 * dy), WHITE)

    def _pixels(self, points: Array) -> Array:
        ground = np.column_stack([points, np.zeros(len(points))])
        return np.asarray(project(self._matrix, self._camera_from_world, ground) * self._scale, dtype=np.float64)

    def _line(self, a: Sequence[float], b: Sequence[float], color: Color, width: int) -> None:
        # In pieces: what lies behind the camera is left out.
        way = np.linspace(a, b, 41)
        pixels = self._pixels(way)
        for halo in (True, False):
            thickness = width * self._unit + (2 * self._unit if halo else 0)
            for p, q in itertools.pairwise(pixels):
                self._stroke(p, q, BLACK if halo else color, thickness)

    def _stroke(self, p: Array, q: Array, color: Color, thickness: int) -> None:
        if np.isfinite([p, q]).all() and np.abs([p, q]).max() < 1e5:
            start, end = ((int(v[0] * 16), int(v[1] * 16)) for v in (p, q))
            cv2.line(self._canvas, start, end, color, thickness, cv2.LINE_AA, 4)

    def _head(self, a: Sequence[float], b: Sequence[float]) -> None:
        tail, tip = self._pixels(np.array([a, b]))
        if not np.isfinite([tail, tip]).all():
            return
        along = (tip - tail) / max(float(np.linalg.norm(tip - tail)), 1e-9)
        across = np.array([-along[1], along[0]])
        for side in (-1, 1):
            self._stroke(tip, tip - 8 * self._unit * along + side * 5 * self._unit * across, WHITE, 2 * self._unit)

    def _circle(self, pixel: Array) -> None:
        center = (int(pixel[0] * self._scale * 16), int(pixel[1] * self._scale * 16))
        for color, thickness in ((BLACK, 3 * self._unit), (WHITE, self._unit)):
            cv2.circle(self._canvas, center, 9 * self._unit * 16, color, thickness, cv2.LINE_AA, 4)

    def _cross(self, pixel: Array) -> None:
        p = pixel * self._scale
        for color, thickness in ((BLACK, 3 * self._unit), (ORANGE, self._unit)):
            for step in (np.array([6, 6]), np.array([6, -6])):
                self._stroke(p - step * self._unit, p + step * self._unit, color, thickness)

    def _label_end(self, text: str, line: Sequence[Sequence[float]], outside: Sequence[float]) -> None:
        """Label a line beyond its first end, or its other, or else at the first of its points that the camera sees."""
        first, last = (np.array(end) for end in line)
        places = [first - outside, last + outside, *np.linspace(first, last, 41)]
        for place in places:
            pixel, size = self._pixels(np.array([place]))[0], np.array(self._canvas.shape[1::-1])
            if np.isfinite(pixel).all() and (pixel > 0.01 * size).all() and (pixel < 0.99 * size).all():
                self._label(text, place, SKY)
                return

    def _label(self, text: str, place: Sequence[float], color: Color) -> None:
        pixel = self._pixels(np.array([place]))[0]
        if np.isfinite(pixel).all():
            self._labels.append((text, pixel, color))

    def _with_text(self, caption: str, legend: str) -> npt.NDArray[np.uint8]:
        height, width = self._canvas.shape[:2]
        size = max(20, round(_TEXT * width))
        strip = 2 * size
        image = Image.new("RGB", (width, height + strip * (2 if legend else 1)), BLACK)
        image.paste(Image.fromarray(self._canvas), (0, strip))
        draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
        boxes: list[tuple[float, float, float]] = []
        for text, pixel, color in self._labels:
            half = draw.textlength(text, font=font) / 2
            x, y = float(pixel[0]), float(pixel[1])
            if not (-half < x < width + half and -size < y < height + size):
                continue  # it belongs to a part of the workspace that the camera does not see
            at = (min(max(x, half + 4), width - half - 4), strip + min(max(y, size * 0.6), height - size * 0.6))
            if any(abs(at[0] - u) < half + h and abs(at[1] - v) < size for u, v, h in boxes):
                continue  # one on top of another could not be read
            boxes.append((*at, half))
            draw.text(at, text, fill=color, font=font, anchor="mm", stroke_width=max(2, size // 9), stroke_fill=BLACK)
        draw.text((size / 2, strip / 2), caption, fill=WHITE, font=font, anchor="lm")
        if legend:
            draw.text((size / 2, height + 1.5 * strip), legend, fill=WHITE, font=font, anchor="lm")
        return np.array(image, dtype=np.uint8)


def share_seen(matrix: Array, world_from_camera: Array, size: tuple[int, int], workspace: Workspace) -> float:
    """Return which share of the workspace's table lies in the picture."""
    x = np.linspace(workspace.x_min, workspace.x_max, 21)
    y = np.linspace(workspace.y_min, workspace.y_max, 41)
    points = np.array([(a, b, 0.0) for a in x for b in y])
    pixels = project(matrix, inverse(world_from_camera), points)
    return float(np.mean(np.all((pixels >= 0) & (pixels <= np.array(size)), axis=1)))


def board_page(board: Board) -> tuple[Image.Image, float]:
    """Draw a board to be printed at true scale, on A4 where it fits, with a ruler to check the print by.

    Returns:
        The page and its resolution in dots per inch, which makes a square exactly `board.square` wide.
    """
    per_square = max(60, round(board.square / _INCH * 300))
    per_metre = per_square / board.square
    across, down = board.columns * board.square, board.rows * board.square
    fits = across + 0.02 <= _A4[0] and down + 0.02 <= _A4[1]
    width, height = _A4 if fits else (across + 0.04, down + 0.04)
    page = Image.new("L", (round(width * per_metre), round(height * per_metre)), 255)
    left, top = round((width - across) / 2 * per_metre), round((height - down) / 2 * per_metre)
    page.paste(Image.fromarray(board.picture(pixels_per_square=per_square)), (left, top))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(round(0.004 * per_metre))
    line = top + down * per_metre + 0.006 * per_metre
    draw.line([(left, line), (left + 0.1 * per_metre, line)], fill=0, width=max(2, round(0.0004 * per_metre)))
    for end in (0.0, 0.1):
        x = left + end * per_metre
        draw.line([(x, line - 0.002 * per_metre), (x, line + 0.002 * per_metre)], fill=0, width=3)
    text = (
        f"100 mm if printed at 100 %    {board.columns} x {board.rows} squares of {1000 * board.square:g} mm, "
        f"markers {1000 * board.marker:g} mm, {board.dictionary}"
    )
    draw.text((left + 0.104 * per_metre, line), text, fill=0, font=font, anchor="lm")
    return page, per_metre * _INCH


def page_bytes(page: Image.Image, resolution: float, kind: str) -> bytes:
    """Return a page as the bytes of a "PDF" or a "PNG" that know its true size."""
    buffer = io.BytesIO()
    if kind == "PDF":
        page.convert("RGB").save(buffer, "PDF", resolution=resolution)
    else:
        page.save(buffer, "PNG", dpi=(resolution, resolution), optimize=True)
    return buffer.getvalue()


def _multiples(low: float, high: float) -> list[float]:
    """Return the multiples of `STEP` between two limits, these included."""
    return [STEP * n for n in range(math.ceil(low / STEP - 1e-6), math.floor(high / STEP + 1e-6) + 1)]
