"""Since when a refused row has been known, and how often it came back unchanged.

Belongs here: looking refused rows up among the former rejections. Not here: why they are refused (`rejection`).
A row is the same row when its key and its keyed hash are the same; without a key column, when its hash is.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.rules import cells
from assets.rules.duplicates import Spool
from assets.rules.hash_text import as_text
from assets.rules.moments import microseconds
from assets.rules.rejection import MOMENT, REJECTIONS

_ROWS_PER_READ = 100_000


@dataclass(frozen=True, slots=True)
class Seen:
    """By number in the spool: when a row was first refused, in microseconds, and how often it has been."""

    first: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]

    def dated(self, refused: pa.Table, *, now: datetime) -> pa.Table:
        """Refused rows as rejections, this time counted."""
        rows, today = refused["_row"].to_numpy(), microseconds(now)
        times = self.times[rows]
        first = np.where(times > 0, self.first[rows], today)
        held = {name: refused[name] for name in refused.column_names}
        held["first_seen"] = pa.array(first).cast(MOMENT)
        held["last_seen"] = pa.array(np.full(len(rows), today)).cast(MOMENT)
        held["times_seen"] = pa.array(times + 1)
        held |= {name: as_text(held[name]) for name in ("address_hash", "row_fingerprint")}
        return pa.table([held[name] for name in REJECTIONS.names], schema=REJECTIONS)


def before(
    former: Path | None, connection: duckdb.DuckDBPyConnection, refused: Spool, *, by_key: bool
) -> Seen:
    """What the former rejections say about these rows."""
    known = Seen(np.zeros(refused.rows, np.int64), np.zeros(refused.rows, np.int64))
    if former is None:
        return known
    quoted = str(former).replace("'", "''")
    columns = "source_key, row_fingerprint" if by_key else "row_fingerprint"
    query = f"""select _row, first, times from refused join (
        select {columns}, epoch_us(min(first_seen)) as first, max(times_seen) as times
        from (select * replace (row_fingerprint::uuid as row_fingerprint) from read_parquet('{quoted}'))
        group by {columns}) using ({columns})"""
    for batch in connection.sql(query).to_arrow_reader(_ROWS_PER_READ):
        rows, first, times = (_numbers(batch.column(place)) for place in range(3))
        known.first[rows], known.times[rows] = first, times
    return known


def _numbers(column: cells.Array) -> npt.NDArray[np.int64]:
    return column.to_numpy(zero_copy_only=False).astype(np.int64)  # type: ignore[no-any-return]
