"""Rejections for people: counted by column and reason, and handed out as a file for a spreadsheet.

Belongs here: reading the rejections of all partitions, ours and Mailtrap's, as one table. Not here: why a row is refused
(`rules/rejection`), and what makes a cell harmless (`rules/spreadsheet`).
"""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from assets.rules.rejection import MOMENT
from assets.rules.spreadsheet import harmless_table
from resources.errors import SettingsError
from resources.lake import Lake

COLUMNS = pa.schema(
    [
        ("partition", pa.string()),
        ("source_key", pa.string()),
        *((name, pa.string()) for name in ("column", "rule", "reason", "remedy")),
        ("also", pa.list_(pa.string())),
        ("mailtrap_says", pa.string()),
        *((name, MOMENT) for name in ("first_seen", "last_seen")),
        ("times_seen", pa.int64()),
    ]
)
"""What people get to see: no hashes, and none of the rows' values."""
_COUNTED = ("column", "reason", "remedy")


@dataclass(frozen=True, slots=True)
class Refused:
    """How many rows were refused in this column for this reason, and what would mend them."""

    column: str | None
    reason: str
    remedy: str
    rows: int


def counted(lake: Lake, sync: str, *, since: datetime | None = None) -> list[Refused]:
    """The rejections of a sync by column and reason, the most frequent first."""
    counts: Counter[tuple[str | None, str, str]] = Counter()
    for table in rejections(lake, sync, since=since):
        found = table.select(_COUNTED).group_by(list(_COUNTED)).aggregate([([], "count_all")])
        for row in found.to_pylist():
            counts[row["column"], row["reason"], row["remedy"]] += row["count_all"]
    ordered = sorted(counts.items(), key=lambda each: (-each[1], str(each[0])))
    return [Refused(*what, rows) for what, rows in ordered]


def rejections(lake: Lake, sync: str, *, since: datetime | None = None) -> Iterator[pa.Table]:
    """All rejections of a sync, or those first seen since then, in batches; Mailtrap's own have no date and are always there."""
    for path in lake.list(f"{sync}/rejections"):
        for batch in lake.read(path):
            table = _as_shown(pa.Table.from_batches([batch]), partition=Path(path).stem)
            if since is not None:
                new = pc.greater_equal(table["first_seen"], pa.scalar(since, MOMENT))
                table = table.filter(pc.fill_null(new, True))
            yield table


def hand_out(lake: Lake, sync: str, out: Path, *, since: datetime | None = None) -> int:
    """Write them as CSV for a spreadsheet, 0600, whole or not at all; says how many rows."""
    rows = 0
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}-")
        try:
            with os.fdopen(handle, "wb") as target:
                target.write("\ufeff".encode())  # or Excel takes UTF-8 for something else
                writing = csv.WriteOptions(quoting_style="all_valid")
                with csv.CSVWriter(
                    target, harmless_table(COLUMNS.empty_table()).schema, write_options=writing
                ) as writer:
                    for table in rejections(lake, sync, since=since):
                        writer.write_table(harmless_table(table))
                        rows += table.num_rows
            Path(partial).replace(out)
        finally:
            Path(partial).unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The rejections could not be written where --out points ({error.strerror or type(error).__name__}).",
            "They are in the lake all the same.",
            f"Mend the path, or read {sync}/rejections in the lake.",
        ) from None
    return rows


def _as_shown(table: pa.Table, *, partition: str) -> pa.Table:
    held = {
        name: table[name] if name in table.column_names else pa.nulls(table.num_rows, kind)
        for name, kind in zip(COLUMNS.names, COLUMNS.types, strict=True)
    }
    if "partition" not in table.column_names:
        held["partition"] = pa.repeat(partition, table.num_rows)
    return pa.table(held).cast(COLUMNS)
