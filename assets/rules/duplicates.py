"""Several rows about one person: who is the contact, and whose "no" counts for all of them.

Belongs here: finding the persons with more than one row, and settling those rows, in memory that does not grow
with the table. Not here: what a row is by itself (`judgement`).

A person is a keyed hash of 128 bits. First the persons that occur twice are found by sorting the first 64 bits,
part by part; only their rows (and the odd row that collides with one) wait until all are known.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from assets.rules import cells
from assets.rules.address import as_uuids

ROWS_PER_PART = 1 << 20
_ROWS_PER_READ = 100_000

DUPLICATE, WINNER, SILENCED = 0, 1, 2


def people_twice(firsts: npt.NDArray[np.uint64]) -> cells.Rows:
    """The rows whose person occurs more than once; 0 is nobody."""
    order = np.argsort(firsts)
    ordered = firsts[order]
    same = (ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)
    marked = np.concatenate([same, [False]]) | np.concatenate([[False], same])
    found: cells.Rows = order[marked[: len(order)]]
    return found


class People:
    """Whom each row of a table is about, kept on disk, and found again by position."""

    def __init__(self, scratch: Path, rows: int) -> None:
        self._parts = max(1, -(-rows // ROWS_PER_PART))
        self._hashes = (scratch / "people.bin").open("w+b")
        self._files = [(scratch / f"people-{part}.bin").open("w+b") for part in range(self._parts)]
        self._contested = np.memmap(scratch / "contested.bin", np.bool_, "w+", shape=(max(rows, 1),))
        self.rows = 0

    def add(self, hashes: cells.Array) -> None:
        """The persons of the next rows."""
        held = np.frombuffer(hashes.storage.buffers()[1], np.uint8).reshape(-1, 16).copy()
        held[cells.nulls(hashes.storage)] = 0
        held.tofile(self._hashes)
        firsts = held.view(np.uint64)[:, 0]
        pairs = np.empty((len(held), 2), np.uint64)
        pairs[:, 0], pairs[:, 1] = firsts, np.arange(self.rows, self.rows + len(held), dtype=np.uint64)
        self.rows += len(held)
        if self._parts == 1:
            pairs.tofile(self._files[0])
            return
        parts = (firsts >> np.uint64(32)) % np.uint64(self._parts)
        order = np.argsort(parts, kind="stable")
        ends = np.searchsorted(parts[order], np.arange(self._parts + 1, dtype=np.uint64))
        for part, file in enumerate(self._files):
            pairs[order[ends[part] : ends[part + 1]]].tofile(file)

    def find_twice(self) -> None:
        """Mark the rows of every person with more than one row."""
        for file in self._files:
            file.seek(0)
            pairs = np.fromfile(file, np.uint64).reshape(-1, 2)
            self._contested[pairs[people_twice(np.ascontiguousarray(pairs[:, 0])), 1].astype(np.int64)] = True
            file.close()
        self._hashes.seek(0)

    def next(self, rows: int) -> tuple[cells.Array, cells.Mask]:
        """Whom the next rows are about, and which of these persons have other rows too."""
        start = self._hashes.tell() // 16
        held = self._hashes.read(rows * 16)
        nobody: cells.Mask = ~(np.frombuffer(held, np.uint64).reshape(-1, 2) != 0).any(axis=1)
        return as_uuids(held, absent=nobody), np.asarray(self._contested[start : start + rows])

    def close(self) -> None:
        """Let go of the files."""
        self._hashes.close()
        for file in self._files:
            file.close()
        del self._contested


class Spool:
    """Rows that wait until all others are known: on disk, or in memory where there is no folder for them."""

    def __init__(self, name: str, folder: Path | None) -> None:
        self.name, self._path = name, folder / f"{name}.parquet" if folder else None
        self._writer: Any = None
        self._tables: list[pa.Table] = []
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        """Add rows; each gets its number in the spool."""
        if not table.num_rows:
            return
        numbers = pa.array(np.arange(self.rows, self.rows + table.num_rows))
        table = table.append_column("_row", numbers)
        self.rows += table.num_rows
        if self._path is None:
            self._tables.append(table)
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="lz4", use_dictionary=False)
        self._writer.write_table(table, row_group_size=_ROWS_PER_READ)

    def open_in(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let DuckDB see the rows under the spool's name."""
        self.close()
        if self._path is None:
            connection.register(self.name, pa.concat_tables(self._tables))
        else:
            quoted = str(self._path).replace("'", "''")
            connection.execute(f"create view {self.name} as from read_parquet('{quoted}')")

    def read(self) -> Iterator[pa.Table]:
        """The rows again, in their order."""
        self.close()
        if self._path is None or not self.rows:
            yield from self._tables
            return
        with pq.ParquetFile(self._path, pre_buffer=False) as file:
            for batch in file.iter_batches(_ROWS_PER_READ):
                yield pa.Table.from_batches([batch])

    def close(self) -> None:
        """No more rows will come."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def settle(
    contested: Spool, silent: Spool, connection: duckdb.DuckDBPyConnection, *, by_key: bool
) -> npt.NDArray[np.uint8]:
    """What becomes of each contested row: the newest of its person wins, unless the person said no in any row.

    Ties go to the smallest source key, then to the smallest fingerprint: never to the order of the rows.
    Without a key column the source key is a position, which says nothing, and is left out.
    """
    fates = np.zeros(contested.rows, np.uint8)
    key = "_source_key," if by_key else ""
    heard = "where _address_hash not in (select address_hash from silent)" if silent.rows else ""
    for numbers in _numbers(
        connection,
        f"""select _row from (select _row, row_number() over (
            partition by _address_hash order by _as_of desc nulls last, {key} _row_fingerprint, _row) as place
            from (select _row, _address_hash, _as_of, {key} _row_fingerprint from contested {heard})) where place = 1""",
    ):
        fates[numbers] = WINNER
    if silent.rows:
        for numbers in silenced(contested, connection, column="_address_hash"):
            fates[numbers] = SILENCED
    return fates


def silenced(spool: Spool, connection: duckdb.DuckDBPyConnection, *, column: str) -> Iterator[cells.Rows]:
    """The rows of persons who said no in another row."""
    yield from _numbers(
        connection, f"select _row from {spool.name} where {column} in (select address_hash from silent)"
    )


def _numbers(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[cells.Rows]:
    for batch in connection.sql(query).to_arrow_reader(_ROWS_PER_READ):
        yield batch.column(0).to_numpy(zero_copy_only=False)
