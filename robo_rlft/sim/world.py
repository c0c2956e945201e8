"""A PyBullet world that is built anew, in fixed order, from a list of bodies and poses.

Knows nothing of tasks or of learning. Rebuilding is the one way to set a state: Bullet's own saved states are not exact
once compound bodies are there, and a rebuild from in-memory primitives costs 2-5 ms and is bit-exact in any process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from robo_rlft.driver import Pose
from robo_rlft.geometry import yaw_quaternion
from robo_rlft.records import BodySpec, Part
from robo_rlft.sim.bullet import pybullet

TIMESTEP = 1.0 / 120.0  # seconds
GRAVITY = -9.81  # m/s^2
SETTLE_STEPS = 60
REST_SPEED = 0.003  # m/s, and rad/s times the size of a block's half diagonal
# Bodies are built asleep, as their poses were recorded at rest, and wake when something awake touches them: 0.01 ms a
# step for a still table against 0.4 ms. The high threshold keeps the first step's contact noise from waking them.
_ASLEEP = pybullet.ACTIVATION_STATE_SLEEP | pybullet.ACTIVATION_STATE_ENABLE_SLEEPING
DISC_SIDES = 12
TABLE_RGB = (214, 211, 204)


@dataclass(frozen=True)
class _Built:
    spec: BodySpec
    body: int  # Bullet's id
    center_of_mass: tuple[float, float, float]  # metres, body frame


class World:
    """One physics client; use it from one thread."""

    def __init__(self, *, solver_iterations: int = 20, settle_steps: int = SETTLE_STEPS) -> None:
        self.client: int = pybullet.connect(pybullet.DIRECT)
        self.solver_iterations = solver_iterations
        self.settle_steps = settle_steps
        self._bodies: list[_Built] = []
        self.on_step: Callable[[], None] | None = None  # called after every time step, for filming

    def close(self) -> None:
        """Release the client; safe to call twice."""
        if self.client >= 0:
            pybullet.disconnect(physicsClientId=self.client)
            self.client = -1

    def build(self, bodies: Sequence[BodySpec], poses: Sequence[Pose]) -> None:
        """Make the world hold exactly these bodies at these poses, at rest."""
        if len(bodies) != len(poses):
            raise ValueError(f"{len(bodies)} bodies came with {len(poses)} poses; each body needs one")
        client = self.client
        pybullet.resetSimulation(physicsClientId=client)
        pybullet.setPhysicsEngineParameter(
            fixedTimeStep=TIMESTEP,
            numSolverIterations=self.solver_iterations,
            erp=0.8,
            deterministicOverlappingPairs=1,
            physicsClientId=client,
        )
        pybullet.setGravity(0.0, 0.0, GRAVITY, physicsClientId=client)
        self._bodies = []
        self._create(_TABLE, Pose(position=(0.5, 0.0, -0.05)))
        for spec, pose in zip(bodies, poses, strict=True):
            self._bodies.append(self._create(spec, pose))

    def poses(self) -> tuple[Pose, ...]:
        """Return the bodies' poses in the order in which they were built, body frame in the world frame."""
        return tuple(self._pose(built) for built in self._bodies)

    def settle(self) -> None:
        """Step until every body is at rest, at most `settle_steps` steps."""
        for step in range(self.settle_steps):
            self.step()
            if step >= 3 and self.at_rest():
                return

    def at_rest(self) -> bool:
        """Tell whether every body has all but stopped."""
        for built in self._bodies:
            linear, angular = pybullet.getBaseVelocity(built.body, physicsClientId=self.client)
            if max(map(abs, linear)) > REST_SPEED or max(map(abs, angular)) > REST_SPEED / 0.03:
                return False
        return True

    def step(self) -> None:
        """Advance by one time step."""
        pybullet.stepSimulation(physicsClientId=self.client)
        if self.on_step is not None:
            self.on_step()

    def keep_awake(self, body: int) -> None:
        """Wake a Bullet body and do not let it sleep before the next rebuild."""
        awake = pybullet.ACTIVATION_STATE_WAKE_UP | pybullet.ACTIVATION_STATE_DISABLE_SLEEPING
        pybullet.changeDynamics(body, -1, activationState=awake, physicsClientId=self.client)

    def movable(self, body: int) -> bool:
        """Tell whether a Bullet body is one of the scene's that can be carried."""
        return any(built.body == body and built.spec.mass > 0 for built in self._bodies)

    def bodies(self) -> tuple[int, ...]:
        """Return Bullet's ids of the scene's bodies, in the order in which they were built."""
        return tuple(built.body for built in self._bodies)

    def add(self, spec: BodySpec, pose: Pose) -> int:
        """Create a body that is no part of the scene's state (a tool) and return Bullet's id."""
        return self._create(spec, pose).body

    def _pose(self, built: _Built) -> Pose:
        position, quaternion = pybullet.getBasePositionAndOrientation(built.body, physicsClientId=self.client)
        offset = _rotate(quaternion, built.center_of_mass)
        x, y, z = (p - o for p, o in zip(position, offset, strict=True))
        return Pose(position=(x, y, z), quaternion=quaternion)

    def _create(self, spec: BodySpec, pose: Pose) -> _Built:
        shapes = _shapes(spec)
        client = self.client
        collision = pybullet.createCollisionShapeArray(**shapes.collision, physicsClientId=client)
        visual = pybullet.createVisualShapeArray(**shapes.visual, physicsClientId=client)
        offset = _rotate(pose.quaternion, shapes.center_of_mass)
        body: int = pybullet.createMultiBody(
            baseMass=spec.mass,
            baseCollisionShapeIndex=collision,
            baseVisualShapeIndex=visual,
            basePosition=[p + o for p, o in zip(pose.position, offset, strict=True)],
            baseOrientation=pose.quaternion,
            physicsClientId=self.client,
        )
        pybullet.changeDynamics(
            body,
            -1,
            lateralFriction=spec.friction,
            rollingFriction=1e-4,
            spinningFriction=1e-4,
            activationState=_ASLEEP,
            sleepThreshold=10.0,
            physicsClientId=self.client,
        )
        return _Built(spec, body, shapes.center_of_mass)


_TABLE = BodySpec(
    name="table",
    parts=(Part(kind="box", size=(1.6, 2.4, 0.05), center=(0.0, 0.0, 0.025), color=TABLE_RGB),),
    mass=0.0,
)


@dataclass(frozen=True)
class _Shapes:
    collision: dict[str, list[Any]]  # arguments of createCollisionShapeArray
    visual: dict[str, list[Any]]  # arguments of createVisualShapeArray
    center_of_mass: tuple[float, float, float]  # metres, body frame


@lru_cache(maxsize=1024)
def _shapes(spec: BodySpec) -> _Shapes:
    solid = [part for part in spec.parts if part.solid]
    center = _center_of_mass(solid)
    seen = [flat for part in spec.parts if part.visible for flat in _flat(part)]
    return _Shapes(_arrays(solid, center, kind="collision"), _arrays(seen, center, kind="visual"), center)


def _center_of_mass(parts: Sequence[Part]) -> tuple[float, float, float]:
    volumes = [_volume(part) for part in parts]
    total = math.fsum(volumes)
    x, y, z = (math.fsum(v * p.center[axis] for v, p in zip(volumes, parts, strict=True)) / total for axis in range(3))
    return x, y, z


def _volume(part: Part) -> float:
    a, b, c = part.size
    return a * b * c if part.kind == "box" else math.pi * a * a * c


def _flat(part: Part) -> list[Part]:
    """Return what is drawn: a cylinder as a regular prism of boxes, since Bullet shades cylinders' caps as domes."""
    if part.kind == "box":
        return [part]
    radius, _, height = part.size
    across = 2.0 * radius * math.cos(math.pi / DISC_SIDES)
    side = 2.0 * radius * math.sin(math.pi / DISC_SIDES)
    turns = [math.pi * index / (DISC_SIDES // 2) for index in range(DISC_SIDES // 2)]
    return [replace(part, kind="box", size=(across, side, height), yaw=part.yaw + turn) for turn in turns]


def _arrays(parts: Sequence[Part], center: tuple[float, float, float], *, kind: str) -> dict[str, list[Any]]:
    arrays: dict[str, list[Any]] = {
        "shapeTypes": [pybullet.GEOM_BOX if part.kind == "box" else pybullet.GEOM_CYLINDER for part in parts],
        "halfExtents": [[size / 2.0 for size in part.size] for part in parts],
        "radii": [part.size[0] for part in parts],
        "lengths": [part.size[2] for part in parts],
        f"{kind}FramePositions": [[p - c for p, c in zip(part.center, center, strict=True)] for part in parts],
        f"{kind}FrameOrientations": [yaw_quaternion(part.yaw) for part in parts],
    }
    if kind == "visual":
        arrays["rgbaColors"] = [[channel / 255.0 for channel in part.color] + [1.0] for part in parts]
    return arrays


def _rotate(quaternion: Sequence[float], vector: Sequence[float]) -> tuple[float, float, float]:
    """Turn a vector by a quaternion: v + 2 q x (q x v + w v)."""
    qx, qy, qz, w = quaternion
    x, y, z = vector
    tx, ty, tz = qy * z - qz * y + w * x, qz * x - qx * z + w * y, qx * y - qy * x + w * z
    return x + 2 * (qy * tz - qz * ty), y + 2 * (qz * tx - qx * tz), z + 2 * (qx * ty - qy * tx)
