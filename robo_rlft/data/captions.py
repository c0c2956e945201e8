"""Captioned renders: random scenes seen from above, and words for what lies where.

Knows nothing of encoders. A caption names one object, so that no pair of objects is ever told in words. Scenes follow
from (seed, phase, index) alone, batches from (seed, step).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from robo_rlft.driver import Pose
from robo_rlft.geometry import Workspace, quaternion_yaw, yaw_quaternion
from robo_rlft.language.vocabulary import COLORS, SHAPES, SYNONYMS
from robo_rlft.records import BodySpec
from robo_rlft.tasks.objects import FOOTPRINT_RADIUS, make_fixture, make_object

COLOR_WORDS: Final = tuple(COLORS)
CLASSES: Final = tuple((color, shape) for color in COLOR_WORDS for shape in SHAPES)
"""What a caption can say of an object; an object's class is its place here."""
BACKGROUND: Final = 255
IGNORED: Final = 254  # the hole of a ring: neither ring nor table
PHASES: Final = ("train", "val")  # test scenes belong to evaluation
_STREAM: Final = 0xC11B  # keeps these scenes apart from every other use of the same seed

# Stacks that a task can lead to: (below, above, height of the upper one's underside above the lower one's, metres).
_STACKS: Final = (
    ("bowl", "block", 0.008),
    ("bowl", "puck", 0.008),
    ("plate", "block", 0.011),
    ("plate", "puck", 0.011),
    ("plate", "ring", 0.011),
    ("block", "block", 0.041),
    ("block", "puck", 0.041),
    ("puck", "block", 0.019),
    ("fixture", "elbow", 0.004),
    ("fixture", "elbow", 0.004),
    ("fixture", "bar", 0.004),
    ("fixture", "block", 0.004),
)
_HELD: Final = ("elbow", "elbow", "elbow", "bar", "block")  # what an empty fixture is made for

# Words that no caption explains; all of them read the encoder's one unknown row.
_FILLERS: Final = ("small", "nice", "plastic", "shiny", "new", "funny", "solid", "little", "plain", "lovely")
_ARTICLES: Final = ("", "the ", "a ")


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Bodies on the table and where they are."""

    bodies: tuple[BodySpec, ...]
    poses: tuple[Pose, ...]
    classes: tuple[int, ...]  # index into CLASSES


def scene_rng(*, seed: int, phase: str, index: int) -> np.random.Generator:
    """Return the randomness of one scene.

    Raises:
        ValueError: `phase` is not in `PHASES`.
    """
    if phase not in PHASES:
        raise ValueError(f"captioned renders have the phases {', '.join(PHASES)}; got {phase!r}")
    return np.random.default_rng([_STREAM, PHASES.index(phase), seed, index])


def random_arrangement(rng: np.random.Generator, workspace: Workspace) -> Arrangement:
    """Return 8 to 14 objects at places that do not overlap, some of them on or in another.

    Half of the scenes have two or three colours only, so that a caption's shape must be read too.
    """
    palette = rng.permutation(len(COLOR_WORDS))
    if rng.random() < 0.5:
        palette = palette[: rng.integers(2, 4)]
    free = _Places(rng, workspace)
    items: list[tuple[BodySpec, Pose, int]] = []
    count = int(rng.integers(8, 15))
    while len(items) < count:
        below, above, lift = _STACKS[rng.integers(len(_STACKS))]
        stacked = len(items) + 2 <= count and rng.random() < 0.15
        shape = below if stacked else SHAPES[rng.integers(len(SHAPES))]
        xy = free.take(FOOTPRINT_RADIUS[shape] * 1.1)
        if xy is None:
            break
        holds = above if stacked else str(rng.choice(_HELD))
        items.append(_item(rng, palette, shape, (*xy, 0.0), holds=holds))
        if stacked:
            shift = rng.uniform(-0.006, 0.006, size=2)
            at = (xy[0] + float(shift[0]), xy[1] + float(shift[1]), lift)
            fitted = quaternion_yaw(items[-1][1].quaternion) + float(rng.normal(0.0, 0.05))
            items.append(_item(rng, palette, above, at, yaw=fitted if shape == "fixture" else None))
    bodies, poses, classes = zip(*items, strict=True)
    return Arrangement(bodies=bodies, poses=poses, classes=classes)


class _Places:
    """Hands out places on the table that keep clear of one another."""

    def __init__(self, rng: np.random.Generator, workspace: Workspace) -> None:
        self._rng, self._workspace = rng, workspace
        self._taken: list[tuple[float, float, float]] = []

    def take(self, radius: float) -> tuple[float, float] | None:
        """Return a free place (x, y) in metres, or None when none is found."""
        w = self._workspace
        for _ in range(60):
            x = float(self._rng.uniform(w.x_min + radius, w.x_max - radius))
            y = float(self._rng.uniform(w.y_min + radius, w.y_max - radius))
            if all(math.hypot(x - a, y - b) > radius + r + 0.004 for a, b, r in self._taken):
                self._taken.append((x, y, radius))
                return x, y
        return None


def _item(
    rng: np.random.Generator,
    palette: npt.NDArray[np.int64],
    shape: str,
    position: tuple[float, float, float],
    *,
    holds: str = "elbow",
    yaw: float | None = None,
) -> tuple[BodySpec, Pose, int]:
    """Return an object of a random colour of the palette, its pose and its class; `holds` is for fixtures."""
    color = int(palette[rng.integers(len(palette))])
    word = COLOR_WORDS[color]
    jitter = rng.normal(0.0, 5.0, size=3) + rng.normal(0.0, 7.0)
    r, g, b = (int(np.clip(round(c + j), 0, 255)) for c, j in zip(COLORS[word], jitter, strict=True))
    scale = float(rng.uniform(0.92, 1.08))
    if shape == "fixture":
        body = make_fixture(word, holds=holds, rgb=(r, g, b), scale=scale)
    else:
        body = make_object(shape, word, rgb=(r, g, b), scale=scale)
    turned = float(rng.uniform(-math.pi, math.pi)) if yaw is None else yaw
    pose = Pose(position=position, quaternion=yaw_quaternion(turned))
    return body, pose, color * len(SHAPES) + SHAPES.index(shape)


def random_caption(rng: np.random.Generator, color: str | None, shape: str | None) -> str:
    """Return words for an object: its colour and shape, each replaced by a synonym with probability 0.4.

    None leaves a word out: "object", "thing", "one" or a word that nobody explained stands for a shape, and nothing or
    such a word for a colour. Now and then an article or such a word comes before.
    """
    first = "" if color is None else _word(rng, color) + " "
    if color is None and rng.random() < 0.4:
        first = str(rng.choice(_FILLERS)) + " "
    last = str(rng.choice(("object", "thing", "one", *_FILLERS[:2]))) if shape is None else _word(rng, shape)
    filler = str(rng.choice(_FILLERS)) + " " if rng.random() < 0.1 else ""
    article = _ARTICLES[int(rng.choice(len(_ARTICLES), p=(0.8, 0.1, 0.1)))]
    return article + filler + first + last


def _word(rng: np.random.Generator, word: str) -> str:
    return str(rng.choice(SYNONYMS[word])) if rng.random() < 0.4 and SYNONYMS.get(word) else word


def label_map(arrangement: Arrangement, workspace: Workspace) -> npt.NDArray[np.uint8]:
    """Return the class of what lies on top at each pixel's centre, (H, W); `BACKGROUND` for the table."""
    labels = np.full(workspace.shape, BACKGROUND, dtype=np.uint8)
    top = np.zeros(workspace.shape)
    for body, pose, label in zip(arrangement.bodies, arrangement.poses, arrangement.classes, strict=True):
        if body.name.endswith("ring"):
            extent = max(math.hypot(*part.center[:2]) for part in body.parts)
            _paint(labels, top, workspace, pose, (0.0, 0.0), ("cylinder", extent, extent, 0.0), 1e-6, IGNORED)
        for part in body.parts:
            height = pose.position[2] + part.center[2] + part.size[2] / 2.0
            half = part.size[:2] if part.kind == "cylinder" else (part.size[0] / 2, part.size[1] / 2)
            _paint(labels, top, workspace, pose, part.center[:2], (part.kind, *half, part.yaw), height, label)
    return labels


def _paint(
    labels: npt.NDArray[np.uint8],
    top: npt.NDArray[np.float64],
    workspace: Workspace,
    pose: Pose,
    center: tuple[float, float],
    outline: tuple[str, float, float, float],  # kind, half extents or radius in metres, yaw in the body's frame
    height: float,
    label: int,
) -> None:
    """Label the pixels whose centres lie under the outline and where nothing higher was painted."""
    kind, a, b, yaw = outline
    body_yaw = 2.0 * math.atan2(pose.quaternion[2], pose.quaternion[3])
    c, s = math.cos(body_yaw), math.sin(body_yaw)
    x, y = pose.position[0] + c * center[0] - s * center[1], pose.position[1] + s * center[0] + c * center[1]
    reach = math.hypot(a, b)
    low = workspace.clip_pixel(workspace.xy_to_pixel((x - reach, y - reach)))
    high = workspace.clip_pixel(workspace.xy_to_pixel((x + reach, y + reach))) + 1
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    px = workspace.x_min + (np.arange(low[1], high[1]) + 0.5) * workspace.pixel_size - x
    py = (workspace.y_min + (np.arange(low[0], high[0]) + 0.5) * workspace.pixel_size - y)[:, None]
    c, s = math.cos(body_yaw + yaw), math.sin(body_yaw + yaw)
    u, v = c * px + s * py, -s * px + c * py
    inside = u * u + v * v <= a * a if kind == "cylinder" else (np.abs(u) <= a) & (np.abs(v) <= b)
    inside &= top[window] < height
    labels[window][inside] = label
    top[window][inside] = height
