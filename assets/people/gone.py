"""Who left the source of a mirror: found by keyed hash against the ledger, and taken off the lists of its sync.

Belongs here: the people of a partition whom Mailtrap holds for the sync and who have no row any more. Not here: what the
guards say about it (`rules/guards`), unsubscribing and deleting (`departures`).
"""

import contextlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from assets.partitions import WHOLE, file_of
from assets.pending import PENDING_SCHEMA, same_lists
from assets.rules import comparison
from assets.rules.address import hash_addresses, persons
from assets.rules.comparison import Told, Withheld
from assets.rules.payload import ListIds
from assets.rules.sync import Sync
from resources.lake import Lake, ParquetSink


def gone_from(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    sync: Sync,
    *,
    partition: str,
    told: Told,
    withheld: Withheld,
    key: bytes,
) -> list[pa.RecordBatch]:
    """Whom Mailtrap was told about for this partition, and who has no row in it any more."""
    scope = None if partition == WHOLE else partition
    with contextlib.ExitStack() as stack:
        present = [
            stack.enter_context(lake.local(file_of(sync, table, partition)))
            for table in ("accepted_contacts", "no_consent")
        ]
        gone = comparison.gone(connection, present=present, told=told, partition=scope, withheld=withheld)
        leavers = list(gone)
    if leavers and lake.rows(file_of(sync, "rejections", partition)):
        return _not_in(lake, file_of(sync, "source_rows", partition), sync, leavers=leavers, key=key)
    return leavers


def told_people(connection: duckdb.DuckDBPyConnection, told: Told, partition: str = WHOLE) -> int:
    """How many people of a partition Mailtrap holds for this sync, as far as we told it."""
    where = "" if partition == WHOLE else f"and partition = {comparison.quoted(partition)}"
    found = connection.sql(
        f"select count(*) from ({comparison.told_sql(told)}) where fingerprint is not null {where}"
    ).fetchall()
    return int(found[0][0])


def unlist(
    connection: duckdb.DuckDBPyConnection,
    sink: ParquetSink,
    *,
    gone: Sequence[pa.RecordBatch],
    addresses: Sequence[Path],
    lists: ListIds,
) -> Counter[str]:
    """People who are no longer in the source leave the lists that this sync put them in; counts per partition."""
    counts: Counter[str] = Counter()
    files = ", ".join(comparison.quoted(str(path)) for path in addresses)
    for batch in gone:
        if not addresses or batch.num_rows == 0:
            continue
        connection.register("leavers", pa.Table.from_batches([batch]))
        query = f"""
            select leavers.address_hash, any_value(known.email) as email, any_value(leavers.as_of) as as_of,
                   any_value(leavers.partition) as partition, any_value(leavers.list_ids) as held,
                   {lists.among_known("coalesce(held, [])")} as leaving
            from leavers join read_parquet([{files}]) known using (address_hash)
            group by leavers.address_hash order by leavers.address_hash
        """
        found = connection.sql(query).to_arrow_table()
        connection.unregister("leavers")
        sink.write(_unlisted(found))
        counts.update(found["partition"].to_pylist())
    return counts


def _not_in(
    lake: Lake, source_rows: str, sync: Sync, *, leavers: Sequence[pa.RecordBatch], key: bytes
) -> list[pa.RecordBatch]:
    """Without those whose row is still in the source, but was rejected: who has a wrong birthday has not left."""
    wanted = pa.concat_arrays([batch["address_hash"].storage for batch in leavers])
    seen = []
    for rows in lake.read(source_rows, [sync.email]):
        hashes = hash_addresses(persons(rows[sync.email]), key).storage
        seen.append(hashes.filter(pc.is_in(hashes, value_set=wanted)))
    still = pa.concat_arrays(seen) if seen else pa.array([], wanted.type)
    return [
        batch.filter(pc.invert(pc.is_in(batch["address_hash"].storage, value_set=still))) for batch in leavers
    ]


def _unlisted(found: pa.Table) -> pa.Table:
    rows = found.num_rows
    lists = found["leaving"].combine_chunks()
    texts = pc.binary_join(pc.cast(lists, pa.list_(pa.string())), ",")
    json_texts = pc.binary_join_element_wise(
        ',{"email":"',
        found["email"].combine_chunks(),
        '","list_ids_included":[],"list_ids_excluded":[',
        texts,
        "]}",
        "",
    )
    table = {
        "address_hash": found["address_hash"],
        "email": found["email"],
        "fingerprint": pa.nulls(rows, pa.uint64()),
        "as_of": found["as_of"],
        "partition": found["partition"],
        "change": pa.repeat("gone", rows),
        "source_key": pa.nulls(rows, pa.string()),
        "list_ids": same_lists((), rows),
        "consent_at": pa.nulls(rows, pa.timestamp("us", tz="UTC")),
        "consent_evidence": pa.nulls(rows, pa.string()),
        "json": json_texts,
        "json_bytes": pc.binary_length(json_texts),
    }
    return pa.table(table).cast(PENDING_SCHEMA)
