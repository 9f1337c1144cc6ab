"""Over loopback: two ports, real connections that break, and the process that people start."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from resources.errors import SettingsError
from resources.local_mailtrap import LocalMailtrap
from resources.local_mailtrap.__main__ import main

ROWS = {"contacts": [{"email": "a@example.com"}]}


@pytest.fixture
def web(local_mailtrap_server: LocalMailtrap) -> Iterator[httpx.Client]:
    """A client of a running server."""
    headers = {"Authorization": f"Bearer {local_mailtrap_server.token}"}
    with httpx.Client(
        base_url=f"{local_mailtrap_server.api_origin}/api", headers=headers, timeout=10
    ) as client:
        yield client


def finished(web: httpx.Client, noun: str, number: int) -> dict[str, Any]:
    """A job at its end."""
    for _ in range(500):
        shown: dict[str, Any] = web.get(f"/contacts/{noun}/{number}").json()
        if shown["status"] == "finished":
            return shown
        time.sleep(0.02)
    raise AssertionError("the job does not end")


def test_jobs_are_done_by_themselves(local_mailtrap_server: LocalMailtrap, web: httpx.Client) -> None:
    """Import, export and download, in real time, on two origins."""
    made = web.post("/contacts/imports", json=ROWS).json()
    assert finished(web, "imports", made["id"])["created_contacts_count"] == 1
    made = web.post("/contacts/exports", json={}).json()
    url = finished(web, "exports", made["id"])["url"]
    assert (
        url.startswith(local_mailtrap_server.storage_origin) and local_mailtrap_server.api_origin not in url
    )
    assert httpx.get(url).status_code == 200


def test_the_clock_can_be_put_ahead(local_mailtrap_server: LocalMailtrap, web: httpx.Client) -> None:
    """An import that takes an hour is done at once when the hour has been let pass."""
    local_mailtrap_server.turn(import_start_seconds=3600)
    web.post("/contacts/imports", json=ROWS)
    assert web.get("/contacts/imports/1").json()["status"] == "created"
    local_mailtrap_server.advance(3601)
    assert web.get("/contacts/imports/1").json()["status"] == "finished"


@pytest.mark.parametrize(
    ("rule", "errors", "imports"),
    [
        ({"fault": "F-04"}, (httpx.NetworkError, httpx.RemoteProtocolError), 0),
        ({"fault": "F-05"}, (httpx.ReadError,), 1),
        ({"fault": "F-05", "variant": "timeout"}, (httpx.ReadTimeout,), 1),
        ({"fault": "F-22", "variant": "silence", "match": {"path": "imports"}}, (httpx.ReadTimeout,), 1),
    ],
    ids=["before the body", "after the work", "silence after the work", "silence"],
)
def test_connections_break_for_real(
    local_mailtrap_server: LocalMailtrap, web: httpx.Client, rule: dict[str, Any], errors: Any, imports: int
) -> None:
    """As the same faults do in process; the next request is answered.

    A reset that meets a client which is still writing may look to it like an end, not like a reset.
    """
    local_mailtrap_server.faults.add(rule)
    with pytest.raises(errors):
        web.post("/contacts/imports", json=ROWS, timeout=1 if httpx.ReadTimeout in errors else 10)
    assert len(local_mailtrap_server.account.imports) == imports
    assert web.get("/contacts/lists").status_code == 200


@pytest.mark.parametrize(
    ("variant", "error"),
    [("reset", httpx.ReadError), ("wrong_length", httpx.RemoteProtocolError)],
    ids=["reset", "cut"],
)
def test_downloads_break_for_real(
    local_mailtrap_server: LocalMailtrap, web: httpx.Client, variant: str, error: type[Exception]
) -> None:
    """After half of the file has arrived."""
    local_mailtrap_server.seed({"synthetic_contacts": 100})
    made = web.post("/contacts/exports", json={}).json()
    url = finished(web, "exports", made["id"])["url"]
    local_mailtrap_server.fault("F-14", variant=variant)
    got: list[bytes] = []
    with httpx.stream("GET", url) as answer, pytest.raises(error):
        got.extend(answer.iter_raw())
    assert 0 < sum(map(len, got)) < int(answer.headers["content-length"])


def test_a_drip_arrives_whole(local_mailtrap_server: LocalMailtrap, web: httpx.Client) -> None:
    """A little at a time."""
    local_mailtrap_server.fault("F-22", **{"with": {"seconds": 0.1}})
    assert len(web.get("/contacts/fields").json()) == 2


def test_fifty_thousand_contacts_are_answered_and_applied_in_time(
    local_mailtrap_server: LocalMailtrap, web: httpx.Client
) -> None:
    """About 10 MB: answered in 0.6 s and applied in 1.5 s; here with room for a busy machine."""
    local_mailtrap_server.seed(
        {
            "lists": ["A"],
            "fields": [
                {"merge_tag": "age", "data_type": "integer"},
                {"merge_tag": "born", "data_type": "date"},
            ],
        }
    )
    rows = [
        {
            "email": f"person{number}.somebody@company{number % 997}.example.com",
            "fields": {
                "first_name": f"First{number}",
                "last_name": f"Last{number}",
                "age": number % 90,
                "born": "2024-02-29",
            },
            "list_ids_included": [*local_mailtrap_server.account.lists],
        }
        for number in range(50_000)
    ]
    body = json.dumps({"contacts": rows}).encode()
    began = time.monotonic()
    made = web.post("/contacts/imports", content=body)
    answered = time.monotonic() - began
    assert made.status_code == 201
    assert finished(web, "imports", made.json()["id"])["created_contacts_count"] == 50_000
    assert answered < 3 * 0.6
    assert time.monotonic() - began - answered < 3 * 1.5


def test_the_process_tells_where_it_is_and_ends_on_sigterm() -> None:
    """One JSON line, the token from the environment, exit code 0."""
    command = [sys.executable, "-m", "resources.local_mailtrap", "--port", "0"]
    environment = {**os.environ, "MAILTRAP_API_TOKEN": "from the environment"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert [*ready] == ["api", "storage", "admin", "admin_token"]
            seen = httpx.get(
                f"{ready['api']}/api/accounts", headers={"Authorization": "Bearer from the environment"}
            )
            assert seen.status_code == 200
            state = httpx.get(
                f"{ready['admin']}/state", headers={"Authorization": f"Bearer {ready['admin_token']}"}
            )
            assert state.json()["accounts"][0]["contacts"] == []
        finally:
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_that_is_taken_is_said_with_a_remedy() -> None:
    """Not a mistake of ours: exit code 2, the port, and what to type instead."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"port {port}.*--port") as told:
            main(["--port", str(port)])
    assert told.value.exit_code == 2
