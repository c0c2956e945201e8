import socket
import threading

import pytest

from robo_rlft.driver import ConnectionLost, DriverError
from robo_rlft.robots.ur import dashboard as ur_dashboard


@pytest.fixture
def serve(monkeypatch):
    """Answer each connection with a greeting and one line; None hangs up at once."""
    servers = []

    def start(answer, *, greets=True):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        asked = []

        def run():
            line, _ = server.accept()
            with line:
                if not greets:
                    return
                line.sendall(b"Connected: Universal Robots Dashboard Server\n")
                asked.append(line.recv(1000).decode())
                if answer is not None:
                    line.sendall(answer.encode() + b"\n")

        threading.Thread(target=run, daemon=True).start()
        port = server.getsockname()[1]
        ask = ur_dashboard.ask
        monkeypatch.setattr(ur_dashboard, "ask", lambda host, question: ask(host, question, port=port, timeout=0.5))
        return asked

    yield start
    for server in servers:
        server.close()


def test_the_serial_number_is_the_robots_own_answer(serve):
    asked = serve("20195501234")
    assert ur_dashboard.serial_number("127.0.0.1") == "20195501234"
    assert asked == ["get serial number\n"]


def test_an_answer_that_is_no_serial_number_is_an_error(serve):
    serve("could not understand: 'get serial number'")
    with pytest.raises(DriverError, match="could not understand"):
        ur_dashboard.serial_number("127.0.0.1")


@pytest.mark.parametrize(("answer", "remote"), [("true", True), ("false", False), ("could not understand", False)])
def test_remote_control_is_only_what_says_true(serve, answer, remote):
    serve(answer)
    assert ur_dashboard.remote_control("127.0.0.1") is remote


@pytest.mark.parametrize("greets", [True, False])
def test_a_dashboard_that_hangs_up_is_lost(serve, greets):
    serve(None, greets=greets)
    with pytest.raises(ConnectionLost, match="hung up"):
        ur_dashboard.serial_number("127.0.0.1")


def test_a_dashboard_that_says_nothing_is_given_up():
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(ConnectionLost, match="does not answer"),
    ):
        ur_dashboard.ask("127.0.0.1", "is in remote control", port=silent.getsockname()[1], timeout=0.1)


def test_a_host_that_is_none_is_named():
    with pytest.raises(ConnectionLost, match="no host 'no.such.host.invalid'"):
        ur_dashboard.reachable("no.such.host.invalid", 30004)
