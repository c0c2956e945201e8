"""The RTDE server, protocol version 2: output recipes at a frequency, input recipes, several clients.

Packages are big-endian: length (2 bytes, header included), kind (1 byte), payload.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Iterator
from typing import Any

from robo_rlft.sim.loopback.controller import Controller
from robo_rlft.sim.loopback.network import Gate
from robo_rlft.sim.loopback.variables import INPUTS, OUTPUTS, TYPES, Getter

VERSION = (5, 15, 0, 126430)  # of the controller's software
PROTOCOL = 2
FASTEST = 500.0  # packages a second, at most
BACKLOG = 1 << 18  # bytes that wait for a client that does not read, before packages are dropped

_HEADER = struct.Struct(">HB")
VERSION_REQUEST, CONTROLLER_VERSION, OUTPUT_SETUP, INPUT_SETUP, START, PAUSE, DATA, MESSAGE = b"VvOISPUM"


class RtdeServer:
    """Serves one controller's data."""

    def __init__(self, controller: Controller, gate: Gate) -> None:
        self._controller, self._gate = controller, gate
        self._owners: dict[str, _Client] = {}  # of input variables: one client may write each

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it goes."""
        client = _Client(self._controller, self._gate, writer, self._owners)
        sending = asyncio.create_task(client.send_forever())
        try:
            while True:
                length, kind = _HEADER.unpack(await reader.readexactly(_HEADER.size))
                payload = await reader.readexactly(length - _HEADER.size)
                await self._gate.passable()
                client.handle(kind, payload)
        finally:
            sending.cancel()
            client.release()


class _Client:
    def __init__(
        self, controller: Controller, gate: Gate, writer: asyncio.StreamWriter, owners: dict[str, _Client]
    ) -> None:
        self._controller, self._gate, self._writer, self._owners = controller, gate, writer, owners
        self._outputs: tuple[Getter, ...] = ()
        self._layout = struct.Struct(">")
        self._period = 1.0 / FASTEST
        self._started = asyncio.Event()
        self._recipes: dict[int, tuple[tuple[str, ...], struct.Struct]] = {}
        self._numbers: Iterator[int] = itertools.count(1)

    def handle(self, kind: int, payload: bytes) -> None:
        """Act on one package."""
        if kind == VERSION_REQUEST:
            self._send(kind, bytes([int(payload == struct.pack(">H", PROTOCOL))]))
        elif kind == CONTROLLER_VERSION:
            self._send(kind, struct.pack(">4I", *VERSION))
        elif kind == OUTPUT_SETUP:
            self._send(kind, self._set_outputs(payload))
        elif kind == INPUT_SETUP:
            self._send(kind, self._set_inputs(payload))
        elif kind in (START, PAUSE):
            ready = kind == PAUSE or bool(self._outputs)
            if kind == PAUSE:
                self._started.clear()
            elif ready:
                self._started.set()
            self._send(kind, bytes([ready]))
        elif kind == DATA:
            self._take(payload)
        else:
            self._controller.ledger.event("protocol_error", reason=f"unknown RTDE package {kind}")

    async def send_forever(self) -> None:
        """Send output packages at the frequency asked for; drop them while a client does not read."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self._started.wait()
            due = max(due + self._period, loop.time() - 5 * self._period)
            await asyncio.sleep(due - loop.time())
            if self._gate.silent or self._controller.frozen or not self._started.is_set():
                continue
            if self._writer.transport.get_write_buffer_size() < BACKLOG and not self._writer.is_closing():
                self._send(DATA, self._package())

    def release(self) -> None:
        """Give up the input variables; the robot keeps the values that they had."""
        for name in [name for name, owner in self._owners.items() if owner is self]:
            del self._owners[name]

    def _package(self) -> bytes:
        controller = self._controller
        values: list[Any] = []
        for getter in self._outputs:
            values.extend(getter(controller))
        return b"\x01" + self._layout.pack(*values)

    def _set_outputs(self, payload: bytes) -> bytes:
        frequency = struct.unpack(">d", payload[:8])[0]
        names = _names(payload[8:])
        types = [OUTPUTS[name][0] if name in OUTPUTS else "NOT_FOUND" for name in names]
        if "NOT_FOUND" in types:
            self._outputs = ()
            missing = [name for name in names if name not in OUTPUTS]
            self._controller.ledger.event("unknown_variables", names=missing)
            return b"\x00" + ",".join(types).encode()
        self._period = 1.0 / min(FASTEST, max(1.0, frequency))
        self._outputs = tuple(OUTPUTS[name][1] for name in names)
        self._layout = struct.Struct(">" + "".join(TYPES[kind][0] for kind in types))
        return b"\x01" + ",".join(types).encode()

    def _set_inputs(self, payload: bytes) -> bytes:
        names = _names(payload)
        types = [self._input_type(name) for name in names]
        if {"NOT_FOUND", "IN_USE"} & set(types):
            self._controller.ledger.event("inputs_refused", names=dict(zip(names, types, strict=True)))
            return b"\x00" + ",".join(types).encode()
        self._owners.update(dict.fromkeys(names, self))
        number = next(self._numbers)
        flat = tuple(name for name, kind in zip(names, types, strict=True) for _ in range(TYPES[kind][1]))
        self._recipes[number] = (flat, struct.Struct(">" + "".join(TYPES[kind][0] for kind in types)))
        return bytes([number]) + ",".join(types).encode()

    def _input_type(self, name: str) -> str:
        if name not in INPUTS:
            return "NOT_FOUND"
        return INPUTS[name] if self._owners.get(name, self) is self else "IN_USE"

    def _take(self, payload: bytes) -> None:
        recipe = self._recipes.get(payload[0])
        if recipe is None or len(payload) - 1 != recipe[1].size:
            self._controller.ledger.event("protocol_error", reason=f"an input package of {len(payload)} bytes")
            return
        self._controller.receive(dict(zip(recipe[0], recipe[1].unpack(payload[1:]), strict=True)))

    def _send(self, kind: int, payload: bytes) -> None:
        self._writer.write(_HEADER.pack(len(payload) + _HEADER.size, kind) + payload)


def _names(payload: bytes) -> list[str]:
    return [name for name in payload.decode("ascii").split(",") if name]
