"""From a comparison to a file of pending contacts: which rows, in which order, as which JSON.

Belongs here: reading accepted contacts in their order, keeping the pending ones, giving them with their JSON, and the
counts of everybody else. Not here: what counts as pending (`rules/comparison`), and sending (`delivery`).
"""

import contextlib
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.rules import comparison, payload
from assets.rules.comparison import Change, Told, Withheld
from assets.rules.payload import ListIds
from assets.rules.side_by_side import side_by_side
from assets.rules.sync import Sync
from resources.lake import QUICK, Lake, ParquetSink

PENDING_SCHEMA = pa.schema(
    [
        ("address_hash", pa.uuid()),
        ("email", pa.string()),
        ("fingerprint", pa.uint64()),  # null: Mailtrap shall hold this person no longer for this sync
        ("as_of", pa.timestamp("us", tz="UTC")),
        ("partition", pa.string()),
        ("change", pa.string()),
        ("source_key", pa.string()),
        ("list_ids", pa.list_(pa.int64())),
        ("consent_at", pa.timestamp("us", tz="UTC")),
        ("consent_evidence", pa.string()),
        ("json", pa.string()),
        ("json_bytes", pa.int32()),
    ]
)
ROWS_PER_GROUP = 50_000
"""Those of a payload, so that sending one reads nothing else."""
ROWS_AT_ONCE = 61_440
"""Half a row group of accepted contacts: with their JSON several of these are in memory."""
REPEATED = ("partition", "change")
"""Columns of few values; to look for repetitions in the others takes longer than to write them."""
PENDING_CODES = (Change.new, Change.changed)
SEPARATOR = "\x1f"


class OutdatedError(Exception):
    """Rows were given out that a later comparison judges otherwise."""


def pending_file(
    lake: Lake, path: str, *, schema: pa.Schema = PENDING_SCHEMA, metadata: Mapping[str, str] | None = None
) -> contextlib.AbstractContextManager[ParquetSink]:
    """A file of pending contacts, to be written."""
    return lake.writer(
        path,
        schema,
        compression=QUICK,
        rows_per_group=ROWS_PER_GROUP,
        whole_groups=True,
        dictionary=REPEATED,
        metadata=metadata,
    )


@dataclass(slots=True)
class Pending:
    """The comparison of some partitions of one sync, ready to be written down."""

    lake: Lake
    sync: Sync
    lists: ListIds
    accepted: Mapping[str, str]
    """Partition to the path of its accepted contacts, oldest first."""
    files: Sequence[Path]
    """The same as local files."""
    told: Told
    refused: Path | None = None
    resend: bool = False
    withheld: Withheld = field(default_factory=Withheld, init=False)
    """As of the last comparison."""
    _known: tuple[object, ...] = ()
    """By what the comparison was made, as far as it can change."""
    _codes: dict[str, np.ndarray] = field(default_factory=dict)
    _counts: dict[str, Counter[Change]] = field(default_factory=dict)
    _given: dict[str, int] = field(default_factory=dict)
    """How many accepted contacts were looked at for writing."""
    _leaving: dict[str, tuple[np.ndarray, pa.Array]] = field(default_factory=dict)

    def compare(
        self, connection: duckdb.DuckDBPyConnection, *, withheld: Withheld, existing: Path | None = None
    ) -> dict[str, Counter[str]]:
        """Put the question; remember one byte per accepted contact.

        It can be put again when others are known to be withheld, also while rows are being given out. `OutdatedError`
        when one of those that were looked at is judged otherwise now: then nothing of this is of use.
        """
        known = comparison.digest(connection, withheld)
        if known != self._known:
            self._compare(connection, withheld, existing)
            self._known = known
        self.withheld = withheld
        return {
            name: Counter({each.name: count for each, count in sorted(counts.items())})
            for name, counts in self._counts.items()
        }

    def tables(self, connection: duckdb.DuckDBPyConnection) -> Generator[pa.Table, None, None]:
        """The pending contacts in the order of the accepted ones, so that equal input gives equal payloads."""
        for partition in self.accepted:
            yield from side_by_side(
                lambda rows, here=partition: self._written(connection.cursor(), rows, partition=here),  # type: ignore[misc]
                self._rows_of(partition, PENDING_CODES, noting=self._given),
            )

    def newer_unchanged(self) -> Iterator[tuple[str, pa.Table]]:
        """The contacts whose values Mailtrap has, but whose date has moved on."""
        columns = [
            *("_address_hash", "_fingerprint", "_as_of"),
            *(["_lists"] if self.sync.lists.from_column else []),
        ]
        for partition in self.accepted:
            for rows in self._rows_of(partition, (Change.newer_unchanged,), columns):
                yield partition, rows.contacts.append_column("list_ids", self._wanted(rows.contacts))

    def _compare(
        self, connection: duckdb.DuckDBPyConnection, withheld: Withheld, existing: Path | None
    ) -> None:
        former = {name: self._pending_among(name, rows) for name, rows in self._given.items()}
        for name, path in self.accepted.items():
            if name not in self._codes:
                self._codes[name] = np.zeros(self.lake.rows(path), np.uint8)
            self._counts[name] = Counter()
        answers = comparison.compare(
            connection,
            self.files,
            told=self.told,
            withheld=withheld,
            mode=self.sync.mode,
            existing=existing,
            refused=self.refused,
            resend=self.resend,
        )
        for batch in answers:
            self._note(batch, list(self.accepted))
        for name, codes in former.items():
            if not np.array_equal(codes, self._pending_among(name, len(codes))):
                raise OutdatedError
        if not self._leaving:
            self._leaving = dict(zip(self.accepted, self._leavers(connection), strict=True))

    def _note(self, batch: pa.RecordBatch, partitions: Sequence[str]) -> None:
        files, rows, changes = (batch.column(place).to_numpy() for place in range(3))
        for number in np.unique(files):
            here, name = files == number, partitions[int(number)]
            self._codes[name][rows[here]] = changes[here]
            found = np.bincount(changes[here])
            self._counts[name].update(
                {Change(code): int(found[code]) for code in np.flatnonzero(found).tolist()}
            )

    def _pending_among(self, partition: str, rows: int) -> np.ndarray:
        """What is pending of the first rows of a partition, and how; 0: it is not."""
        codes = self._codes[partition][:rows]
        return np.where(codes >= min(PENDING_CODES), codes, np.uint8(0))  # they are the highest

    def _rows_of(
        self,
        partition: str,
        wanted: Sequence[Change],
        columns: Sequence[str] | None = None,
        *,
        noting: dict[str, int] | None = None,
    ) -> Iterator["_Rows"]:
        """The rows of which the comparison says so, in batches; `noting` how many rows have been looked at for it."""
        noting, all_codes, first = {} if noting is None else noting, self._codes[partition], 0
        if not any(self._counts[partition][each] for each in wanted):
            noting[partition] = len(all_codes)
            return
        for batch in self.lake.read(self.accepted[partition], columns, rows_per_batch=ROWS_AT_ONCE):
            codes = all_codes[first : first + batch.num_rows]
            kept = np.flatnonzero(np.isin(codes, wanted))
            noting[partition] = first + batch.num_rows
            if len(kept):
                table = pa.Table.from_batches([batch])
                contacts = table if len(kept) == batch.num_rows else table.take(kept)
                yield _Rows(contacts, kept + first, codes[kept])
            first += batch.num_rows

    def _written(self, connection: duckdb.DuckDBPyConnection, found: "_Rows", *, partition: str) -> pa.Table:
        contacts, rows = found.contacts, found.places
        is_change = (found.changes == Change.changed).astype(np.int8)
        table = {
            "address_hash": contacts["_address_hash"],
            "email": contacts["email"],
            "fingerprint": contacts["_fingerprint"],
            "as_of": contacts["_as_of"],
            "partition": pa.repeat(partition, len(rows)),
            "change": pa.DictionaryArray.from_arrays(is_change, ["new", "changed"]).cast(pa.string()),
            "source_key": contacts["_source_key"],
            "list_ids": self._wanted(contacts),
            "consent_at": contacts["_consent_at"],
            "consent_evidence": contacts["_consent_evidence"],
        }
        leaving = self._leaving_at(partition, rows)
        if leaving is not None:
            contacts = contacts.append_column("_leaving", leaving)
        texts = payload.contact_json(connection, contacts, sync=self.sync, lists=self.lists)
        table["json"], table["json_bytes"] = texts, pc.binary_length(texts)
        return pa.table(table).cast(PENDING_SCHEMA)

    def _wanted(self, contacts: pa.Table) -> pa.Array:
        """The lists each contact shall be in, as far as this sync says."""
        if not self.sync.lists.from_column:
            return same_lists(self.lists.include, contacts.num_rows)
        by_name, fixed = self.lists.by_name or {}, set(self.lists.include)
        encoded = pc.binary_join(contacts["_lists"].combine_chunks(), SEPARATOR).dictionary_encode()
        ids = [
            sorted(fixed | {by_name[name] for name in (each or "").split(SEPARATOR) if name})
            for each in encoded.dictionary.to_pylist()
        ]
        return pa.array([*ids, sorted(fixed)], pa.list_(pa.int64())).take(
            pc.fill_null(encoded.indices, len(ids))
        )

    def _leavers(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[np.ndarray, pa.Array]]:
        """Per file: positions of contacts that this sync put into lists where they belong no more, and those lists."""
        if not self._may_leave_lists(connection):
            return [(np.array([], np.int64), pa.array([], pa.list_(pa.int64())))] * len(self.files)
        wanted = payload.included_sql(self.sync, self.lists)
        here = " union all ".join(
            f"select {number} as file, file_row_number as row, _address_hash as address_hash, {wanted} as wanted "
            f"from read_parquet({comparison.quoted(str(file))}, file_row_number=true)"
            for number, file in enumerate(self.files)
        )
        unwanted = "list_filter(told.list_ids, lambda id: not list_contains(here.wanted, id))"
        query = f"""
            select here.file, here.row, {self.lists.among_known(unwanted)} as leaving
            from ({here}) here join ({comparison.told_sql(self.told)}) told using (address_hash)
            where told.fingerprint is not null and len(leaving) > 0 order by here.file, here.row
        """
        found = connection.sql(query).to_arrow_table()
        rows, lists = found["row"].to_numpy(), found["leaving"].combine_chunks().cast(pa.list_(pa.int64()))
        starts = np.searchsorted(found["file"].to_numpy(), np.arange(len(self.files) + 1))
        return [(rows[a:b], lists[a:b]) for a, b in pairwise(starts.tolist())]

    def _may_leave_lists(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether anybody can be in a list that this sync no longer puts them in: one question for all partitions."""
        if self.told.is_empty:
            return False
        if self.sync.lists.from_column:
            return True
        fixed = f"[{', '.join(map(str, self.lists.include))}]::bigint[]"
        differ = f"len(list_filter(coalesce(list_ids, []), lambda id: not list_contains({fixed}, id))) > 0"
        told = comparison.told_sql(self.told)
        return bool(connection.sql(f"select 1 from ({told}) where {differ} limit 1").fetchall())

    def _leaving_at(self, partition: str, rows: np.ndarray) -> pa.Array | None:
        positions, lists = self._leaving[partition]
        places = np.searchsorted(positions, rows)
        hit = np.append(positions, -1)[places] == rows
        if not hit.any():
            return None
        return lists.take(pa.array(places, mask=~hit))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Accepted contacts, where they are in their file, and what the comparison says about them."""

    contacts: pa.Table
    places: np.ndarray
    changes: np.ndarray


def same_lists(ids: Sequence[int], rows: int) -> pa.Array:
    """The same lists for everybody."""
    ends = pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(len(ids)))
    return pa.ListArray.from_arrays(ends, pa.array(np.tile(np.array(ids, np.int64), rows)))
