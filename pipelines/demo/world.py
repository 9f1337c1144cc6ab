"""The demo's world: a folder of its own, a sample warehouse, a Mailtrap on loopback, and settings that point there.

Belongs here: making the world and ending it. Not here: what is done in it (`walk.py`), who lives in it
(`pipelines/sample.py`). Whatever MAILTRAP_, CONTACTS_ and DAGSTER_ settings the caller has are left aside: the
demo never talks to a real account.

    with open_world(Path(".demo"), today=date.today()) as world:
        world.environ           # CONTACTS_HOME, MAILTRAP_API_URL, ... for everything that runs in it
"""

import fcntl
import json
import os
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

from pipelines.demo.neighbours import seed
from pipelines.sample import PEOPLE, KnownAtMailtrap, known_at_mailtrap, who_said_no, write_sample
from resources.errors import ConnectorError, SettingsError

ROOT = Path(__file__).resolve().parents[2]
DEMO_FOLDER = (ROOT if (ROOT / "pyproject.toml").is_file() else Path.cwd()) / ".demo"
NOT_OURS_TO_USE = ("MAILTRAP_", "CONTACTS_", "DAGSTER_")
MADE_ANEW = ("contacts", "exports")
START_SECONDS, UI_START_SECONDS, END_SECONDS = 30.0, 300.0, 8.0
UI_PORT = 3000


@dataclass(frozen=True, slots=True)
class Mailtrap:
    """The local Mailtrap, as it said that it runs."""

    api: str
    storage: str
    admin: str
    admin_token: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a step of the demo needs to know."""

    folder: Path
    rows: int
    mailtrap: Mailtrap
    known: KnownAtMailtrap
    said_no: frozenset[str] = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)

    @property
    def warehouse(self) -> Path:
        """The sample warehouse."""
        return self.folder / "warehouse.duckdb"

    @property
    def exported(self) -> Path:
        """Where the demo's export goes."""
        return self.folder / "exports" / "contacts.parquet"


@contextmanager
def open_world(folder: Path, *, today: date, people: int = PEOPLE) -> Iterator[World]:
    """A fresh world, the same each time; it ends what it started, however the block is left."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(folder):
        _end_a_forgotten_one(folder / "local-mailtrap.pid")
        _clear(folder)
        rows = write_sample(folder / "warehouse.duckdb", today=today, people=people)
        known = known_at_mailtrap(folder / "warehouse.duckdb")
        said_no = who_said_no(folder / "warehouse.duckdb", now=datetime.now(UTC))
        with _local_mailtrap(folder) as mailtrap:
            seed(mailtrap.admin, mailtrap.admin_token, known=known)
            environ = environ_of(folder, mailtrap, outside=os.environ)
            yield World(folder, rows, mailtrap, known, said_no, environ)


def environ_of(folder: Path, mailtrap: Mailtrap, *, outside: Mapping[str, str]) -> dict[str, str]:
    """The environment of the world: none of the caller's settings, and everything under `folder`."""
    kept = {name: value for name, value in outside.items() if not name.startswith(NOT_OURS_TO_USE)}
    return kept | {
        "CONTACTS_HOME": str(folder / "contacts"),
        "CONTACTS_SYNCS": str(ROOT / "pipelines" / "syncs"),
        "CONTACTS_WAREHOUSE": f"duckdb:///{folder / 'warehouse.duckdb'}",
        "DAGSTER_HOME": str(folder / "dagster"),
        "MAILTRAP_API_TOKEN": mailtrap.token,
        "MAILTRAP_API_URL": mailtrap.api,
        "MAILTRAP_DOWNLOAD_HOSTS": urlsplit(mailtrap.storage).netloc,
    }


@contextmanager
def dagster_ui(world: World) -> Iterator[str]:
    """`dagster dev` on this world, on port 3000 or another free one; its address once it answers."""
    port = UI_PORT if _is_free(UI_PORT) else _free_port()
    url, log = f"http://127.0.0.1:{port}", world.folder / "dagster-dev.log"
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(ROOT / "workspace.yaml"), "-p", str(port)]
    with _started(command, log=log, environ=world.environ, output=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + UI_START_SECONDS
        while not _answers(f"{url}/server_info"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ConnectorError("Dagster's UI did not start.", remedy=f"See {log} for what it said.")
            time.sleep(0.3)
        yield url


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"A demo is already running in {folder}.",
                "Two of them would overwrite each other's files.",
                "Wait for it to end, end it with Ctrl-C in its terminal, or name another --folder.",
            ) from None
        yield


def _clear(folder: Path) -> None:
    for name in MADE_ANEW:
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "demo.log").unlink(missing_ok=True)
    for name in ("dagster", "exports"):
        (folder / name).mkdir(exist_ok=True, mode=0o700)
    shutil.copyfile(ROOT / "pipelines" / "dagster.yaml", folder / "dagster" / "dagster.yaml")


@contextmanager
def _local_mailtrap(folder: Path) -> Iterator[Mailtrap]:
    token, log = secrets.token_hex(16), folder / "local-mailtrap.log"
    command = [sys.executable, "-m", "resources.local_mailtrap", "--port", "0"]
    environ = {**os.environ, "MAILTRAP_API_TOKEN": token}
    note = folder / "local-mailtrap.pid"
    try:
        with _started(command, log=log, environ=environ, output=subprocess.PIPE) as process:
            note.write_text(str(process.pid), encoding="ascii")
            ready = _first_line(process, log=log)
            yield Mailtrap(ready["api"], ready["storage"], ready["admin"], ready["admin_token"], token=token)
    finally:
        note.unlink(missing_ok=True)


def _first_line(process: subprocess.Popen[bytes], *, log: Path) -> dict[str, str]:
    assert process.stdout is not None
    deadline, line = time.monotonic() + START_SECONDS, b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n") and selector.select(max(0.0, deadline - time.monotonic())):
            piece = os.read(process.stdout.fileno(), 65_536)
            if not piece:
                break
            line += piece
    try:
        ready = json.loads(line)
        return {name: str(ready[name]) for name in ("api", "storage", "admin", "admin_token")}
    except (ValueError, KeyError, TypeError):
        raise ConnectorError(
            "The local Mailtrap did not start.",
            "The demo has nobody to talk to.",
            f"See {log} for what it said.",
        ) from None


# Processes: each in a group of its own, so that Ctrl-C reaches us first and we end them in order


@contextmanager
def _started(
    command: Sequence[str], *, log: Path, environ: Mapping[str, str], output: int
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output if output == subprocess.PIPE else stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Politely first; then what is left of its group."""
    if process.poll() is None:
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def _end_a_forgotten_one(note: Path) -> None:
    """A demo that was killed could not end its Mailtrap: end it now, if the noted process still is one."""
    with suppress(OSError, ValueError):
        process_id = int(note.read_text(encoding="ascii"))
        command = ["ps", "-o", "command=", "-p", str(process_id)]
        running = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        if "resources.local_mailtrap" in running:
            os.kill(process_id, signal.SIGTERM)
    note.unlink(missing_ok=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
