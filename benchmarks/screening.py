"""Screening by itself: rows per CPU-second for frames, and for a whole table with its duplicates settled.

    python -m benchmarks.screening [rows] [--profile]

The people are those of the other benchmarks: ten columns, names of high cardinality, 3 % bad rows. The keyed hash of
every address is included.
"""

import argparse
import cProfile
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from assets.rules.screening import screen, screen_file
from assets.rules.sync import Sync
from assets.rules.sync_file import load_syncs
from benchmarks import people
from benchmarks.field import ROOT

FOLDER = ROOT / ".bench" / "screening"
KEY = b"0123456789abcdef" * 2
NOW = datetime(2026, 6, 1, tzinfo=UTC)
ROWS_PER_FRAME = 200_000


class Nowhere:
    """A sink that counts."""

    rows = 0

    def write(self, rows: object) -> None:
        self.rows += rows.num_rows  # type: ignore[attr-defined]


def source_of(rows: int) -> Path:
    """The source rows as the connector extracts them."""
    path = FOLDER / f"{rows}.parquet"
    if not path.exists():  # in a process of its own, whose memory is not ours
        made = FOLDER / "people.duckdb"
        subprocess.run(
            [sys.executable, "-m", "benchmarks.people", str(made), str(rows)], cwd=ROOT, check=True
        )
        with duckdb.connect(str(FOLDER / "people.duckdb"), read_only=True) as con:
            batches = con.sql(f"FROM {people.TABLE}").to_arrow_reader(128_000)
            with pq.ParquetWriter(path, batches.schema, compression="lz4") as writer:
                for batch in batches:
                    writer.write_batch(batch)
    return path


def frames(path: Path, sync: Sync) -> None:
    """Every frame by itself, as a notebook would."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(ROWS_PER_FRAME):
            screen(batch.to_pandas(types_mapper=pd.ArrowDtype), sync, now=NOW, key=KEY)


def table(path: Path, sync: Sync) -> None:
    """The whole table, duplicates settled."""
    with TemporaryDirectory(dir=FOLDER) as scratch:
        screen_file(
            path, sync, now=NOW, key=KEY, accepted=Nowhere(), rejections=Nowhere(), no_consent=Nowhere(),
            scratch=Path(scratch), former_rejections=None,
        )  # fmt: skip


def warm_up(sync: Sync) -> None:
    """What is imported at the first batch is part of a run's start, which is measured elsewhere."""
    columns = dict.fromkeys(sync.columns, pd.Series(["a@example.com"], dtype=pd.ArrowDtype(pa.string())))
    screen(pd.DataFrame(columns), sync, now=NOW, key=KEY)


def measure(name: str, work: Callable[[Path, Sync], None], path: Path, sync: Sync) -> None:
    """Run it and print rows per CPU-second."""
    rows = pq.read_metadata(path).num_rows
    began, cpu = time.perf_counter(), time.process_time()
    work(path, sync)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:8} {rows:>10,} rows {rows / cpu:>10,.0f} per CPU-second {rows / wall:>10,.0f} per second  peak {peak:,.0f} MiB"
    )


def main() -> None:
    """Measure both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    path = source_of(asked.rows)
    sync = next(one for one in load_syncs(ROOT / "benchmarks" / "syncs") if one.name == "people")
    if asked.profile:
        cProfile.runctx("table(path, sync)", globals(), {"path": path, "sync": sync}, sort="tottime")
        return
    warm_up(sync)
    for name, work in (("frames", frames), ("table", table)):
        measure(name, work, path, sync)


if __name__ == "__main__":
    main()
