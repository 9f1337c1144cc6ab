"""How fast and how heavy a read is: `python -m benchmarks.warehouses duckdb csv parquet jsonl --rows 1000000,5000000`.

Each read runs in a process of its own, which reports its peak memory: it must not grow with the table. PostgreSQL is
measured when its URL is given: `--postgres postgresql://user:password@host/database` (nothing is written to it).
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from resources.warehouses import Files, Query, Relation, Table, connect

COLUMNS = ("id", "email", "name", "score", "moved")
# High cardinality: dictionaries would flatter the reader.
PEOPLE = (
    "SELECT i AS id, 'person' || i || '@' || {hash} || '.example' AS email, {hash} AS name, i / 7.0 AS score, "
    "TIMESTAMP '2026-01-01' + i * INTERVAL '1 second' AS moved FROM {numbers}"
)
ENDING = {
    "csv": ("people.csv", ""),
    "parquet": ("people.parquet", ""),
    "jsonl": ("people.jsonl", "(FORMAT json)"),
}


def main() -> int:
    """Measure each warehouse at each size, or, in a child, read once and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("warehouses", nargs="*", default=["duckdb", "parquet", "csv", "jsonl"])
    parser.add_argument("--rows", default="1000000,5000000")
    parser.add_argument("--postgres", default="")
    parser.add_argument("--read", nargs=2, metavar=("URL", "RELATION"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read(*options.read)))
        return 0
    names = [*options.warehouses, *(["postgres"] if options.postgres else [])]
    print(f"{'warehouse':<10} {'rows':>10} {'rows/s':>12} {'peak MB':>9}")
    for name in names:
        for rows in map(int, options.rows.split(",")):
            found = measure(name, rows, postgres=options.postgres)
            print(
                f"{name:<10} {rows:>10,} {found['rows'] / found['seconds']:>12,.0f} {found['peak_bytes'] / 1e6:>9.0f}"
            )
    return 0


def measure(name: str, rows: int, *, postgres: str = "") -> dict[str, float]:
    """Make the rows, and read them in a fresh process."""
    with tempfile.TemporaryDirectory(prefix="contacts-bench-") as folder:
        url, relation = (
            MAKERS[name](Path(folder), rows) if name in MAKERS else (postgres, _postgres_query(rows))
        )
        command = [sys.executable, "-m", "benchmarks.warehouses", "--read", url, relation]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def read(url: str, relation: str) -> dict[str, float]:
    """Read everything and keep nothing."""
    kind, text = relation.split(":", 1)
    wanted: Relation = {"table": Table, "query": Query, "files": Files}[kind](text)
    warehouse = connect(url)
    started = time.perf_counter()
    with warehouse.read(wanted, columns=COLUMNS) as batches:
        for _batch in batches:
            pass
    seconds = time.perf_counter() - started
    warehouse.close()
    return {"rows": batches.rows, "seconds": seconds, "peak_bytes": peak_bytes()}


def peak_bytes() -> int:
    """The most memory that this process ever held."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss survives exec on Linux: a child would report the peak of the parent that started it.
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _people(rows: int) -> str:
    return PEOPLE.format(hash="md5(CAST(i AS VARCHAR))", numbers=f"range({rows}) AS numbers(i)")


def _duckdb(folder: Path, rows: int) -> tuple[str, str]:
    path = folder / "people.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE TABLE people AS {_people(rows)}")
    return f"duckdb:///{path}", "table:people"


def _files(ending: str) -> Callable[[Path, int], tuple[str, str]]:
    def make(folder: Path, rows: int) -> tuple[str, str]:
        name, how = ENDING[ending]
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({_people(rows)}) TO '{folder / name}' {how}")
        return f"files://{folder}", f"files:{name}"

    return make


def _postgres_query(rows: int) -> str:
    numbers = f"generate_series(1, {rows}) AS numbers(i)"
    return "query:" + PEOPLE.format(hash="md5(CAST(i AS TEXT))", numbers=numbers).replace(
        "i / 7.0", "CAST(i / 7.0 AS float8)"
    )


MAKERS: dict[str, Callable[[Path, int], tuple[str, str]]] = {
    "duckdb": _duckdb,
    **{ending: _files(ending) for ending in ENDING},
}

if __name__ == "__main__":
    raise SystemExit(main())
