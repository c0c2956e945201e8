"""The stage port: what stands on the table, what the camera sees, what went wrong; no part of a real controller.

One JSON object a line, `{"op": NAME, ...}`; answered by `{"ok": true, ...}` or `{"ok": false, "error": "..."}`. Arrays
travel as `{"dtype", "shape", "data"}`, the data raw bytes in base64.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from robo_rlft.driver import DriverError, Pose
from robo_rlft.records import BodySpec, Part
from robo_rlft.sim.loopback.camera import Camera
from robo_rlft.sim.loopback.controller import Controller
from robo_rlft.sim.loopback.faults import Faults

Answer = dict[str, Any]
Operation = Callable[[Mapping[str, Any]], Answer | Awaitable[Answer]]


class Stage:
    """Serves the stage port."""

    def __init__(self, controller: Controller, camera: Camera, faults: Faults, quit_: Callable[[], None]) -> None:
        self._controller, self._camera, self._faults = controller, camera, faults
        self._operations: dict[str, Operation] = {
            "build": self._build,
            "poses": lambda asked: {"poses": [asdict(pose) for pose in controller.arm.poses()]},
            "view": lambda asked: self._view(),
            "fault": self._fault,
            "clear": self._clear,
            "counts": self._counts,
            "events": lambda asked: {"events": controller.ledger.events(after=int(asked.get("after", 0)))},
            "state": lambda asked: self._state(),
            "quit": lambda asked: self._quit(quit_),
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it goes."""
        while line := await reader.readline():
            answer = await self._answer(line)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()

    async def _answer(self, line: bytes) -> Answer:
        try:
            asked = json.loads(line)
            operation = self._operations.get(asked.pop("op", ""))
            if operation is None:
                raise DriverError(f"expected an op of {', '.join(self._operations)}; got {line[:80]!r}")
            answer = operation(asked)
            return {"ok": True, **(answer if isinstance(answer, dict) else await answer)}
        except (DriverError, ValueError, TypeError, KeyError, AttributeError) as error:
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}

    def _quit(self, quit_: Callable[[], None]) -> Answer:
        quit_()
        return {}

    def _build(self, asked: Mapping[str, Any]) -> Answer:
        bodies = [body_from_dict(body) for body in asked["bodies"]]
        poses = [_pose(pose) for pose in asked["poses"]]
        self._controller.build(bodies, poses)
        return {}

    def _view(self) -> Answer:
        view = self._camera.view()
        arrays = ("color", "depth", "intrinsics", "world_from_camera")
        return {**{name: encode_array(getattr(view, name)) for name in arrays}, "stamp": view.stamp}

    def _fault(self, asked: Mapping[str, Any]) -> Answer:
        self._faults.make(**asked)
        return {}

    async def _clear(self, asked: Mapping[str, Any]) -> Answer:
        await self._faults.clear()
        return {}

    def _counts(self, asked: Mapping[str, Any]) -> Answer:
        counts = self._controller.ledger.counts()
        if asked.get("reset"):
            self._controller.ledger.reset_extremes()
        return {"counts": counts}

    def _state(self) -> Answer:
        controller = self._controller
        arm = controller.arm
        return {
            "tool_pose": asdict(arm.tool_pose()),
            "speed": float(np.linalg.norm(arm.speed[:3])),
            "force": list(arm.force),
            "mode": controller.safety.name,
            "runtime": controller.runtime.name,
            "moving": arm.moving,
            "holding": arm.holding(),
            "watchdog_armed": controller.watchdog_armed,
            "frozen": controller.frozen,
        }


def body_from_dict(values: Mapping[str, Any]) -> BodySpec:
    """Return a body from what `dataclasses.asdict` made of it."""
    return BodySpec(**{**values, "parts": tuple(_part(part) for part in values["parts"])})


def encode_array(array: np.ndarray) -> dict[str, Any]:
    """Return an array as JSON can carry it."""
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def _pose(values: Mapping[str, Any]) -> Pose:
    x, y, z = values["position"]
    qx, qy, qz, qw = values["quaternion"]
    return Pose(position=(x, y, z), quaternion=(qx, qy, qz, qw))


def _part(values: Mapping[str, Any]) -> Part:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Part(**fields)
