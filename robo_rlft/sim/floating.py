"""A suction gripper that floats: `robot=sim_floating`, the simulated robot that training uses.

It is a light body pulled along by a constraint of limited force, so it pushes, is stopped and lags as an arm does;
what it grips hangs on a second constraint of limited force and can slip. Knows nothing of tasks.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from robo_rlft.driver import (
    DeadlineExceeded,
    DriverError,
    Mode,
    Motion,
    OperatorNeeded,
    Pose,
    Refused,
    RobotStopped,
    Status,
    View,
    Wrench,
    check_motion,
)
from robo_rlft.geometry import Workspace, quaternion_tilt, quaternion_yaw, yaw_quaternion
from robo_rlft.records import BodySpec, Part
from robo_rlft.sim.bullet import pybullet
from robo_rlft.sim.camera import TopDownCamera, film_frame
from robo_rlft.sim.way import Way
from robo_rlft.sim.world import TIMESTEP, World

HOME = Pose(position=(0.5, 0.0, 0.62))  # above what the camera can see
TIP_HEIGHT = 0.03  # metres, the gripper's own length
GRIPPER_FORCE = 50.0  # newtons
SUCTION_FORCE = 20.0
CUP_RADIUS = 0.012  # metres
SEAL_GAP = 0.004  # metres between the cup's lip and a face, at most
SEAL_POINTS = 8  # points of the lip that are looked at
LAG_STEPS = 4  # steps of waiting at a motion's end until the gripper has caught up
MAX_TILT = 1e-3  # radians: this gripper points straight down
REACH = 3.0  # metres from the world's origin
DEADLINE = 60.0  # seconds of simulated time, of motions that have none of their own

_GRIPPER = BodySpec(
    name="gripper",
    parts=(Part(kind="box", size=(0.012, 0.012, TIP_HEIGHT), center=(0.0, 0.0, TIP_HEIGHT / 2), color=(40, 40, 44)),),
    mass=0.2,
)


class FloatingGripper:
    """A `RobotDriver` over a `World`, and a `Scene`: building the scene brings the gripper home, empty."""

    def __init__(self, *, workspace: Workspace, solver_iterations: int = 20) -> None:
        self.workspace = workspace
        self.world = World(solver_iterations=solver_iterations)
        self._camera = TopDownCamera(workspace=workspace)
        self._gripper = -1
        self._carrier = -1
        self._suction: int | None = None
        self._held: int | None = None
        self._target = HOME
        self._locked: str | None = None  # why an operator is needed
        self._stopped = threading.Event()

    def connect(self) -> None:
        """Have a world: the one that was built, or an empty table."""
        if self.world.client < 0:
            self.world = World(solver_iterations=self.world.solver_iterations)
            self._gripper = -1
        if self._gripper < 0:
            self.build((), ())

    def close(self) -> None:
        """Release the world; safe to call twice."""
        self.world.close()

    def serial(self) -> str:
        """Return "simulated": there is no second one to be told from."""
        return "simulated"

    def status(self) -> Status:
        """Return whether there is a world."""
        if self.world.client < 0 or self._gripper < 0:
            return Status(mode=Mode.DISCONNECTED, detail="connect() was not called, or close() was", age=math.inf)
        return Status(mode=Mode.OK, detail=self._locked or "")

    def recover(self, *, operator: str) -> None:
        """Take the gripper back into use after a missed deadline or a stop."""
        self._connected()
        self._locked = None

    def stop(self) -> None:
        """End the motion under way, if there is one."""
        self._stopped.set()

    def build(self, bodies: Sequence[BodySpec], poses: Sequence[Pose]) -> None:
        """Make the world hold exactly these bodies at these poses, at rest, and the gripper at home."""
        self.world.build(bodies, poses)
        self._gripper = self.world.add(_GRIPPER, HOME)
        self.world.keep_awake(self._gripper)
        client = self.world.client
        self._carrier = pybullet.createConstraint(
            self._gripper,
            -1,
            -1,
            -1,
            pybullet.JOINT_FIXED,
            [0, 0, 0],
            [0, 0, -TIP_HEIGHT / 2],
            HOME.position,
            physicsClientId=client,
        )
        pybullet.changeConstraint(self._carrier, maxForce=GRIPPER_FORCE, physicsClientId=client)
        self._suction = self._held = None
        self._target = HOME
        self._locked = None

    def poses(self) -> tuple[Pose, ...]:
        """Return the bodies' poses, body frame in the world frame."""
        return self.world.poses()

    def settle(self) -> None:
        """Let the world come to rest, within a limit of steps."""
        self._connected()
        self.world.settle()

    wait = settle

    def observe(self) -> tuple[View, ...]:
        """Return the view from above; the gripper must be at home."""
        self._connected()
        return (self._camera.view(self.world),)

    def tool_pose(self) -> Pose:
        """Return the pose of the suction cup's face."""
        self._connected()
        position, quaternion = pybullet.getBasePositionAndOrientation(self._gripper, physicsClientId=self.world.client)
        x, y, z = position
        return Pose(position=(x, y, z - TIP_HEIGHT / 2), quaternion=quaternion)

    def force(self) -> Wrench:
        """Return what pushes at the gripper and at what it holds; torques are not told."""
        self._connected()
        total = np.zeros(3)
        for body in (self._gripper, self._held):
            contacts = () if body is None else pybullet.getContactPoints(body, physicsClientId=self.world.client)
            for contact in contacts:
                if {contact[1], contact[2]} != {self._gripper, self._held}:
                    total += np.array(contact[7]) * contact[9]  # the normal points from the other body to this one
        return Wrench(force=(float(total[0]), float(total[1]), float(total[2])))

    def move(
        self,
        target: Pose,
        *,
        speed: float,
        acceleration: float | None = None,
        stop_on_contact: bool = False,
        deadline: float | None = None,
    ) -> Motion:
        """Move along a line, turning evenly; see `RobotDriver.move`. Times are simulated ones.

        Without an acceleration the gripper's target sets off at full speed, and the gripper lags behind it.
        """
        self._connected()
        check_motion(target, speed=speed, acceleration=acceleration, deadline=deadline)
        if quaternion_tilt(target.quaternion) > MAX_TILT:
            raise Refused(f"this gripper points straight down; got the quaternion {target.quaternion}", rule="tilt")
        if math.hypot(*target.position) > REACH:
            raise Refused(f"the simulated world ends {REACH} m from its origin; got {target.position}", rule="reach")
        self._ready()
        start, yaw = self._target, quaternion_yaw(self._target.quaternion)
        turn = math.remainder(quaternion_yaw(target.quaternion) - yaw, 2 * math.pi)
        way = Way.of(math.dist(start.position, target.position), turn, speed=speed, acceleration=acceleration)
        limit = DEADLINE if deadline is None else deadline
        self._stopped.clear()
        step, share = 0, 0.0
        while share < 1.0:
            self._interrupt(step, limit)
            step += 1
            share = way.share(step)
            x, y, z = (a + (b - a) * share for a, b in zip(start.position, target.position, strict=True))
            self.drive(Pose(position=(x, y, z), quaternion=yaw_quaternion(yaw + turn * share)))
            if stop_on_contact and self._touches():
                self.drive(replace_z(self._target, self.tool_pose().position[2]))
                return Motion(reached=self.tool_pose(), contact=True)
        for lag in range(LAG_STEPS):
            self._interrupt(step + lag, limit)
            self.world.step()
            if stop_on_contact and self._touches():
                return Motion(reached=self.tool_pose(), contact=True)
        return Motion(reached=self.tool_pose(), contact=False)

    def home_way(self, start: Pose) -> tuple[Pose, ...]:
        """Return where `home` ends from there; it goes in one line."""
        return (replace_z(start, HOME.position[2]),)

    def home(self) -> None:
        """Rise straight out of the camera's sight; what is held stays held."""
        self.move(self.home_way(self._target)[-1], speed=3.0)

    def grip(self) -> None:
        """Switch suction on: whatever movable thing the cup touches is held from now on."""
        self._ready()
        body = self._under_cup()
        if body is None or self._suction is not None:
            return
        client = self.world.client
        self.world.keep_awake(body)
        position, quaternion = pybullet.getBasePositionAndOrientation(body, physicsClientId=client)
        tool, tool_quaternion = pybullet.getBasePositionAndOrientation(self._gripper, physicsClientId=client)
        inverse = pybullet.invertTransform(position, quaternion)
        offset, turn = pybullet.multiplyTransforms(*inverse, tool, tool_quaternion)
        self._suction = pybullet.createConstraint(
            self._gripper,
            -1,
            body,
            -1,
            pybullet.JOINT_FIXED,
            [0, 0, 0],
            [0, 0, 0],
            offset,
            [0, 0, 0, 1],
            turn,
            physicsClientId=client,
        )
        pybullet.changeConstraint(self._suction, maxForce=SUCTION_FORCE, physicsClientId=client)
        self._held = body

    def release(self) -> None:
        """Switch suction off."""
        self._ready()
        if self._suction is not None:
            pybullet.removeConstraint(self._suction, physicsClientId=self.world.client)
        self._suction = self._held = None

    def is_holding(self) -> bool:
        """Tell whether something hangs on the cup, within a centimetre of where it was gripped."""
        self._connected()
        if self._held is None:
            return False
        points = pybullet.getClosestPoints(self._gripper, self._held, 0.01, physicsClientId=self.world.client)
        return len(points) > 0

    @contextmanager
    def record(self, *, every: int = 8) -> Iterator[list[npt.NDArray[np.uint8]]]:
        """Film for people while the context lasts: a picture every `every` time steps (8: 15 a second)."""
        frames: list[npt.NDArray[np.uint8]] = []
        self.world.on_step = _Filmer(self.world, frames, every)
        try:
            yield frames
        finally:
            self.world.on_step = None

    def drive(self, pose: Pose) -> None:
        """Pull the gripper towards a pose for one time step; `move` is made of these."""
        self._target = pose
        pybullet.changeConstraint(
            self._carrier, pose.position, pose.quaternion, maxForce=GRIPPER_FORCE, physicsClientId=self.world.client
        )
        self.world.step()

    def _connected(self) -> None:
        if self.world.client < 0 or self._gripper < 0:
            raise DriverError("the simulated robot has no world: call connect() first")

    def _ready(self) -> None:
        self._connected()
        if self._locked is not None:
            raise OperatorNeeded(f"{self._locked}; call recover(operator=...) first")

    def _interrupt(self, step: int, deadline: float) -> None:
        """Halt before a time step of a motion, if it was stopped or is late."""
        late = (step + 1) * TIMESTEP > deadline
        if late or self._stopped.is_set():
            self._target = self.tool_pose()
            why = f"the motion did not end within {deadline} s" if late else "the motion was stopped"
            self._locked = why
            raise DeadlineExceeded(why) if late else RobotStopped(why)

    def _touches(self) -> bool:
        client = self.world.client
        if self._held is None:
            return len(pybullet.getContactPoints(self._gripper, physicsClientId=client)) > 0
        contacts = pybullet.getContactPoints(self._held, physicsClientId=client)
        return any(contact[2] != self._gripper and contact[8] < 0.001 for contact in contacts)

    def _under_cup(self) -> int | None:
        """Return the movable body that the cup seals on: all of its lip is over one body, within `SEAL_GAP`.

        So a pick near an edge, on a rim or across two objects holds nothing, as with a real cup.
        """
        x, y, z = self.tool_pose().position
        lip = [2 * math.pi * i / SEAL_POINTS for i in range(SEAL_POINTS)]
        starts = [(x + CUP_RADIUS * math.cos(a), y + CUP_RADIUS * math.sin(a), z + SEAL_GAP) for a in lip]
        ends = [(px, py, z - SEAL_GAP) for px, py, _ in starts]
        hits = pybullet.rayTestBatch(starts, ends, physicsClientId=self.world.client)
        bodies = {hit[0] for hit in hits}
        body = bodies.pop() if len(bodies) == 1 else -1
        return int(body) if self.world.movable(body) else None


class _Filmer:
    def __init__(self, world: World, frames: list[npt.NDArray[np.uint8]], every: int) -> None:
        self.world, self.frames, self.every, self.count = world, frames, every, 0

    def __call__(self) -> None:
        if self.count % self.every == 0:
            self.frames.append(film_frame(self.world))
        self.count += 1


def replace_z(pose: Pose, z: float) -> Pose:
    """Return the pose at another height."""
    return Pose(position=(pose.position[0], pose.position[1], z), quaternion=pose.quaternion)
