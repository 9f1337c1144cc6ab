"""Who takes part: each contestant, what it needs installed, how it is started, what it costs to make it ready.

What must not enter our own lock file (dlt, drt) is installed in a virtual environment of its own, when it is asked for.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import people

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
READS = ("duckdb>=1.5,<3", "pyarrow>=22,<27")
CHECKS = ("pandas>=3,<4", "pandera[pandas]==0.35.*", *READS)
SDK = "mailtrap==2.11.0"
DRT = ("drt-core==1.2.1", *READS)


@dataclass(frozen=True, slots=True)
class Course:
    """One measurement's surroundings: the table, the server, a folder that is new for each run, and one that stays."""

    warehouse: Path
    api: str
    folder: Path
    kept: Path
    rows: int


@dataclass(frozen=True, slots=True)
class Contestant:
    """One program of the comparison."""

    name: str
    words: str
    start: Callable[[Course], list[str]]
    requires: tuple[str, ...] = ()
    ready: Callable[[Course], None] | None = None
    environ: Callable[[Course], Mapping[str, str]] = lambda course: {}
    sends: Callable[[int], int] = lambda usable: usable
    """How many contacts it should deliver, when so many are usable."""


def python_of(contestant: Contestant, folder: Path) -> str:
    """The interpreter that has what the contestant needs; made on first use."""
    if not contestant.requires:
        return sys.executable
    home = folder / "environments" / contestant.name
    python, mark = home / "bin" / "python", home / ".requires"
    wanted = "\n".join(contestant.requires)
    if not mark.is_file() or mark.read_text() != wanted:
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
        if (
            subprocess.run([sys.executable, "-c", "import uv"], capture_output=True, check=False).returncode
            == 0
        ):
            install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
        else:
            install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        subprocess.run([*install, *contestant.requires], check=True)
        mark.write_text(wanted)
    return str(python)


def script(name: str, *more: str) -> Callable[[Course], list[str]]:
    """A module of `contestants/`, started with the warehouse and the API."""
    return lambda course: [str(HERE / "contestants" / name), str(course.warehouse), course.api, *more]


def in_a_folder(name: str, *more: str) -> Callable[[Course], list[str]]:
    """The same, for one that keeps files."""
    return lambda course: [*script(name, *more)(course), str(course.folder / "work")]


# Ours: the command itself, with the journal, the ledger and everything else that it keeps


def is_ours(contestant: Contestant) -> bool:
    """Whether it is a run of Dagster's, with steps."""
    return contestant.start is _sync


def dagster_home(course: Course) -> Path:
    """Where our runs are recorded."""
    return course.kept.parent / "dagster"


def _sync(course: Course) -> list[str]:
    return ["-m", "pipelines.command", "sync", "people", "--json"]


def _settings(home: Path, course: Course) -> dict[str, str]:
    return {
        "CONTACTS_HOME": str(home),
        "CONTACTS_SYNCS": str(HERE / "syncs"),
        "CONTACTS_WAREHOUSE": f"duckdb:///{course.warehouse}",
        "DAGSTER_HOME": str(dagster_home(course)),  # an instance that exists already
        "MAILTRAP_API_TOKEN": "benchmark",
        "MAILTRAP_API_URL": course.api,
        "MAILTRAP_DOWNLOAD_HOSTS": course.api.removeprefix("http://"),
        "MAILTRAP_CONTACTS_LIMIT": "1000000/60",
        "MAILTRAP_TOKEN_LIMIT": "1000000/10",
        "MAILTRAP_SUPPRESSIONS_LIMIT": "1000000/60",
    }


def _new(course: Course) -> dict[str, str]:
    return _settings(course.folder / "contacts", course)


def _old(course: Course) -> dict[str, str]:
    return _settings(course.kept / "contacts", course)


def _instance(course: Course) -> None:
    home = dagster_home(course)
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "pipelines" / "dagster.yaml", home / "dagster.yaml")


def _ready_once(course: Course) -> None:
    """Everything sent once, outside the measurement."""
    done = course.kept / f"told-{course.warehouse.stem}"
    if done.exists():
        return
    shutil.rmtree(course.kept / "contacts", ignore_errors=True)
    _instance(course)
    command = [sys.executable, *_sync(course)]
    with (course.kept / "first.log").open("wb") as log:
        environ = {**os.environ, **_old(course)}
        subprocess.run(command, env=environ, cwd=ROOT, check=True, stdout=log, stderr=log)
    done.touch()


def _ready_changed(course: Course) -> None:
    _ready_once(course)
    people.change_one_in_a_thousand(course.warehouse)


def _bodies(course: Course) -> None:
    bodies = course.warehouse.with_suffix(".bodies")
    if not bodies.exists():
        command = [sys.executable, *script("floor_bodies.py", "--prepare")(course)]
        subprocess.run(command, env={**os.environ, **usable_environ()}, check=True)


def usable_environ() -> dict[str, str]:
    """What `contestants/usable.py` reads."""
    return {"BENCHMARK_USABLE": people.USABLE, "BENCHMARK_NEWEST": people.NEWEST}


FIELD: tuple[Contestant, ...] = (
    Contestant("ours", "mailtrap-contacts sync, everything new", _sync, ready=_instance, environ=_new),
    Contestant(
        "ours-unchanged", "… again, nothing new", _sync, ready=_ready_once, environ=_old, sends=lambda usable: 0
    ),
    Contestant(
        "ours-changed", "… again, 0.1 % changed", _sync, ready=_ready_changed, environ=_old, sends=lambda usable: -1
    ),
    Contestant("floor-duckdb", "floor: DuckDB alone, same JSON", script("floor_duckdb.py")),
    Contestant("floor-bodies", "floor: ready bodies, sent raw", script("floor_bodies.py"), ready=_bodies),
    Contestant("dlt", "dlt 1.31, custom destination", in_a_folder("dlt_destination.py"), ("dlt==1.31.*", *READS, "requests")),
    Contestant("obvious", "pandas + pandera + json=", script("obvious.py"), (*CHECKS, "requests")),
    Contestant("sdk", "official Python SDK", script("sdk.py"), (SDK, *READS)),
    Contestant("sdk-whole", "official Python SDK, with checks", script("sdk_whole.py"), (SDK, *CHECKS)),
    Contestant("drt", "drt-core, set up by us", in_a_folder("drt_sync.py"), DRT),
    Contestant("drt-documented", "drt-core, as in its example", in_a_folder("drt_sync.py", "--documented"), DRT),
    Contestant("drt-whole", "drt-core, as in its example, with checks", in_a_folder("drt_whole.py"), (*DRT, *CHECKS)),
)  # fmt: skip


def numbers_of(log: Path) -> Mapping[str, object]:
    """The summary that our own command printed, if it did."""
    for line in reversed(log.read_text(errors="replace").splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}


def chosen(names: Sequence[str]) -> tuple[Contestant, ...]:
    """Those named, in the order of the field; all of them when none is named."""
    unknown = set(names) - {contestant.name for contestant in FIELD}
    if unknown:
        raise SystemExit(
            f"No contestant is called {', '.join(sorted(unknown))}: {', '.join(c.name for c in FIELD)}."
        )
    return tuple(contestant for contestant in FIELD if not names or contestant.name in names)
