"""What every warehouse can do: say its columns, stream its rows, count them when that is cheap, close.

Here: the words of a read (what to read, which slice of it) and the verbs of a warehouse. Not here: how SQL is
written (`statement.py`), which Arrow types leave a warehouse (`plain.py`), what goes wrong (`complaints.py`),
and anything about one warehouse, which is in the file named after it.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import pyarrow as pa

ROWS_PER_BATCH = 122_880  # DuckDB gives its rows in these, so that they need not be cut and joined
STATEMENT_TIMEOUT_SECONDS = 3600.0


class CsvDialect(Protocol):
    """How CSV files are written; nothing about them is guessed."""

    @property
    def delimiter(self) -> str:
        """What stands between two fields."""
        ...

    @property
    def quote(self) -> str | None:
        """What encloses a field that holds delimiters or newlines."""
        ...

    @property
    def escape(self) -> str | None:
        """What stands before a quote inside a quoted field, where it is not doubled."""
        ...

    @property
    def encoding(self) -> str:
        """The encoding of the bytes, by Python's name."""
        ...

    @property
    def header(self) -> bool:
        """Whether the first line names the columns."""
        ...

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """(name in the file, our name); without a header our names by position, as ("", name)."""
        ...

    @property
    def null_values(self) -> tuple[str, ...]:
        """What is written for a value that is not there."""
        ...


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view, as the user names it: `marts.subscribers`, or with quotes `"Marts"."Subscribers"`."""

    name: str


@dataclass(frozen=True, slots=True)
class Query:
    """One SELECT in the warehouse's own SQL."""

    sql: str


@dataclass(frozen=True, slots=True)
class Files:
    """Files by a path, a folder or a pattern (`exports/*.csv`), relative to the warehouse's folder, or a URL."""

    pattern: str
    csv: CsvDialect | None = None


Relation = Table | Query | Files


@dataclass(frozen=True, slots=True)
class Days:
    """Rows whose `column` lies in [start, end). A column without a time zone is read as UTC; NULL is in no day."""

    column: str
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"Days must end after they start: {self.start} to {self.end}")

    @property
    def start_utc(self) -> datetime:
        """The first instant, as UTC; a start without a zone is UTC."""
        return _as_utc(self.start)

    @property
    def end_utc(self) -> datetime:
        """The first instant that is no longer in the window, as UTC."""
        return _as_utc(self.end)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Rows whose address hashes to `index` of `count`: one person stays in one bucket, in every run.

    The hash is the first 32 bits of the MD5 of `lower(trim(column))`, in every warehouse; NULL is the empty text. Rows
    whose address is spelt oddly are in every bucket's window: whom they are about, and so where they belong, is no
    question for SQL. Odd is a dot at the end, and any character but ASCII letters, digits, and @ . _ + -
    """

    column: str
    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"A bucket's index must be from 0 to count - 1: {self.index} of {self.count}")


Window = Days | Bucket


class Batches(Iterator[pa.RecordBatch]):
    """The rows of one read, batch by batch, and the schema that all of them have."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.schema = schema
        self.rows = 0
        self._batches = batches

    def __next__(self) -> pa.RecordBatch:
        batch = next(self._batches)
        self.rows += batch.num_rows
        return batch


class Warehouse(Protocol):
    """One open connection to the place where the rows are; one read at a time, and nothing is ever written.

    Every method raises `WarehouseError` and nothing else of the driver's: in the user's terms, without values.
    """

    @property
    def dialect(self) -> str:
        """The SQL dialect, by sqlglot's name; empty when the warehouse knows no SQL."""
        ...

    def columns(self, relation: Relation) -> pa.Schema:
        """Every column of the relation with its plain type; the metadata `warehouse_type` has its own type."""
        ...

    def read(
        self,
        relation: Relation,
        *,
        columns: Sequence[str],
        window: Window | None = None,
        rows_per_batch: int = ROWS_PER_BATCH,
    ) -> AbstractContextManager[Batches]:
        """Stream `columns`, named as asked and in that order; whole, or ended by an error, never silently short."""
        ...

    def count(self, relation: Relation, *, window: Window | None = None) -> int | None:
        """The exact number of rows that a read would give, or None when that costs about as much as reading."""
        ...

    def close(self) -> None:
        """Give back the connection; closing twice is allowed."""
        ...


def _as_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
