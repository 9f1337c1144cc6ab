"""Snowflake: streamed in Arrow batches by Snowflake's own driver.

`snowflake://user:password@account/database/schema?warehouse=WH&role=READER`; every other parameter goes to
`snowflake.connector.connect` (`private_key_file=…`, `authenticator=externalbrowser`).

Here: all that is Snowflake's own. Snowflake has no read-only transaction: what keeps a source from writing is that
a query is proven to be one SELECT, and the role. Each read is one statement, and sees one moment; two reads see two.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

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

NAME = "Snowflake"
ADDRESS_HASH = (
    "TO_NUMBER(LEFT(MD5(LOWER(TRIM(COALESCE(CAST({column} AS VARCHAR), ''), "
    "' ' || CHR(9) || CHR(13) || CHR(10)))), 8), 'XXXXXXXX')"
)


class Described(Protocol):
    """What the driver says of a column; `type_code` is Snowflake's number of the type."""

    @property
    def name(self) -> str:
        """The exact name."""
        ...

    @property
    def type_code(self) -> int:
        """See `_KINDS`."""
        ...

    @property
    def precision(self) -> int | None:
        """Digits of a number."""
        ...

    @property
    def scale(self) -> int | None:
        """Digits behind the point."""
        ...


class Cursor(Protocol):
    """The part of the driver's cursor that is used here."""

    @property
    def rowcount(self) -> int | None:
        """How many rows the result has."""
        ...

    def execute(self, operation: str) -> Any:
        """Run a statement."""
        ...

    def describe(self, operation: str) -> Any:
        """The columns of a statement, which is not run."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows."""
        ...

    def fetch_arrow_batches(self) -> Iterator[pa.Table]:
        """The rows as Arrow tables, downloaded as they are asked for."""
        ...

    def close(self) -> Any:
        """Give up the result."""
        ...


class Connection(Protocol):
    """The part of the driver's connection that is used here."""

    def cursor(self) -> Any:
        """A new cursor."""
        ...

    def close(self) -> Any:
        """End the session."""
        ...


def open_warehouse(
    url: str, *, statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS
) -> "SnowflakeWarehouse":
    """A session of Snowflake with the rights of its role."""
    try:
        import snowflake.connector as driver
    except ImportError:
        raise complaints.driver_missing("snowflake-connector-python", extra="snowflake") from None
    arguments = connect_arguments(url, statement_timeout_seconds=statement_timeout_seconds)
    with complaints.border(lambda error: cannot_connect(url, error)):
        connection = driver.connect(**arguments)
    return SnowflakeWarehouse(connection, statement_timeout_seconds=statement_timeout_seconds)


def connect_arguments(url: str, *, statement_timeout_seconds: float) -> dict[str, Any]:
    """What `snowflake.connector.connect` is given for a URL."""
    parts = urlsplit(url)
    names = [unquote(part) for part in parts.path.split("/") if part]
    account = unquote(parts.netloc.rsplit("@", 1)[-1])
    if not account:
        raise WarehouseError(
            "The Snowflake URL names no account.",
            remedy="CONTACTS_WAREHOUSE looks like snowflake://user:password@account/database/schema?warehouse=WH.",
        )
    given = {
        "account": account,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        **dict(zip(("database", "schema"), names, strict=False)),
        **dict(parse_qsl(parts.query)),
    }
    session = {
        "STATEMENT_TIMEOUT_IN_SECONDS": max(1, round(statement_timeout_seconds)),
        "TIMEZONE": "UTC",
        "QUERY_TAG": "mailtrap-contacts",
    }
    return {**{name: value for name, value in given.items() if value}, "session_parameters": session}


class SnowflakeWarehouse:
    """One session."""

    dialect = "snowflake"

    def __init__(
        self, connection: Connection, *, statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS
    ) -> None:
        self._connection = connection
        self._timeout_seconds = statement_timeout_seconds

    def columns(self, relation: Relation) -> pa.Schema:
        """Every column with its plain type and Snowflake's own."""
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
        """Stream the columns; the result lies at Snowflake, and is downloaded piece by piece."""
        source = self._source(relation)
        known = self._describe(source, relation)
        found = statement.select(
            source, known, columns=columns, relation=relation, grammar=GRAMMAR, window=window
        )
        complain = self._complaint_about(relation)
        with self._cursor() as cursor:
            with complaints.border(complain):
                cursor.execute(found.sql)
            batches = complaints.guarded(_whole(cursor), complain)
            yield plain.stream(batches, found.schema, rows_per_batch=rows_per_batch)

    def count(self, relation: Relation, *, window: Window | None = None) -> int | None:
        """The number of rows of a whole table, which Snowflake answers without reading it."""
        if window is not None or not isinstance(relation, Table):
            return None
        rows = self._rows(statement.count(self._source(relation), grammar=GRAMMAR), relation)
        return int(rows[0][0])

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(Exception):  # a lost session cannot be ended politely
            self._connection.close()

    def _source(self, relation: Relation) -> str:
        if isinstance(relation, Files):
            raise complaints.not_readable("files", NAME, remedy=complaints.FILES_REMEDY)
        if isinstance(relation, Query):
            return statement.from_clause(relation, (), self.dialect)
        catalogue, schema = self._catalogue(relation)
        found = statement.find_table(relation.name, catalogue, preferred=[schema] if schema else [])
        return statement.from_clause(relation, found, self.dialect)

    def _catalogue(self, relation: Table) -> tuple[list[tuple[str, ...]], str | None]:
        database, schema = self._rows("SELECT CURRENT_DATABASE(), CURRENT_SCHEMA()", relation)[0]
        parts = statement.name_parts(relation.name)
        if len(parts) == 3:
            known = [
                name
                for (name,) in self._rows("SELECT database_name FROM information_schema.databases", relation)
            ]
            database = statement.pick([parts[0]], {name: name for name in known}, relation=relation)[parts[0]]
        if not database:
            raise WarehouseError(
                f"No database is chosen for table {relation.name}.",
                remedy="Name it in the URL (snowflake://user@account/database/schema) or as database.schema.table.",
            )
        quoted = statement.quoted(database, self.dialect)
        rows = self._rows(
            f"SELECT table_catalog, table_schema, table_name FROM {quoted}.information_schema.tables "
            "WHERE table_schema <> 'INFORMATION_SCHEMA'",
            relation,
        )
        return [tuple(row) for row in rows], schema

    def _describe(self, source: str, relation: Relation) -> list[Column]:
        with self._cursor() as cursor, complaints.border(self._complaint_about(relation)):
            described: list[Described] = list(cursor.describe(f"SELECT * FROM {source}"))
        return [_column(each) for each in described]

    def _rows(self, sql: str, relation: Relation) -> list[Any]:
        with self._cursor() as cursor, complaints.border(self._complaint_about(relation)):
            cursor.execute(sql)
            return list(cursor.fetchall())

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        with complaints.border(self._complaint_about(None)):
            cursor: Cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            with contextlib.suppress(Exception):
                cursor.close()

    def _complaint_about(self, relation: Relation | None) -> complaints.Translate:
        return lambda error: _translate(error, relation=relation, timeout_seconds=self._timeout_seconds)


def _whole(cursor: Cursor) -> Iterator[pa.RecordBatch]:
    """Every batch; at the end as many rows as Snowflake announced, or an error."""
    rows = 0
    for table in cursor.fetch_arrow_batches():
        rows += table.num_rows
        yield from table.to_batches()
    if cursor.rowcount is not None and rows != cursor.rowcount:
        raise complaints.came_short(NAME, rows=rows, expected=cursor.rowcount)


def _column(described: Described) -> Column:
    native = _KINDS.get(described.type_code, "OTHER")
    if native == "NUMBER":
        precision, scale = described.precision or 38, described.scale or 0
        fits = scale == 0 and precision <= plain.DIGITS_OF_INT64
        return Column(described.name, f"NUMBER({precision},{scale})", plain.INTEGER if fits else plain.TEXT)
    return Column(described.name, native, _PLAIN.get(native, plain.TEXT))


def _decode(column: Column, quoted: str) -> str:
    if column.plain == plain.INSTANT:
        return f"CAST(CONVERT_TIMEZONE('UTC', {quoted}) AS TIMESTAMP_NTZ(6))"
    if column.plain == plain.TIMESTAMP:
        # Nanoseconds, Snowflake's default, cannot hold the years 1 and 9999.
        return f"CAST({quoted} AS TIMESTAMP_NTZ(6))"
    if column.native in ("OBJECT", "ARRAY", "MAP", "VECTOR"):
        return f"TO_JSON({quoted})"
    if column.plain != plain.TEXT or column.native == "VARCHAR":
        return quoted
    return f"TO_VARCHAR({quoted})"


def cannot_connect(url: str, error: Exception) -> WarehouseError:
    """Why the driver opened no session."""
    number = getattr(error, "errno", None)
    if number in (390100, 390144, 390201, 390189):
        why, remedy = "it refused the user, the password, the key or the role", "Correct CONTACTS_WAREHOUSE."
        return complaints.cannot_connect(url, why, remedy=remedy, transient=False)
    code = f"{complaints.code_of(error)} {number or ''}".strip()
    if complaints.code_of(error) == "ProgrammingError":
        # Before anything is sent: no user, no password, a key file that is not there.
        why, remedy = (
            f"the driver does not accept the URL's parameters ({code})",
            "Correct CONTACTS_WAREHOUSE.",
        )
        return complaints.cannot_connect(url, why, remedy=remedy, transient=False)
    return complaints.cannot_connect(
        url,
        code,
        remedy="Check account, network and status.snowflake.com.",
    )


def _translate(error: Exception, *, relation: Relation | None, timeout_seconds: float) -> WarehouseError:
    number, state = getattr(error, "errno", None), getattr(error, "sqlstate", None) or ""
    code = str(number) if number and number > 0 else state or complaints.code_of(error)
    if number in (604, 630) or state == "57014":
        return complaints.too_slow(timeout_seconds)
    if number == 3001 or state == "42501":
        return complaints.no_permission(statement.in_words(relation))
    if number == 2003 or state in ("02000", "42S02"):
        return complaints.query_refused(
            "it names something that does not exist, or that this role may not see"
        )
    if number == 606:
        return complaints.query_refused("no virtual warehouse is active: add ?warehouse=NAME to the URL")
    if state.startswith("42"):
        return complaints.query_refused(f"{NAME} does not understand it ({code})")
    if state.startswith("22"):
        return complaints.values_refused(NAME, code)
    if isinstance(error, OSError) or complaints.code_of(error) in _LOST or state.startswith("08"):
        return complaints.connection_lost(NAME, code)
    return complaints.unexpected(NAME, code)


_LOST = (
    "OperationalError",
    "InterfaceError",
    "InternalError",
    "HttpError",
    "RequestTimeoutError",
    "RevocationCheckError",
)
_KINDS = {
    0: "NUMBER",
    1: "FLOAT",
    2: "VARCHAR",
    3: "DATE",
    4: "TIMESTAMP_NTZ",
    5: "VARIANT",
    6: "TIMESTAMP_LTZ",
    7: "TIMESTAMP_TZ",
    8: "TIMESTAMP_NTZ",
    9: "OBJECT",
    10: "ARRAY",
    11: "BINARY",
    12: "TIME",
    13: "BOOLEAN",
    14: "GEOGRAPHY",
    15: "GEOMETRY",
    16: "VECTOR",
    17: "MAP",
}
_PLAIN: dict[str, pa.DataType] = {
    "FLOAT": plain.FLOAT,
    "DATE": plain.DATE,
    "BOOLEAN": plain.BOOLEAN,
    "TIMESTAMP_NTZ": plain.TIMESTAMP,
    "TIMESTAMP_LTZ": plain.INSTANT,
    "TIMESTAMP_TZ": plain.INSTANT,
}
GRAMMAR = Grammar(
    dialect="snowflake",
    address_hash=ADDRESS_HASH,
    odd_address=statement.odd_address("VARCHAR"),
    decode=_decode,
)
