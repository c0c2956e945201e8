import json
import socketserver
import threading

import numpy as np
import pytest

from robo_rlft.driver import ConnectionLost, DriverError, Pose
from robo_rlft.records import BodySpec, Part
from robo_rlft.robots.stage import StageClient, decode, encode

BLOCK = BodySpec(name="block", parts=(Part(kind="box", size=(0.04, 0.04, 0.04), center=(0, 0, 0.02)),), mass=0.1)


class _Stage(socketserver.ThreadingTCPServer):
    """Answers with what it was given; keeps what it was asked."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.asked = []


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.server.asked.append(json.loads(line))
            answer = self.server.answers.pop(0)
            if answer is None:
                return
            self.wfile.write(json.dumps(answer).encode() + b"\n")


@pytest.fixture
def stage():
    servers = []

    def start(*answers, timeout=2.0):
        server = _Stage(answers)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server, StageClient("127.0.0.1", server.server_address[1], timeout=timeout)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_building_sends_bodies_and_poses_as_plain_values(stage):
    server, client = stage({"ok": True})
    client.build([BLOCK], [Pose(position=(0.5, 0, 0))])
    (asked,) = server.asked
    assert asked["op"] == "build"
    assert asked["bodies"][0]["parts"][0]["kind"] == "box"
    assert asked["poses"] == [{"position": [0.5, 0, 0], "quaternion": [0, 0, 0, 1]}]


def test_a_picture_comes_back_as_it_was(stage):
    color = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    depth = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    picture = {"color": color, "depth": depth, "intrinsics": np.eye(3), "world_from_camera": np.eye(4)}
    _, client = stage({"ok": True, "stamp": 1.5, **{name: encode(array) for name, array in picture.items()}})
    view = client.view()
    assert np.array_equal(view.color, color)
    assert np.array_equal(view.depth, depth)
    assert view.stamp == 1.5


def test_what_the_stage_cannot_do_is_an_error_in_its_words(stage):
    _, client = stage({"ok": False, "error": "no such fault"})
    with pytest.raises(DriverError, match="no such fault"):
        client.fault("flood")


def test_a_stage_that_hangs_up_is_a_lost_connection_and_the_next_question_connects_again(stage):
    _, client = stage(None, {"ok": True, "counts": {"programs": 0}})
    with pytest.raises(ConnectionLost, match="does not answer"):
        client.counts()
    assert client.counts() == {"programs": 0}


def test_the_answer_to_an_interrupted_question_is_never_taken_for_the_next_ones(stage, monkeypatch):
    _, client = stage({"ok": True, "counts": {"old": 1}}, {"ok": True, "counts": {"new": 1}})

    def interrupt(line: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(client, "_read", interrupt)
        with pytest.raises(KeyboardInterrupt):
            client.counts()
    assert client.counts() == {"new": 1}


def test_a_stage_that_says_nothing_is_given_up(stage):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = StageClient("127.0.0.1", silent.getsockname()[1], timeout=0.1)
        with pytest.raises(ConnectionLost, match="timed out"):
            client.poses()


@pytest.mark.parametrize(
    "change", [{"dtype": "|O"}, {"shape": [3, 3]}, {"data": ""}], ids=["type", "shape", "no bytes"]
)
def test_bytes_that_are_no_array_are_refused(change):
    with pytest.raises(DriverError, match="expected an array"):
        decode({**encode(np.zeros((2, 2))), **change})
