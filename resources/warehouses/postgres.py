"""PostgreSQL, and Redshift where it is the same: streamed through ADBC's binary COPY.

`postgresql://user:password@host:5432/database`; all parameters of libpq go (`?sslmode=verify-full`).

Here: all that is PostgreSQL's own. Everything runs in one REPEATABLE READ, READ ONLY transaction: whatever is
read through one warehouse comes from one moment, and nothing can be written, whatever a query says. What Arrow
cannot hold (`citext`, `numeric`, enums, `inet`, …) is cast to text in SQL; dates at infinity become the last day.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import pyarrow as pa

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

try:
    from adbc_driver_manager._reader import AdbcRecordBatchReader
    from adbc_driver_postgresql import dbapi
except ImportError:
    raise complaints.driver_missing("adbc-driver-postgresql", extra="postgres") from None

NAME = "PostgreSQL"
BYTES_WORTH_COUNTING = 512 * 1024 * 1024
# A peer that vanished without a word is noticed within a minute, not after the two hours of the system.
CONNECTION = {
    "connect_timeout": "15",
    "application_name": "mailtrap-contacts",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
_TRIMMED = "MD5(LOWER(BTRIM(COALESCE(CAST({column} AS TEXT), ''), CHR(32) || CHR(9) || CHR(13) || CHR(10))))"
# As statement.odd_address() has it, in half the time; letter by letter, because ranges are the collation's affair.
ODD_ADDRESS = f"CAST({{column}} AS VARCHAR) ~ '[^{statement.PLAIN_LETTERS}]|[.]$'"
HASHES = {
    "postgres": f"CAST(CAST('x' || LEFT({_TRIMMED}, 8) AS BIT(32)) AS BIGINT) & 4294967295",
    "redshift": f"STRTOL(LEFT({_TRIMMED}, 8), 16)",
}


def open_warehouse(
    url: str, *, statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS
) -> "PostgresWarehouse":
    """The database at this URL, in a read-only transaction."""
    return PostgresWarehouse(url, statement_timeout_seconds=statement_timeout_seconds)


def open_for_writing(url: str) -> Any:
    """A connection for a transaction of `write_back`."""
    with complaints.border(lambda error: _cannot_connect(url, error)):
        return dbapi.connect(_libpq_url(url))


class PostgresWarehouse:
    """One connection, and on it one read-only transaction that sees one moment."""

    def __init__(self, url: str, *, statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS) -> None:
        self.dialect = "redshift" if url.startswith("redshift") else "postgres"
        self._grammar = Grammar(
            dialect=self.dialect,
            address_hash=HASHES[self.dialect],
            odd_address=ODD_ADDRESS,
            decode=_decode,
        )
        self._timeout_seconds = statement_timeout_seconds
        self._closed = False
        with complaints.border(lambda error: _cannot_connect(url, error)):
            self._connection: Any = dbapi.connect(_libpq_url(url), autocommit=True)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def columns(self, relation: Relation) -> pa.Schema:
        """Every column with its plain type and PostgreSQL's own."""
        return statement.schema_of(self._describe(self._source(relation), relation))

    @contextlib.contextmanager
    def read(
        self,
        relation: Relation,
        *,
        columns: Sequence[str],
        window: Window | None = None,
        rows_per_batch: int = ROWS_PER_BATCH,
    ) -> Iterator[Batches]:
        """Stream the columns by COPY; memory holds a few batches, whatever the size of the table."""
        source = self._source(relation)
        known, grammar = self._describe(source, relation), self._grammar
        found = statement.select(
            source.sql, known, columns=columns, relation=relation, grammar=grammar, window=window
        )
        with self._running(found.sql, relation) as reader:
            batches = complaints.guarded(reader, self._complaint_about(relation))
            yield plain.stream(batches, found.schema, rows_per_batch=rows_per_batch)

    def count(self, relation: Relation, *, window: Window | None = None) -> int | None:
        """The number of rows of a table of less than half a gigabyte; else it costs as much as reading."""
        if not isinstance(relation, Table):
            return None
        source = self._source(relation)
        if source.bytes_to_scan is None or source.bytes_to_scan > BYTES_WORTH_COUNTING:
            return None
        column = (
            statement.find_window_column(window, self._describe(source, relation), relation)
            if window
            else None
        )
        sql = statement.count(source.sql, grammar=self._grammar, window=window, window_column=column)
        return int(self._rows(sql, relation)[0][0])

    def close(self) -> None:
        """End the transaction and close the connection."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(Exception):  # a lost connection cannot be closed politely
                self._connection.close()

    def _begin(self) -> None:
        isolation = "REPEATABLE READ" if self._is_postgres else "SERIALIZABLE"
        self._execute(f"BEGIN ISOLATION LEVEL {isolation} READ ONLY")
        self._execute(f"SET statement_timeout TO {max(1, round(self._timeout_seconds * 1000))}")
        self._execute("SET TimeZone TO 'UTC'")

    @property
    def _is_postgres(self) -> bool:
        return self.dialect == "postgres"

    def _source(self, relation: Relation) -> "_Source":
        if isinstance(relation, Files):
            raise complaints.not_readable("files", NAME, remedy=complaints.FILES_REMEDY)
        if isinstance(relation, Query):
            return _Source(statement.from_clause(relation, (), self.dialect), None)
        schemas = [row[0] for row in self._rows(_SCHEMAS, relation)]
        database = self._rows("SELECT CAST(current_database() AS TEXT)", relation)[0][0]
        tables = {(database, *row[:2]): row[2] for row in self._rows(_CATALOGUE, relation)}
        found = statement.find_table(relation.name, list(tables), preferred=schemas)
        size = self._size(found, relation) if tables[found] in ("r", "m") else None
        return _Source(statement.from_clause(relation, found[1:], self.dialect), size)

    def _size(self, found: tuple[str, ...], relation: Relation) -> int | None:
        if not self._is_postgres:
            return 0  # columns of Redshift are counted from their headers
        name = ".".join(statement.quoted(part, self.dialect) for part in found[1:])
        literal = statement.text(name, self.dialect)
        return int(self._rows(f"SELECT pg_table_size(CAST({literal} AS regclass))", relation)[0][0])

    def _describe(self, source: "_Source", relation: Relation) -> list[Column]:
        with self._running(f"SELECT * FROM {source.sql} LIMIT 0", relation) as stream:
            schema = stream.schema
            list(stream)
        if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
            raise complaints.query_refused(f"more than one column is named {', '.join(twice)}")
        if not self._is_postgres:
            return [Column(field.name, str(field.type), plain.plain_type(field.type)) for field in schema]
        types = self._rows(_types_of(source.sql, schema.names), relation)[0]
        listed = ", ".join(str(int(oid)) for oid in types) or "0"
        kinds = {oid: kind for oid, *kind in self._rows(_KINDS.replace("{oids}", listed), relation)}
        return [_column(name, *kinds[oid]) for name, oid in zip(schema.names, types, strict=True)]

    def _rows(self, sql: str, relation: Relation) -> list[tuple[Any, ...]]:
        with self._running(sql, relation) as stream, complaints.border(self._complaint_about(relation)):
            return [tuple(row.values()) for batch in stream for row in batch.to_pylist()]

    def _execute(self, sql: str) -> None:
        with complaints.border(self._complaint_about(None)), self._connection.cursor() as cursor:
            cursor.execute(sql)

    @contextlib.contextmanager
    def _running(self, sql: str, relation: Relation) -> Iterator["_Stream"]:
        cursor = self._connection.cursor()
        stream: _Stream | None = None
        try:
            with complaints.border(self._complaint_about(relation)):
                cursor.execute(sql)
                # The public fetch_record_batch() loses the SQLSTATE of an error in mid-stream; this reader keeps it.
                handle = cursor.fetch_arrow()
                stream = _Stream(AdbcRecordBatchReader._import_from_c(handle.address))  # noqa: SLF001
            yield stream
        finally:
            self._end(cursor, stream)

    def _end(self, cursor: Any, stream: "_Stream | None") -> None:
        """Close the cursor; after an error or half a stream the transaction is spoilt, and a new one begins."""
        whole = stream is not None and stream.ended
        close: list[Callable[[], object]] = [stream.close, cursor.close] if stream else [cursor.close]
        renew: list[Callable[[], object]] = [lambda: self._execute("ROLLBACK"), self._begin]
        for step in close if whole else [cursor.adbc_cancel, *close, *renew]:
            with contextlib.suppress(Exception):  # it may be the lost connection itself that we close
                step()

    def _complaint_about(self, relation: Relation | None) -> complaints.Translate:
        return lambda error: _translate(error, relation=relation, timeout_seconds=self._timeout_seconds)


@dataclass(frozen=True, slots=True)
class _Source:
    """What stands behind FROM, and how much the server would scan to count it (None: nobody knows)."""

    sql: str
    bytes_to_scan: int | None


class _Stream:
    """A driver's reader that knows whether it was read to its end."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self.schema: pa.Schema = reader.schema
        self.ended = False
        self._reader = reader

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield from self._reader
        self.ended = True

    def close(self) -> None:
        """Give up what was not read."""
        self._reader.close()


def _libpq_url(url: str) -> str:
    parts = urlsplit(url)
    chosen = {**CONNECTION, **dict(parse_qsl(parts.query, keep_blank_values=True))}
    host = parts.netloc
    if parts.scheme.startswith("redshift") and parts.port is None:
        host += ":5439"
    return urlunsplit(("postgresql", host, parts.path, urlencode(chosen, quote_via=quote), ""))


def _types_of(source: str, names: Sequence[str]) -> str:
    """One row of type numbers: pg_typeof knows the type of a NULL too, so that an empty source has one."""
    types = ", ".join(
        f"CAST(CAST(pg_typeof(s.{statement.quoted(name, 'postgres')}) AS oid) AS bigint) AS t{number}"
        for number, name in enumerate(names)
    )
    return f"SELECT {types} FROM (SELECT 1) AS one LEFT JOIN (SELECT * FROM {source} LIMIT 0) AS s ON true"


def _column(name: str, native: str, base: str, category: str) -> Column:
    return Column(name, native, plain.TEXTS if category == "A" else _PLAIN.get(base, plain.TEXT))


def _decode(column: Column, quoted: str) -> str:
    if column.plain in _OUTSIDE:
        name, first, last = _OUTSIDE[column.plain]
        # infinity has no place in Arrow: it becomes the day after the last one, which every rule refuses and no calendar has.
        return (
            f"CASE WHEN {quoted} > {name} '{last}' THEN {name} '{last}' "
            f"WHEN {quoted} < {name} '{first}' THEN {name} '{first}' ELSE {quoted} END"
        )
    if column.plain == plain.TEXTS:
        return f"CAST({quoted} AS TEXT[])"
    if column.native == "text" or column.plain != plain.TEXT:
        return quoted
    return f"CAST({quoted} AS TEXT)"


def _cannot_connect(url: str, error: Exception) -> WarehouseError:
    words = str(error)
    for said, why, remedy, transient in _DOORS:
        if said in words:
            return complaints.cannot_connect(url, why, remedy=remedy, transient=transient)
    return complaints.cannot_connect(url, complaints.code_of(error), remedy=_REMEDY, transient=True)


def _translate(error: Exception, *, relation: Relation | None, timeout_seconds: float) -> WarehouseError:
    state = getattr(error, "sqlstate", None) or ""
    if state == "57014":
        return complaints.too_slow(timeout_seconds)
    if state == "42501":
        return complaints.no_permission(statement.in_words(relation))
    if state.startswith(("42", "25", "0A")):
        return complaints.query_refused(_REFUSALS.get(state, f"{NAME} does not understand it ({state})"))
    if state.startswith("22"):
        return complaints.values_refused(NAME, state)
    if not state or state[:2] in ("08", "53", "57", "58", "40", "XX"):
        return complaints.connection_lost(NAME, state or complaints.code_of(error))
    return complaints.unexpected(NAME, state)


_REMEDY = "Check host, port and network, and that the server is up; then run it again."
_MEND = "Correct CONTACTS_WAREHOUSE: postgresql://user:password@host:5432/database."
_DOORS: tuple[tuple[str, str, str, bool], ...] = (
    ("password authentication failed", "the server refused the user or the password", _MEND, False),
    ("no password supplied", "the server wants a password", _MEND, False),
    (
        "no pg_hba.conf entry",
        "the server does not admit this user from this host",
        "Ask its administrator to admit it.",
        False,
    ),
    ("could not translate host name", "there is no such host", _MEND, True),
    ("Connection refused", "nobody listens there", _REMEDY, True),
    ("timeout expired", "nobody answered in time", _REMEDY, True),
    ("starting up", "the server is starting", _REMEDY, True),
    ("too many", "the server has no connection left", _REMEDY, True),
    ("remaining connection slots", "the server has no connection left", _REMEDY, True),
    ("database", "the server has no such database, or this user may not connect to it", _MEND, False),
    ("role", "the server does not know the user", _MEND, False),
    ("SSL", "the encrypted connection could not be made", "Check sslmode and the certificates.", False),
    ("invalid", "the URL has a part that PostgreSQL does not know", _MEND, False),
)
_REFUSALS = {
    "42P01": "it names a table that does not exist",
    "42703": "it names a column that does not exist",
    "42883": "it calls a function that does not exist",
    "42601": "it has a syntax error",
    "25006": "it changes something, and this connection only reads",
    "42702": "a column in it could belong to more than one table",
}
_SCHEMAS = "SELECT CAST(unnest(current_schemas(false)) AS text) AS name"
_CATALOGUE = """
SELECT CAST(n.nspname AS text) AS schema, CAST(c.relname AS text) AS name, CAST(c.relkind AS text) AS kind
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"""
_KINDS = """
WITH RECURSIVE unwrapped (oid, base) AS (
    SELECT oid, oid FROM pg_type WHERE oid IN ({oids})
    UNION ALL
    SELECT u.oid, t.typbasetype FROM unwrapped AS u JOIN pg_type AS t ON t.oid = u.base WHERE t.typtype = 'd'
)
SELECT CAST(u.oid AS bigint) AS oid, format_type(u.oid, NULL) AS native, format_type(t.oid, NULL) AS base,
    CAST(t.typcategory AS text) AS category
FROM unwrapped AS u JOIN pg_type AS t ON t.oid = u.base WHERE t.typtype <> 'd'"""
_PLAIN: dict[str, pa.DataType] = {
    "boolean": plain.BOOLEAN,
    **dict.fromkeys(("smallint", "integer", "bigint"), plain.INTEGER),
    **dict.fromkeys(("real", "double precision"), plain.FLOAT),
    "date": plain.DATE,
    "timestamp without time zone": plain.TIMESTAMP,
    "timestamp with time zone": plain.INSTANT,
}
_OUTSIDE = {
    plain.DATE: ("DATE", "0001-12-31 BC", "10000-01-01"),
    plain.TIMESTAMP: ("TIMESTAMP", "0001-12-31 00:00:00 BC", "10000-01-01 00:00:00"),
    plain.INSTANT: ("TIMESTAMPTZ", "0001-12-31 00:00:00+00 BC", "10000-01-01 00:00:00+00"),
}
