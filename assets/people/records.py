"""What we hold about one person, and why they are, or are not, with Mailtrap.

Belongs here: gathering, for `access` (everything, for the person who asks) and `explain` (one row's way, for the
operator who is asked). The answers are personal data: they are printed once, and go nowhere near Dagster or a log. Not
here: how they are printed (`pipelines/people.py`).
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from assets import drift
from assets.account import SUPPRESSIONS, UNSUBSCRIBED
from assets.delivery import evidence, ledger, refusals
from assets.exports import LATEST
from assets.people.cleaning import rows_named
from assets.people.erasure import source_keys_of
from assets.rules import comparison
from assets.rules.examples import as_contacts
from assets.rules.hash_text import as_text
from assets.rules.screening import screen
from assets.rules.sync import Sync
from assets.rules.traces import People, is_of
from assets.sources import relation_of
from assets.status_changes import changes_of
from resources.errors import ConnectorError
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.store.store import Store
from resources.warehouses.contract import Warehouse

ROWS_AT_MOST = 100
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody by their canonical address."""

    address: str
    hash: bytes
    people: People

    @classmethod
    def of(cls, address: str, *, key: bytes) -> "Person":
        """The person whose address this is."""
        people = People.of_addresses([address], key=key)
        return cls(address, people.hashes.to_pylist()[0], people)


# Access


def everything(client: MailtrapClient, store: Store, person: Person, *, syncs: Sequence[Sync]) -> Record:
    """All that we hold and Mailtrap holds about one person."""
    contact = client.get_contact(person.address, lane="erasure")
    pages = client.suppressions(email=person.address, lane="erasure")
    return {
        "schema": 1,
        "email": person.address,
        "address_hash": person.hash.hex(),
        "tombstone": store.journal.tombstones().get(person.hash),
        "ours": dict(held(store.lake, person, syncs=syncs)),
        "mailtrap": {
            "contact": None if contact is None else asdict(contact),
            "suppressions": [asdict(each) for page in pages for each in page],
        },
        "elsewhere": [
            "the warehouse, which is the source of truth",
            "Mailtrap's e-mail logs, statistics and events, which its contacts API does not show",
        ],
    }


def held(lake: Lake, person: Person, *, syncs: Sequence[Sync]) -> Iterator[tuple[str, list[Record]]]:
    """The person's rows in every table of the lake."""
    by_name = {sync.name: sync for sync in syncs}
    tables = [path for path in lake.list() if path.endswith(".parquet")]
    named = {
        name: source_keys_of(lake, tables, person.people, sync=name, email=sync.email, key=sync.source.key)
        for name, sync in by_name.items()
    }
    for path in tables:
        sync = by_name.get(path.split("/")[0])
        keys = named.get(path.split("/")[0], {}) if "/rejections/" in path else {}
        wanted = keys.get("", set()) | keys.get(path.split("/")[-1], set())
        rows: list[Record] = []
        for batch in lake.read(path):
            table = pa.Table.from_batches([batch])
            theirs = is_of(table, person.people, email=sync.email if sync else None)
            also = rows_named(table, wanted)
            rows += plain(table.filter(pa.array(theirs if also is None else theirs | also)))
        if rows:
            yield path, rows


# Explain


def explained(
    client: MailtrapClient,
    store: Store,
    person: Person,
    *,
    syncs: Sequence[tuple[Sync, Warehouse]],
    now: datetime,
) -> Record:
    """Source row, rule, payload, import, export: as far as we know."""
    contact = client.get_contact(person.address, lane="erasure")
    return {
        "schema": 1,
        "email": person.address,
        "address_hash": person.hash.hex(),
        "erased": store.journal.tombstones().get(person.hash),
        "suppressed": rows_in(store.lake, SUPPRESSIONS, person),
        "unsubscribed": bool(rows_in(store.lake, UNSUBSCRIBED, person)),
        "syncs": {sync.name: _of_sync(store, sync, warehouse, person, now=now) for sync, warehouse in syncs},
        "exported": rows_in(store.lake, LATEST, person),
        "status_changes": plain(changes_of(store.lake, person.address)),
        "mailtrap": None if contact is None else asdict(contact),
    }


def _of_sync(store: Store, sync: Sync, warehouse: Warehouse, person: Person, *, now: datetime) -> Record:
    found: Record = {"rows": [], "rules": {}}
    try:
        rows = source_rows_of(warehouse, sync, person)
    except ConnectorError as error:
        found["source"] = str(error)
    else:
        found["rows"] = plain(rows)
        found["rules"] = judged(rows, sync, now=now, key=store.key)
    found["told"] = told_about(store, sync, person)
    found["payloads"] = [
        row
        for path in store.lake.list(evidence.folder(sync.name))
        for row in rows_in(store.lake, path, person)
    ]
    found["payloads"].sort(key=lambda each: str(each["told_at"]))
    found["drift"] = _in_report(store.lake, sync, person)
    found["refused_by_mailtrap"] = [
        row
        for path in store.lake.list(refusals.folder(sync.name))
        for row in rows_in(store.lake, path, person)
    ]
    return found


def source_rows_of(warehouse: Warehouse, sync: Sync, person: Person) -> pa.Table:
    """The person's rows as the warehouse has them now."""
    found: list[pa.Table] = []
    with warehouse.read(relation_of(sync.source), columns=sync.columns) as batches:
        schema = pa.schema(batches.schema)
        for batch in batches:
            table = pa.Table.from_batches([batch])
            theirs = is_of(table, person.people, email=sync.email)
            if theirs.any():
                found.append(table.filter(pa.array(theirs)))
    return pa.concat_tables([schema.empty_table(), *found]).slice(0, ROWS_AT_MOST)


def judged(rows: pa.Table, sync: Sync, *, now: datetime, key: bytes) -> Record:
    """What the rules make of these rows now."""
    if not rows.num_rows:
        return {}
    frame = rows.to_pandas(types_mapper=pd.ArrowDtype)
    screened = screen(frame, as_contacts(sync), now=now, key=key)
    return {
        "accepted": plain(screened.accepted),
        "rejected": plain(screened.rejections),
        "no_consent": plain(screened.no_consent),
        "duplicates": screened.counts.rows.get("duplicate", 0),
    }


def told_about(store: Store, sync: Sync, person: Person) -> Record | None:
    """What the ledger says that Mailtrap was last told."""
    with ExitStack() as stack:
        connection = stack.enter_context(comparison.connect(stack.enter_context(store.lake.scratch())))
        told = stack.enter_context(ledger.told(store.journal, store.lake, sync.name))
        here = comparison.quoted(str(uuid.UUID(bytes=person.hash)))
        query = f"select * from ({comparison.told_sql(told)}) where address_hash = {here}::uuid"
        rows = plain(connection.sql(query).to_arrow_table())
    return rows[0] if rows else None


def _in_report(lake: Lake, sync: Sync, person: Person) -> Record | None:
    """What the last comparison with an export found of this person."""
    path, here = drift.report_of(sync.name), str(uuid.UUID(bytes=person.hash))
    for batch in lake.read(path) if lake.exists(path) else ():
        texts = as_text(batch["address_hash"])
        for row in plain(pa.Table.from_batches([batch]).filter(pc.equal(texts, here))):
            return {**row, "exported_at": lake.metadata(path).get("exported_at")}
    return None


def rows_in(lake: Lake, path: str, person: Person) -> list[Record]:
    """The person's rows in one table; none where there is no such table yet."""
    if not lake.exists(path):
        return []
    found: list[Record] = []
    for batch in lake.read(path):
        table = pa.Table.from_batches([batch])
        found += plain(table.filter(pa.array(is_of(table, person.people))))
    return found


def plain(table: pa.Table) -> list[Record]:
    """Rows as JSON can say them."""
    columns = [_in_python(table[name]) for name in table.column_names]
    return [
        {name: _plain(value) for name, value in zip(table.column_names, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]


def _in_python(column: pa.ChunkedArray) -> list[object]:
    """A column's values; as text where Python has none like them, as for a day in the year 10000."""
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        return list(column.cast(pa.string()).to_pylist())


def _plain(value: object) -> object:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value == value and abs(value) != float("inf") else str(value)
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return value.hex()
        case list() | tuple():
            return [_plain(each) for each in value]
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
    return str(value)
