"""Films of attempts for the labelling page: acted again in their simulator, or the pictures that were taken.

Knows environments and episodes, not pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_rlft.commands.environment import environment_factory
from robo_rlft.data.episodes import read_episode
from robo_rlft.env import TabletopEnv
from robo_rlft.evaluation.overlays import landscape
from robo_rlft.evaluation.video import FPS, encode_mp4
from robo_rlft.rollout.episode import Episode

_STILL = 0.7  # seconds for which each picture stays where there is no film
_WIDTH = 320  # pixels, at least


class FilmMaker:
    """Makes films of the episodes in a folder; used by one thread.

    Args:
        folder: of the episodes.
        config: of the run that recorded them, with its environment; None where a real robot did.
        trust: classes outside this package that the user allowed, now.
    """

    def __init__(self, folder: Path, *, config: Mapping[str, Any] | None, trust: Sequence[str] = ()) -> None:
        self._folder, self._config, self._trust = folder, config, trust
        self._env: TabletopEnv | None = None

    def __call__(self, name: str) -> bytes:
        """Return the film of the episode in a file, as an MP4 file's bytes."""
        episode = read_episode(self._folder / name)
        frames = [] if self._config is None else self._act(episode)
        return encode_mp4(frames or stills(episode))

    def close(self) -> None:
        """Release the simulator."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _act(self, episode: Episode) -> list[npt.NDArray[np.uint8]]:
        if self._env is None:
            assert self._config is not None
            make = environment_factory(
                self._config, trust=self._trust, workspace=episode.workspace, rotations=episode.rotations
            )
            self._env = make()
        state = self._env.start(episode.seed)
        frames = []
        for pick, place, turn in zip(episode.pick, episode.place, episode.rotation, strict=True):
            action = np.array([*pick, *place, turn], dtype=np.int64)
            frames += self._env.film(state, action)
            state = self._env.act(state, action).state
        return frames


def stills(episode: Episode) -> list[npt.NDArray[np.uint8]]:
    """Return what was seen before the first action and after each, as people see it, each for a while."""
    times = -(-_WIDTH // episode.workspace.rows)
    pictures = [landscape(picture).repeat(times, axis=0).repeat(times, axis=1) for picture in episode.color]
    return [picture for picture in pictures for _ in range(round(_STILL * FPS))]
