"""A real Dagster on loopback for tests: web server, daemon, code server, a warehouse, and a local Mailtrap.

Everything lives in one folder and ends with the block. The instance has the settings that we ship, with short
intervals. Tests talk to it as the UI does: by GraphQL.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import yaml

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "0123456789abcdef0123456789abcdef"
LOCATION = "mailtrap_contacts"
QUICK = {
    "run_monitoring": {
        "poll_interval_seconds": 2,
        "free_slots_after_run_end_seconds": 2,
        "cancel_timeout_seconds": 10,
    },
    "sensors": {"use_threads": True, "num_workers": 4},
}

SYNC = """
sync: {name}
source:
  table: people
  key: id
  updated_at: updated_at
{partition}
email: email
consent: {{granted: consent}}
fields:
  first_name: {{column: first_name}}
lists: {{include: [{name}]}}
create: true
guards: {{min_rows: 0}}
"""


@dataclass(frozen=True, slots=True)
class DagsterWorld:
    """What a test needs to talk to the parts."""

    folder: Path
    ui: str
    admin: str
    admin_token: str
    days: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)

    def graphql(self, query: str, **variables: Any) -> Any:
        """Ask as the UI does; an error of the query fails the test."""
        answer = ask(f"{self.ui}/graphql", {"query": query, "variables": variables})
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def mailtrap(self, path: str, body: Mapping[str, Any] | None = None, *, method: str | None = None) -> Any:
        """Ask the local Mailtrap's admin interface."""
        return ask(f"{self.admin}/{path}", body, token=self.admin_token, method=method)


def ask(
    url: str, body: Mapping[str, Any] | None = None, *, token: str = "", method: str | None = None
) -> Any:
    """JSON in, JSON out."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(
        urllib.request.Request(url, data, headers, method=method), timeout=60
    ) as answer:
        return json.load(answer)


def until(condition: Callable[[], Any], *, seconds: float, every: float = 0.25, what: str = "") -> Any:
    """The first true answer; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(every)
    return found


def make_warehouse(path: Path, *, days: Sequence[str], people_a_day: int) -> None:
    """Everybody was updated on one day; nobody on two."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            """create table people as
               select 'p' || n as id, 'person' || n || '@people.example.org' as email, true as consent, 'Name' || n as first_name,
                      ?::timestamp + to_days((n % ?)::int) + to_seconds(n % 80000) as updated_at
               from range(?) t(n)""",
            [days[0], len(days), len(days) * people_a_day],
        )


def write_syncs(folder: Path, *, start: str) -> None:
    """One sync by day, one by bucket, one whole."""
    folder.mkdir(parents=True, exist_ok=True)
    partitions = {
        "daily": f"  partition: {{by: day, start: {start}}}",
        "buckets": "  partition: {by: bucket, count: 4}",
        "whole": "",
    }
    for name, partition in partitions.items():
        (folder / f"{name}.yaml").write_text(SYNC.format(name=name, partition=partition))


def shipped_instance(folder: Path, changed: Mapping[str, Any] = QUICK) -> None:
    """DAGSTER_HOME with the settings that we ship, but for short intervals."""
    settings = yaml.safe_load((ROOT / "pipelines" / "dagster.yaml").read_text())
    for name, values in changed.items():
        settings[name] = {**settings.get(name, {}), **values}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))


def last_days(count: int, *, today: date | None = None) -> tuple[str, ...]:
    """So many days, today the last."""
    last = today or datetime.now(UTC).date()
    return tuple((last - timedelta(days=back)).isoformat() for back in range(count - 1, -1, -1))


@contextlib.contextmanager
def dagster_world(
    folder: Path,
    *,
    days: int,
    people_a_day: int,
    environ: Mapping[str, str] | None = None,
    knobs: Mapping[str, Any] | None = None,
) -> Iterator[DagsterWorld]:
    """Start everything, and end everything."""
    keys = last_days(days)
    folder.mkdir(parents=True, exist_ok=True)
    make_warehouse(folder / "warehouse.duckdb", days=keys, people_a_day=people_a_day)
    write_syncs(folder / "syncs", start=keys[0])
    shipped_instance(folder / "dagster")
    (folder / "knobs.json").write_text(json.dumps(dict(knobs or {})))
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CONTACTS_", "MAILTRAP_", "DAGSTER_"))
    }
    command = [sys.executable, "-m", "resources.local_mailtrap", "--knobs", str(folder / "knobs.json")]
    with started(
        command, folder / "mailtrap.log", {**kept, "MAILTRAP_API_TOKEN": TOKEN}, piped=True
    ) as mailtrap:
        ready = json.loads(first_line(mailtrap))
        ours = {
            "CONTACTS_HOME": str(folder / "contacts"),
            "CONTACTS_SYNCS": str(folder / "syncs"),
            "CONTACTS_WAREHOUSE": f"duckdb:///{folder / 'warehouse.duckdb'}",
            "DAGSTER_HOME": str(folder / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "MAILTRAP_API_TOKEN": TOKEN,
            "MAILTRAP_API_URL": ready["api"],
            "MAILTRAP_DOWNLOAD_HOSTS": urlsplit(ready["storage"]).netloc,
            "MAILTRAP_CONTACTS_LIMIT": "20000/60",
            "MAILTRAP_TOKEN_LIMIT": "20000/10",
            "MAILTRAP_SUPPRESSIONS_LIMIT": "2000/60",
            "CONTACTS_POLL_SECONDS": "0.2",
            **(environ or {}),
        }
        port = free_port()
        command = [
            sys.executable,
            "-m",
            "dagster",
            "dev",
            "-w",
            str(ROOT / "workspace.yaml"),
            "-p",
            str(port),
        ]
        with started(command, folder / "dagster.log", {**kept, **ours}):
            ui = f"http://127.0.0.1:{port}"
            until(lambda: answers(f"{ui}/server_info"), seconds=150, what="the web server")
            yield DagsterWorld(folder, ui, ready["admin"], ready["admin_token"], keys, {**kept, **ours})


@contextlib.contextmanager
def started(
    command: Sequence[str], log: Path, environ: Mapping[str, str], *, piped: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, ended with its group."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT if not piped else signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    """The first line that a process says."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        assert selector.select(30), "the local Mailtrap did not start"
    return process.stdout.readline()


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether somebody answers there."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
