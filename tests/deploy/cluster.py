"""Several machines on one: daemon, code server, web server, Celery workers, PostgreSQL, Redis, an S3 server, Mailtrap.

Each part is a process of its own, started as deploy/compose starts its containers, with the very instance that is shipped
there; each worker has a home and a temporary folder of its own, so that what they share, they share through PostgreSQL
and S3. Belongs here: starting and ending the parts, and asking them. Not here: what is proven (`test_cluster.py`).
"""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import yaml

from tests import postgres
from tests.pipelines.dagster_world import ROOT, TOKEN, answers, ask, first_line, free_port, started, until

BUCKETS = 64
KEY = "a key that every machine has: 0123456789"
QUICK = {"run_monitoring": {"poll_interval_seconds": 5, "free_slots_after_run_end_seconds": 5}}
SYNC = """
sync: people
source: {table: people, key: id, updated_at: updated_at, partition: {by: bucket, count: %d}}
email: email
consent: {granted: consent}
fields: {first_name: {column: first_name}, plan: {column: plan}}
lists: {include: [People]}
create: true
guards: {min_rows: 0}
"""
TABLE = """
create table people as
select 'p' || n as id, 'person' || n || '@people.example.org' as email, n % 50 <> 0 as consent, 'Name' || n as first_name,
       case when n % 3 = 0 then 'pro' else 'free' end as plan, timestamptz '2026-01-01' + n * interval '1 second' as updated_at
from generate_series(1, {people}) n
"""


def missing() -> str | None:
    """What of the parts is not installed here; none: all is."""
    if postgres.find_binaries() is None:
        return postgres.MISSING
    if shutil.which("redis-server") is None:
        return "Redis is not installed (apt install redis-server)"
    absent = [each for each in ("dagster_celery", "moto", "redis") if importlib.util.find_spec(each) is None]
    return (
        f"not installed: {', '.join(absent)}; `make cluster` installs them in .venv-cluster"
        if absent
        else None
    )


def missing_for_store() -> str | None:
    """Why there can be no S3 server here; none: there can."""
    return (
        None
        if importlib.util.find_spec("moto")
        else "not installed: moto; `make cluster` installs it in .venv-cluster"
    )


@dataclass(slots=True)
class Cluster:
    """The running parts."""

    folder: Path
    ui: str
    admin: str
    admin_token: str
    server: postgres.Server
    environ: Mapping[str, str] = field(repr=False)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    daemon: subprocess.Popen[bytes] | None = None

    def graphql(self, query: str, **variables: Any) -> Any:
        """Ask as the UI does; an error fails the test, with what the web server has to say about it."""
        try:
            answer = ask(f"{self.ui}/graphql", {"query": query, "variables": variables})
        except HTTPError as error:
            said = (self.folder / "web.log").read_text(errors="replace")[-4000:]
            raise AssertionError(f"HTTP {error.code} of the web server:\n{said}") from None
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def mailtrap(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask the local Mailtrap's admin interface."""
        return ask(f"{self.admin}/{path}", body, token=self.admin_token)

    def journal(self, sql: str) -> list[list[str]]:
        """Ask the journal's database."""
        return [line.split("|") for line in self.server.run(sql, database="journal").splitlines()]

    def machine(self, name: str) -> dict[str, str]:
        """The environment of a machine of its own: nothing on its disk is shared."""
        home = self.folder / name
        (home / "tmp").mkdir(parents=True, exist_ok=True)
        return {**self.environ, "CONTACTS_HOME": str(home / "contacts"), "TMPDIR": str(home / "tmp")}


@contextlib.contextmanager
def cluster(
    folder: Path,
    *,
    people: int,
    workers: int,
    knobs: Mapping[str, Any],
    buckets: int = BUCKETS,
    rows_per_payload: int = 100,
) -> Iterator[Cluster]:
    """Start everything, and end everything."""
    binaries = postgres.find_binaries()
    assert binaries is not None
    folder.chmod(0o755)
    for parent in folder.parents[:3]:
        parent.chmod(0o755) if parent.stat().st_uid == os.getuid() else None
    (folder / "postgres").mkdir()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres.running(folder / "postgres", binaries))
        for database in ("dagster", "journal", "warehouse"):
            server.run(f"create database {database}")
        server.run(TABLE.format(people=people), database="warehouse")
        redis = stack.enter_context(_redis(folder))
        store = stack.enter_context(object_store(folder))
        mailtrap = stack.enter_context(_mailtrap(folder, knobs))
        environ = _environ(folder, server, redis=redis, store=store, mailtrap=mailtrap)
        environ["CONTACTS_ROWS_PER_PAYLOAD"] = str(rows_per_payload)
        (folder / "syncs").mkdir()
        (folder / "syncs" / "people.yaml").write_text(SYNC % buckets)
        made = Cluster(folder, "", mailtrap["admin"], mailtrap["admin_token"], server, environ)
        code, ui = free_port(), free_port()
        _write_instance(folder, code_port=code)
        python = [sys.executable, "-m"]
        grpc = [
            *python,
            "dagster",
            "api",
            "grpc",
            "-m",
            "pipelines.definitions",
            "-h",
            "127.0.0.1",
            "-p",
            str(code),
        ]
        stack.enter_context(started(grpc, folder / "code.log", made.machine("code")))
        until(lambda: _listens(code), seconds=180, what="the code server")
        web = [
            *python,
            "dagster_webserver",
            "-w",
            str(folder / "workspace.yaml"),
            "-h",
            "127.0.0.1",
            "-p",
            str(ui),
        ]
        stack.enter_context(started(web, folder / "web.log", made.machine("web")))
        made.ui = f"http://127.0.0.1:{ui}"
        until(lambda: answers(f"{made.ui}/server_info"), seconds=180, what="the web server")
        for number in range(workers):
            made.workers.append(stack.enter_context(worker(made, number)))
        with daemon(made):
            yield made


@contextlib.contextmanager
def worker(made: Cluster, number: int) -> Iterator[subprocess.Popen[bytes]]:
    """A machine that takes one run after the other, as the container `worker` does."""
    shipped = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())["services"]["worker"][
        "command"
    ]
    command = [sys.executable, "-m", *shipped, "-n", f"worker{number}@%h"]
    with started(command, made.folder / f"worker{number}.log", made.machine(f"worker{number}")) as process:
        yield process


@contextlib.contextmanager
def daemon(made: Cluster) -> Iterator[None]:
    """The daemon; whoever kills it starts another one in its place by `start_daemon`."""
    start_daemon(made)
    try:
        yield
    finally:
        kill(made.daemon)


def start_daemon(made: Cluster) -> None:
    """Start the daemon."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(made.folder / "workspace.yaml")]
    with (made.folder / "daemon.log").open("ab") as log:
        made.daemon = subprocess.Popen(
            command, cwd=ROOT, env=made.machine("daemon"), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip


def kill(process: subprocess.Popen[bytes] | None) -> None:
    """SIGKILL to a process and to all that it started: the machine is gone."""
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[str]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with started(command, folder / "redis.log", os.environ):
        import redis

        client = redis.Redis(port=port)
        until(lambda: _pings(client), seconds=30, what="Redis")
        yield f"redis://127.0.0.1:{port}"


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _pings(client: Any) -> bool:
    try:
        return bool(client.ping())
    except Exception:  # noqa: BLE001 - redis has a tree of its own, and is imported only where it is
        return False


@contextlib.contextmanager
def object_store(folder: Path) -> Iterator[str]:
    """An S3 server with a bucket `contacts`: its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-c",
        "from moto.server import main; main()",
        "-H",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    with started(command, folder / "s3.log", os.environ):
        until(lambda: answers(url + "/moto-api/"), seconds=60, what="the S3 server")
        urlopen(Request(f"{url}/contacts", method="PUT"), timeout=30).close()
        yield url


def way_to_store(url: str) -> dict[str, str]:
    """Where the S3 server is and how to get in, as the environment says it."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@contextlib.contextmanager
def _mailtrap(folder: Path, knobs: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    (folder / "knobs.json").write_text(json.dumps(dict(knobs)))
    command = [sys.executable, "-m", "resources.local_mailtrap", "--knobs", str(folder / "knobs.json")]
    environ = {**os.environ, "MAILTRAP_API_TOKEN": TOKEN}
    with started(command, folder / "mailtrap.log", environ, piped=True) as process:
        yield json.loads(first_line(process))


def _environ(
    folder: Path, server: postgres.Server, *, redis: str, store: str, mailtrap: Mapping[str, str]
) -> dict[str, str]:
    ours = ("CONTACTS_", "MAILTRAP_", "DAGSTER_", "AWS_", "CELERY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {
        **kept,
        "DAGSTER_HOME": str(folder),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "DAGSTER_POSTGRES_URL": _psycopg2(server.url(database="dagster")),
        "CELERY_BROKER_URL": f"{redis}/0",
        "CELERY_RESULT_BACKEND": f"{redis}/1",
        "CONTACTS_JOURNAL": _psycopg2(server.url(database="journal")),
        "CONTACTS_WAREHOUSE": server.url(database="warehouse"),
        "CONTACTS_LAKE": "s3://contacts/lake",
        **way_to_store(store),
        "CONTACTS_KEY": KEY,
        "CONTACTS_SYNCS": str(folder / "syncs"),
        "CONTACTS_POLL_SECONDS": "0.5",
        "MAILTRAP_API_TOKEN": TOKEN,
        "MAILTRAP_API_URL": mailtrap["api"],
        "MAILTRAP_DOWNLOAD_HOSTS": urlsplit(mailtrap["storage"]).netloc,
    }


def _psycopg2(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://")


def _write_instance(folder: Path, *, code_port: int) -> None:
    """The files of deploy/compose, but for short intervals and for where the code server is."""
    settings = yaml.safe_load((ROOT / "deploy/compose/dagster.yaml").read_text())
    for name, values in QUICK.items():
        settings[name] = {**settings[name], **values}
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))
    workspace = yaml.safe_load((ROOT / "deploy/compose/workspace.yaml").read_text())
    workspace["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": code_port}
    (folder / "workspace.yaml").write_text(yaml.safe_dump(workspace))
