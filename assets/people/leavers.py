"""Who leaves: people whom Mailtrap was told about and who say no now, or are gone; and their addresses.

Belongs here: finding them by keyed hash, what the guards say about it, and naming them. Not here: what leaving asks
for (`rules/leaving`), and doing it (`departures`).
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from assets.delivery import evidence, ledger
from assets.partitions import file_of
from assets.people.gone import gone_from, told_people
from assets.people.withheld import tombstones_as_file
from assets.rules import cells, comparison, guards
from assets.rules.comparison import Withheld
from assets.rules.leaving import LEAVERS, Act, act_of, said_no, too_many_leave
from assets.rules.sync import DayPartition, Sync
from assets.rules.traces import People, hashes_of, is_of, read_address
from resources.lake import Lake
from resources.store.store import Store


@dataclass(frozen=True, slots=True)
class Leaver:
    """Somebody to be taken away."""

    hash: bytes
    address: str = field(repr=False)
    act: Act
    why: str
    row: Mapping[str, Any] = field(repr=False)


def find(
    store: Store, sync: Sync, *, partitions: Sequence[str], tables: Lake | None = None
) -> tuple[list[guards.Verdict], pa.Table]:
    """Everyone who leaves, by keyed hash, and what the guards say about it. A plan has its tables elsewhere."""
    lake = tables or store.lake
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(comparison.connect(stack.enter_context(store.lake.scratch())))
        bucket = ledger.bucket_of(sync, partitions)
        told = stack.enter_context(ledger.told(store.journal, store.lake, sync.name, bucket=bucket))
        if told.is_empty:
            return [], LEAVERS.empty_table()

        def local(table: str, partition: str) -> Path:
            return stack.enter_context(lake.local(file_of(sync, table, partition)))

        noes = said_no(
            connection,
            told=told,
            no_consent=[local("no_consent", each) for each in partitions],
            accepted=[local("accepted_contacts", each) for each in partitions],
            dated=isinstance(sync.source.partition, DayPartition),
        )
        # Tables from a backup may have erased people: they are named to nobody, not even to take them away.
        buried = People.of_hashes(store.journal.tombstones(), key=store.key)
        tables_found = [
            table.filter(pa.array(~is_of(table, buried)))
            for table in (pa.Table.from_batches([batch]).cast(LEAVERS) for batch in noes)
        ]
        erased = Withheld(erased=tombstones_as_file(stack, store))
        verdicts = []
        if leaving := sum(each.num_rows for each in tables_found):
            held = told_people(connection, told)
            verdicts.append(too_many_leave(sync, leaving=leaving, told=held))
        if sync.mode == "mirror" and sync.when_gone in ("unsubscribe", "delete"):
            for partition in partitions:
                gone = gone_from(
                    connection, lake, sync, partition=partition, told=told, withheld=erased, key=store.key
                )
                held = told_people(connection, told, partition)
                count = sum(each.num_rows for each in gone)
                verdicts.append(guards.too_many_gone(sync, gone=count, told=held))
                tables_found += [_gone(batch) for batch in gone]
    return verdicts, pa.concat_tables([LEAVERS.empty_table(), *tables_found])


def _gone(batch: pa.RecordBatch) -> pa.Table:
    table = pa.Table.from_batches([batch])
    return table.append_column("why", pa.repeat("gone", table.num_rows)).select(LEAVERS.names).cast(LEAVERS)


def named(
    lake: Lake, sync: Sync, leavers: pa.Table, *, key: bytes, partitions: Sequence[str]
) -> list[Leaver]:
    """The leavers with their addresses: from the evidence of what Mailtrap was told, else from this run's rows."""
    rows = {bytes(row["address_hash"].bytes): row for row in leavers.to_pylist()}
    addresses = _from_evidence(lake, sync, leavers)
    missing = rows.keys() - addresses.keys()
    if missing:
        addresses |= dict(_from_rows(lake, sync, missing, key=key, partitions=partitions))
    return [
        Leaver(each, addresses[each], act_of(sync, row["why"]), row["why"], row)
        for each, row in rows.items()
        if each in addresses
    ]


def _from_evidence(lake: Lake, sync: Sync, leavers: pa.Table) -> dict[bytes, str]:
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(lake.local(path)) for path in lake.list(evidence.folder(sync.name))]
        if not files:
            return {}
        connection = stack.enter_context(comparison.connect(stack.enter_context(lake.scratch())))
        return _addresses(connection, files, leavers)


def _addresses(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], leavers: pa.Table
) -> dict[bytes, str]:
    connection.register("leavers", leavers.select(["address_hash"]))
    listed = ", ".join(comparison.quoted(str(path)) for path in files)
    query = f"""
        select known.address_hash, any_value(known.email) as email from read_parquet([{listed}]) known
        where known.address_hash in (select address_hash from leavers) group by known.address_hash
    """
    found = connection.sql(query).to_arrow_table().to_pylist()
    return {row["address_hash"].bytes: row["email"] for row in found if row["email"]}


def _from_rows(
    lake: Lake, sync: Sync, missing: set[bytes], *, key: bytes, partitions: Sequence[str]
) -> Iterator[tuple[bytes, str]]:
    people = People.of_hashes(missing, key=key)
    for partition in partitions:
        for batch in lake.read(file_of(sync, "source_rows", partition), [sync.email]):
            table = pa.Table.from_batches([batch])
            theirs = table.filter(pa.array(is_of(table, people, email=sync.email)))
            texts = cells.as_text(cells.plain(theirs[sync.email])).to_pylist()
            addresses = [found for text in texts if (found := read_address(text or ""))]
            yield from zip(hashes_of(addresses, key), addresses, strict=True)
