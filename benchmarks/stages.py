"""The stages one by one: screening, encoding, comparison, export, each beside its floor and in a process of its own.

    python -m benchmarks.stages --rows 1000000              # all of them: rows per second, and per CPU-second
    python -m benchmarks.stages --only comparison,comparison-floor

Files are made ready first, outside the measurement. What a stage does with them is our rules' own code.
"""

import argparse
import gzip
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.rules.sync import Sync
from assets.rules.sync_file import load_syncs
from benchmarks import field, measured, people, report
from benchmarks.field import ROOT
from benchmarks.screening import warm_up

FOLDER = ROOT / ".bench" / "stages"
KEY = b"0123456789abcdef" * 2
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def screening(folder: Path, sync: Sync) -> int:
    """Consent, addresses, fields, duplicates: a Parquet file of source rows becomes three."""
    from assets.rules.screening import screen_file

    with (
        TemporaryDirectory(dir=folder) as scratch,
        _writer(folder) as accepted,
        _writer(folder) as rejections,
        _writer(folder) as no,
    ):
        screen_file(
            folder / "source_rows.parquet", sync, now=NOW, key=KEY, accepted=accepted, rejections=rejections,
            no_consent=no, scratch=Path(scratch), former_rejections=None,
        )  # fmt: skip
    return _rows(folder / "source_rows.parquet")


def encoding(folder: Path, sync: Sync) -> int:
    """Accepted contacts become bodies of 50,000."""
    from assets.rules.payload import ListIds, body, contact_json

    rows = 0
    with duckdb.connect() as connection:
        for batch in pq.ParquetFile(folder / "accepted.parquet", pre_buffer=False).iter_batches(50_000):
            contacts = pa.Table.from_batches([batch])
            pieces = body(contact_json(connection, contacts, sync=sync, lists=ListIds(include=(1,))))
            rows += batch.num_rows if sum(map(len, pieces)) else 0
    return rows


def comparison(folder: Path, sync: Sync) -> int:
    """Accepted contacts against a ledger of as many, 0.1 % of them changed."""
    from assets.rules.comparison import Change, Told, Withheld, compare, connect

    found = 0
    with TemporaryDirectory(dir=folder) as scratch:
        told = Told(base=(folder / "ledger.parquet",))
        for batch in compare(
            connect(Path(scratch)), [folder / "accepted.parquet"], told=told, withheld=Withheld()
        ):
            found += pc.sum(pc.equal(batch.column("change"), int(Change.changed))).as_py() or 0
    assert found > 0
    return _rows(folder / "accepted.parquet")


def comparison_floor(folder: Path, _: Sync) -> int:
    """DuckDB's bare anti-join of the same two files."""
    with duckdb.connect(config={"memory_limit": "512MB", "threads": 2}) as con:
        accepted, ledger = folder / "accepted.parquet", folder / "ledger.parquet"
        rows = con.sql(
            f"""SELECT count(*) FROM '{accepted}' a WHERE NOT EXISTS (
            SELECT 1 FROM '{ledger}' l WHERE l.address_hash = a._address_hash AND l.fingerprint = a._fingerprint)"""
        ).fetchall()
    assert rows[0][0] > 0
    return _rows(folder / "accepted.parquet")


def export(folder: Path, _: Sync) -> int:
    """Mailtrap's csv.gz becomes typed Parquet, read in one thread and written in another, as a taking does it."""
    from assets.rules.exported import ahead, open_export, worth_a_dictionary

    columns = (
        ("first_name", "text"),
        ("last_name", "text"),
        ("company", "text"),
        ("age", "integer"),
        ("plan", "text"),
        ("signed_up", "date"),
    )
    fields = [SimpleNamespace(name=tag, merge_tag=tag, data_type=kind) for tag, kind in columns]
    with (folder / "export.csv.gz").open("rb") as stream:
        opened = open_export(stream, fields, lists={}, status=None)
        with ahead(opened.batches()) as batches:
            first = next(batches)
            with pq.ParquetWriter(
                folder / "exported.parquet", opened.schema, compression="zstd", compression_level=1,
                use_dictionary=worth_a_dictionary(first), write_page_index=True,
            ) as writer:  # fmt: skip
                for batch in itertools.chain([first], batches):
                    writer.write_batch(batch)
    return opened.seen.rows


def export_floor(folder: Path, _: Sync) -> int:
    """The same conversion by DuckDB's own COPY, with the types given."""
    types = "{'email':'VARCHAR','status':'VARCHAR','first_name':'VARCHAR','last_name':'VARCHAR','company':'VARCHAR','age':'BIGINT','plan':'VARCHAR','signed_up':'DATE'}"
    with duckdb.connect() as con:
        con.execute(
            f"""COPY (SELECT * FROM read_csv('{folder / "export.csv.gz"}', header=true, columns={types}))
            TO '{folder / "floor.parquet"}' (FORMAT parquet, COMPRESSION zstd)"""
        )
    return _rows(folder / "floor.parquet")


STAGES: dict[str, Callable[[Path, Sync], int]] = {
    "screening": screening,
    "encoding": encoding,
    "comparison": comparison,
    "comparison-floor": comparison_floor,
    "export": export,
    "export-floor": export_floor,
}


class _writer:  # noqa: N801 - reads as a verb where it is used
    """A sink that writes Parquet, as the lake does, and is gone afterwards."""

    def __init__(self, folder: Path) -> None:
        self._path, self._inner = folder / f"sink-{id(self)}.parquet", None

    def __enter__(self) -> "_writer":
        return self

    def write(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Take rows."""
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
        if self._inner is None:
            self._inner = pq.ParquetWriter(
                self._path, table.schema, compression="lz4", use_dictionary=False, write_statistics=False
            )
        self._inner.write_table(table)

    def __exit__(self, *_: object) -> None:
        if self._inner is not None:
            self._inner.close()
            self._path.unlink()


def prepare(rows: int, sync: Sync) -> Path:
    """The files that stages begin with; made once for each size."""
    folder = FOLDER / str(rows)
    if (folder / "ready").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    table = FOLDER.parent / f"people-{rows}.duckdb"
    if not table.exists():
        people.make(table, rows)
    with duckdb.connect(str(table), read_only=True) as con:
        con.execute("SET enable_progress_bar = false")
        columns = ", ".join(sync.columns)
        con.execute(
            f"COPY (SELECT {columns} FROM {people.TABLE}) TO '{folder / 'source_rows.parquet'}' (COMPRESSION zstd)"
        )
        con.execute(f"COPY ({_accepted_sql()}) TO '{folder / 'accepted.parquet'}' (COMPRESSION zstd)")
        con.execute(
            f"""COPY (SELECT _address_hash AS address_hash,
                (CASE WHEN hash(email) % 1000 = 0 THEN 1 ELSE _fingerprint END)::UBIGINT AS fingerprint,
                _as_of AS as_of, 1::BIGINT AS import_id, [1]::BIGINT[] AS list_ids, 'all' AS partition
            FROM '{folder / "accepted.parquet"}' ORDER BY address_hash) TO '{folder / "ledger.parquet"}' (COMPRESSION zstd)"""
        )
        con.execute(
            f"""COPY (SELECT email, 'subscribed' AS status, first_name, last_name, company, age, plan, signed_up
            FROM '{folder / "accepted.parquet"}') TO '{folder / "export.csv"}' (HEADER)"""
        )
    _compress(folder / "export.csv")
    (folder / "ready").touch()
    return folder


def _accepted_sql() -> str:
    return f"""SELECT md5(email)::UUID AS _address_hash, * EXCLUDE (company_, updated_at),
        updated_at::TIMESTAMPTZ AS _as_of, hash(email, company_, age) AS _fingerprint FROM (
        SELECT lower(trim(email_address)) AS email, given_name AS first_name, family_name AS last_name, company,
            coalesce(company, '') AS company_, age::BIGINT AS age, coalesce(plan_code, 'free') AS plan, created_on AS signed_up, updated_at
        FROM {people.TABLE} WHERE {people.USABLE} QUALIFY {people.NEWEST})"""


def _compress(path: Path) -> None:
    with path.open("rb") as source, gzip.open(f"{path}.gz", "wb", compresslevel=6) as target:
        while piece := source.read(1 << 20):
            target.write(piece)
    path.unlink()


def _rows(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


def _results(names: list[str], folder: Path, *, runs: int) -> Iterator[dict[str, Any]]:
    for name in names * runs:
        command = [sys.executable, "-m", "benchmarks.stages", "--do", name, "--folder", str(folder)]
        log = FOLDER / f"{name}.log"
        cost = measured.run(command, environ=os.environ, folder=ROOT, log=log)
        if cost.exit_code:
            yield {"stage": name, "problem": f"exit code {cost.exit_code}, see {log.relative_to(ROOT)}"}
            continue
        inner = json.loads(log.read_text().splitlines()[-1])
        yield {"stage": name, **inner, "peak_mib": round(cost.peak_bytes / 2**20)}


def _do(name: str, folder: Path, sync: Sync) -> None:
    for module in (
        "pandas",
        "assets.rules.screening",
        "assets.rules.comparison",
        "assets.rules.payload",
        "assets.rules.exported",
    ):
        __import__(module)  # what starting costs is measured elsewhere
    warm_up(sync)
    wall, cpu = time.perf_counter(), time.process_time()
    rows = STAGES[name](folder, sync)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        json.dumps(
            {"rows": rows, "rows_per_second": round(rows / wall), "rows_per_cpu_second": round(rows / cpu)}
        )
    )


def main() -> int:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default=",".join(STAGES))
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--do", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    (sync,) = load_syncs(field.HERE / "syncs")
    if options.do:
        _do(options.do, options.folder, sync)
        return 0
    folder = prepare(options.rows, sync)
    results = []
    for result in _results(options.only.split(","), folder, runs=options.runs):
        results.append(result)
        print(
            "  ".join(
                f"{key} {value:,}" if isinstance(value, int) else f"{value}" for key, value in result.items()
            ),
            flush=True,
        )
    if options.write:
        report.put(ROOT / "docs" / "performance.md", "stages", table(results))
    return 0


def table(results: list[dict[str, Any]]) -> str:
    """The median of each stage, as Markdown."""
    lines = ["| stage | rows/s | rows per CPU-second | peak MiB | runs |", "|---|---:|---:|---:|---:|"]
    for name in dict.fromkeys(each["stage"] for each in results):
        runs = [each for each in results if each["stage"] == name and "problem" not in each]
        middle = [
            f"{statistics.median(run[key] for run in runs):,.0f}"
            for key in ("rows_per_second", "rows_per_cpu_second", "peak_mib")
        ]
        lines.append(f"| {' | '.join([name, *middle, str(len(runs))])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
