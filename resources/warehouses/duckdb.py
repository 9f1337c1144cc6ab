"""A DuckDB file, or MotherDuck: opened read-only, streamed by DuckDB itself.

`duckdb:///relative/file.duckdb`, `duckdb:////absolute/file.duckdb`, `duckdb:///:memory:`, `md:database`.
Parameters of the URL are DuckDB settings: `duckdb:///file.duckdb?memory_limit=4GB&threads=4`.

Here: all that is DuckDB's own. While the file is open read-only, no other process can write it: whatever is read
through one warehouse comes from one state of the database.
"""

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import duckdb
import pyarrow as pa

from resources import memory
from resources.errors import WarehouseError
from resources.warehouses import complaints, plain, statement
from resources.warehouses.contract import (
    ROWS_PER_BATCH,
    STATEMENT_TIMEOUT_SECONDS,
    Batches,
    Files,
    Query,
    Relation,
    Table,
    Window,
)
from resources.warehouses.statement import Column, Grammar

# DuckDB keeps what it read up to this limit: with a high one, memory would grow with the table after all.
DEFAULT_SETTINGS = {"memory_limit": "128MB", "threads": str(min(4, os.cpu_count() or 1))}
ADDRESS_HASH = "CAST('0x' || left(md5(lower(trim(coalesce(CAST({column} AS VARCHAR), ''), E' \\t\\r\\n'))), 8) AS BIGINT)"
# As statement.odd_address() has it; TRANSLATE would take DuckDB longer than the hash.
ODD_ADDRESS = "regexp_matches(CAST({column} AS VARCHAR), '[^A-Za-z0-9@._+-]|[.]$')"


def open_warehouse(
    url: str, *, statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS
) -> "DuckDBWarehouse":
    """The database at this URL, read-only."""
    return DuckDBWarehouse(url, statement_timeout_seconds=statement_timeout_seconds)


def open_for_writing(url: str) -> duckdb.DuckDBPyConnection:
    """The database at this URL, for a transaction of `write_back`; it must be there already."""
    parts = urlsplit(url)
    database = _database(unquote(parts.netloc + parts.path))
    config: dict[str, Any] = {
        **DEFAULT_SETTINGS,
        "temp_directory": _spill_folder(),
        **dict(parse_qsl(parts.query)),
    }
    with complaints.border(lambda error: _cannot_open(url, error)):
        if not Path(database).is_file():
            raise FileNotFoundError("does not exist")
        return duckdb.connect(database, config=config)


class DuckDBWarehouse:
    """One DuckDB database, opened for reading only."""

    dialect = "duckdb"

    def __init__(self, url: str, *, statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = statement_timeout_seconds
        self._connection = _open(url, {**DEFAULT_SETTINGS, "temp_directory": _spill_folder()})
        with contextlib.suppress(duckdb.Error):  # without the icu extension there is no other zone
            self._connection.execute("SET GLOBAL TimeZone = 'UTC'")

    def columns(self, relation: Relation) -> pa.Schema:
        """Every column with its plain type and DuckDB's own."""
        return statement.schema_of(self._columns(self._source(relation)))

    @contextlib.contextmanager
    def read(
        self,
        relation: Relation,
        *,
        columns: Sequence[str],
        window: Window | None = None,
        rows_per_batch: int = ROWS_PER_BATCH,
    ) -> Iterator[Batches]:
        """Stream the columns; memory holds a few batches, whatever the size of the table."""
        source = self._source(relation)
        found = statement.select(
            source, self._columns(source), columns=columns, relation=relation, grammar=GRAMMAR, window=window
        )
        with self._cursor() as cursor:
            with complaints.border(self._complain), self._deadline(cursor):
                # con.execute() would materialise the whole result; only this streams.
                reader = cursor.sql(found.sql).to_arrow_reader(rows_per_batch)
            batches = complaints.guarded(self._timed(reader, cursor), self._complain)
            yield plain.stream(batches, found.schema, rows_per_batch=rows_per_batch)

    def count(self, relation: Relation, *, window: Window | None = None) -> int | None:
        """The number of rows of a table or view; a query would have to be run for it."""
        if not isinstance(relation, Table):
            return None
        source = self._source(relation)
        column = statement.find_window_column(window, self._columns(source), relation)
        rows = self._rows(statement.count(source, grammar=GRAMMAR, window=window, window_column=column))
        return int(rows[0][0])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _source(self, relation: Relation) -> str:
        if isinstance(relation, Files):
            raise complaints.not_readable("files", "DuckDB", remedy=complaints.FILES_REMEDY)
        if isinstance(relation, Query):
            return statement.from_clause(relation, (), "duckdb")
        catalogue = self._rows(_CATALOGUE)
        current = self._rows("SELECT current_database(), current_schema()")[0]
        found = statement.find_table(
            relation.name, _here_first(catalogue, current[0]), preferred=[current[1]]
        )
        return statement.from_clause(relation, found, "duckdb")

    def _columns(self, source: str) -> list[Column]:
        rows = self._rows(f"DESCRIBE SELECT * FROM {source}")
        return [Column(name, native, _plain(native)) for name, native, *_ in rows]

    def _rows(self, sql: str) -> list[tuple[str, ...]]:
        with self._cursor() as cursor, complaints.border(self._complain), self._deadline(cursor):
            return cursor.sql(sql).fetchall()

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with complaints.border(self._complain), _Readers.lock:
            cursor = self._connection.cursor()
            _Readers.count += 1
        try:
            yield cursor
        finally:
            cursor.close()
            with _Readers.lock:
                _Readers.count -= 1
                if _Readers.count == 0:
                    memory.empty(self._connection)  # a run keeps its warehouse open until it ends

    def _timed(
        self, reader: pa.RecordBatchReader, cursor: duckdb.DuckDBPyConnection
    ) -> Iterator[pa.RecordBatch]:
        while True:
            with self._deadline(cursor):
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
            yield batch

    @contextlib.contextmanager
    def _deadline(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        # DuckDB has no statement timeout of its own. Only its own time counts, not the consumer's between batches.
        timer = threading.Timer(self._timeout_seconds, cursor.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _complain(self, error: Exception) -> WarehouseError:
        return _translate(error, timeout_seconds=self._timeout_seconds)


class _Readers:
    """Who reads in this process: a file that is opened twice in it has one memory limit."""

    lock = threading.Lock()
    count = 0


@functools.cache
def _spill_folder() -> str:
    """Where sorts and joins of a query may spill people's data: ours alone, gone with the process.

    One for the process: DuckDB refuses to open a file twice with different settings.
    """
    folder = tempfile.mkdtemp(prefix="contacts-duckdb-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _open(url: str, settings: Mapping[str, str]) -> duckdb.DuckDBPyConnection:
    if url.split(":", 1)[0] in ("md", "motherduck"):
        with complaints.border(lambda error: _cannot_open(url, error)):
            return duckdb.connect(url, config=dict(settings))
    parts = urlsplit(url)
    database = _database(unquote(parts.netloc + parts.path))
    chosen = {**settings, **dict(parse_qsl(parts.query))}
    with complaints.border(lambda error: _cannot_open(url, error)):
        return duckdb.connect(database, read_only=database != ":memory:", config=dict(chosen))


def _database(path: str) -> str:
    """`/relative` and `//absolute` as in SQLAlchemy; `/absolute` too, where only that file exists."""
    if path in ("", "/", "/:memory:"):
        return ":memory:"
    relative = path.removeprefix("/")
    if not Path(relative).exists() and Path(path).exists():
        return path
    return relative


def _here_first(catalogue: Sequence[tuple[str, ...]], database: str) -> list[tuple[str, ...]]:
    """A name without a database means the database that was opened, where it has such a table."""
    here = [each for each in catalogue if each[0] == database]
    return here or list(catalogue)


def _decode(column: Column, quoted: str) -> str:
    if column.plain in _OUTSIDE:
        name, first, last = _OUTSIDE[column.plain]
        # infinity has no place in Arrow: it becomes the day after the last one, which every rule refuses and no calendar has.
        return (
            f"CASE WHEN {quoted} > {name} '{last}' THEN {name} '{last}' "
            f"WHEN {quoted} < {name} '{first}' THEN {name} '{first}' ELSE CAST({quoted} AS {name}) END"
        )
    cast = {plain.INTEGER: "BIGINT", plain.BOOLEAN: "BOOLEAN", plain.TEXTS: "VARCHAR[]"}.get(
        column.plain, "VARCHAR"
    )
    if column.plain == plain.FLOAT:
        cast = "DOUBLE" if column.native == "DOUBLE" else "VARCHAR"
    return quoted if cast == column.native else f"CAST({quoted} AS {cast})"


def _plain(native: str) -> pa.DataType:
    if native.endswith("]"):
        return plain.TEXTS
    if native.startswith("DECIMAL("):
        precision, scale = native[8:-1].split(",")
        return plain.INTEGER if int(scale) == 0 and int(precision) <= plain.DIGITS_OF_INT64 else plain.TEXT
    return _PLAIN.get(native, plain.TEXT)


def _cannot_open(url: str, error: Exception) -> WarehouseError:
    words = str(error)
    if "Could not set lock" in words or "different configuration" in words:
        return complaints.cannot_connect(
            url,
            "another process has the file open for writing",
            remedy="Run it again when that one has finished.",
        )
    why = "there is no such file" if "does not exist" in words else complaints.code_of(error)
    why = "the file is not a DuckDB database" if "not a valid DuckDB database" in words else why
    return complaints.cannot_connect(
        url,
        why,
        remedy="Check CONTACTS_WAREHOUSE: duckdb:///relative/path or duckdb:////absolute/path.",
        transient=False,
    )


def _translate(error: Exception, *, timeout_seconds: float) -> WarehouseError:
    code = complaints.code_of(error)
    if isinstance(error, duckdb.InterruptException) or "INTERRUPT" in str(error):
        return complaints.too_slow(timeout_seconds)
    if isinstance(
        error, duckdb.ConversionException | duckdb.OutOfRangeException | duckdb.InvalidInputException
    ):
        return complaints.values_refused("DuckDB", code)
    if isinstance(error, duckdb.ParserException | duckdb.BinderException | duckdb.CatalogException):
        return complaints.query_refused(f"DuckDB does not understand it ({code})")
    if isinstance(error, duckdb.OutOfMemoryException):
        return complaints.out_of_memory(
            "DuckDB", remedy="Raise it in the URL: duckdb:///file.duckdb?memory_limit=4GB."
        )
    if isinstance(error, duckdb.PermissionException):
        return complaints.no_permission("the source")
    if isinstance(error, duckdb.IOException | duckdb.ConnectionException | duckdb.HTTPException | OSError):
        return complaints.connection_lost("DuckDB", code)
    return complaints.unexpected("DuckDB", code)


_CATALOGUE = """
SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE NOT internal
UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT internal
ORDER BY ALL"""
_WHOLE_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_PLAIN: dict[str, pa.DataType] = {
    **dict.fromkeys(_WHOLE_NUMBERS, plain.INTEGER),
    "BOOLEAN": plain.BOOLEAN,
    "FLOAT": plain.FLOAT,
    "DOUBLE": plain.FLOAT,
    "DATE": plain.DATE,
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), plain.TIMESTAMP),
    "TIMESTAMP WITH TIME ZONE": plain.INSTANT,
}
_OUTSIDE = {
    plain.DATE: ("DATE", "0001-12-31 (BC)", "10000-01-01"),
    plain.TIMESTAMP: ("TIMESTAMP", "0001-12-31 (BC) 00:00:00", "10000-01-01 00:00:00"),
    plain.INSTANT: ("TIMESTAMPTZ", "0001-12-31 (BC) 00:00:00+00", "10000-01-01 00:00:00+00"),
}
GRAMMAR = Grammar(dialect="duckdb", address_hash=ADDRESS_HASH, odd_address=ODD_ADDRESS, decode=_decode)
