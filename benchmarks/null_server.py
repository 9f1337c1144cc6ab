"""A Mailtrap that takes everything and does nothing, as fast as a socket allows.

It reads a body without keeping it, counts the contacts in it, answers 201, and says `finished` when asked. It is a
process of its own, and the same for every contestant. What it was sent stands at /totals; POST /reset forgets it.
"""

import gzip
import itertools
import json
import socket
import sys
import threading
from dataclasses import asdict, dataclass

CONTACT = b'"email":'
PIECE_BYTES = 1 << 20
FIELDS = (
    ("first_name", "text"), ("last_name", "text"), ("company", "text"), ("age", "integer"), ("plan", "text"),
    ("signed_up", "date"),
)  # fmt: skip


@dataclass
class Totals:
    """What arrived since the last reset."""

    requests: int = 0
    imports: int = 0
    contacts: int = 0
    bytes: int = 0


class NullServer:
    """One thread for each connection; the work in it is recv and count, which release the lock."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.totals = Totals()
        self.contacts_of: dict[int, int] = {}
        self.ids = itertools.count(1)
        self.lock = threading.Lock()

    def serve_forever(self) -> None:
        """Accept until the listener is closed, or the process ends."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = bytearray(PIECE_BYTES)
        with connection:
            held = b""
            while True:
                while b"\r\n\r\n" not in held:
                    piece = connection.recv(65_536)
                    if not piece:
                        return
                    held += piece
                head, _, held = held.partition(b"\r\n\r\n")
                length = _length(head)
                if b"100-continue" in head.lower():
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                body, held = held[:length], held[length:]
                contacts = _take(connection, buffer, body, length=length)
                connection.sendall(self._answer(head, contacts, length=length))

    def _answer(self, head: bytes, contacts: int, *, length: int) -> bytes:
        method, target = head.split(b" ", 2)[:2]
        path = target.decode().partition("?")[0].rstrip("/")
        with self.lock:
            if path == "/totals":
                return _json(200, asdict(self.totals))
            if path == "/reset":
                self.totals = Totals()
                return _json(200, {})
            self.totals.requests += 1
            self.totals.bytes += length
            if method == b"POST" and path.endswith("/contacts/imports"):
                self.totals.imports += 1
                self.totals.contacts += contacts
                job = next(self.ids)
                self.contacts_of[job] = contacts
                return _json(201, {"id": job, "status": "created", **_stamps()})
        return self._known(path)

    def _known(self, path: str) -> bytes:
        if path == "/export.csv.gz":
            return _whole(
                200, gzip.compress(("email,status," + ",".join(tag for tag, _ in FIELDS) + "\n").encode())
            )
        name, _, last = path.rpartition("/")
        if name.endswith("/imports") and last.isdigit():
            counts = {
                "created_contacts_count": self.contacts_of.get(int(last), 0),
                "updated_contacts_count": 0,
            }
            return _json(
                200, {"id": int(last), "status": "finished", **counts, "contacts_over_limit_count": 0}
            )
        if path.endswith("/exports"):
            return _json(201, {"id": next(self.ids), "status": "created", "url": None, **_stamps()})
        if name.endswith("/exports"):
            url = f"http://127.0.0.1:{self.port}/export.csv.gz"
            return _json(200, {"id": int(last), "status": "finished", "url": url, **_stamps()})
        return _json(200, _LISTS.get(last, []))


_LISTS = {
    "accounts": [{"id": 1, "name": "Benchmark", "access_levels": [1000]}],
    "lists": [{"id": 1, "name": "Newsletter"}],
    "fields": [
        {"id": number, "name": tag, "data_type": kind, "merge_tag": tag}
        for number, (tag, kind) in enumerate(FIELDS, 1)
    ],
}


def _take(connection: socket.socket, buffer: bytearray, body: bytes, *, length: int) -> int:
    """Read what is missing of a body and count its contacts, also those cut by the end of a piece."""
    found, kept = body.count(CONTACT), body[-(len(CONTACT) - 1) :]
    missing, view = length - len(body), memoryview(buffer)
    while missing > 0:
        start = len(kept)
        buffer[:start] = kept
        got = connection.recv_into(view[start:], min(missing, PIECE_BYTES - start))
        if not got:
            return found
        missing -= got
        found += buffer.count(CONTACT, 0, start + got)
        kept = bytes(view[max(0, start + got - len(CONTACT) + 1) : start + got])
    return found


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _stamps() -> dict[str, str]:
    return {"created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z"}


def _json(status: int, value: object) -> bytes:
    return _whole(status, json.dumps(value).encode(), kind="application/json; charset=utf-8")


def _whole(status: int, body: bytes, *, kind: str = "application/gzip") -> bytes:
    words = {200: "OK", 201: "Created"}[status]
    return (
        f"HTTP/1.1 {status} {words}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


if __name__ == "__main__":
    server = NullServer()
    sys.stdout.write(f"http://127.0.0.1:{server.port}\n")
    sys.stdout.flush()
    server.serve_forever()
