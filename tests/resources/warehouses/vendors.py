"""Snowflake's and BigQuery's drivers, played by DuckDB: the real interface, the real dialect, an engine that answers.

Each statement is translated from the vendor's dialect by sqlglot, so that one that the vendor could not even parse
fails here too. What only the vendor knows (its types at the edges, its network) is not played.
"""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp

SNOWFLAKE_CODES = {
    "BIGINT": (0, 18, 0),
    "INTEGER": (0, 9, 0),
    "DECIMAL(10,2)": (0, 10, 2),
    "DOUBLE": (1, None, None),
    "VARCHAR": (2, None, None),
    "DATE": (3, None, None),
    "TIMESTAMP": (8, 0, 9),
    "TIMESTAMP WITH TIME ZONE": (6, 0, 9),
    "BOOLEAN": (13, None, None),
}
BIGQUERY_TYPES = {
    "BIGINT": "INTEGER",
    "INTEGER": "INTEGER",
    "DECIMAL(10,2)": "NUMERIC",
    "DOUBLE": "FLOAT",
    "VARCHAR": "STRING",
    "DATE": "DATE",
    "TIMESTAMP": "DATETIME",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "BOOLEAN": "BOOLEAN",
}


class VendorError(Exception):
    """An error as Snowflake's driver makes them: a number, a state, and words that quote data."""

    def __init__(self, words: str, *, errno: int = -1, sqlstate: str | None = None) -> None:
        super().__init__(words)
        self.errno, self.sqlstate = errno, sqlstate


class NotFound(Exception):  # noqa: N818 - Google's name
    """As `google.api_core.exceptions.NotFound`."""


class Engine:
    """DuckDB that takes statements of another dialect, and can lose its connection after some batches."""

    def __init__(self, database: str, dialect: str) -> None:
        self._connection = duckdb.connect()
        self._connection.execute(f"ATTACH ':memory:' AS {database}")
        self._connection.execute(f"USE {database}")
        self._connection.execute("SET TimeZone = 'UTC'")
        self._dialect = dialect
        self.statements: list[str] = []
        self.batches_until_lost: int | None = None
        self.rows_to_drop = 0

    def run(self, sql: str) -> Any:
        """Run DuckDB's own SQL."""
        return self._connection.sql(sql)

    def ask(self, sql: str) -> pa.Table:
        """Run a statement of the vendor's dialect."""
        self.statements.append(sql)
        tree = sqlglot.parse_one(sql, dialect=self._dialect).transform(_as_duckdb_has_it)
        return self._connection.sql(tree.sql(dialect="duckdb")).to_arrow_table()

    def types(self, sql: str) -> list[tuple[str, str]]:
        """Names and DuckDB's types of a statement in the vendor's dialect."""
        tree = sqlglot.parse_one(sql, dialect=self._dialect)
        rows = self._connection.sql(f"DESCRIBE {tree.sql(dialect='duckdb')}").fetchall()
        return [(name, native) for name, native, *_ in rows]

    def batches(self, table: pa.Table, lost: Callable[[], Exception]) -> Iterator[pa.RecordBatch]:
        """The answer in small pieces, cut short in the ways that a test asked for."""
        table = table.slice(0, table.num_rows - self.rows_to_drop)
        for number, batch in enumerate(table.to_batches(max_chunksize=2)):
            if number == self.batches_until_lost:
                raise lost()
            yield batch


def _as_duckdb_has_it(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.Table) and node.db == "information_schema":
        node.set("catalog", None)
    if isinstance(node, exp.ToNumber):
        digits = exp.DPipe(this=exp.Literal.string("0x"), expression=node.this)
        return exp.cast(exp.Paren(this=digits), "BIGINT")
    return node


class SnowflakeConnection:
    """As `snowflake.connector.SnowflakeConnection`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.closed = False

    def cursor(self) -> "SnowflakeCursor":
        return SnowflakeCursor(self.engine)

    def close(self) -> None:
        self.closed = True


class SnowflakeCursor:
    """As `snowflake.connector.cursor.SnowflakeCursor`, for one statement."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._table = pa.table({})
        self.rowcount: int | None = None

    def execute(self, operation: str) -> "SnowflakeCursor":
        self._table = self._engine.ask(operation)
        self.rowcount = self._table.num_rows
        return self

    def describe(self, operation: str) -> list[SimpleNamespace]:
        found = self._engine.types(operation)
        codes = [(name, *SNOWFLAKE_CODES.get(native, (5, None, None))) for name, native in found]
        return [SimpleNamespace(name=n, type_code=c, precision=p, scale=s) for n, c, p, s in codes]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self._table.to_pylist()]

    def fetch_arrow_batches(self) -> Iterator[pa.Table]:
        def lost() -> Exception:
            return VendorError("lost at ada@example.com", errno=250003, sqlstate="08006")

        for batch in self._engine.batches(self._table, lost):
            yield pa.Table.from_batches([batch])

    def close(self) -> None:
        self._table = pa.table({})


class BigQueryClient:
    """As `google.cloud.bigquery.Client`."""

    def __init__(self, engine: Engine, project: str) -> None:
        self.engine, self.project = engine, project
        self.closed = False

    def get_table(self, table: str, retry: Any = None) -> SimpleNamespace:
        project, dataset, name = table.split(".")
        if (dataset, name) not in self._tables():
            raise NotFound(f"Not found: {table}")
        rows = self.engine.run(f'SELECT count(*) FROM "{dataset}"."{name}"').fetchall()[0][0]
        return SimpleNamespace(
            project=project,
            dataset_id=dataset,
            table_id=name,
            table_type="TABLE",
            streaming_buffer=None,
            num_rows=rows,
            schema=self._fields(f"SELECT * FROM `{dataset}`.`{name}`"),
        )

    def list_datasets(self, project: str | None = None, *, retry: Any = None) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(dataset_id=name) for name in sorted({dataset for dataset, _ in self._tables()})
        ]

    def list_tables(self, dataset: str, *, retry: Any = None) -> list[SimpleNamespace]:
        found = [
            SimpleNamespace(table_id=name) for each, name in self._tables() if each == dataset.split(".")[-1]
        ]
        if not found:
            raise NotFound(f"Not found: {dataset}")
        return found

    def query(self, query: str, job_config: Any = None, *, retry: Any = None) -> SimpleNamespace:
        assert job_config == "dry run", "a real query job would cost money here"
        return SimpleNamespace(schema=self._fields(query))

    def query_and_wait(self, query: str, *, wait_timeout: Any = None) -> "BigQueryRows":
        return BigQueryRows(self.engine, self.engine.ask(query))

    def close(self) -> None:
        self.closed = True

    def _tables(self) -> list[tuple[str, str]]:
        rows = self.engine.run("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
        return [(dataset, name) for dataset, name in rows]

    def _fields(self, query: str) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                name=name,
                field_type=BIGQUERY_TYPES.get(native.removesuffix("[]"), "JSON"),
                mode="REPEATED" if native.endswith("[]") else "NULLABLE",
            )
            for name, native in self.engine.types(query)
        ]


class BigQueryRows:
    """As `google.cloud.bigquery.table.RowIterator`."""

    def __init__(self, engine: Engine, table: pa.Table) -> None:
        self._engine, self._table = engine, table
        self.total_rows: int | None = table.num_rows

    def to_arrow_iterable(
        self,
        bqstorage_client: Any = None,
        max_queue_size: Any = None,
        max_stream_count: int | None = None,
        timeout: float | None = None,
    ) -> Iterator[pa.RecordBatch]:
        return self._engine.batches(self._table, lambda: ConnectionResetError("lost at ada@example.com"))
