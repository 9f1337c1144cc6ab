"""A server on this machine that does to a client what networks and servers do: it answers as a script says.

It knows nothing of Mailtrap. It keeps what it saw, with the moment by its own clock at which each request was whole.
"""

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    at: float
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """Bytes and pauses, then a way to end: keep the connection, close it, or reset it."""

    parts: Sequence[bytes | float]
    end: str = "keep"


def answer(
    status: int = 200, body: object = b"", *, headers: dict[str, str] | None = None, end: str = "keep"
) -> Reply:
    """A whole HTTP answer; anything but bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
    head = (
        f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    )
    return Reply([head.encode() + content], end)


RESET = Reply([], "reset")
CLOSE = Reply([], "close")


@dataclass
class Loopback:
    """One listening socket, a thread for each connection, and the script."""

    script: Callable[[Seen], Reply]
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    read_at_most: int | None = None
    """Reset the connection after so many bytes of a request's body."""

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._closing = False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @contextlib.contextmanager
    def running(self) -> Iterator["Loopback"]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._closing = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            with self._lock:
                for each in self._open:
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                self._open.append(connection)
                self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = connection.makefile("rb")
            while (request := self._read(stream, connection)) is not None:
                with self._lock:
                    self.seen.append(request)
                reply = self.script(request)
                for part in reply.parts:
                    if isinstance(part, float):
                        time.sleep(part)
                    else:
                        connection.sendall(part)
                if reply.end == "reset":
                    _reset(connection)
                if reply.end != "keep":
                    stream.close()
                    return

    def _read(self, stream, connection: socket.socket) -> Seen | None:
        first = stream.readline()
        if not first:
            return None
        method, path, _ = first.decode().split(" ", 2)
        headers: dict[str, str] = {}
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        if self.read_at_most is not None and length > self.read_at_most:
            stream.read(self.read_at_most)
            _reset(connection)
            return None
        return Seen(time.monotonic(), method, path, headers, stream.read(length))


def _reset(connection: socket.socket) -> None:
    """RST instead of FIN: what was sent and not yet read is gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)
    connection.close()


def most_in_any_window(moments: Sequence[float], seconds: float) -> int:
    """The most requests that any window of so many seconds holds."""
    ordered, start, most = sorted(moments), 0, 0
    for end, moment in enumerate(ordered):
        while ordered[start] <= moment - seconds:
            start += 1
        most = max(most, end - start + 1)
    return most
