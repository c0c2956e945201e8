"""The listening sockets of one address, and the gate that faults close: cut, frozen, silent.

Knows nothing of what is said over the sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import struct
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from robo_rlft.driver import DriverError
from robo_rlft.sim.loopback.ledger import Ledger

LONGEST_LINE = 1 << 22  # bytes: a table full of bodies is one line of the stage's
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Gate:
    """Whether bytes pass now."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.silent = False  # no RTDE packages go out; all else works

    async def passable(self) -> None:
        """Wait while the controller is frozen."""
        await self._open.wait()

    def freeze(self) -> None:
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()


class Network:
    """The robot's ports, which can be cut off together."""

    def __init__(self, host: str, handlers: Mapping[int, Handler], ledger: Ledger) -> None:
        self._host, self._handlers, self._ledger = loopback_address(host), handlers, ledger
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._listening = False

    async def open(self) -> None:
        """Listen on every port.

        Raises:
            DriverError: a port is taken.
        """
        self._listening = True
        for port, handler in self._handlers.items():
            try:
                server = await asyncio.start_server(self._serving(port, handler), self._host, port, limit=LONGEST_LINE)
            except OSError as error:
                await self.close()
                raise DriverError(
                    f"cannot listen on {self._host}:{port} ({error.strerror}); another emulated robot may be there: "
                    "stop it, or choose another host=127.0.0.N"
                ) from error
            self._servers.append(server)

    async def close(self) -> None:
        """Stop listening and close every connection at once."""
        self._listening = False
        for server in self._servers:
            server.close()
        self._servers = []
        for writer in tuple(self._writers):
            writer.transport.abort()

    def _serving(self, port: int, handler: Handler) -> Handler:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if not self._listening:  # accepted just before the listening socket was closed
                writer.transport.abort()
                return
            self._writers.add(writer)
            self._ledger.count("connections")
            self._ledger.event("client_connected", port=port)
            try:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    await handler(reader, writer)
            except (ValueError, IndexError, struct.error) as error:  # what a client sent cannot be read
                self._ledger.event("protocol_error", port=port, reason=f"{type(error).__name__}: {error}")
            finally:
                self._writers.discard(writer)
                self._ledger.event("client_disconnected", port=port)
                writer.close()

        return serve


def loopback_address(host: str) -> str:
    """Return the address if it is one of this machine's own.

    Raises:
        DriverError: for any other, so that nobody else can reach the emulated robot.
    """
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise DriverError(
            f"an emulated robot listens on an address in 127.0.0.0/8 only, such as 127.0.0.2; got '{host}'"
        )
    return host
