"""Serve one page to a browser on this machine.

A request is answered only if its address contains the token, its host is this machine (which prevents DNS
rebinding), and, if a browser sent it, it comes from the served page itself.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from spikesorter.core.errors import InputError, SpikeSorterError
from spikesorter.report.policy import NOTHING, allow_scripts, scripts_in

__all__ = ["LoopbackServer", "Reply", "Route", "json_reply", "page_reply", "redirecting_file"]

HOST = "127.0.0.1"
BODY_BYTES = 8_000_000  # largest body that is read: some hundred thousand spikes
QUERY_FIELDS = 8
REQUEST_SECONDS = 30  # time limit for receiving a request
POLL_S = 0.05  # how often to look whether the server should stop
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """Reply to a request: bytes, their type, and their content security policy."""

    body: bytes
    kind: str = "application/json"
    status: HTTPStatus = HTTPStatus.OK
    policy: str = NOTHING


Route = Callable[[Mapping[str, Any]], Reply]
"""Takes the fields of the query (GET: text) or body (POST: JSON); returns a reply or raises `InputError`."""


def json_reply(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    """Return a value as JSON.

    Examples
    --------
    >>> json_reply({"spikes": 3}).body
    b'{"spikes": 3}'
    """
    return Reply(json.dumps(value, allow_nan=False).encode(), status=status)


def page_reply(html: str) -> Reply:
    """Return a page that may run only its own scripts and connect only to this server.

    Examples
    --------
    >>> page_reply("<p>a").policy[:38]
    "default-src 'none'; script-src 'none';"
    """
    html = html.replace("\r\n", "\n")  # as browsers do before they check scripts
    policy = allow_scripts(scripts_in(html), served=True, header=True)
    return Reply(html.encode(), "text/html; charset=utf-8", policy=policy)


@contextmanager
def redirecting_file(url: str) -> Iterator[Path]:
    """Provide a file that leads a browser to an address, and remove it afterwards.

    All users of a machine see the words that a browser is started with. They see only the name of this file,
    which nobody but the user can read.

    Parameters
    ----------
    url : str
        Address with a token.

    Yields
    ------
    Path
        In a new folder of the user's own.

    Examples
    --------
    >>> with redirecting_file("http://127.0.0.1:8000/secret/") as path:
    ...     "secret" in path.read_text(), "secret" in str(path)
    (True, False)
    """
    target = escape(url)
    with TemporaryDirectory(prefix="spikesorter-") as folder:  # only the user may look into it
        path = Path(folder) / "open.html"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(
                f'<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
                f'<meta http-equiv="refresh" content="0; url={target}"><a href="{target}">Open the viewer</a>'
            )
        yield path


class LoopbackServer:
    """Server of routes on 127.0.0.1 during a `with` block, with a thread for each request.

    Parameters
    ----------
    routes : mapping of (str, str) to Route
        By method ("GET", "POST") and name; the page itself is ``("GET", "")``.
    port : int
        Port to use; 0: any free port.

    Attributes
    ----------
    url : str
        Address of the page, with a new random token.

    Raises
    ------
    InputError
        If the port is in use or invalid.

    Examples
    --------
    >>> from urllib.request import urlopen
    >>> with LoopbackServer({("GET", ""): lambda fields: Reply(b"hello", "text/plain")}) as server:
    ...     urlopen(server.url).read()
    b'hello'
    """

    def __init__(self, routes: Mapping[tuple[str, str], Route], *, port: int = 0) -> None:
        if not 0 <= port <= 65_535:
            raise InputError(f"port must be between 0 (any) and 65535, not {port}")
        token = secrets.token_urlsafe(32)
        try:
            self._server = _Server(port, dict(routes), token)
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"port {port}: cannot be used: {reason}; choose another, or 0") from None
        self.port: int = self._server.server_address[1]
        self.url = f"http://{HOST}:{self.port}/{token}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), daemon=True)

    def __enter__(self) -> LoopbackServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def replace(self, routes: Mapping[tuple[str, str], Route]) -> None:
        """Serve other routes from now on, at the same address."""
        self._server.routes = dict(routes)

    def wait(self) -> None:
        """Wait until the program is interrupted (Ctrl-C)."""
        try:
            while self._thread.is_alive():
                self._thread.join(0.5)  # so that Windows notices Ctrl-C
        except KeyboardInterrupt:
            return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # on Windows, other programs could take the same port

    def __init__(self, port: int, routes: Mapping[tuple[str, str], Route], token: str) -> None:
        super().__init__((HOST, port), _Handler)
        self.routes, self.token = routes, token
        self.hosts = (f"{HOST}:{self.server_port}", f"localhost:{self.server_port}")

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's method would look up a name on the network
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        LOGGER.debug("a request was interrupted", exc_info=True)


class _RefusalError(Exception):
    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS
    server_version, sys_version = "spikesorter", ""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        try:
            self._send(self._reply())
        except _RefusalError as refusal:
            self._send(_words(refusal.status, str(refusal)))
        except SpikeSorterError as error:
            self._send(_words(HTTPStatus.BAD_REQUEST, str(error)))
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the connection was closed
        except Exception:
            LOGGER.exception("a request failed")
            self._send(_words(HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong; nothing was changed"))

    def _reply(self) -> Reply:
        try:
            address = urlsplit(self.path)
        except ValueError:
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "the address is invalid") from None
        token, _, name = address.path.removeprefix("/").partition("/")
        self._check_caller(token, is_page=name == "" and self.command == "GET")
        route = self.server.routes.get((self.command, name))
        if route is None:
            known = {known for _, known in self.server.routes}
            status = HTTPStatus.METHOD_NOT_ALLOWED if name in known else HTTPStatus.NOT_FOUND
            raise _RefusalError(status, "there is nothing at this address")
        return route(self._body() if self.command == "POST" else _query(address.query))

    def _check_caller(self, token: str, *, is_page: bool) -> None:
        """Refuse requests that do not come from the user's own browser on this page."""
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise _RefusalError(
                HTTPStatus.FORBIDDEN, "use the address that `spikesorter view` gave, with its token"
            )
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0] not in self.server.hosts:
            raise _RefusalError(HTTPStatus.FORBIDDEN, "the host is not this machine")
        origins, sites = self.headers.get_all("Origin", []), self.headers.get_all("Sec-Fetch-Site", [])
        if any(origin != f"http://{hosts[0]}" for origin in origins):
            raise _RefusalError(HTTPStatus.FORBIDDEN, "pages of other origins are not answered")
        opened = is_page and self.headers.get("Sec-Fetch-Dest") == "document"  # a link that the user followed
        if any(site not in ("same-origin", "none") for site in sites) and not opened:
            raise _RefusalError(HTTPStatus.FORBIDDEN, "pages of other origins are not answered")
        if self.command == "POST" and not origins and "same-origin" not in sites:
            raise _RefusalError(HTTPStatus.FORBIDDEN, "only the page itself may make changes")

    def _body(self) -> Mapping[str, Any]:
        kinds = self.headers.get_all("Content-Type", [])
        if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != "application/json":
            raise _RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        lengths = self.headers.get_all("Content-Length", [])
        if len(lengths) != 1 or not _is_count(lengths[0]) or "Transfer-Encoding" in self.headers:
            raise _RefusalError(HTTPStatus.LENGTH_REQUIRED, "expected a body with a Content-Length")
        if int(lengths[0]) > BODY_BYTES:
            raise _RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {BODY_BYTES} bytes")
        try:
            fields = json.loads(self.rfile.read(int(lengths[0])))
        except (ValueError, RecursionError):
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "the body is not JSON") from None
        if not isinstance(fields, dict):
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
        return fields

    def _send(self, reply: Reply) -> None:
        try:
            self.send_response(reply.status)
            for name, value in (HEADERS | {"Content-Security-Policy": reply.policy}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send as JSON the errors of the standard library for requests that it cannot read."""
        self.close_connection = True
        if not hasattr(self, "request_version"):
            self.request_version = "HTTP/1.0"
        self._send(_words(HTTPStatus(code), HTTPStatus(code).phrase.lower()))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the standard library's name)
        """Log nothing, as addresses contain the token."""


def _words(status: HTTPStatus, words: str) -> Reply:
    return json_reply({"error": words}, status)


def _query(text: str) -> Mapping[str, Any]:
    try:
        return dict(parse_qsl(text, strict_parsing=True, max_num_fields=QUERY_FIELDS)) if text else {}
    except ValueError:
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "the address is invalid") from None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15
