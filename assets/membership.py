"""Who is in which list, where an export does not say: one more export per list of the account.

Belongs here: taking them and adding the names to the rows of an export. What it costs: one export per list, one after
the other, each some seconds to minutes. They are taken after the export itself, so that a contact that entered or
left a list in between is shown as it was a little later; contacts that the export does not have are left out.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.export_jobs import ExportJobs, Ready
from assets.rules import comparison
from assets.rules.exported import ROWS_PER_BATCH, open_export
from resources.mailtrap.wire import ContactList, Field, export_filters

_MEMBERS = pa.schema([("email", pa.string()), ("list", pa.string())])


@dataclass(frozen=True, slots=True)
class Membership:
    """The lists of an account, to be asked one by one."""

    jobs: ExportJobs
    lists: Sequence[ContactList]
    fields: Sequence[Field]
    status: Literal["subscribed", "unsubscribed"] | None

    def write(self, folder: Path) -> None:
        """One file per list, one row per contact in it."""
        for each in self.lists:
            self._write_list(each, folder / f"members-{each.id}.parquet")

    def _write_list(self, each: ContactList, target: Path) -> None:
        def read(path: Path, _ready: Ready) -> None:
            with path.open("rb") as stream, pq.ParquetWriter(target, _MEMBERS, compression="lz4") as writer:
                for batch in open_export(stream, self.fields).batches():
                    names = pa.repeat(pa.scalar(each.name, pa.string()), batch.num_rows)
                    writer.write_batch(pa.record_batch([batch["email"], names], schema=_MEMBERS))

        self.jobs.take(export_filters(list_ids=[each.id], status=self.status), read)


@contextlib.contextmanager
def listed(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, membership: Membership
) -> Iterator[Iterator[pa.RecordBatch]]:
    """The same rows with the column `lists`: names in alphabetical order, none for a contact in no list."""
    with membership.jobs.lake.scratch() as scratch:
        rows = scratch / "rows.parquet"
        with pq.ParquetWriter(rows, schema, compression="lz4") as writer:
            for batch in batches:
                writer.write_batch(batch)
        membership.write(scratch)
        connection = comparison.connect(scratch)
        try:
            yield _joined(
                connection.sql(_joined_sql(rows, scratch, any_list=bool(membership.lists))).to_arrow_reader(
                    ROWS_PER_BATCH
                ),
                schema,
            )
        finally:
            connection.close()


def _joined(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        table = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
        yield from table.take(pc.sort_indices(table["email"])).combine_chunks().to_batches()


def _joined_sql(rows: Path, folder: Path, *, any_list: bool) -> str:
    file = comparison.quoted(str(rows))
    if not any_list:
        return f"select * replace ([]::varchar[] as lists) from read_parquet({file})"
    return f"""
        with members as (
            select lower(trim(email)) as address, list(distinct list order by list) as names
            from read_parquet({comparison.quoted(str(folder / "members-*.parquet"))}) where email is not null group by all
        )
        select r.* replace (coalesce(m.names, []) as lists)
        from read_parquet({file}) r
        left join members m on m.address = lower(trim(r.email))
    """
