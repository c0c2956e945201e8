"""The labelling page's server answers its own page alone, and says what is wrong with anything else."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from robo_rlft.apps.label import Films, LabelDesk
from robo_rlft.apps.label_server import LabelPage
from robo_rlft.apps.local_page import MAX_BODY
from robo_rlft.data.labels import LabelLog, read_labels
from tests.apps.test_label import QUESTIONS, SENTENCES

KEY = QUESTIONS[0].key


@pytest.fixture
def page(tmp_path: Path) -> Iterator[LabelPage]:
    films = Films(tmp_path / "films", lambda name: name.encode())
    log = LabelLog(tmp_path / "labels.jsonl", mode="compare", episodes="runs/tries", digest="ab")
    desk = LabelDesk(log=log, questions=QUESTIONS, sentences=SENTENCES, films=films)
    with LabelPage(desk) as page:
        yield page
    films.close()


def post(page: LabelPage, path: str, data: Any = None, **headers: str) -> httpx.Response:
    told = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    body = data if isinstance(data, str | bytes) else json.dumps({} if data is None else data)
    return httpx.post(page.url + path, content=body, headers=told)


def test_the_page_and_what_it_asks_for(page: LabelPage, tmp_path: Path) -> None:
    shown = httpx.get(page.url)
    assert shown.status_code == 200 and "<title>" in shown.text
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert httpx.get(page.url + "state").json()["question"] == KEY
    assert httpx.get(page.url + "film/a.mp4").content == b"a.npz"
    state = post(page, "answer", {"question": KEY, "answer": "same", "seconds": 2.5}, Origin=page.url[:-26])
    assert state.json()["answered"] == 1
    assert read_labels(tmp_path).labels[0].seconds == 2.5
    assert post(page, "undo").json()["answered"] == 0
    assert post(page, "delete", {"question": KEY}).json()["total"] == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 404),
        ({"Host": "127.0.0.1"}, 404),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_requests_from_elsewhere_are_refused(page: LabelPage, headers: dict[str, str], status: int) -> None:
    assert post(page, "answer", {"question": KEY, "answer": "left"}, **headers).status_code == status
    assert httpx.get(page.url + "state").json()["answered"] == 0


def test_whoever_does_not_know_the_token_gets_nothing(page: LabelPage) -> None:
    base = page.url[: -len(page.token) - 1]
    for path in ("", "/", "state", "x/state", f"{page.token}x/state", "docs", "openapi.json", "%00/state"):
        assert httpx.get(base + path).status_code == 404
    assert httpx.put(page.url + "state").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "film/nobody.mp4",
        "film/labels.mp4",
        "film/..%2flabels.jsonl",
        "film/%2e%2e%2flabels.mp4",
        "film/....//labels.mp4",
        "film/%00.mp4",
        "labels.jsonl",
    ],
)
def test_nothing_but_films_of_the_questions_can_be_read(page: LabelPage, path: str) -> None:
    assert httpx.get(page.url + path).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        ("[" * 2000, 400),
        ('{"question": 5, "answer": "left"}', 400),
        ('{"question": "a", "answer": "left", "more": 1}', 400),
        ('{"question": "a", "answer": "left", "seconds": NaN}', 400),
        ('{"question": "a", "answer": "left", "seconds": -1}', 400),
        (b"\xff\xfe", 400),
        ('{"question": "nobody", "answer": "left"}', 409),
        (json.dumps({"question": KEY, "answer": "best"}), 409),
        (json.dumps({"question": "x" * MAX_BODY, "answer": "left"}), 413),
    ],
)
def test_malformed_and_oversized_bodies_are_refused_with_a_reason(
    page: LabelPage, body: str | bytes, status: int
) -> None:
    reply = post(page, "answer", body)
    assert reply.status_code == status
    assert status == 413 or reply.json()["error"]
    assert httpx.get(page.url + "state").json()["answered"] == 0


def test_a_body_without_its_length_is_refused(page: LabelPage) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"question": '
        yield b'"a"}'

    headers = {"Content-Type": "application/json"}
    assert httpx.post(page.url + "answer", content=pieces(), headers=headers).status_code == 413


def test_a_length_that_is_told_beside_a_body_in_pieces_is_not_believed(page: LabelPage) -> None:
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (2 * MAX_BODY, b" " * 2 * MAX_BODY)
    head = (
        f"POST /{page.token}/answer HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nContent-Type: application/json\r\n"
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", page.port), timeout=10.0) as connection:
        connection.sendall(head.encode() + body)
        assert b" 413 " in connection.recv(100)


def test_an_answer_that_cannot_be_kept_is_no_answer(page: LabelPage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: LabelLog, line: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LabelLog, "_write", full)
    reply = post(page, "answer", {"question": KEY, "answer": "left"})
    assert reply.status_code == 507 and "No space left" in reply.json()["error"]
    assert httpx.get(page.url + "state").json()["answered"] == 0


def test_it_listens_on_this_machine_alone_and_lets_the_port_go(page: LabelPage) -> None:
    assert page._socket.getsockname()[0] == "127.0.0.1"
    with pytest.raises(OSError):
        LabelPage(page._server.config.app, port=page.port)  # type: ignore[arg-type]  # it never gets to ask it
    page.close()
    page.close()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", page.port))
