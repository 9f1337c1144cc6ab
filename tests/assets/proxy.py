"""A proxy between a run and Mailtrap that strikes at the n-th request: before it is passed on, or before its answer is.

Belongs here: counting requests and striking. What striking means (a kill, a stop) is the caller's.
"""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

Moment = Literal["before", "after"]


@dataclass(slots=True)
class Proxy:
    """Passes requests on; `at` and `when` say where it strikes."""

    upstream: str
    url: str = ""
    at: int = 0
    when: Moment = "before"
    matching: str = ""
    strike: Callable[[], None] = lambda: None
    seen: list[str] = field(default_factory=list)
    struck: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, strike: Callable[[], None], *, at: int, when: Moment, matching: str = "") -> None:
        """Strike at the n-th request from now on whose first line holds `matching`."""
        self.strike, self.at, self.when, self.matching = strike, at, when, matching
        self.seen.clear()
        self.struck.clear()

    def _is_due(self, line: str) -> bool:
        with self.lock:
            if self.matching in line:
                self.seen.append(line)
                return len(self.seen) == self.at
            return False

    def _hit(self) -> None:
        self.strike()
        self.struck.set()


@contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """A proxy in front of this origin, for as long as the block takes."""
    proxy = Proxy(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            line = f"{self.command} {self.path.partition('?')[0]}"
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            due = proxy._is_due(line)
            if due and proxy.when == "before":
                proxy._hit()
                self.close_connection = True
                return
            status, headers, content = passed_on(proxy.upstream, self, body)
            if due:
                proxy._hit()
                self.close_connection = True
                return
            with suppress(OSError):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        do_POST = do_PATCH = do_DELETE = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            return  # runs that are killed leave broken connections

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


def passed_on(upstream: str, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[Any], bytes]:
    """The answer of the server behind."""
    connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=120)
    try:
        connection.request(request.command, request.path, body=body, headers=dict(request.headers))
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, answer.getheaders(), content
    finally:
        connection.close()
