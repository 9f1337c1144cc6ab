"""Rows that somebody hands us, as a warehouse: frames in memory, or the paths of files that somebody wrote.

`FramesWarehouse("marts/subscribers", [Part("", load)])` reads what `load()` gives: a pandas or polars frame, an Arrow
table, whatever else speaks Arrow's C stream, or the path or URL of files. Of several parts, one at a time is held.

Here: from such a value to batches. Not here: whose value it is (`assets/upstream.py`), how files are read (`files.py`).
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa

from resources.errors import WarehouseError
from resources.warehouses import complaints, plain, statement, windows
from resources.warehouses.contract import (
    ROWS_PER_BATCH,
    Batches,
    CsvDialect,
    Files,
    Relation,
    Table,
    Window,
)
from resources.warehouses.files import FilesWarehouse


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the rows: where they come from, in words for a message, and how to get at them."""

    label: str
    load: Callable[[], object]


class FramesWarehouse:
    """The rows of one asset, part by part."""

    dialect = ""

    def __init__(self, name: str, parts: Sequence[Part], *, csv: CsvDialect | None = None) -> None:
        self._name, self._parts, self._csv = name, parts, csv
        self._files = FilesWarehouse("files:")
        self._held: tuple[int, _Rows] | None = None

    def columns(self, relation: Relation) -> pa.Schema:
        """Every column of the first part."""
        self._require(relation)
        return self._rows(0).columns()

    @contextlib.contextmanager
    def read(
        self,
        relation: Relation,
        *,
        columns: Sequence[str],
        window: Window | None = None,
        rows_per_batch: int = ROWS_PER_BATCH,
    ) -> Iterator[Batches]:
        """Stream the columns, part after part, all in the types of the first."""
        self._require(relation)
        parts = self._read_parts(columns, window, rows_per_batch)
        schema = (first := next(parts)).schema
        batches = chain.from_iterable(plain.convert(part, schema) for part in chain([first], parts))
        yield plain.stream(batches, schema, rows_per_batch=rows_per_batch)

    def count(self, relation: Relation, *, window: Window | None = None) -> int | None:  # noqa: ARG002
        """Not without loading it."""
        self._require(relation)
        return None

    def close(self) -> None:
        """Let go of what was loaded."""
        self._held = None
        self._files.close()

    def _require(self, relation: Relation) -> None:
        if not isinstance(relation, Table):
            raise complaints.not_readable(
                statement.in_words(relation), f"Asset {self._name}", remedy="Name the asset alone."
            )
        if relation.name != self._name:
            raise complaints.table_not_found(relation.name, [self._name])

    def _read_parts(
        self, columns: Sequence[str], window: Window | None, rows_per_batch: int
    ) -> Iterator[Batches]:
        for at in range(len(self._parts)):
            with self._rows(at).read(columns, window, rows_per_batch) as batches:
                yield batches

    def _rows(self, at: int) -> "_Rows":
        if self._held is None or self._held[0] != at:
            self._held = None  # before the next one is loaded
            part = self._parts[at]
            words = f"asset {self._name}" + (f" ({part.label})" if part.label else "")
            self._held = (at, self._opened(part.load(), words))
        return self._held[1]

    def _opened(self, value: object, words: str) -> "_Rows":
        if isinstance(value, str | os.PathLike):
            return _FileRows(self._files, Files(os.fspath(value), self._csv))
        return _FrameRows(_frame(value, words), words)


class _Rows(Protocol):
    """What is asked of a part."""

    def columns(self) -> pa.Schema:
        """Every column."""
        ...

    def read(
        self, columns: Sequence[str], window: Window | None, rows_per_batch: int
    ) -> contextlib.AbstractContextManager[Batches]:
        """As `Warehouse.read`."""
        ...


@dataclass(frozen=True, slots=True)
class _FileRows:
    """A part that lies in files."""

    warehouse: FilesWarehouse
    files: Files

    def columns(self) -> pa.Schema:
        return self.warehouse.columns(self.files)

    def read(
        self, columns: Sequence[str], window: Window | None, rows_per_batch: int
    ) -> contextlib.AbstractContextManager[Batches]:
        return self.warehouse.read(self.files, columns=columns, window=window, rows_per_batch=rows_per_batch)


@dataclass(frozen=True, slots=True)
class _FrameRows:
    """A part that is in memory: columns by name, each as the frame has it."""

    frame: Mapping[str, Any]
    words: str

    def columns(self) -> pa.Schema:
        return plain.plain_schema(self._table(list(self.frame)).schema)

    @contextlib.contextmanager
    def read(self, columns: Sequence[str], window: Window | None, rows_per_batch: int) -> Iterator[Batches]:
        needed = list(dict.fromkeys([*columns, *([window.column] if window else [])]))
        chosen = statement.pick(needed, {name: name for name in self.frame}, relation=self.words)
        table = self._table([chosen[name] for name in needed])
        kinds = [plain.plain_type(field.type) for field in table.schema]
        schema = pa.schema(list(zip(needed, kinds, strict=True)))
        rows = plain.convert(table.to_batches(max_chunksize=rows_per_batch), schema)
        if window:
            rows = windows.inside(rows, window, schema)
        wanted = (batch.select(list(columns)) for batch in rows)
        yield plain.stream(
            wanted, pa.schema([schema.field(name) for name in columns]), rows_per_batch=rows_per_batch
        )

    def _table(self, names: Sequence[str]) -> pa.Table:
        return pa.table([self._arrow(name) for name in names], names=list(names))

    def _arrow(self, name: str) -> pa.ChunkedArray:
        values = self.frame[name]
        try:
            found = values if isinstance(values, pa.ChunkedArray) else pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            raise WarehouseError(
                f"Column {name} of {self.words} holds values of more than one kind, or of one that no table has.",
                "A column has one type; nothing of the asset is used.",
                "Give the column one type in the asset, for example .astype('string').",
                outcome="data",
            ) from None
        return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])


def _frame(value: object, words: str) -> Mapping[str, Any]:
    """The columns of whatever is like a table; polars' lazy frames are collected."""
    with complaints.border(lambda _: _not_a_table(words, type(value).__name__)):
        if isinstance(value, pd.DataFrame):
            named = [name for name in value.index.names if name is not None and name not in value.columns]
            found = value.reset_index(named) if named else value
            return _by_name([(str(name), found.iloc[:, at]) for at, name in enumerate(found.columns)], words)
        collect = getattr(value, "collect", None)
        table = pa.table(collect() if callable(collect) else value)
        return _by_name(list(zip(table.column_names, table.columns, strict=True)), words)


def _by_name(columns: Sequence[tuple[str, Any]], words: str) -> Mapping[str, Any]:
    names = [name for name, _ in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise WarehouseError(
            f"More than one column of {words} is named {', '.join(twice)}.",
            "It is not clear which one is meant.",
            "Name the columns apart in the asset.",
        )
    return dict(columns)


def _not_a_table(words: str, kind: str) -> WarehouseError:
    return WarehouseError(
        f"What {words} gives is not a table ({kind}).",
        "A source is a pandas or polars frame, an Arrow table, or the path of Parquet, CSV or JSON-lines files.",
        "Let the asset return one of these, or name its table by `table:`.",
    )
