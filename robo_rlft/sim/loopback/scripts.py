"""The script ports: a program is a text from `def NAME():` to `end`, both at a line's start, and runs when it came."""

from __future__ import annotations

import asyncio
import re

from robo_rlft.sim.loopback.controller import Controller
from robo_rlft.sim.loopback.network import Gate

LONGEST = 1 << 20  # bytes of one program
_PROGRAM = re.compile(r"^(?:def|sec) .*?^end[ \t\r]*$\n?", re.MULTILINE | re.DOTALL)


class Scripts:
    """Takes programs."""

    def __init__(self, controller: Controller, gate: Gate) -> None:
        self._controller, self._gate = controller, gate

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it goes."""
        text = ""
        while data := await reader.read(1 << 16):
            await self._gate.passable()
            text = self.take(text + data.decode("utf-8", errors="replace"))
            if len(text) > LONGEST:
                self._controller.ledger.event("protocol_error", reason=f"a program longer than {LONGEST} bytes")
                return

    def take(self, text: str) -> str:
        """Start every whole program in a text and return what is left."""
        while (found := _PROGRAM.search(text)) is not None:
            if found.end() == len(text) and not text.endswith("\n"):
                return text  # the line may go on
            self._controller.start_program(found.group())
            text = text[found.end() :]
        if "\n" in text and not text.lstrip().startswith(("def ", "sec ", "#")) and text.strip():
            self._controller.start_program(text)  # single lines, which this controller refuses
            return ""
        return text
