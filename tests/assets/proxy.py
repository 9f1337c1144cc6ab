"""A proxy between a run and Mailtrap that strikes at the n-th request: before it is passed on, before or amid its answer.

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

Moment = Literal["before", "after", "amid"]


@dataclass(slots=True)
class Proxy:
    """Passes requests on; `at` and `when` say where it strikes."""

    upstream: str
    storage: str = ""
    """Where export files are: links to it lead through the proxy, too."""
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

    def disarm(self) -> None:
        """Strike at none."""
        self.arm(lambda: None, at=0, when="before")

    def _is_due(self, line: str) -> bool:
        with self.lock:
            if self.matching in line:
                self.seen.append(line)
                return len(self.seen) == self.at
            return False

    def _hit(self) -> None:
        self.strike()
        self.struck.set()

    def pass_on(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[Any], bytes]:
        """The answer of the server behind, with links to the storage turned to the proxy."""
        to_storage = self.storage and not request.path.startswith("/api")
        status, headers, content = passed_on(self.storage if to_storage else self.upstream, request, body)
        if (
            self.storage
            and not to_storage
            and (turned := content.replace(self.storage.encode(), self.url.encode())) != content
        ):
            headers = [(n, str(len(turned)) if n.lower() == "content-length" else v) for n, v in headers]
            content = turned
        return status, headers, content


@contextmanager
def proxied(upstream: str, *, storage: str = "") -> Iterator[Proxy]:
    """A proxy in front of this origin, for as long as the block takes."""
    proxy = Proxy(upstream, storage)

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
            status, headers, content = proxy.pass_on(self, body)
            if due and proxy.when == "after":
                proxy._hit()
                self.close_connection = True
                return
            with suppress(OSError):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                if due:
                    self.wfile.write(content[: len(content) // 2])
                    self.wfile.flush()
                    proxy._hit()
                    self.close_connection = True
                    return
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
