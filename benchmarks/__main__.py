"""Run the comparison: `make bench`, or `make bench ARGS="--rows 200000 --runs 1 --only ours,floor-duckdb"`.

Contestants take turns, and ours is measured anew beside each of them, so that a slow minute of the machine hits both.
A run that delivers other contacts than it should does not count. Each is kept as soon as it was measured.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import field, measured, people, report, steps
from benchmarks.field import ROOT, Contestant, Course

FOLDER = ROOT / ".bench"
SMALL = 1_000
"""Rows of the table that shows what a start costs."""
ONCE_MORE = 1_000_000
"""Up to so many rows everybody is measured, and ours once more beside each."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one contestant on one table."""

    contestant: str
    rows: int
    began: float
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    contacts: int
    requests: int
    stolen: float
    problem: str = ""
    steps: Sequence[Mapping[str, Any]] = ()
    """Of a run of Dagster's."""


def main() -> int:
    """Measure, print, write."""
    options = _options()
    contestants = field.chosen([name for name in options.only.split(",") if name])
    FOLDER.mkdir(exist_ok=True)
    pythons = {contestant.name: field.python_of(contestant, FOLDER) for contestant in contestants}
    sizes = (SMALL, *map(int, options.rows.split(",")))
    usable = {rows: _usable(rows) for rows in sizes}
    if not options.more:  # what was told in earlier measurements is not part of this one
        for kept in FOLDER.glob("kept-*"):
            shutil.rmtree(kept)
    file = FOLDER / "results.json"
    found = json.loads(file.read_text()) if options.more and file.exists() else {"results": []}
    found["machine"] = report.machine()
    problems = 0
    for contestant, rows in _turns(contestants, sizes, options):
        python = pythons[contestant.name]
        result = _measure(contestant, python, _table(rows), rows=rows, usable=usable[rows])
        print(report.line(asdict(result)), flush=True)
        problems += bool(result.problem)
        found["results"].append(asdict(result))
        file.write_text(json.dumps(found, indent=1))
    print(f"\n{report.table(found)}\n\n{report.table_of_steps(found)}")
    if options.write:
        report.write(found, ROOT / "docs")
    return 1 if problems else 0


def _turns(
    contestants: Sequence[Contestant], sizes: Sequence[int], options: argparse.Namespace
) -> Iterator[tuple[Contestant, int]]:
    """A start right before what it is taken from, ours right before each other: machines change within minutes."""
    ours = [each for each in contestants if each.name == report.OURS]
    for _ in range(options.runs):
        for contestant in contestants:
            small = [rows for rows in sizes if rows <= ONCE_MORE]
            own = small if contestant.name in options.leave_out_above else sizes
            beside = [] if contestant in ours else small
            yield from itertools.product(ours, beside)
            yield from itertools.product([contestant], own)


def _table(rows: int) -> Path:
    return FOLDER / f"people-{rows}.duckdb"


def _usable(rows: int) -> int:
    if not _table(rows).exists():
        print(f"Making {rows:,} people …", flush=True)
        people.make(_table(rows), rows)
    return people.usable(_table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--rows", default="1000000,5000000,10000000", help="sizes of the table, separated by commas"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--only", default="", help=f"of {', '.join(c.name for c in field.FIELD)}")
    parser.add_argument("--leave-out-above", default="sdk,sdk-whole,drt,drt-documented,drt-whole,obvious", type=lambda text: text.split(","),
                        help="those that are too slow for more than a million rows")  # fmt: skip
    parser.add_argument("--more", action="store_true", help="add to the results of the last time")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its picture")
    return parser.parse_args()


def _measure(contestant: Contestant, python: str, table: Path, *, rows: int, usable: int) -> Result:
    folder, kept = FOLDER / "run", FOLDER / f"kept-{rows}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    kept.mkdir(exist_ok=True)
    if contestant.name == "ours-changed":  # it alters the table
        table = (
            Path(shutil.copy(table, kept / table.name))
            if not (kept / table.name).exists()
            else kept / table.name
        )
    with null_server() as api:
        course = Course(table, api, folder, kept, rows)
        if contestant.ready:
            contestant.ready(course)
        _ask(f"{api}/reset")
        log = FOLDER / f"{contestant.name}.log"
        environ = {**_quiet(), **field.usable_environ(), **contestant.environ(course)}
        began = time.time()
        cost = measured.run([python, *contestant.start(course)], environ=environ, folder=ROOT, log=log)
        totals = _ask(f"{api}/totals")
    problem = "" if cost.exit_code == 0 else f"exit code {cost.exit_code}, see {log.relative_to(ROOT)}"
    expected = contestant.sends(usable)
    if not problem and expected >= 0 and totals["contacts"] != expected:
        problem = f"delivered {totals['contacts']:,} contacts instead of {expected:,}"
    spent = (cost.wall_seconds, cost.cpu_seconds, cost.peak_bytes)
    got = (totals["contacts"], totals["requests"])
    taken = steps.of_last_run(field.dagster_home(course), cost) if field.is_ours(contestant) else []
    return Result(contestant.name, rows, began, *spent, *got, cost.stolen, problem, taken)


def _quiet() -> dict[str, str]:
    mine = ("MAILTRAP_", "CONTACTS_", "DAGSTER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(mine)}


@contextmanager
def null_server() -> Iterator[str]:
    """The server, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.null_server"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _ask(url: str) -> dict[str, int]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return dict(json.load(answer))


if __name__ == "__main__":
    sys.exit(main())
