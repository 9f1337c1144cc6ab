"""Rows that Mailtrap itself refused, in its own words, beside the rejections that screening made.

Written before the journal leaves a row out, so that no crash can lose the reason. Files of former deliveries go when a
newer one has offered the same partitions again. Not here: rows that never left us (`contacts`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import pyarrow as pa

from resources.lake import Lake

SCHEMA = pa.schema(
    [
        ("source_key", pa.string()),
        ("address_hash", pa.uuid()),
        ("partition", pa.string()),
        ("column", pa.string()),
        ("rule", pa.string()),
        ("reason", pa.string()),
        ("remedy", pa.string()),
        ("mailtrap_says", pa.string()),
    ]
)
REASON = "refused_by_mailtrap"
REMEDY = "Mend the value in the warehouse as Mailtrap's words say; the row is offered again by the next sync."


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row that Mailtrap named."""

    source_key: str | None
    partition: str
    address_hash: UUID | bytes
    column: str
    words: str


def folder(sync: str) -> str:
    """Where the refusals of a sync lie."""
    return f"{sync}/rejections/by_mailtrap"


def write_refusals(lake: Lake, sync: str, delivery: str, *, name: str, refusals: Sequence[Refusal]) -> None:
    """Keep them in a file of their own."""
    rows = [
        {
            "source_key": each.source_key,
            "address_hash": each.address_hash.bytes
            if isinstance(each.address_hash, UUID)
            else each.address_hash,
            "partition": each.partition,
            "column": each.column or None,
            "rule": "mailtrap",
            "reason": REASON,
            "remedy": REMEDY,
            "mailtrap_says": each.words,
        }
        for each in refusals
    ]
    with lake.writer(f"{folder(sync)}/{delivery}/{name}.parquet", SCHEMA) as sink:
        sink.write(pa.Table.from_pylist(rows, SCHEMA))


def forget_former(lake: Lake, sync: str, *, deliveries: Iterable[str]) -> None:
    """Remove what former deliveries were refused: their rows have been offered again since."""
    for delivery in deliveries:
        for path in lake.list(f"{folder(sync)}/{delivery}"):
            lake.delete(path)
