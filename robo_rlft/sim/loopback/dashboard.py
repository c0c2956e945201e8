"""The dashboard server: one line of text in, one line out, with a real controller's words."""

from __future__ import annotations

import asyncio

from robo_rlft.sim.loopback.controller import RUNNING, Controller, Runtime, Safety
from robo_rlft.sim.loopback.network import Gate
from robo_rlft.sim.loopback.rtde import VERSION

GREETING = "Connected: Universal Robots Dashboard Server"
MODEL = "UR5"
_PERSONS = {  # what only a person at the robot may do: counted, answered, and but for the first not carried out
    "unlock protective stop": "Protective stop releasing",
    "brake release": "Brake releasing",
    "power on": "Powering on",
    "power off": "Powering off",
    "restart safety": "Restarting safety",
    "shutdown": "Shutting down",
}


class Dashboard:
    """Answers dashboard commands."""

    def __init__(self, controller: Controller, gate: Gate) -> None:
        self._controller, self._gate = controller, gate

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it goes."""
        await self._gate.passable()
        writer.write(f"{GREETING}\n".encode())
        while line := await reader.readline():
            await self._gate.passable()
            command = line.decode("utf-8", errors="replace").strip()
            writer.write(f"{self.answer(command)}\n".encode())
            if command == "quit":
                await writer.drain()
                return

    def answer(self, command: str) -> str:
        """Return the answer to a command, having done what it asks."""
        controller = self._controller
        word = command.lower()
        if word in _PERSONS:
            return self._person(word)
        if word == "stop":
            controller.ledger.event("dashboard_stop")
            controller.end_program("stopped from the dashboard")
            return "Stopped"
        if word == "play":
            return "Failed to execute: play"  # no program is loaded: they come over the script port
        if word.startswith("popup "):
            controller.ledger.event("popup", text=command[6:])
            return "showing popup"
        if word.startswith(("addtolog ", "load ", "setuserrole ", "set user role ", "set operational mode ")):
            return {"addtolog": "Added log message", "load": "File not found"}.get(word.split()[0], "Succeeded")
        return self._told().get(word, f"could not understand: '{command}'")

    def _told(self) -> dict[str, str]:
        controller = self._controller
        playing = controller.runtime is Runtime.PLAYING
        return {
            "polyscopeversion": "URSoftware {}.{}.{}.{} (Oct 10 2023)".format(*VERSION),
            "version": "{}.{}.{}".format(*VERSION),
            "get serial number": controller.settings.serial,
            "get robot model": MODEL,
            "is in remote control": "true",
            "get operational mode": "NONE",
            "robotmode": f"Robotmode: {'RUNNING' if controller.robot_mode == RUNNING else 'POWER_OFF'}",
            "safetymode": f"Safetymode: {controller.safety.name}",
            "safetystatus": f"Safetystatus: {controller.safety.name}",
            "running": f"Program running: {str(playing).lower()}",
            "programstate": f"{controller.runtime.name} rtde_control.script",
            "get loaded program": "No program loaded",
            "isprogramsaved": "true",
            "close popup": "closing popup",
            "close safety popup": "closing safety popup",
            "pause": "Failed to execute: pause",
            "quit": "Disconnected",
        }

    def _person(self, word: str) -> str:
        controller = self._controller
        controller.ledger.count("dashboard_unlocks")
        controller.ledger.event("dashboard_unlock", command=word)
        if word != "unlock protective stop":
            return _PERSONS[word]
        if controller.safety is not Safety.PROTECTIVE_STOP or controller.client_unlock():
            return _PERSONS[word]
        return "Cannot unlock protective stop until 5s after occurrence. Always inspect the cause before unlocking"
