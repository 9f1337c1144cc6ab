"""From a comparison to a file of pending contacts: which rows, in which order, as which JSON.

Belongs here: reading accepted contacts in their order, keeping the pending ones, writing them with their JSON and with
the counts of everybody else. Not here: what counts as pending (`rules/comparison`), and sending (`delivery`).
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from resources import memory
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
REPEATED = ("partition", "change")
"""Columns of few values; to look for repetitions in the others takes longer than to write them."""
PENDING_CODES = (Change.new, Change.changed)
SEPARATOR = "\x1f"


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
    told: Told
    withheld: Withheld
    existing: Path | None = None
    refused: Path | None = None
    resend: bool = False
    _codes: dict[str, np.ndarray] = field(default_factory=dict)
    _leaving: dict[str, tuple[np.ndarray, pa.Array]] = field(default_factory=dict)

    def compare(self, connection: duckdb.DuckDBPyConnection) -> dict[str, Counter[str]]:
        """Put the question; remember one byte per accepted contact."""
        partitions = list(self.accepted)
        self._codes = {name: np.zeros(self.lake.rows(path), np.uint8) for name, path in self.accepted.items()}
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(self.lake.local(self.accepted[name])) for name in partitions]
            answers = comparison.compare(
                connection,
                files,
                told=self.told,
                withheld=self.withheld,
                mode=self.sync.mode,
                existing=self.existing,
                refused=self.refused,
                resend=self.resend,
            )
            for batch in answers:
                self._note(batch, partitions)
            leaving = self._leavers(connection, files)
            self._leaving = dict(zip(partitions, leaving, strict=True))
        memory.empty(connection)  # what follows needs none of it
        return {name: _count(codes) for name, codes in self._codes.items()}

    def write(self, connection: duckdb.DuckDBPyConnection, sink: ParquetSink) -> None:
        """The pending contacts in the order of the accepted ones, so that equal input gives equal payloads."""
        for partition, path in self.accepted.items():
            pending = self._rows_where(path, np.isin(self._codes[partition], PENDING_CODES))
            written = side_by_side(
                lambda batch, here=partition: self._written(connection.cursor(), *batch, partition=here),  # type: ignore[misc]
                pending,
            )
            for table in written:
                sink.write(table)

    def newer_unchanged(self) -> Iterator[tuple[str, pa.Table]]:
        """The contacts whose values Mailtrap has, but whose date has moved on."""
        for partition, path in self.accepted.items():
            mask = self._codes[partition] == Change.newer_unchanged
            columns = [
                "_address_hash",
                "_fingerprint",
                "_as_of",
                *(["_lists"] if self.sync.lists.from_column else []),
            ]
            for contacts, _ in self._rows_where(path, mask, columns):
                yield partition, contacts.append_column("list_ids", self._wanted(contacts))

    def _note(self, batch: pa.RecordBatch, partitions: Sequence[str]) -> None:
        files, rows, changes = (batch.column(place).to_numpy() for place in range(3))
        for number in np.unique(files):
            here = files == number
            self._codes[partitions[int(number)]][rows[here]] = changes[here]

    def _rows_where(
        self, path: str, mask: np.ndarray, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[pa.Table, np.ndarray]]:
        """The rows that a mask keeps, in batches, with their positions in the file."""
        if not mask.any():
            return
        first = 0
        for batch in self.lake.read(path, columns):
            kept = np.flatnonzero(mask[first : first + batch.num_rows])
            if len(kept):
                table = pa.Table.from_batches([batch])
                yield table if len(kept) == batch.num_rows else table.take(kept), kept + first
            first += batch.num_rows

    def _written(
        self, connection: duckdb.DuckDBPyConnection, contacts: pa.Table, rows: np.ndarray, *, partition: str
    ) -> pa.Table:
        is_change = (self._codes[partition][rows] == Change.changed).astype(np.int8)
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

    def _leavers(
        self, connection: duckdb.DuckDBPyConnection, files: Sequence[Path]
    ) -> list[tuple[np.ndarray, pa.Array]]:
        """Per file: positions of contacts that this sync put into lists where they belong no more, and those lists."""
        if not self._may_leave_lists(connection):
            return [(np.array([], np.int64), pa.array([], pa.list_(pa.int64())))] * len(files)
        wanted = payload.included_sql(self.sync, self.lists)
        here = " union all ".join(
            f"select {number} as file, file_row_number as row, _address_hash as address_hash, {wanted} as wanted "
            f"from read_parquet({comparison.quoted(str(file))}, file_row_number=true)"
            for number, file in enumerate(files)
        )
        unwanted = "list_filter(told.list_ids, lambda id: not list_contains(here.wanted, id))"
        query = f"""
            select here.file, here.row, {self.lists.among_known(unwanted)} as leaving
            from ({here}) here join ({comparison.told_sql(self.told)}) told using (address_hash)
            where told.fingerprint is not null and len(leaving) > 0 order by here.file, here.row
        """
        found = connection.sql(query).to_arrow_table()
        rows, lists = found["row"].to_numpy(), found["leaving"].combine_chunks().cast(pa.list_(pa.int64()))
        starts = np.searchsorted(found["file"].to_numpy(), np.arange(len(files) + 1))
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


def _count(codes: np.ndarray) -> Counter[str]:
    found = np.bincount(codes, minlength=max(Change) + 1)
    return Counter({change.name: int(found[change]) for change in Change if found[change]})


def same_lists(ids: Sequence[int], rows: int) -> pa.Array:
    """The same lists for everybody."""
    ends = pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(len(ids)))
    return pa.ListArray.from_arrays(ends, pa.array(np.tile(np.array(ids, np.int64), rows)))
