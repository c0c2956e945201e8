"""The few questions that we ask a UR controller's dashboard server: who are you, and may a program come from outside.

Asks only; of all commands it knows one, "stop", which ends a program. Nothing here unlocks, powers or releases
anything, on purpose. Protocol: a greeting line, then one line a question and one an answer (port 29999).
"""

from __future__ import annotations

import socket

from robo_rlft.driver import ConnectionLost, DriverError

PORT = 29999
SECONDS = 1.0


def ask(host: str, question: str, *, port: int = PORT, timeout: float = SECONDS) -> str:
    """Return the dashboard's answer to one question.

    Raises:
        ConnectionLost: nobody answers in time.
    """
    try:
        with socket.create_connection((host, port), timeout) as line:
            line.settimeout(timeout)
            with line.makefile("rw", encoding="utf-8", newline="\n") as talk:
                if not talk.readline():
                    raise ConnectionLost(f"the dashboard at {host}:{port} hung up without a greeting")
                talk.write(question + "\n")
                talk.flush()
                answer = talk.readline()
    except OSError as error:
        raise ConnectionLost(f"the dashboard at {host}:{port} does not answer ({error})") from None
    if not answer:
        raise ConnectionLost(f"the dashboard at {host}:{port} hung up")
    return answer.strip()


def identify(host: str, *ports: int) -> str:
    """Return the serial number of the arm at an address, whose ports all have to be open.

    Raises:
        DriverError: with what to look at.
    """
    if not host:
        raise DriverError("robot.host is not set; it is the arm's address, as the pendant shows it")
    for port in (*ports, PORT):
        reachable(host, port)
    return serial_number(host)


def serial_number(host: str) -> str:
    """Return the arm's serial number.

    Raises:
        DriverError: the answer is none; PolyScope older than 5.6 does not tell it.
    """
    answer = ask(host, "get serial number")
    if not answer.isalnum():
        raise DriverError(f"the controller at {host} does not tell its serial number; it says {answer!r}")
    return answer


def remote_control(host: str) -> bool:
    """Tell whether the pendant is set to remote control, which programs from outside need."""
    return ask(host, "is in remote control").lower() == "true"


def stop_program(host: str) -> None:
    """End the program that runs, if one does; nothing else changes."""
    ask(host, "stop")


def reachable(host: str, port: int, *, timeout: float = SECONDS) -> None:
    """Check that something listens.

    Raises:
        ConnectionLost: with what to look at.
    """
    try:
        socket.create_connection((host, port), timeout).close()
    except socket.gaierror as error:
        raise ConnectionLost(
            f"there is no host {host!r} ({error}); robot.host is the arm's address, as the pendant shows it"
        ) from None
    except ConnectionRefusedError:
        raise ConnectionLost(
            f"{host} is there, but its port {port} is closed; is this a UR controller, is it on, and are its services "
            "on (pendant: settings, security, services)?"
        ) from None
    except OSError as error:
        raise ConnectionLost(
            f"{host}:{port} does not answer ({error}); is the cable in, and the address right?"
        ) from None
