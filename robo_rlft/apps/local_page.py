"""A page for the person at this machine: 127.0.0.1 only, under an address that holds a random token.

Knows HTTP, and of the desk that it serves its state; what else a page sends and shows comes as routes. A page elsewhere
that the same browser has open can neither read nor answer: requests for another host, or from another origin, are
refused.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from robo_rlft.apps.desk import Desk, NotAsked

MAX_BODY: Final = 4096  # bytes of what a page sends
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Told(BaseModel):
    """What a page sends: these fields and no others, of their types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LocalPage:
    """Serves the page of a desk from a thread of its own; a context manager."""

    def __init__(self, desk: Desk, routes: APIRouter, *, html: Path, allow: str, port: int = 0) -> None:
        """Listen.

        Args:
            desk: what the page shows; its `NotAsked` reaches the page with the desk's state.
            routes: what the page asks for beside its state, relative to its address.
            html: the page's file.
            allow: what it may load beside its state, in the words of a Content-Security-Policy.
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
        headers = {**HEADERS, "Content-Security-Policy": f"{POLICY}; {allow}"}
        app = _guarded_app(token=self.token, port=self.port, headers=headers)
        _explain_errors(app, desk)
        app.include_router(_shown(desk, html), prefix=f"/{self.token}")
        app.include_router(routes, prefix=f"/{self.token}")
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def refuse(status: int) -> Response:
    """Return a reply that says nothing but no."""
    return PlainTextResponse("no", status_code=status)


def _guarded_app(*, token: str, port: int, headers: Mapping[str, str]) -> FastAPI:
    """Return an application that lets only requests of its own page through.

    Args:
        token: the first part of every path.
        port: that it is served at.
        headers: of every reply.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    @app.middleware("http")
    async def guard(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = _refusal(request, token=token, hosts=hosts)
        response = refuse(refused) if refused else await go_on(request)
        response.headers.update(headers)
        return response

    return app


def _shown(desk: Desk, html: Path) -> APIRouter:
    routes = APIRouter()

    @routes.get("/")
    def page() -> Response:
        return HTMLResponse(html.read_bytes())

    @routes.get("/state")
    def state() -> dict[str, Any]:
        return desk.state()

    return routes


def _explain_errors(app: FastAPI, desk: Desk) -> None:
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
    given = request.url.path.removeprefix("/").partition("/")[0]
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
