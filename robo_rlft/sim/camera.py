"""Cameras over a world: one straight down for the policy, one aslant for people.

Knows nothing of workspaces' grids beyond their extent: what a pixel means is perception's business.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_rlft.driver import View
from robo_rlft.geometry import Workspace
from robo_rlft.sim.bullet import pybullet
from robo_rlft.sim.world import World

# Light from straight above keeps a horizontal face's colour within 1 of 255 of its name's.
_LIGHT = {
    "lightDirection": (0.0, 0.0, 1.0),
    "lightAmbientCoeff": 0.6,
    "lightDiffuseCoeff": 0.4,
    "lightSpecularCoeff": 0.0,
}
_FILM_LIGHT = {
    "lightDirection": (0.3, 0.5, 1.2),
    "lightAmbientCoeff": 0.65,
    "lightDiffuseCoeff": 0.35,
    "lightSpecularCoeff": 0.05,
}
RENDERER = "pybullet-tiny"


class TopDownCamera:
    """A perspective camera 20 m above the workspace: heights come out exact, walls stay out of sight.

    Bullet's orthographic depth is wrongly scaled, hence a far perspective camera with close clipping planes.
    """

    distance, near, far = 20.0, 19.5, 20.05  # metres above the table, and along the optical axis

    def __init__(self, *, workspace: Workspace) -> None:
        self.width, self.height = workspace.columns, workspace.rows
        x, y = (workspace.x_min + workspace.x_max) / 2, (workspace.y_min + workspace.y_max) / 2
        focal = self.distance / workspace.pixel_size  # pixels
        self.intrinsics = np.array(
            [[focal, 0, self.width / 2], [0, focal, self.height / 2], [0, 0, 1]], dtype=np.float64
        )
        self.world_from_camera = np.array(
            [[1, 0, 0, x], [0, -1, 0, y], [0, 0, -1, self.distance], [0, 0, 0, 1]], dtype=np.float64
        )
        # TinyRenderer samples a pixel at its corner: half a pixel further, the picture agrees with the intrinsics.
        eye_x, eye_y = x + workspace.pixel_size / 2, y + workspace.pixel_size / 2
        self._view = pybullet.computeViewMatrix([eye_x, eye_y, self.distance], [eye_x, eye_y, 0.0], [0.0, 1.0, 0.0])
        fov = math.degrees(2 * math.atan(self.height / 2 / focal))
        self._projection = pybullet.computeProjectionMatrixFOV(fov, self.width / self.height, self.near, self.far)

    def view(self, world: World) -> View:
        """Render colour and depth; the stamp is 0, as simulated time does not pass between actions."""
        color, buffer = _render(world, self.width, self.height, self._view, self._projection, shadow=0, light=_LIGHT)
        depth = self.far * self.near / (self.far - (self.far - self.near) * buffer.astype(np.float64))
        return View(
            color=color,
            depth=depth.astype(np.float32),
            intrinsics=self.intrinsics,
            world_from_camera=self.world_from_camera,
            stamp=0.0,
        )


def film_frame(world: World, *, width: int = 320, height: int = 192) -> npt.NDArray[np.uint8]:
    """Render the table aslant, from opposite the robot, for people to watch: (height, width, 3) RGB."""
    view = pybullet.computeViewMatrix([1.2, 0.0, 0.75], [0.52, 0.0, 0.0], [0.0, 0.0, 1.0])
    projection = pybullet.computeProjectionMatrixFOV(38.0, width / height, 0.1, 3.0)
    return _render(world, width, height, view, projection, shadow=1, light=_FILM_LIGHT)[0]


def _render(
    world: World, width: int, height: int, view: Any, projection: Any, *, shadow: int, light: dict[str, Any]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    _, _, rgba, depth, _ = pybullet.getCameraImage(
        width,
        height,
        view,
        projection,
        shadow=shadow,
        renderer=pybullet.ER_TINY_RENDERER,
        flags=pybullet.ER_NO_SEGMENTATION_MASK,
        physicsClientId=world.client,
        **light,
    )
    color = np.asarray(rgba, dtype=np.uint8).reshape(height, width, 4)[..., :3]
    return np.ascontiguousarray(color), np.asarray(depth, dtype=np.float32).reshape(height, width)
