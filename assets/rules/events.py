"""Rows that are events: each one by itself, told apart by its key and not by its person.

Consent, address and parameters are judged like those of contacts (`judgement`); what differs is that a person may have
many events, and that no key counts twice. Pure. Not here: which events were sent already (`assets/events.py`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.rules import cells
from assets.rules.address import hash_addresses, persons
from assets.rules.consent import No
from assets.rules.examples import as_contacts
from assets.rules.hash_text import as_text
from assets.rules.judgement import NO_CONSENT, Judged, accepted_schema, judge
from assets.rules.rejection import REJECTIONS, Reason
from assets.rules.schemas import contact_schema
from assets.rules.screening import Sink
from assets.rules.sync import Events, Sync

NAME_AT_MOST = 255
_KEY, _NAME = "_event_hash", "_event_name"


@dataclass(slots=True)
class Screened:
    """The counts of one screening of events; `read` is the sum of the others."""

    rows: Counter[str] = field(default_factory=Counter)
    rejected_by_reason: Counter[str] = field(default_factory=Counter)
    no_consent_by_reason: Counter[str] = field(default_factory=Counter)


def events_schema(sync: Sync) -> pa.Schema:
    """The columns of accepted events: keyed hash of the key, name, person, parameters by name."""
    schema = accepted_schema(as_contacts(sync))
    return schema.append(pa.field(_KEY, pa.uuid())).append(pa.field(_NAME, pa.string()))


def screen_events(
    source: Path, sync: Sync, *, now: datetime, key: bytes, accepted: Sink, rejections: Sink, no_consent: Sink,
    rows_per_batch: int = 100_000,
) -> Screened:  # fmt: skip
    """Screen a Parquet file of events. A no in any row of a person silences all of them."""
    counts, seen = Screened(), set[bytes]()
    silent = _silent(source, sync, now=now, key=key, rows_per_batch=rows_per_batch)
    for columns, judged in _judged(source, sync, now=now, key=key, rows_per_batch=rows_per_batch):
        events = _events_of(sync)
        also = cells.to_mask(pc.fill_null(pc.is_in(judged.hashes.storage, value_set=silent), False))
        no = (judged.noes > 0) | also
        hashes = _key_hashes(sync, columns[events.key], key)
        names = _names(events, columns, len(no))
        _refuse_unkeyed(judged, sync, hashes, names)
        refused = judged.findings.rows()
        refused = refused[~no[refused]]
        passed = ~no
        passed[refused] = False
        fresh = _first_of_each(hashes, np.flatnonzero(passed), seen)
        _write(
            counts,
            judged,
            no,
            refused,
            fresh,
            passed,
            now=now,
            sinks=(accepted, rejections, no_consent),
            extra=(hashes, names),
        )
    return counts


def _write(
    counts: Screened, judged: Judged, no: np.ndarray, refused: np.ndarray, fresh: np.ndarray, passed: np.ndarray,
    *, now: datetime, sinks: Sequence[Sink], extra: tuple[pa.Array, pa.Array],
) -> None:  # fmt: skip
    accepted, rejections, no_consent = sinks
    silenced = judged.no_consent(np.flatnonzero(no & (judged.noes > 0)))
    conflict = np.flatnonzero(no & (judged.noes == 0))
    if len(conflict):
        reasons = pa.repeat(pa.scalar(No.consent_conflict.name), len(conflict))
        others = pa.table([judged.people(conflict), reasons, judged.said_at(conflict)], schema=NO_CONSENT)
        silenced = pa.concat_tables([silenced, others])
    no_consent.write(silenced)
    told = judged.rejections(refused)
    stamp = pa.repeat(pa.scalar(now, REJECTIONS.field("first_seen").type), told.num_rows)
    for name, values in (
        ("first_seen", stamp),
        ("last_seen", stamp),
        ("times_seen", pa.repeat(1, told.num_rows)),
    ):
        told = told.append_column(name, values)
    held = {name: as_text(told[name]) for name in REJECTIONS.names}
    rejections.write(pa.table(held).cast(REJECTIONS))
    hashes, names = extra
    where = pa.array(fresh)
    accepted.write(
        judged.contacts(fresh).append_column(_KEY, hashes.take(where)).append_column(_NAME, names.take(where))
    )
    counts.rows.update(
        read=len(no), no_consent=int(no.sum()), rejected=len(refused), accepted=len(fresh),
        duplicate=int(passed.sum()) - len(fresh),
    )  # fmt: skip
    counts.rejected_by_reason.update(told["reason"].to_pylist())
    counts.no_consent_by_reason.update(silenced["reason"].to_pylist())


def _judged(
    source: Path, sync: Sync, *, now: datetime, key: bytes, rows_per_batch: int
) -> Iterator[tuple[Mapping[str, cells.Array], Judged]]:
    position, like = 0, as_contacts(sync)
    schema = contact_schema(like)
    with pq.ParquetFile(source, pre_buffer=False) as file:
        for batch in file.iter_batches(rows_per_batch, columns=list(sync.columns)):
            columns = {name: cells.plain(batch.column(name)) for name in sync.columns}
            hashes = hash_addresses(persons(columns[sync.email]), key)
            yield (
                columns,
                judge(columns, like, schema=schema, hashes=hashes, now=now, key=key, first_position=position),
            )
            position += batch.num_rows


def _silent(source: Path, sync: Sync, *, now: datetime, key: bytes, rows_per_batch: int) -> pa.Array:
    """The people of whom any row says no."""
    found = {
        each
        for _, judged in _judged(source, sync, now=now, key=key, rows_per_batch=rows_per_batch)
        for each in judged.people(np.flatnonzero(judged.noes > 0)).storage.to_pylist()
        if each is not None
    }
    return pa.array(sorted(found), pa.binary(16))


def _events_of(sync: Sync) -> Events:
    assert sync.events is not None, "a sync of events"
    return sync.events


def _key_hashes(sync: Sync, column: cells.Array, key: bytes) -> pa.Array:
    """The keyed hash of each event's key: 7 and "7" are one key, and each sync has keys of its own."""
    text = cells.as_text(column)
    return hash_addresses(pc.binary_join_element_wise("event", sync.name, text, "\n"), key)


def _names(events: Events, columns: Mapping[str, cells.Array], rows: int) -> pa.Array:
    if events.name_column is None:
        return pa.repeat(pa.scalar(events.name, pa.string()), rows)
    text = cells.as_text(columns[events.name_column])
    usable = pc.and_(pc.greater(pc.utf8_length(text), 0), pc.less_equal(pc.utf8_length(text), NAME_AT_MOST))
    return pc.if_else(pc.fill_null(usable, False), text, pa.scalar(None, pa.string()))


def _refuse_unkeyed(judged: Judged, sync: Sync, hashes: pa.Array, names: pa.Array) -> None:
    events = _events_of(sync)
    judged.findings.add(events.key, np.flatnonzero(cells.nulls(hashes.storage)), Reason.value_missing)
    if events.name_column:
        judged.findings.add(events.name_column, np.flatnonzero(cells.nulls(names)), Reason.value_missing)


def _first_of_each(hashes: pa.Array, rows: np.ndarray, seen: set[bytes]) -> np.ndarray:
    """The rows whose key was not seen before; the first in the source counts."""
    fresh = []
    for row, each in zip(rows.tolist(), hashes.storage.take(pa.array(rows)).to_pylist(), strict=True):
        if each not in seen:
            seen.add(each)
            fresh.append(row)
    return np.array(fresh, np.int64)
