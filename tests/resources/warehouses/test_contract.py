"""What every warehouse promises. A new file in `resources/warehouses/` is one more entry in CASES."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.errors import WarehouseError
from resources.warehouses import Bucket, Days, Files, Query, Relation, Table, Warehouse, Window, connect
from resources.warehouses.bigquery import BigQueryWarehouse
from resources.warehouses.frames import FramesWarehouse, Part
from resources.warehouses.plain import PLAIN_TYPES
from resources.warehouses.snowflake import SnowflakeWarehouse
from resources.warehouses.statement import is_odd
from tests.postgres import Server
from tests.resources.warehouses.vendors import BigQueryClient, Engine, SnowflakeConnection
from tests.tree import ROOT

COLUMNS = ["id", "email", "score", "ok", "born", "moved", "seen"]
# Timestamps without a zone are what is tested here.
PEOPLE: list[
    tuple[int, str | None, float | None, bool | None, date | None, datetime | None, datetime | None]
] = [
    (
        1,
        "ada@example.com",
        0.5,
        True,
        date(2026, 1, 1),
        datetime(2026, 1, 1),  # noqa: DTZ001
        datetime(2026, 1, 1, tzinfo=UTC),
    ),
    (2, " Ada@Example.com ", 0.25, None, date(2026, 1, 2), datetime(2026, 1, 1, 23, 59, 59), None),  # noqa: DTZ001
    (3, "Ünï@example.com", None, False, None, datetime(2026, 1, 2), datetime(2026, 1, 1, 23, 30, tzinfo=UTC)),  # noqa: DTZ001
    (4, None, -1.5, True, date(1950, 2, 28), None, datetime(2026, 1, 2, tzinfo=UTC)),
    (
        5,
        "o'neil; drop table people; --@example.com",
        2.0,
        False,
        date(2026, 1, 1),
        datetime(2026, 1, 3),  # noqa: DTZ001
        None,
    ),
]
CREATE = (
    "CREATE TABLE {table} (id BIGINT, email VARCHAR, score DOUBLE PRECISION, ok BOOLEAN, born DATE, "
    "moved TIMESTAMP, seen TIMESTAMP WITH TIME ZONE)"
)
HOSTILE = [
    'x"; DROP TABLE people; --',
    "x'; DROP TABLE people; --",
    "people; DROP TABLE people",
    "x` y",
    ")",
    "",
]


@dataclass(frozen=True, slots=True)
class Case:
    """One warehouse with the people in it."""

    open: Callable[[], Warehouse]
    people: Relation
    misspelt: Relation
    named: Callable[[str], Relation]
    """A relation by a name that somebody may have made up to do harm."""
    query: Callable[[str], Relation] | None = None
    instants: bool = True
    """Whether it has moments with a time zone."""


def literal(value: object) -> str:
    """A value in SQL that all of them understand."""
    if value is None or isinstance(value, bool | int | float):
        return "NULL" if value is None else str(value)
    return "'" + str(value).replace("'", "''") + "'"


def inserts(table: str) -> str:
    """The people as one statement."""
    rows = ", ".join(f"({', '.join(literal(value) for value in row)})" for row in PEOPLE)
    return f"INSERT INTO {table} VALUES {rows}"


def duckdb_case(folder: Path, _server: object) -> Case:
    """A DuckDB file."""
    path = folder / "people.duckdb"
    with duckdb.connect(str(path)) as connection:
        for sql in (
            "SET TimeZone = 'UTC'",
            "CREATE SCHEMA marts",
            CREATE.format(table="marts.people"),
            inserts("marts.people"),
        ):
            connection.execute(sql)
    return Case(
        lambda: connect(f"duckdb:///{path}"), Table("marts.people"), Table("marts.poeple"), Table, Query
    )


def postgres_case(_folder: Path, server: Callable[[], Server]) -> Case:
    """A table on a real server."""
    there = server()
    if not there.run("SELECT 1 FROM pg_namespace WHERE nspname = 'marts'"):
        there.run(
            f"SET TimeZone = 'UTC'; CREATE SCHEMA marts; {CREATE.format(table='marts.people')}; {inserts('marts.people')}"
        )
    return Case(lambda: connect(there.url()), Table("marts.people"), Table("marts.poeple"), Table, Query)


def parquet_case(folder: Path, _server: object) -> Case:
    """Two Parquet files with types that are not plain."""
    types = [
        pa.int32(),
        pa.large_string(),
        pa.float64(),
        pa.bool_(),
        pa.date32(),
        pa.timestamp("ms"),
        pa.timestamp("us", "Asia/Tokyo"),
    ]
    columns = zip(COLUMNS, zip(*PEOPLE, strict=True), types, strict=True)
    table = pa.table({name: pa.array(list(values), type=kind) for name, values, kind in columns})
    pq.write_table(table.slice(0, 2), folder / "people-1.parquet", row_group_size=1)
    pq.write_table(table.slice(2), folder / "people-2.parquet", row_group_size=1)
    return Case(
        lambda: connect(f"files://{folder}"), Files("people-*.parquet"), Files("poeple-1.parquet"), Files
    )


def snowflake_case(_folder: Path, _server: object) -> Case:
    """Snowflake's dialect and driver, played by DuckDB."""
    engine = Engine("PROD", "snowflake")
    engine.run("CREATE SCHEMA MARTS")
    engine.run(CREATE.format(table="MARTS.PEOPLE"))
    engine.run(inserts("MARTS.PEOPLE"))
    return Case(
        lambda: SnowflakeWarehouse(SnowflakeConnection(engine)),
        Table("marts.people"),
        Table("marts.poeple"),
        Table,
        Query,
    )


def bigquery_case(_folder: Path, _server: object) -> Case:
    """BigQuery's dialect and client, played by DuckDB."""
    engine = Engine("prod", "bigquery")
    engine.run("CREATE SCHEMA marts")
    engine.run(CREATE.format(table="marts.people"))
    engine.run(inserts("marts.people"))
    engine.run("USE prod.marts")  # as default_dataset does
    return Case(
        lambda: BigQueryWarehouse(
            BigQueryClient(engine, "prod"), project="prod", dataset="marts", dry_run="dry run"
        ),
        Table("people"),
        Table("poeple"),
        Table,
        Query,
    )


def tutorial() -> ModuleType:
    """The new warehouse that docs/warehouses.md writes in one file, as a reader would save it."""
    page = (ROOT / "docs" / "warehouses.md").read_text(encoding="utf-8")
    code = page.partition("## A new warehouse in one file")[2].split("```python\n", 1)[1].split("\n```", 1)[0]
    module = ModuleType("sqlite_by_the_docs")
    exec(compile(code, "docs/warehouses.md", "exec"), module.__dict__)
    return module


def tutorial_case(folder: Path, _server: object) -> Case:
    """The warehouse of the docs, over a real SQLite file."""
    path = folder / "people.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(CREATE.format(table="people").replace("WITH TIME ZONE", ""))
        connection.execute(inserts("people"))
    connection.close()
    module = tutorial()
    return Case(
        lambda: module.open_warehouse(f"sqlite:///{path}", statement_timeout_seconds=60),
        Table("people"),
        Table("poeple"),
        Table,
        Query,
        instants=False,
    )


def frames_case(folder: Path, _server: object) -> Case:
    """A frame in memory and a Parquet file, as an upstream asset hands them on."""
    parquet_case(folder, None)
    frame = pq.read_table(folder / "people-1.parquet").to_pandas(types_mapper=pd.ArrowDtype)
    parts = [Part("1", lambda: frame), Part("2", lambda: folder / "people-2.parquet")]
    return Case(
        lambda: FramesWarehouse("marts/people", parts), Table("marts/people"), Table("marts/poeple"), Table
    )


CASES = {
    "duckdb": duckdb_case,
    "postgres": postgres_case,
    "files": parquet_case,
    "snowflake": snowflake_case,
    "bigquery": bigquery_case,
    "frames": frames_case,
    "tutorial": tutorial_case,
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """Each warehouse in turn."""
    return CASES[request.param](tmp_path, lambda: request.getfixturevalue("postgres"))


@pytest.fixture
def warehouse(case: Case) -> Iterator[Warehouse]:
    """It, opened and closed."""
    opened = case.open()
    yield opened
    opened.close()


def rows_of(
    warehouse: Warehouse, relation: Relation, columns: Sequence[str], window: Window | None = None
) -> list[tuple[object, ...]]:
    """All rows of a read, in the order of the first column."""
    with warehouse.read(relation, columns=columns, window=window) as batches:
        rows = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: str(row[0]))


def test_columns_have_plain_types_and_the_name_of_their_own(case: Case, warehouse: Warehouse) -> None:
    """`check` can say what a column is, and rules meet eight types only."""
    schema = warehouse.columns(case.people)
    assert [name.lower() for name in schema.names] == COLUMNS
    assert [field.name for field in schema if field.type not in PLAIN_TYPES] == []
    assert all(field.metadata[b"warehouse_type"] for field in schema)
    kinds = ["int64", "string", "double", "bool", "date32[day]", "timestamp[us]", "timestamp[us, tz=UTC]"]
    assert [str(field.type) for field in schema][: 7 if case.instants else 6] == kinds[
        : 7 if case.instants else 6
    ]


def test_a_read_gives_the_values_under_the_names_that_were_asked_for(
    case: Case, warehouse: Warehouse
) -> None:
    """Names, order and values are the asker's; a difference of capitals is forgiven."""
    columns = ["Email", "id", "score", "ok", "born", "moved"] + (["seen"] if case.instants else [])
    with warehouse.read(case.people, columns=columns) as batches:
        assert batches.schema.names == columns
        read = pa.Table.from_batches(list(batches), schema=batches.schema)
        assert batches.rows == len(PEOPLE)
    expected = [dict(zip(COLUMNS, row, strict=True)) for row in PEOPLE]
    found = sorted(read.to_pylist(), key=lambda row: row["id"])
    assert found == [{name: row[name.lower()] for name in columns} for row in expected]


@pytest.mark.parametrize("rows_per_batch", [1, 2, 100])
def test_batches_have_the_asked_size(case: Case, warehouse: Warehouse, rows_per_batch: int) -> None:
    """Memory is bounded by what was asked for, whatever the driver hands out."""
    with warehouse.read(case.people, columns=["id"], rows_per_batch=rows_per_batch) as batches:
        sizes = [batch.num_rows for batch in batches]
    assert sum(sizes) == len(PEOPLE)
    assert all(size == rows_per_batch for size in sizes[:-1]) and sizes[-1] <= rows_per_batch


def bucket_of(email: str | None, count: int) -> int:
    """Where a person belongs, by the definition of a bucket."""
    digest = hashlib.md5((email or "").strip(" \t\r\n").lower().encode()).hexdigest()
    return int(digest[:8], 16) % count


@pytest.mark.parametrize("count", [1, 4])
def test_buckets_hold_each_row_once_and_are_the_same_everywhere(
    case: Case, warehouse: Warehouse, count: int
) -> None:
    """Plain addresses are in one bucket, the same in every run and warehouse; odd ones are in all, for rules to part them."""
    for index in range(count):
        window = Bucket("email", index, count)
        found = [row[0] for row in rows_of(warehouse, case.people, ["id"], window)]
        assert found == [row[0] for row in PEOPLE if bucket_of(row[1], count) == index or is_odd(row[1])]


@pytest.mark.parametrize(("column", "ids"), [("born", [1, 5]), ("moved", [1, 2]), ("seen", [1, 3])])
def test_a_day_is_a_day_of_utc_from_its_first_instant_to_the_next(
    case: Case, warehouse: Warehouse, column: str, ids: list[int]
) -> None:
    """Dates, naive timestamps and those with a zone are cut alike: start in, end out, NULL in no day."""
    if column == "seen" and not case.instants:
        pytest.skip("this warehouse has no moments with a time zone")
    window = Days(column, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    assert [row[0] for row in rows_of(warehouse, case.people, ["id"], window)] == ids


def test_a_day_needs_a_column_that_knows_days(case: Case, warehouse: Warehouse) -> None:
    """A window over numbers is refused in words, not compared by accident."""
    window = Days("score", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    with pytest.raises(WarehouseError, match=r"score is .* cannot be cut into days"):
        rows_of(warehouse, case.people, ["id"], window)


def test_a_count_is_exact_or_none(case: Case, warehouse: Warehouse) -> None:
    """Nobody plans with a guess."""
    assert warehouse.count(case.people) in (None, len(PEOPLE))
    window = Bucket("email", 0, 2)
    assert warehouse.count(case.people, window=window) in (
        None,
        len(rows_of(warehouse, case.people, ["id"], window)),
    )


def test_a_misspelt_relation_is_answered_with_the_nearest_name(case: Case, warehouse: Warehouse) -> None:
    """The user reads what to write instead."""
    with pytest.raises(WarehouseError, match=r"(?i)nearest: .*people") as caught:
        warehouse.columns(case.misspelt)
    assert caught.value.outcome == "config" and caught.value.remedy


def test_a_misspelt_column_is_answered_with_the_nearest_name(case: Case, warehouse: Warehouse) -> None:
    """The same for columns."""
    with pytest.raises(WarehouseError, match=r"(?i)has no column emial\. nearest: email") as caught:
        rows_of(warehouse, case.people, ["id", "emial"])
    assert caught.value.outcome == "config" and caught.value.remedy


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_sql(case: Case, warehouse: Warehouse, name: str) -> None:
    """Whatever stands in a sync file as a table, a column or the column of a window, the people are still there."""
    window = Bucket(name, 0, 1)
    for attempt in (
        lambda: warehouse.columns(case.named(name or " ")),
        lambda: rows_of(warehouse, case.people, [name]),
        lambda: rows_of(warehouse, case.people, ["id"], window),
    ):
        with pytest.raises(WarehouseError):
            attempt()
    assert len(rows_of(warehouse, case.people, ["id"])) == len(PEOPLE)


def test_a_query_is_a_source_like_a_table(case: Case, warehouse: Warehouse) -> None:
    """One SELECT, with comments and a semicolon as people write them; windows and columns work on it."""
    if case.query is None:
        pytest.skip("this warehouse knows no SQL")
    assert isinstance(case.people, Table)
    query = case.query(
        f"SELECT id, email AS address, 'a;b' AS c -- all; of them\nFROM {case.people.name} WHERE id < 5; -- end"
    )
    assert [name.lower() for name in warehouse.columns(query).names] == ["id", "address", "c"]
    found = [rows_of(warehouse, query, ["id", "address"], Bucket("address", index, 2)) for index in range(2)]
    # SQLite does not know the types of a query: there they are text.
    assert {int(str(row[0])) for rows in found for row in rows} == {1, 2, 3, 4}


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE {people}",
        "SELECT 1 AS id; SELECT 2 AS id",
        "SELECT 1 AS id) AS x; DROP TABLE {people}; SELECT (1",
        "WITH gone AS (DELETE FROM {people} RETURNING id) SELECT id FROM gone",
        "INSERT INTO {people} SELECT * FROM {people}",
        "",
        "SELECT FROM WHERE",
    ],
)
def test_what_is_not_one_select_is_refused(case: Case, warehouse: Warehouse, sql: str) -> None:
    """A source reads, and changes nothing."""
    if case.query is None:
        pytest.skip("this warehouse knows no SQL")
    assert isinstance(case.people, Table)
    with pytest.raises(WarehouseError) as caught:
        rows_of(warehouse, case.query(sql.format(people=case.people.name)), ["id"])
    assert caught.value.outcome == "config"
    assert len(rows_of(warehouse, case.people, ["id"])) == len(PEOPLE)


def test_a_read_that_is_left_early_leaves_the_warehouse_usable(case: Case, warehouse: Warehouse) -> None:
    """A consumer that fails in the middle does not spoil the next read."""
    with (
        pytest.raises(RuntimeError, match="my own"),
        warehouse.read(case.people, columns=["id"], rows_per_batch=1) as batches,
    ):
        raise RuntimeError(f"my own, after {next(batches).num_rows} row")
    assert len(rows_of(warehouse, case.people, ["id"])) == len(PEOPLE)


def test_what_it_cannot_read_is_said(case: Case, warehouse: Warehouse) -> None:
    """Files of a database, or tables of a folder: an error in words."""
    other = Table("people") if isinstance(case.people, Files) else Files("people.csv")
    with pytest.raises(WarehouseError, match="cannot read"):
        warehouse.columns(other)


def test_it_can_be_closed_twice(case: Case) -> None:
    """Whoever cleans up need not know who did so before."""
    warehouse = case.open()
    warehouse.close()
    warehouse.close()
