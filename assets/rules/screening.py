"""Which rows may be told to Mailtrap, which may not, and why: the one decision, for a frame or a whole table.

Belongs here: the order of decisions, and where judged rows go. Not here: the decisions themselves (`consent`,
`address`, `fields`, `schemas`, `duplicates`), and where tables lie.

    screened = screen(frame, sync, now=now, key=key)     # one frame: notebooks, examples, tests
    counts = screen_file(path, sync, now=now, …)         # a table of any size, in memory that does not grow

Each row is counted once: read = no_consent + rejected + duplicate + accepted, decided in this order:
consent of the row and of its person, the address, the fields, and last the newest row of each person.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from assets.rules import cells, seen
from assets.rules.address import hash_addresses, persons
from assets.rules.comparison import connect
from assets.rules.consent import No
from assets.rules.duplicates import SILENCED, WINNER, People, Spool, people_twice, settle, silenced
from assets.rules.judgement import NO_CONSENT, Columns, Judged, ScreeningError, accepted_schema, judge
from assets.rules.rejection import REJECTIONS
from assets.rules.schemas import contact_schema
from assets.rules.side_by_side import side_by_side
from assets.rules.sync import Sync

_MEMORY_MEGABYTES = 384

Result = TypeVar("Result")

__all__ = ["Schemas", "Screened", "Screening", "ScreeningError", "Sink", "schemas", "screen", "screen_file"]


class Sink(Protocol):
    """Where rows go."""

    def write(self, rows: pa.Table) -> None:
        """Add rows."""


@dataclass(frozen=True, slots=True)
class Schemas:
    """The three tables that screening makes."""

    accepted: pa.Schema
    rejections: pa.Schema
    no_consent: pa.Schema


@dataclass(frozen=True, slots=True)
class Screened:
    """One frame, screened."""

    accepted: pa.Table
    rejections: pa.Table
    no_consent: pa.Table
    counts: "Screening"


@dataclass(frozen=True, slots=True)
class Screening:
    """The counts of a screening: `read` is the sum of the others in `rows`."""

    rows: Mapping[str, int]
    rejected_by_reason: Mapping[str, int]
    no_consent_by_reason: Mapping[str, int]


def schemas(sync: Sync) -> Schemas:
    """The columns of the three tables."""
    return Schemas(accepted_schema(sync), REJECTIONS, NO_CONSENT)


def screen(rows: pd.DataFrame, sync: Sync, *, now: datetime, key: bytes, first_position: int = 0) -> Screened:
    """Screen one frame by itself, duplicates settled within it."""
    _require(sync, [str(name) for name in rows.columns])
    columns = discreetly(
        lambda: {name: cells.from_pandas(rows[name]) for name in sync.columns}, first=first_position
    )
    hashes = _whom(columns[sync.email], key, first_position)
    contested = np.zeros(len(rows), np.bool_)
    held = np.frombuffer(hashes.storage.buffers()[1], np.uint64).reshape(-1, 2)[:, 0]
    contested[people_twice(np.where(cells.nulls(hashes.storage), 0, held))] = True
    sinks = {name: _Held() for name in ("accepted", "rejections", "no_consent")}
    desk = _Desk(sync, now=now, key=key, scratch=None, **sinks)
    desk.take(desk.sort_out(_Batch(columns, first_position, len(rows)), hashes, contested))
    counts = desk.close(former_rejections=None)
    kept = schemas(sync)
    return Screened(
        sinks["accepted"].table(kept.accepted),
        sinks["rejections"].table(kept.rejections),
        sinks["no_consent"].table(kept.no_consent),
        counts,
    )


def screen_file(
    source: Path,
    sync: Sync,
    *,
    now: datetime,
    key: bytes,
    accepted: Sink,
    rejections: Sink,
    no_consent: Sink,
    scratch: Path,
    former_rejections: Path | None = None,
    rows_per_batch: int = 122_880,
    progress: Callable[[int], None] | None = None,
) -> Screening:
    """Screen a Parquet file of source rows; the same rows give the same tables in any order and any batches."""
    desk = _Desk(
        sync,
        now=now,
        key=key,
        scratch=scratch,
        accepted=accepted,
        rejections=rejections,
        no_consent=no_consent,
    )
    with ExitStack() as stack:
        file = stack.enter_context(pq.ParquetFile(source, pre_buffer=False))
        _require(sync, file.schema_arrow.names)
        people = stack.enter_context(closing(People(scratch, file.metadata.num_rows)))
        for hashes in side_by_side(
            lambda batch: _whom(batch.columns[sync.email], key, batch.first),
            _batches(file, (sync.email,), rows_per_batch),
        ):
            people.add(hashes)
        people.find_twice()
        known = ((batch, *people.next(batch.size)) for batch in _batches(file, sync.columns, rows_per_batch))
        for sorted_out in side_by_side(lambda each: desk.sort_out(*each), known):
            read = desk.take(sorted_out)
            if progress is not None:
                progress(read)
    return desk.close(former_rejections=former_rejections)


def _whom(addresses: cells.Array, key: bytes, first: int) -> cells.Array:
    return discreetly(lambda: hash_addresses(persons(addresses), key), first=first)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows that are judged together, and the position of the first of them."""

    columns: Columns
    first: int
    size: int


def _batches(file: pq.ParquetFile, columns: tuple[str, ...], rows: int) -> Iterator[_Batch]:
    first = 0
    for batch in file.iter_batches(rows, columns=list(columns)):
        yield _Batch({name: cells.plain(batch.column(name)) for name in columns}, first, batch.num_rows)
        first += batch.num_rows


def _require(sync: Sync, names: list[str]) -> None:
    """Every column that the sync reads is there, once."""
    found = Counter(names)
    missing = [name for name in sync.columns if not found[name]]
    doubled = [name for name in sync.columns if found[name] > 1]
    if missing or doubled:
        wrong = [*(f"{name} is missing" for name in missing), *(f"{name} is there twice" for name in doubled)]
        raise ScreeningError(
            f"The source of {sync.name} has other columns than the sync reads: {', '.join(wrong)}.",
            "Nothing was screened.",
            "Restore the columns in the warehouse, or name the right ones in the sync file.",
            outcome="config",
        )


class _Desk:
    """Takes judged batches, sends each row where it belongs, and holds back what other rows may change."""

    def __init__(
        self,
        sync: Sync,
        *,
        now: datetime,
        key: bytes,
        scratch: Path | None,
        accepted: Sink,
        rejections: Sink,
        no_consent: Sink,
    ) -> None:
        self._sync, self._schema, self._key = sync, contact_schema(sync), key
        self._now, self._scratch = now if now.tzinfo else now.replace(tzinfo=UTC), scratch
        self._accepted, self._rejections, self._no_consent = accepted, rejections, no_consent
        self._contested, self._refused, self._silent = (
            Spool(name, scratch) for name in ("contested", "refused", "silent")
        )
        self._rows: Counter[str] = Counter(read=0, accepted=0, rejected=0, no_consent=0, duplicate=0)
        self._reasons: Counter[str] = Counter()
        self._noes: Counter[str] = Counter()

    def sort_out(self, batch: _Batch, hashes: cells.Array, contested: cells.Mask) -> "_SortedOut":
        """A batch, row by row where it belongs; safe beside other batches.

        `hashes` say whom each row is about, and `contested` which of these persons have other rows too.
        """
        return discreetly(lambda: self._sorted_out(batch, hashes, contested), first=batch.first)

    def take(self, sorted_out: "_SortedOut") -> int:
        """Send the rows of the next batch on; says how many have been taken so far."""
        self._rows["read"] += sorted_out.rows
        self._say_no(sorted_out.no_consent)
        self._silent.write(sorted_out.silent)
        self._refused.write(sorted_out.refused)
        self._contested.write(sorted_out.contested)
        self._accept(sorted_out.accepted)
        return self._rows["read"]

    def _sorted_out(self, batch: _Batch, hashes: cells.Array, contested: cells.Mask) -> "_SortedOut":
        judged = judge(
            batch.columns, self._sync, schema=self._schema, hashes=hashes, now=self._now, key=self._key,
            first_position=batch.first,
        )  # fmt: skip
        no = judged.noes > 0
        refused = judged.findings.rows()
        refused = refused[~no[refused]]
        passed = ~no
        passed[refused] = False
        return _SortedOut(
            rows=batch.size,
            no_consent=judged.no_consent(np.flatnonzero(no)),
            silent=judged.no_consent(np.flatnonzero(no & contested)).select(["address_hash"]),
            refused=_refused(judged, refused),
            contested=_waiting(judged, np.flatnonzero(passed & contested)),
            accepted=judged.contacts(np.flatnonzero(passed & ~contested)),
        )

    def close(self, *, former_rejections: Path | None) -> Screening:
        """Settle what waits, and say what became of every row."""
        waiting = [each for each in (self._silent, self._contested, self._refused) if each.rows]
        if waiting:
            with self._connect() as base:
                for spool in waiting:
                    spool.open_in(base)
                self._settle(base)
                self._report(base, former_rejections)
        return Screening(
            dict(self._rows), dict(sorted(self._reasons.items())), dict(sorted(self._noes.items()))
        )

    def _connect(self) -> duckdb.DuckDBPyConnection:
        if self._scratch is None:
            return _in_memory().cursor()
        return connect(self._scratch, memory_megabytes=_MEMORY_MEGABYTES)

    def _settle(self, base: duckdb.DuckDBPyConnection) -> None:
        if not self._contested.rows:
            return
        fates = settle(self._contested, self._silent, base, by_key=self._sync.source.key is not None)
        for table in self._contested.read():
            fate = fates[table["_row"].to_numpy()]
            silent = table.filter(pa.array(fate == SILENCED))
            self._silence(silent["_address_hash"], silent["_as_of"])
            self._accept(table.filter(pa.array(fate == WINNER)).select(accepted_schema(self._sync).names))
        self._rows["duplicate"] += int((fates == 0).sum())

    def _report(self, base: duckdb.DuckDBPyConnection, former: Path | None) -> None:
        if not self._refused.rows:
            return
        silent = np.zeros(self._refused.rows, np.bool_)
        if self._silent.rows:
            for numbers in silenced(self._refused, base, column="address_hash"):
                silent[numbers] = True
        known = seen.before(former, base, self._refused, by_key=self._sync.source.key is not None)
        for table in self._refused.read():
            mute = silent[table["_row"].to_numpy()]
            people = table.filter(pa.array(mute))
            self._silence(people["address_hash"], people["_as_of"])
            told = table.filter(pa.array(~mute))
            self._reasons.update(_counted(told["reason"]))
            self._rows["rejected"] += told.num_rows
            if told.num_rows:
                self._rejections.write(known.dated(told, now=self._now))

    def _accept(self, contacts: pa.Table) -> None:
        self._rows["accepted"] += contacts.num_rows
        if contacts.num_rows:
            self._accepted.write(contacts)

    def _say_no(self, people: pa.Table) -> None:
        self._rows["no_consent"] += people.num_rows
        self._noes.update(_counted(people["reason"]))
        if people.num_rows:
            self._no_consent.write(people)

    def _silence(self, people: Any, as_of: Any) -> None:
        reason = pa.repeat(pa.scalar(No.consent_conflict.name), len(people))
        self._say_no(pa.table([people, reason, as_of], schema=NO_CONSENT))


@dataclass(frozen=True, slots=True, kw_only=True)
class _SortedOut:
    """A batch, row by row where it belongs."""

    rows: int
    no_consent: pa.Table
    silent: pa.Table
    refused: pa.Table
    contested: pa.Table
    accepted: pa.Table


def _refused(judged: Judged, rows: cells.Rows) -> pa.Table:
    """Rejections, with their time, in case the person says no elsewhere."""
    return judged.rejections(rows).append_column("_as_of", judged.said_at(rows))


def _waiting(judged: Judged, rows: cells.Rows) -> pa.Table:
    """Contacts of persons with several rows, with what settles a tie."""
    return judged.contacts(rows).append_column("_row_fingerprint", judged.row_fingerprints(rows))


def discreetly(work: Callable[[], Result], *, first: int) -> Result:
    """The result of judging a batch; a mistake of ours ends without the words of foreign errors.

    Arrow, pandas and Python quote the value that they stumbled over: neither it nor the error that holds it
    may leave this function, so ours is raised outside of the handler and has no context.
    """
    try:
        return work()
    except ScreeningError:
        raise
    except Exception as error:  # noqa: BLE001
        place = traceback.extract_tb(error.__traceback__)[-1]
        failed = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
    raise ScreeningError(
        f"The batch of rows from {first} on could not be judged: {failed}.",
        "Nothing of the table was accepted; this is a mistake in the screening rules, not in the data.",
        "Report it, with the sync file, the types of the columns, and the versions of pandas and pyarrow.",
    )


@cache
def _in_memory() -> duckdb.DuckDBPyConnection:
    """One DuckDB for all frames: starting it costs as much as screening ten thousand rows."""
    return duckdb.connect(config={"threads": 2})


@dataclass(slots=True)
class _Held:
    """A sink that keeps its rows."""

    tables: list[pa.Table] = field(default_factory=list)

    def write(self, rows: pa.Table) -> None:
        self.tables.append(rows)

    def table(self, schema: pa.Schema) -> pa.Table:
        return pa.concat_tables([schema.empty_table(), *self.tables])


def _counted(column: Any) -> dict[str, int]:
    return {pair["values"]: pair["counts"] for pair in column.value_counts().to_pylist()}
