"""A real PostgreSQL server for the tests: made, started and stopped by the test run itself.

Here: finding Debian's binaries, one private cluster in a temporary folder, on a Unix socket and a loopback port
of its own. Fixtures for pytest are in `conftest.py`. It runs as user `postgres` when the tests run as root,
because PostgreSQL refuses to run as root.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

MISSING = (
    "PostgreSQL is not installed (apt install postgresql): initdb was found neither in PATH nor in /usr/lib"
)
QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "32MB"}


@dataclass(frozen=True, slots=True)
class Server:
    """A running private cluster; user `postgres`, password in the URL, database `postgres`."""

    folder: Path
    port: int
    binaries: Path
    password: str = field(repr=False)

    def url(self, *, user: str = "postgres", password: str | None = None, database: str = "postgres") -> str:
        """Where it listens."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def run(self, sql: str, *, database: str = "postgres") -> str:
        """What psql prints for the statements; stops at the first error."""
        done = subprocess.run(
            [self.binaries / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", self.url(database=database)],
            input=sql,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    @property
    def pid(self) -> int:
        """The process of the server, from its own pid file."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])


def find_binaries() -> Path | None:
    """The folder with initdb and postgres, or None when PostgreSQL is not installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    on_path = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    for folder in [*reversed(installed), *on_path]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


@contextmanager
def running(folder: Path, binaries: Path) -> Iterator[Server]:
    """A fresh cluster in `folder`, stopped at the end by its own pid and nothing else."""
    password = os.urandom(8).hex()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(folder, port, binaries, password)
    _make(server)
    _start(server)
    try:
        yield server
    finally:
        stop(server)


def stop(server: Server, *, kill: bool = False) -> None:
    """End the server by its pid; `kill` ends it as a failing machine would, with no farewell to clients."""
    with suppress(FileNotFoundError, ProcessLookupError):
        pid = server.pid
        children = _children(pid) if kill else []
        for each in [pid, *children]:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL if kill else signal.SIGQUIT)
        _wait_until_gone(pid)


def _make(server: Server) -> None:
    _give_away(server.folder)
    secret = server.folder / "password"
    secret.write_text(server.password)
    _give_away(secret)
    _run(
        [
            server.binaries / "initdb",
            "-D",
            server.folder / "data",
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "--pwfile",
            secret,
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]
    )


def _start(server: Server) -> None:
    options = f"-p {server.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={server.folder}"
    options += "".join(f" -c {name}={value}" for name, value in QUICK.items())
    log = server.folder / "log"
    _run([server.binaries / "pg_ctl", "-D", server.folder / "data", "-w", "-l", log, "-o", options, "start"])


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(
        command,
        user=_owner(),
        cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode())


def _owner() -> str | None:
    return "postgres" if os.geteuid() == 0 else None


def _give_away(path: Path) -> None:
    if user := _owner():
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid)


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _wait_until_gone(pid: int) -> None:
    for _ in range(400):
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.025)
