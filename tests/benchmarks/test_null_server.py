"""The null server of the benchmarks counts right: a contestant that loses contacts must not look fast."""

import http.client
import json
import threading
from collections.abc import Iterator

import pytest

from benchmarks.null_server import PIECE_BYTES, NullServer


@pytest.fixture
def server() -> Iterator[http.client.HTTPConnection]:
    """A server in a thread of this process, and a connection to it."""
    running = NullServer()
    threading.Thread(target=running.serve_forever, daemon=True).start()
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
    yield connection
    connection.close()
    running.listener.close()


def asked(server: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> object:
    """The answer, as JSON."""
    server.request(method, path, body=body)
    return json.loads(server.getresponse().read())


@pytest.mark.parametrize("contacts", [0, 1, 2, 70_000])
def test_every_contact_of_an_import_is_counted(server: http.client.HTTPConnection, contacts: int) -> None:
    """Also those whose text is cut by the end of a piece."""
    body = json.dumps(
        {"contacts": [{"email": f"person{number}@example.com"} for number in range(contacts)]}
    ).encode()
    assert contacts < 70_000 or len(body) > 2 * PIECE_BYTES
    job = asked(server, "POST", "/api/accounts/1/contacts/imports", body)
    assert asked(server, "GET", f"/api/accounts/1/contacts/imports/{job['id']}") == {
        "id": job["id"],
        "status": "finished",
        "created_contacts_count": contacts,
        "updated_contacts_count": 0,
        "contacts_over_limit_count": 0,
    }
    assert asked(server, "GET", "/totals")["contacts"] == contacts


def test_what_was_counted_can_be_forgotten(server: http.client.HTTPConnection) -> None:
    """Getting ready is not part of the measurement."""
    asked(server, "POST", "/api/contacts/imports", b'{"contacts":[{"email":"a@example.com"}]}')
    asked(server, "POST", "/reset", b"")
    assert asked(server, "GET", "/totals") == {"requests": 0, "imports": 0, "contacts": 0, "bytes": 0}


@pytest.mark.parametrize(
    ("path", "known"),
    [("/api/accounts", 1), ("/api/accounts/1/contacts/lists", 1), ("/api/accounts/1/contacts/fields", 6)],
)
def test_it_has_what_a_sync_looks_for(server: http.client.HTTPConnection, path: str, known: int) -> None:
    """One account, the list and the fields of the sync of the benchmarks."""
    assert len(asked(server, "GET", path)) == known
