"""The asking page's server answers its own page alone, and says what is wrong with anything else."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from robo_rlft.apps.ask import AskError, AskPage
from robo_rlft.apps.ask_server import AskServer
from robo_rlft.apps.local_page import MAX_BODY
from tests.apps.test_ask import Asked, wait

QUESTION = "was it done: 'put the <b>red</b> block in the blue bowl'?"
IMAGE = np.arange(36, dtype=np.uint8).reshape(4, 3, 3)


@pytest.fixture
def page() -> Iterator[AskPage]:
    with AskPage() as page:
        yield page


@pytest.fixture
def waiting(page: AskPage) -> Asked:
    waiting = Asked(page, QUESTION, pictures=[("before", IMAGE)])
    wait(lambda: state(page)["question"])
    return waiting


def state(page: AskPage) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(page.url + "state").json()
    return told


def post(page: AskPage, data: Any, **headers: str) -> httpx.Response:
    told = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    body = data if isinstance(data, str | bytes) else json.dumps(data)
    return httpx.post(page.url + "answer", content=body, headers=told)


def server(page: AskPage) -> AskServer:
    return page._server


def test_a_question_is_shown_and_answered(page: AskPage, waiting: Asked) -> None:
    shown = httpx.get(page.url)
    assert shown.status_code == 200 and "<title>" in shown.text
    assert shown.headers["content-type"].startswith("text/html")
    question = state(page)["question"]
    assert question["text"] == QUESTION
    origin = f"http://127.0.0.1:{server(page).port}"
    reply = post(page, {"question": question["number"], "answer": "yes"}, Origin=origin)
    assert reply.status_code == 200 and reply.json()["question"] is None and reply.json()["answered"] == 1
    assert waiting.result() == "yes"


def test_every_reply_forbids_what_the_page_does_not_need(page: AskPage, waiting: Asked) -> None:
    for path in ("", "state", "picture/1-0.png", "nothing"):
        headers = httpx.get(page.url + path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "img-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"


def test_a_second_answer_to_a_question_changes_nothing(page: AskPage, waiting: Asked) -> None:
    assert post(page, {"question": 1, "answer": "yes"}).status_code == 200
    assert post(page, {"question": 1, "answer": "yes"}).status_code == 200
    other = post(page, {"question": 1, "answer": "no"})
    assert other.status_code == 409 and "answered already: done" in other.json()["error"]
    assert other.json()["answered"] == 1  # what is asked now comes with the refusal
    assert waiting.result() == "yes"


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
def test_requests_from_elsewhere_are_refused(
    page: AskPage, waiting: Asked, headers: dict[str, str], status: int
) -> None:
    assert post(page, {"question": 1, "answer": "yes"}, **headers).status_code == status
    assert state(page)["answered"] == 0 and waiting.waits


def test_whoever_does_not_know_the_token_gets_nothing(page: AskPage, waiting: Asked) -> None:
    base, token = page.url[: -len(server(page).token) - 1], server(page).token
    for path in (
        "",
        "/",
        "state",
        "x/state",
        f"{token}x/state",
        "docs",
        "openapi.json",
        "%00/state",
        "picture/1-0.png",
    ):
        assert httpx.get(base + path).status_code == 404
    assert httpx.put(page.url + "state").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "picture/1-1.png",
        "picture/0-0.png",
        "picture/1-0",
        "picture/..%2fask.html",
        "picture/%2e%2e%2fask.png",
        "picture/....//ask.png",
        "picture/%00.png",
        "ask.html",
        "ask.py",
    ],
)
def test_nothing_but_the_question_s_pictures_can_be_read(page: AskPage, waiting: Asked, path: str) -> None:
    assert httpx.get(page.url + "picture/1-0.png").headers["content-type"] == "image/png"
    assert httpx.get(page.url + path).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        ("[" * 2000, 400),
        ('{"answer": "yes"}', 400),
        ('{"question": "1", "answer": "yes"}', 400),
        ('{"question": true, "answer": "yes"}', 400),
        ('{"question": 1.5, "answer": "yes"}', 400),
        ('{"question": 0, "answer": "yes"}', 400),
        ('{"question": 1, "answer": 5}', 400),
        ('{"question": 1, "answer": "yes", "more": 1}', 400),
        (b"\xff\xfe", 400),
        ('{"question": 2, "answer": "yes"}', 409),
        ('{"question": 1, "answer": "best"}', 409),
        (json.dumps({"question": 1, "answer": "x" * MAX_BODY}), 413),
    ],
)
def test_malformed_and_oversized_bodies_are_refused_with_a_reason(
    page: AskPage, waiting: Asked, body: str | bytes, status: int
) -> None:
    reply = post(page, body)
    assert reply.status_code == status
    assert status == 413 or reply.json()["error"]
    assert state(page)["answered"] == 0 and waiting.waits


def test_it_listens_on_this_machine_alone_and_lets_the_port_go(page: AskPage, waiting: Asked) -> None:
    assert server(page)._socket.getsockname()[0] == "127.0.0.1"
    with pytest.raises(OSError):
        AskPage(port=server(page).port)
    page.close()
    page.close()
    with pytest.raises(AskError, match="closed before question 1"):
        waiting.result()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", server(page).port))
