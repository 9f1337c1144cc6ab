"""The floor: DuckDB alone reads, filters, settles duplicates and writes the JSON; its buffers are sent as they are."""

import http.client
import json
import sys
import time
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa
from usable import CONTACT, ROWS_PER_PAYLOAD, usable_sql


def main(warehouse: str, api: str, *, settle_duplicates: bool = True) -> None:
    """Stream contacts as text, 50,000 to a request."""
    server = urlsplit(api)
    connection = http.client.HTTPConnection(server.hostname or "", server.port)
    with duckdb.connect(warehouse, read_only=True) as con:
        sql = f"SELECT {CONTACT} AS contact FROM ({usable_sql(settle_duplicates=settle_duplicates)})"
        reader = con.sql(sql).to_arrow_reader(ROWS_PER_PAYLOAD)
        held: list[pa.Array] = []
        for batch in reader:
            held.append(batch.column(0))
            while sum(map(len, held)) >= ROWS_PER_PAYLOAD:
                whole = pa.concat_arrays(held)
                send(connection, whole.slice(0, ROWS_PER_PAYLOAD))
                held = [whole.slice(ROWS_PER_PAYLOAD)]
        if rest := pa.concat_arrays(held) if held else None:
            send(connection, rest)


def send(connection: http.client.HTTPConnection, contacts: pa.Array) -> None:
    """One import, asked about once."""
    if not len(contacts):
        return
    texts = contacts.cast(pa.large_string())
    offsets = memoryview(texts.buffers()[1]).cast("q")
    start, end = offsets[texts.offset], offsets[texts.offset + len(texts)]
    body = memoryview(texts.buffers()[2])[start : end - 1]
    pieces = [b'{"contacts":[', body, b"]}"]
    headers = {"Content-Type": "application/json", "Content-Length": str(sum(map(len, pieces)))}
    connection.request("POST", "/api/accounts/1/contacts/imports", body=iter(pieces), headers=headers)
    job = json.loads(connection.getresponse().read())["id"]
    for _ in range(100):
        connection.request("GET", f"/api/accounts/1/contacts/imports/{job}")
        if json.loads(connection.getresponse().read())["status"] == "finished":
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], settle_duplicates="--keep-duplicates" not in sys.argv)
