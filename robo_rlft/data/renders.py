"""Captioned scenes as pictures in memory, rendered once and kept in the run's folder.

Knows nothing of encoders or captions' words.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robo_rlft.data.captions import label_map, random_arrangement, scene_rng
from robo_rlft.geometry import Workspace
from robo_rlft.perception import fuse
from robo_rlft.sim.camera import TopDownCamera
from robo_rlft.sim.world import World

_CHUNK = 100  # scenes that one worker renders at a time


@dataclass(frozen=True, kw_only=True)
class Renders:
    """N scenes from above."""

    color: npt.NDArray[np.uint8]  # (N, H, W, 3), RGB
    label: npt.NDArray[np.uint8]  # (N, H, W), index into CLASSES, or BACKGROUND or IGNORED


def render_scenes(*, seed: int, phase: str, first: int, count: int, workspace: Workspace) -> Renders:
    """Render `count` scenes from index `first` on, in this process."""
    colors, labels = [], []
    world, camera = World(), TopDownCamera(workspace=workspace)
    try:
        for index in range(first, first + count):
            arrangement = random_arrangement(scene_rng(seed=seed, phase=phase, index=index), workspace)
            world.build(arrangement.bodies, arrangement.poses)
            colors.append(fuse([camera.view(world)], workspace)[0])
            labels.append(label_map(arrangement, workspace))
    finally:
        world.close()
    return Renders(color=np.stack(colors), label=np.stack(labels))


def load_or_render(
    folder: Path, *, seed: int, phase: str, count: int, workspace: Workspace, workers: int = 0
) -> Renders:
    """Return `count` scenes from the file in `folder`, or render them and write it."""
    rows, columns = workspace.shape
    path = folder / f"renders-{phase}-seed{seed}-{count}-{rows}x{columns}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as arrays:
            return Renders(color=arrays["color"], label=arrays["label"])
    renders = _render_all(seed=seed, phase=phase, count=count, workspace=workspace, workers=workers)
    folder.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part.npz")
    np.savez(beside, color=renders.color, label=renders.label)
    os.replace(beside, path)
    return renders


def _render_all(*, seed: int, phase: str, count: int, workspace: Workspace, workers: int) -> Renders:
    render = partial(_chunk, seed, phase, count, workspace)
    starts = range(0, count, _CHUNK)
    if workers == 0:
        parts = [render(start) for start in starts]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(render, starts))
    return Renders(color=np.concatenate([p.color for p in parts]), label=np.concatenate([p.label for p in parts]))


def _chunk(seed: int, phase: str, count: int, workspace: Workspace, first: int) -> Renders:
    size = min(_CHUNK, count - first)
    return render_scenes(seed=seed, phase=phase, first=first, count=size, workspace=workspace)
