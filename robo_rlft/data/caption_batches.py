"""Batches of captioned renders for training an encoder.

Knows nothing of losses. A batch is points in pictures, the class of what lies there, and one caption a class, in words
that are drawn anew at every step; all of it a function of (seed, step).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from robo_rlft.data.batches import StepSampler
from robo_rlft.data.captions import BACKGROUND, CLASSES, COLOR_WORDS, IGNORED, random_caption
from robo_rlft.data.context import TrainContext
from robo_rlft.data.renders import Renders, load_or_render
from robo_rlft.language.vocabulary import SHAPES, SYNONYMS
from robo_rlft.records import TensorRecord

_MARGIN, _NEAR = 2.5, 8.0  # pixels from the nearest object: none is sampled below, half of the table's lie below this


@dataclass(frozen=True, kw_only=True)
class CaptionBatch(TensorRecord):
    """B pictures, P points in each, and captions of every class, colour and shape."""

    color: Tensor  # uint8 (B, 3, H, W)
    point: Tensor  # float32 (B, P, 2), pixel (row, column), at pixel centres
    label: Tensor  # int64 (B, P), index into CLASSES; len(CLASSES) is the table
    captions: tuple[str, ...]  # one for each of CLASSES
    color_captions: tuple[str, ...]  # one for each of COLOR_WORDS, without a shape
    shape_captions: tuple[str, ...]  # one for each of SHAPES, without a colour


@dataclass(frozen=True, kw_only=True)
class SceneBatch(TensorRecord):
    """B pictures whole, to measure an encoder with."""

    color: Tensor  # uint8 (B, 3, H, W)
    label: Tensor  # uint8 (B, H, W), index into CLASSES, or BACKGROUND or IGNORED
    captions: tuple[str, ...]  # one for each of CLASSES, canonical words
    synonyms: tuple[str, ...]  # one for each of CLASSES, words replaced where there are others


class CaptionData(LightningDataModule):
    """Captioned renders, made once.

    Args:
        context: the run; renders are kept in its folder.
        scenes: pictures to train on.
        val_scenes: pictures to measure with.
        batch_size: pictures of a step.
        object_points: points on objects in a picture.
        table_points: points on the bare table in a picture.
        steps_per_epoch: steps between two measurements.
    """

    def __init__(
        self,
        *,
        context: TrainContext,
        scenes: int = 4000,
        val_scenes: int = 200,
        batch_size: int = 16,
        object_points: int = 32,
        table_points: int = 24,
        steps_per_epoch: int = 100,
    ) -> None:
        super().__init__()
        if min(scenes, val_scenes, batch_size, object_points, table_points, steps_per_epoch) < 1:
            raise ValueError("expected every number of scenes, points and steps to be at least 1")
        self.context = context
        self.scenes, self.val_scenes, self.batch_size = scenes, val_scenes, batch_size
        self.object_points, self.table_points = object_points, table_points
        self.steps_per_epoch = steps_per_epoch
        self._train: Renders | None = None
        self._val: Renders | None = None

    def setup(self, stage: str) -> None:
        """Render, or read what an earlier start of this run rendered."""
        self._train = self._train or self._load("train", self.context.seed, self.scenes)
        # Validation scenes do not follow the run's seed, so that figures of two runs compare.
        self._val = self._val or self._load("val", 0, self.val_scenes)

    def train_dataloader(self) -> DataLoader[CaptionBatch]:
        """Return the batches of one epoch's steps that are still to come."""
        if self._train is None:
            raise RuntimeError("setup() comes before train_dataloader()")
        batches = _TrainBatches(
            self._train,
            seed=self.context.seed,
            batch_size=self.batch_size,
            points=(self.object_points, self.table_points),
        )
        sampler = StepSampler(lambda: self.trainer.global_step if self.trainer else 0, self.steps_per_epoch)
        return DataLoader(batches, sampler=sampler, batch_size=None, collate_fn=_as_is)

    def val_dataloader(self) -> DataLoader[SceneBatch]:
        """Return the pictures to measure with, in batches."""
        if self._val is None:
            raise RuntimeError("setup() comes before val_dataloader()")
        return DataLoader(_ValBatches(self._val, 40), batch_size=None, collate_fn=_as_is)

    def _load(self, phase: str, seed: int, count: int) -> Renders:
        context = self.context
        return load_or_render(
            context.run_dir / "renders",
            seed=seed,
            phase=phase,
            count=count,
            workspace=context.workspace,
            workers=context.workers,
        )


class _TrainBatches(Dataset[CaptionBatch]):
    """The batch of each step, a function of (seed, step)."""

    def __init__(self, renders: Renders, *, seed: int, batch_size: int, points: tuple[int, int]) -> None:
        self._renders, self._seed, self._batch_size, self._points = renders, seed, batch_size, points

    def __getitem__(self, step: int) -> CaptionBatch:
        rng = np.random.default_rng([self._seed, step])
        chosen = rng.choice(len(self._renders.color), size=self._batch_size, replace=False)
        colors = [_mirrored(rng, self._renders.color[i], self._renders.label[i]) for i in chosen]
        samples = [sample_points(rng, label, *self._points) for _, label in colors]
        return CaptionBatch(
            color=_images(np.stack([color for color, _ in colors])),
            point=torch.from_numpy(np.stack([point for point, _ in samples])),
            label=torch.from_numpy(np.stack([label for _, label in samples])),
            captions=tuple(random_caption(rng, *words) for words in CLASSES),
            color_captions=tuple(random_caption(rng, color, None) for color in COLOR_WORDS),
            shape_captions=tuple(random_caption(rng, None, shape) for shape in SHAPES),
        )


class _ValBatches(Dataset[SceneBatch]):
    """The pictures in order."""

    def __init__(self, renders: Renders, batch_size: int) -> None:
        self._renders, self._batch_size = renders, batch_size

    def __len__(self) -> int:
        return -(-len(self._renders.color) // self._batch_size)

    def __getitem__(self, index: int) -> SceneBatch:
        part = slice(index * self._batch_size, (index + 1) * self._batch_size)
        rng = np.random.default_rng(index)
        return SceneBatch(
            color=_images(self._renders.color[part]),
            label=torch.from_numpy(self._renders.label[part]),
            captions=tuple(f"{color} {shape}" for color, shape in CLASSES),
            synonyms=tuple(f"{_other(rng, color)} {_other(rng, shape)}" for color, shape in CLASSES),
        )


def sample_points(
    rng: np.random.Generator, label: npt.NDArray[np.uint8], object_points: int, table_points: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return pixels (P, 2) and their classes (P,): first on objects, classes evenly, then on the bare table.

    Half of the points on the table lie close to objects. None lies right beside one, where a coarse map cannot tell.
    """
    flat = label.reshape(-1)
    present = [int(c) for c in np.unique(flat) if c not in (BACKGROUND, IGNORED)]
    places = [np.flatnonzero(flat == c) for c in present]
    which = rng.permuted(np.arange(object_points) % len(present))
    on_objects = [int(rng.choice(places[i])) for i in which]
    distance = cv2.distanceTransform((label == BACKGROUND).astype(np.uint8), cv2.DIST_L2, 3).reshape(-1)
    near = np.flatnonzero((distance > _MARGIN) & (distance < _NEAR))
    far = np.flatnonzero(distance > _MARGIN)
    on_table = [*rng.choice(near, size=table_points // 2), *rng.choice(far, size=table_points - table_points // 2)]
    points = np.array([*on_objects, *on_table], dtype=np.int64)
    rows, columns = np.divmod(points, label.shape[1])
    classes = np.where(flat[points] == BACKGROUND, len(CLASSES), flat[points]).astype(np.int64)
    return np.stack([rows, columns], axis=-1).astype(np.float32), classes


def _mirrored(
    rng: np.random.Generator, color: npt.NDArray[np.uint8], label: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the picture as it is or mirrored along either axis: no object here has a handedness."""
    for axis in (0, 1):
        if rng.random() < 0.5:
            color, label = np.flip(color, axis), np.flip(label, axis)
    return np.ascontiguousarray(color), np.ascontiguousarray(label)


def _other(rng: np.random.Generator, word: str) -> str:
    return str(rng.choice(SYNONYMS[word])) if SYNONYMS.get(word) else word


def _images(color: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(color.transpose(0, 3, 1, 2)))


def _as_is(batch: Any) -> Any:
    return batch
