"""What only a real PostgreSQL can show: its types, its rights, its moments, and how it dies."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from resources.errors import WarehouseError
from resources.warehouses import Query, Relation, Table, Warehouse, connect
from resources.warehouses.contract import ROWS_PER_BATCH
from resources.warehouses.plain import PLAIN_TYPES
from tests.postgres import Server, running, stop

# column: (type, literal, what arrives)
ODD_TYPES: dict[str, tuple[str, str, object]] = {
    "citext": ("citext", "'Ada@Example.com'", "Ada@Example.com"),
    "domain": ("address", "'ada@example.com'", "ada@example.com"),
    "domain_of_domain": ("work_address", "'ada@example.com'", "ada@example.com"),
    "positive": ("positive", "7", 7),
    "numeric": ("numeric(10,2)", "12.50", "12.50"),
    "huge": ("numeric", "12345678901234567890.5", "12345678901234567890.5"),
    "not_a_number": ("numeric", "'NaN'", "NaN"),
    "texts": ("text[]", "ARRAY['a', NULL, 'b']", ["a", None, "b"]),
    "numbers": ("int[]", "ARRAY[1, 2]", ["1", "2"]),
    "citexts": ("citext[]", "ARRAY['A']::citext[]", ["A"]),
    "numerics": ("numeric[]", "ARRAY[1.50]", ["1.50"]),
    "matrix": ("int[]", "'{{1,2},{3,4}}'", ["1", "2", "3", "4"]),
    "no_array": ("text[]", "NULL", None),
    "enum": ("mood", "'happy'", "happy"),
    "uuid": ("uuid", "'6226caaf-b439-443c-8d57-aeea2c99dbe1'", "6226caaf-b439-443c-8d57-aeea2c99dbe1"),
    "inet": ("inet", "'10.0.0.0/8'", "10.0.0.0/8"),
    "last_day": ("date", "'9999-12-31'", date(9999, 12, 31)),
    "first_day": ("date", "'0001-01-01'", date(1, 1, 1)),
    "no_day": ("date", "NULL", None),
    "last_moment": ("timestamp", "'9999-12-31 23:59:59.999999'", datetime(9999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
    "first_moment": ("timestamptz", "'0001-01-01 00:00:00+00'", datetime(1, 1, 1, tzinfo=UTC)),
    "tokyo": ("timestamptz", "'2026-01-01 00:00:00+09'", datetime(2025, 12, 31, 15, tzinfo=UTC)),
    "naive": ("timestamp", "'2026-03-29 02:30:00.123456'", datetime(2026, 3, 29, 2, 30, 0, 123456)),  # noqa: DTZ001
    "time": ("time", "'12:00'", "12:00:00"),
    "interval": ("interval", "'1 day'", "1 day"),
    "json": ("json", """'{"a": 1}'""", '{"a": 1}'),
    "jsonb": ("jsonb", """'{"a":1}'""", '{"a": 1}'),
    "bytes": ("bytea", "'\\x00ff'", "\\x00ff"),
    "boolean": ("boolean", "true", True),
    "small": ("smallint", "1", 1),
    "real": ("real", "0.1", 0.1),
    "double": ("double precision", "0.1", 0.1),
    "padded": ("char(5)", "'abc'", "abc"),
    "money": ("money", "'1.5'", "$1.50"),
    "row": ("pair", "ROW(1, 'b')", "(1,b)"),
    "range": ("int4range", "'[1,2)'", "[1,2)"),
    "xml": ("xml", "'<a/>'", "<a/>"),
    "bits": ("bit(3)", "B'101'", "101"),
    "oid": ("oid", "4294967295", "4294967295"),
}


@pytest.fixture(scope="module")
def server(postgres: Server) -> Server:
    """The server with odd tables, and a user who may read none of them."""
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, _, _) in ODD_TYPES.items())
    values = ", ".join(literal for _, literal, _ in ODD_TYPES.values())
    postgres.run(
        "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('happy', 'sad'); CREATE TYPE pair AS (a int, b text);"
        "CREATE DOMAIN address AS citext CHECK (VALUE LIKE '%@%'); CREATE DOMAIN work_address AS address;"
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0);"
        f"CREATE TABLE odd ({columns}); INSERT INTO odd VALUES ({values}); CREATE TABLE empty AS SELECT * FROM odd LIMIT 0;"
        "CREATE TABLE growing AS SELECT 1 AS id; CREATE SEQUENCE numbers; "
        "CREATE TABLE secret AS SELECT 'ada@example.com' AS email; CREATE ROLE poor LOGIN PASSWORD 'poor';"
        "CREATE VIEW broken AS SELECT CAST(email AS int) AS id FROM secret;"
        """CREATE TABLE "We.ird ""; DROP TABLE odd; --" AS SELECT 1 AS "a;b""c";"""
    )
    return postgres


@pytest.fixture
def warehouse(server: Server) -> Iterator[Warehouse]:
    """One connection of the administrator."""
    opened = connect(server.url())
    yield opened
    opened.close()


def values(warehouse: Warehouse, relation: Relation, *columns: str) -> list[dict[str, object]]:
    """All rows."""
    with warehouse.read(relation, columns=columns) as batches:
        return [row for batch in batches for row in batch.to_pylist()]


@pytest.mark.parametrize("relation", [Table("odd"), Query("SELECT * FROM odd")], ids=["table", "query"])
def test_every_type_arrives_as_something_plain(warehouse: Warehouse, relation: Relation) -> None:
    """No type of PostgreSQL reaches a rule as bytes that nobody can read."""
    schema = warehouse.columns(relation)
    assert [field.name for field in schema if field.type not in PLAIN_TYPES] == []
    [row] = values(warehouse, relation, *ODD_TYPES)
    assert row == {name: arrives for name, (_, _, arrives) in ODD_TYPES.items()}


def test_a_day_that_no_calendar_of_ours_has_stays_outside_of_it(warehouse: Warehouse) -> None:
    """It is never taken for the last or the first day there is: that would be a value nobody gave."""
    kinds = ("date", "timestamp", "timestamptz")
    days = {"infinity": "10000-01-01", "-infinity": "0000-12-31", "4713-01-01 BC": "0000-12-31"}
    query = "SELECT " + ", ".join(
        f"'{day}'::{kind} AS v{number}_{kind}" for number, day in enumerate(days) for kind in kinds
    )
    names = [f"v{number}_{kind}" for number in range(len(days)) for kind in kinds]
    with warehouse.read(Query(query), columns=names) as batches:
        [row] = [[str(column.cast(pa.string())[0])[:11] for column in batch.columns] for batch in batches]
    assert [each.strip() for each in row] == [day for day in days.values() for _ in kinds]


def test_an_empty_table_has_its_types_all_the_same(warehouse: Warehouse) -> None:
    """Types come from the catalogue, not from the first row."""
    assert warehouse.columns(Table("empty")).equals(warehouse.columns(Table("odd")))
    assert values(warehouse, Table("empty"), *ODD_TYPES) == []


def test_one_run_sees_one_moment(server: Server, warehouse: Warehouse) -> None:
    """Rows that arrive between two reads of a run belong to the next run."""
    before = values(warehouse, Table("growing"), "id")
    server.run("INSERT INTO growing SELECT 2")
    assert values(warehouse, Table("growing"), "id") == before
    assert warehouse.count(Table("growing")) == len(before)
    warehouse.close()
    later = connect(server.url())
    assert len(values(later, Table("growing"), "id")) == len(before) + 1
    later.close()


def test_a_select_that_writes_is_refused_by_the_server(warehouse: Warehouse) -> None:
    """The transaction is read-only, whatever a function does behind a SELECT."""
    with pytest.raises(WarehouseError, match="only reads") as caught:
        values(warehouse, Query("SELECT nextval('numbers') AS id"), "id")
    assert caught.value.outcome == "config"


def test_odd_names_are_only_names(warehouse: Warehouse) -> None:
    """A table may be called whatever PostgreSQL allows."""
    assert values(warehouse, Table('"We.ird ""; DROP TABLE odd; --"'), 'a;b"c') == [{'a;b"c': 1}]


def test_a_value_that_breaks_the_source_is_not_repeated(warehouse: Warehouse) -> None:
    """PostgreSQL quotes the value in its message; ours says where to look."""
    with pytest.raises(WarehouseError, match="22P02") as caught:
        values(warehouse, Table("broken"), "id")
    assert caught.value.outcome == "data" and "ada" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_two_columns_of_one_name_are_refused(warehouse: Warehouse) -> None:
    """Nobody knows which one is meant."""
    with pytest.raises(WarehouseError, match="more than one column is named id"):
        values(warehouse, Query("SELECT 1 AS id, 2 AS id"), "id")


def test_a_missing_right_is_called_so(server: Server) -> None:
    """Not found and not allowed are two things to mend."""
    poor = connect(server.url(user="poor", password="poor"))
    with pytest.raises(WarehouseError, match="may not read table secret") as caught:
        values(poor, Table("secret"), "email")
    assert caught.value.outcome == "config" and "SELECT" in caught.value.remedy
    poor.close()


def test_a_statement_that_takes_too_long_is_cancelled(server: Server) -> None:
    """The server stops it itself, and the connection is good for the next."""
    hasty = connect(server.url(), statement_timeout_seconds=0.1)
    with pytest.raises(WarehouseError, match=r"within 0\.1 seconds") as caught:
        values(hasty, Query("SELECT CAST(pg_sleep(60) AS text) AS id"), "id")
    assert caught.value.outcome == "transient"
    assert values(hasty, Query("SELECT 1 AS id"), "id") == [{"id": 1}]
    hasty.close()


WRONG_DOORS: dict[str, tuple[Callable[[Server], str], str, str]] = {
    "password": (
        lambda server: server.url(password="s3cret-wrong"),
        "refused the user or the password",
        "config",
    ),
    "database": (lambda server: server.url(database="nowhere"), "no such database", "config"),
    "user": (lambda server: server.url(user="nobody"), "refused the user or the password", "config"),
    "port": (lambda server: server.url().replace(f":{server.port}", ":1"), "nobody listens", "transient"),
    "parameter": (lambda server: server.url() + "?colour=red", "does not know", "config"),
}


@pytest.mark.parametrize("door", WRONG_DOORS)
def test_a_door_that_stays_shut_says_why_and_shows_no_password(server: Server, door: str) -> None:
    """Password, host and database are mended in different places."""
    url, words, outcome = WRONG_DOORS[door]
    with pytest.raises(WarehouseError, match=words) as caught:
        connect(url(server))
    assert caught.value.outcome == outcome
    assert server.password not in str(caught.value) and "s3cret" not in str(caught.value)


def test_a_connection_that_the_server_ends_in_mid_stream_is_an_error(
    server: Server, warehouse: Warehouse
) -> None:
    """Half a table is never taken for a whole one."""
    query = Query("SELECT i AS id, repeat('x', 500) AS filler FROM generate_series(1, 200000) AS i")
    ends = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mailtrap-contacts'"
    )
    with warehouse.read(query, columns=["id", "filler"], rows_per_batch=100) as batches:
        assert next(batches).num_rows == 100
        server.run(ends)
        with pytest.raises(WarehouseError, match="lost in mid-stream") as caught:
            list(batches)
    assert caught.value.outcome == "transient" and batches.rows < 200_000


def test_a_server_that_is_killed_in_mid_stream_is_an_error(server: Server) -> None:
    """The same when the machine dies without a farewell; and afterwards nobody pretends to be connected."""
    with (
        tempfile.TemporaryDirectory(prefix="contacts-pg-", ignore_cleanup_errors=True) as folder,
        running(Path(folder), server.binaries) as doomed,
    ):
        warehouse = connect(doomed.url())
        query = Query("SELECT i AS id, repeat('x', 500) AS filler FROM generate_series(1, 200000) AS i")
        with warehouse.read(query, columns=["id", "filler"], rows_per_batch=100) as batches:
            next(batches)
            stop(doomed, kill=True)
            with pytest.raises(WarehouseError, match="lost in mid-stream") as caught:
                list(batches)
        assert caught.value.outcome == "transient"
        with pytest.raises(WarehouseError):
            warehouse.columns(Query("SELECT 1 AS id"))
        warehouse.close()


def test_a_million_rows_come_in_batches(warehouse: Warehouse) -> None:
    """As many as there are, each once, in pieces of the asked size."""
    query = Query(
        "SELECT i AS id, CAST('a' || i || '@example.com' AS citext) AS email FROM generate_series(1, 1000000) AS i"
    )
    total, largest = 0, 0
    with warehouse.read(query, columns=["id", "email"]) as batches:
        for batch in batches:
            total += pa.compute.sum(batch.column("id")).as_py()
            largest = max(largest, batch.num_rows)
    assert batches.rows == 1_000_000 and total == 1_000_000 * 1_000_001 // 2 and largest == ROWS_PER_BATCH


@pytest.mark.proof
def test_a_million_rows_of_every_odd_type_are_each_as_the_first(warehouse: Warehouse) -> None:
    """No batch, buffer or null far down the stream changes a value, and no row is lost or doubled."""
    query = Query("SELECT odd.*, i AS number FROM odd CROSS JOIN generate_series(1, 1000000) AS i")
    columns = [*ODD_TYPES, "number"]
    total = 0
    with warehouse.read(query, columns=columns, rows_per_batch=20_000) as batches:
        first = next(batches)
        expected = first.slice(0, 1).to_pylist()[0]
        for batch in itertools.chain([first], batches):
            total += pc.sum(batch["number"]).as_py()
            for name in ODD_TYPES:
                values = batch[name]
                ends = pa.concat_arrays([values.slice(0, 1), values.slice(len(values) - 1)])
                same = values if pa.types.is_nested(values.type) else pc.unique(values)
                assert len(same) == 1 or pa.types.is_nested(values.type)
                assert ends.to_pylist() == [expected[name]] * 2 and values.null_count in (0, len(values))
    assert batches.rows == 1_000_000 and total == 1_000_000 * 1_000_001 // 2
    arrives = {name: value for name, (_, _, value) in ODD_TYPES.items()}
    assert {name: expected[name] for name in ODD_TYPES} == arrives
