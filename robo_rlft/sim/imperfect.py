"""A simulated gripper whose camera is not where it is said to be, and whose depths are noisy: a cell as real ones are.

Knows nothing of tasks or policies; what they see is off as it would be after an imperfect calibration.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from robo_rlft.driver import View
from robo_rlft.geometry import Workspace
from robo_rlft.sim.floating import FloatingGripper


class ImperfectGripper(FloatingGripper):
    """A floating gripper with a biased, noisy camera.

    The noise is a function of the seed and of what is seen: the same state gives the same picture in any process, and
    so does the same seed.

    Args:
        workspace: see `FloatingGripper`.
        solver_iterations: likewise.
        camera_offset: (x, y) in metres, world frame: how far from its true place the camera is believed to be.
        depth_noise: standard deviation of each pixel's depth, metres.
        seed: of the noise.

    Raises:
        ValueError: an offset that is not two finite numbers, or a noise below 0.
    """

    def __init__(
        self,
        *,
        workspace: Workspace,
        solver_iterations: int = 20,
        camera_offset: Sequence[float] = (0.008, 0.0),
        depth_noise: float = 0.001,
        seed: int = 0,
    ) -> None:
        if len(camera_offset) != 2 or not np.isfinite([*camera_offset, depth_noise]).all() or depth_noise < 0.0:
            raise ValueError(
                "expected camera_offset=[x, y] in metres and depth_noise of at least 0 metres, got "
                f"{list(camera_offset)} and {depth_noise}"
            )
        super().__init__(workspace=workspace, solver_iterations=solver_iterations)
        self.camera_offset, self.depth_noise, self.seed = tuple(camera_offset), depth_noise, seed

    def observe(self) -> tuple[View, ...]:
        """Return the view from above, as an imperfect cell gives it."""
        return tuple(self._spoiled(view) for view in super().observe())

    def _spoiled(self, view: View) -> View:
        believed = view.world_from_camera.copy()
        believed[:2, 3] += self.camera_offset
        rng = np.random.default_rng((self.seed, zlib.crc32(view.depth.tobytes()), zlib.crc32(view.color.tobytes())))
        noise = rng.normal(0.0, self.depth_noise, view.depth.shape)
        return replace(view, depth=(view.depth + noise).astype(np.float32), world_from_camera=believed)
