"""The web server of the labelling page: 127.0.0.1 only, under an address that holds a random token.

Knows HTTP and the desk that it serves. A page elsewhere that the same browser has open can neither read nor answer:
requests for another host, or from another origin, are refused.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from robo_rlft.apps.label import LabelDesk, NotAsked

MAX_BODY: Final = 4096  # bytes of what the page sends
PAGE: Final = Path(__file__).with_name("label.html")
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; script-src "
    "'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_Word = Annotated[str, Field(max_length=1000)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    question: _Word


class _Answered(_Asked):
    answer: _Word
    seconds: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None


class LabelPage:
    """Serves the page of a desk from a thread of its own; a context manager."""

    def __init__(self, desk: LabelDesk, *, port: int = 0) -> None:
        """Listen.

        Args:
            desk: what the page shows and answers.
            port: of 127.0.0.1; 0 takes a free one.

        Raises:
            OSError: the port is taken.
        """
        self.token = secrets.token_urlsafe(18)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(("127.0.0.1", port))
            self._socket.listen(64)
        except OSError:
            self._socket.close()
            raise
        self.port = int(self._socket.getsockname()[1])
        app = make_app(desk, token=self.token, port=self.port)
        config = uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        # Not the main thread's signals: whoever serves the page handles Ctrl-C.
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The page's address, token included; whoever knows it can answer."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._server.should_exit = True
        self._thread.join(timeout=5.0)
        self._socket.close()

    def __enter__(self) -> LabelPage:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def make_app(desk: LabelDesk, *, token: str, port: int) -> FastAPI:
    """Return the page's application.

    Args:
        desk: what it shows and answers.
        token: the first part of every path.
        port: that it is served at.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    @app.middleware("http")
    async def guard(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = _refusal(request, token=token, hosts=hosts)
        response = _no(refused) if refused else await go_on(request)
        response.headers.update(HEADERS)
        return response

    _explain_errors(app, desk)

    @app.get("/{given}/")
    def page(given: str) -> Response:
        return HTMLResponse(PAGE.read_bytes())

    @app.get("/{given}/state")
    def state(given: str) -> dict[str, Any]:
        return desk.state()

    @app.get("/{given}/film/{stem}.mp4")
    def film(given: str, stem: str) -> Response:
        path = desk.film(stem)  # a name that the desk does not know is no path
        return _no(404) if path is None else FileResponse(path, media_type="video/mp4")

    @app.post("/{given}/answer")
    def answer(given: str, told: _Answered) -> dict[str, Any]:
        desk.answer(told.question, told.answer, told.seconds)
        return desk.state()

    @app.post("/{given}/undo")
    def undo(given: str) -> dict[str, Any]:
        desk.undo()
        return desk.state()

    @app.post("/{given}/delete")
    def delete(given: str, told: _Asked) -> dict[str, Any]:
        desk.delete(told.question)
        return desk.state()

    return app


def _explain_errors(app: FastAPI, desk: LabelDesk) -> None:
    """Have the page told what was wrong with what it sent."""

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        where = ".".join(str(part) for part in error.errors()[0]["loc"][1:])
        return JSONResponse({"error": f"{where or 'body'}: {error.errors()[0]['msg']}"}, status_code=400)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": str(error.detail)}, status_code=error.status_code)

    @app.exception_handler(NotAsked)
    def not_asked(request: Request, error: NotAsked) -> Response:
        return JSONResponse({"error": str(error), **desk.state()}, status_code=409)

    @app.exception_handler(OSError)
    async def not_kept(request: Request, error: OSError) -> Response:
        return JSONResponse({"error": f"This answer could not be kept: {error}"}, status_code=507)


def _refusal(request: Request, *, token: str, hosts: set[str]) -> int:
    """Return the status with which a request is refused, 0 where it may go on."""
    # Another name for this machine in a page elsewhere is how such a page would get around the same-origin rule.
    if request.headers.get("host") not in hosts:
        return 404
    given = request.url.path.split("/")[1]
    if not hmac.compare_digest(given.encode(), token.encode()):
        return 404
    if request.method == "GET":
        return 0
    if request.method != "POST":
        return 405
    if request.headers.get("origin") not in (None, f"http://{request.headers['host']}"):
        return 403
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        return 415
    if "transfer-encoding" in request.headers:  # it would count, and not the length that is told
        return 413
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()) or len(length) > 9 or int(length) > MAX_BODY:
        return 413
    return 0


def _no(status: int) -> Response:
    return PlainTextResponse("no", status_code=status)
