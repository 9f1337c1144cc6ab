"""Rows that Mailtrap itself refused, in its own words, beside the rejections that screening made.

Written before the journal leaves a row out, so that no crash can lose the reason. What was refused is not offered again
while its values and the sync file stay as they were: such a refusal is carried over from delivery to delivery; the others
go when a newer delivery has offered the same partitions again. Not here: rows that never left us (`contacts`).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from assets.rules import comparison, hash_text
from resources.errors import LakeError
from resources.lake import Lake

SCHEMA = pa.schema(
    [
        ("source_key", pa.string()),
        ("address_hash", hash_text.TEXT),
        ("fingerprint", pa.uint64()),
        ("partition", pa.string()),
        ("column", pa.string()),
        ("rule", pa.string()),
        ("reason", pa.string()),
        ("remedy", pa.string()),
        ("mailtrap_says", pa.string()),
    ]
)
REASON = "refused_by_mailtrap"
REMEDY = (
    "Mend the value in the warehouse as Mailtrap's words say; the row is offered again once it has changed."
)
_VERSION = "sync_version"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row that Mailtrap named."""

    source_key: str | None
    partition: str
    address_hash: UUID | bytes
    fingerprint: int | None
    column: str
    words: str


def folder(sync: str) -> str:
    """Where the refusals of a sync lie."""
    return f"{sync}/rejections/by_mailtrap"


def counted(rows: int) -> dict[str, int]:
    """So many rows by reason."""
    return {REASON: rows} if rows else {}


def write_refusals(
    lake: Lake, sync: str, delivery: str, *, name: str, version: str, refusals: Sequence[Refusal]
) -> None:
    """Keep them in a file of their own; they stand for this version of the sync file."""
    rows = [
        {
            "source_key": each.source_key,
            "address_hash": str(
                each.address_hash if isinstance(each.address_hash, UUID) else UUID(bytes=each.address_hash)
            ),
            "fingerprint": each.fingerprint,
            "partition": each.partition,
            "column": each.column or None,
            "rule": "mailtrap",
            "reason": REASON,
            "remedy": REMEDY,
            "mailtrap_says": each.words,
        }
        for each in refusals
    ]
    _write(lake, sync, delivery, name=name, version=version, rows=pa.Table.from_pylist(rows, SCHEMA))


def _write(lake: Lake, sync: str, delivery: str, *, name: str, version: str, rows: pa.Table) -> None:
    with lake.writer(f"{folder(sync)}/{delivery}/{name}.parquet", SCHEMA) as sink:
        sink.write(rows)
        sink.note(_VERSION, version)


def standing(
    stack: ExitStack, lake: Lake, sync: str, *, version: str, deliveries: Iterable[str] | None = None
) -> Path | None:
    """The refusals under this version of the sync file, of some deliveries or all, as one local file for DuckDB."""
    folders = [folder(sync)] if deliveries is None else [f"{folder(sync)}/{each}" for each in deliveries]
    paths = [path for each in folders for path in lake.list(each)]
    if not paths:
        return None
    target = stack.enter_context(lake.scratch()) / "refused.parquet"
    with pq.ParquetWriter(target, SCHEMA) as sink:
        for path in paths:
            for batch in _read(lake, path, version=version):
                sink.write_batch(batch)
    return target


def _read(lake: Lake, path: str, *, version: str) -> Iterator[pa.RecordBatch]:
    try:
        if lake.metadata(path).get(_VERSION) == version:
            for batch in lake.read(path):
                texts = hash_text.as_text(batch["address_hash"])  # an older file has UUIDs
                yield batch.set_column(
                    SCHEMA.get_field_index("address_hash"), SCHEMA.field("address_hash"), texts
                )
    except LakeError:
        if lake.exists(path):
            raise  # else a run beside this one has just carried them over: at worst they are offered once more


def carry_over(
    lake: Lake,
    sync: str,
    *,
    former: Sequence[str],
    delivery: str,
    version: str,
    accepted: Sequence[str],
    offered: str,
) -> None:
    """Keep for this delivery what still stands of former ones, whose files go; `accepted` and `offered` are tables."""
    with ExitStack() as stack:
        known = standing(stack, lake, sync, version=version, deliveries=former)
        if known is None:
            return
        connection = stack.enter_context(comparison.connect(stack.enter_context(lake.scratch())))
        files = [stack.enter_context(lake.local(path)) for path in accepted if lake.exists(path)]
        sent = stack.enter_context(lake.local(offered))
        rows = comparison.still_refused(connection, known, accepted=files, offered=sent)
    if rows.num_rows:
        _write(lake, sync, delivery, name="carried-over", version=version, rows=rows)
    for each in former:
        for path in lake.list(f"{folder(sync)}/{each}"):
            lake.delete(path)
