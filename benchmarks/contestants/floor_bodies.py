"""The other floor: bodies that lie ready in a file, sent raw. `--prepare` writes them, outside the measurement."""

import http.client
import json
import mmap
import struct
import sys
from pathlib import Path
from urllib.parse import urlsplit

from usable import CONTACT, ROWS_PER_PAYLOAD, usable_sql


def prepare(warehouse: str, bodies: Path) -> None:
    """All bodies, one after the other, each with its length before it."""
    import duckdb  # not needed for what is measured

    with duckdb.connect(warehouse, read_only=True) as con, bodies.open("wb") as stream:
        rows: list[str] = []
        for batch in con.sql(f"SELECT {CONTACT} AS contact FROM ({usable_sql()})").to_arrow_reader(
            ROWS_PER_PAYLOAD
        ):
            rows += batch.column(0).to_pylist()
            while len(rows) >= ROWS_PER_PAYLOAD:
                write(stream, rows[:ROWS_PER_PAYLOAD])
                rows = rows[ROWS_PER_PAYLOAD:]
        if rows:
            write(stream, rows)


def write(stream, rows: list[str]) -> None:  # type: ignore[no-untyped-def]
    """One body with its length."""
    body = b'{"contacts":[' + "".join(rows).encode()[:-1] + b"]}"
    stream.write(struct.pack("<Q", len(body)) + body)


def send_all(bodies: Path, api: str) -> None:
    """Each body as it lies there, and one question about each import."""
    server = urlsplit(api)
    connection = http.client.HTTPConnection(server.hostname or "", server.port)
    with bodies.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        position, view = 0, memoryview(mapped)
        while position < len(mapped):
            (length,) = struct.unpack_from("<Q", mapped, position)
            body = view[position + 8 : position + 8 + length]
            headers = {"Content-Type": "application/json", "Content-Length": str(length)}
            connection.request("POST", "/api/accounts/1/contacts/imports", body=iter([body]), headers=headers)
            job = json.loads(connection.getresponse().read())["id"]
            connection.request("GET", f"/api/accounts/1/contacts/imports/{job}")
            connection.getresponse().read()
            body.release()
            position += 8 + length
        view.release()


if __name__ == "__main__":
    kept = Path(sys.argv[1]).with_suffix(".bodies")
    if "--prepare" in sys.argv:
        prepare(sys.argv[1], kept)
    else:
        send_all(kept, sys.argv[2])
