"""The web server of the click page: 127.0.0.1 only, under an address that holds a random token.

Knows HTTP and the desk that it serves; what is asked and answered is the `Desk`'s business.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from robo_rlft.apps.click import ClickError, Desk
from robo_rlft.driver import DriverError

MAX_BODY: Final = 4096  # bytes of what the page sends
PAGE: Final = Path(__file__).with_name("click.html")
_POLICY: Final = (
    "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class ClickPage:
    """Serves the page of a desk from a thread of its own; a context manager."""

    def __init__(self, desk: Desk, *, port: int = 0) -> None:
        """Listen.

        Args:
            desk: what the page shows and answers.
            port: of 127.0.0.1; 0 takes a free one.

        Raises:
            OSError: the port is taken.
        """
        self.token = secrets.token_urlsafe(18)
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.desk, self._server.token = desk, self.token
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The page's address, token included; whoever knows it can act."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{self.token}/"

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5.0)

    def __enter__(self) -> ClickPage:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    desk: Desk
    token: str


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "robo_rlft", ""
    timeout = 10.0  # seconds that a request may take to arrive

    def do_GET(self) -> None:
        path = self._path()
        if path == "":
            self._send(200, "text/html; charset=utf-8", PAGE.read_bytes())
        elif path == "state":
            self._json(200, self.server.desk.state())
        elif path == "picture":
            picture = self.server.desk.picture()
            self._refuse(404) if picture is None else self._send(200, "image/png", picture)
        else:
            self._refuse(404)

    def do_POST(self) -> None:
        path = self._path()
        if path not in ("answer", "stop") or not self._is_our_page():
            self._refuse(404 if path is None else 403)
            return
        length = self.headers.get("Content-Length", "")
        if (not length.isascii() and length.isdigit()) or int(length) > MAX_BODY:
            self._refuse(413)
            return
        body = self.rfile.read(int(length))
        desk = self.server.desk
        try:
            if path == "stop":
                if desk.on_stop is None:
                    raise ClickError("there is nothing to stop")
                desk.on_stop()
            else:
                data = json.loads(body)
                if not isinstance(data, dict):
                    raise ClickError("expected a JSON object")
                desk.receive(data)
        except (ValueError, RecursionError, DriverError) as error:  # ClickError, JSON that is none, a failed stop
            self._json(400, {"error": str(error)})
        else:
            self._json(200, desk.state())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is for what the program tells."""

    def _path(self) -> str | None:
        """Return what comes after the token; None for whoever does not know it, or comes by another name."""
        host = f"127.0.0.1:{self.server.server_address[1]}"
        # Another name for this machine in a page elsewhere is how such a page would get around the same-origin rule.
        if self.headers.get("Host") not in (host, host.replace("127.0.0.1", "localhost")):
            return None
        path = self.path.split("?", 1)[0]
        given, slash, rest = path[1:].partition("/")
        if not slash or not hmac.compare_digest(given.encode(), self.server.token.encode()):
            return None
        return rest

    def _is_our_page(self) -> bool:
        origin = self.headers.get("Origin")
        kind = self.headers.get("Content-Type", "").split(";")[0].strip()
        return kind == "application/json" and origin in (None, f"http://{self.headers.get('Host')}")

    def _json(self, status: int, data: Mapping[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(data).encode())

    def _refuse(self, status: int) -> None:
        self.close_connection = True
        self._send(status, "text/plain; charset=utf-8", b"no")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        headers |= {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        headers |= {"Referrer-Policy": "no-referrer"}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
