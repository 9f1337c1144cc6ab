"""What is DuckDB's own: its types, its lock, its patience, its paths."""

from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from resources.errors import WarehouseError
from resources.warehouses import Query, Table, connect

# (expression, what arrives)
TYPES: list[tuple[str, object]] = [
    ("CAST(200 AS UTINYINT)", 200),
    ("CAST(18446744073709551615 AS UBIGINT)", "18446744073709551615"),
    ("CAST(1 AS HUGEINT)", "1"),
    ("CAST(0.1 AS FLOAT)", 0.1),
    ("CAST(1.5 AS DECIMAL(10,2))", "1.50"),
    ("CAST(15 AS DECIMAL(10,0))", 15),
    ("CAST('a' AS ENUM('a', 'b'))", "a"),
    ("[1, NULL]", ["1", None]),
    ("{'a': 1}", "{'a': 1}"),
    ("CAST('9999-12-31' AS DATE)", date(9999, 12, 31)),
    ("CAST('12:00' AS TIME)", "12:00:00"),
    ("INTERVAL 1 DAY", "1 day"),
    ("NULL", None),
]


@pytest.mark.parametrize(("expression", "arrives"), TYPES, ids=[each for each, _ in TYPES])
def test_types_arrive_plain(expression: str, arrives: object) -> None:
    """Exact numbers stay exact, and what Arrow cannot hold is text."""
    warehouse = connect("duckdb:///:memory:")
    with warehouse.read(Query(f"SELECT {expression} AS v"), columns=["v"]) as batches:
        assert next(batches).to_pylist() == [{"v": arrives}]
    warehouse.close()


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP", "TIMESTAMPTZ"])
@pytest.mark.parametrize(
    ("literal", "day"),
    [("infinity", "10000-01-01"), ("-infinity", "0000-12-31"), ("0044-03-15 (BC)", "0000-12-31")],
)
def test_a_day_that_no_calendar_of_ours_has_stays_outside_of_it(kind: str, literal: str, day: str) -> None:
    """It is never taken for the last or the first day there is: that would be a value nobody gave."""
    warehouse = connect("duckdb:///:memory:")
    with warehouse.read(Query(f"SELECT CAST('{literal}' AS {kind}) AS v"), columns=["v"]) as batches:
        assert str(next(batches)["v"].cast(pa.string())[0]).startswith(day)
    warehouse.close()


def test_a_file_that_is_open_for_writing_says_so(tmp_path: Path) -> None:
    """A dbt run next door is waited for, not read half."""
    path = tmp_path / "busy.duckdb"
    with duckdb.connect(str(path)), pytest.raises(WarehouseError, match="open for writing") as caught:
        connect(f"duckdb:///{path}")
    assert caught.value.outcome == "transient"


def test_the_file_is_opened_read_only(tmp_path: Path) -> None:
    """Two readers fit beside each other, and neither writes."""
    path = tmp_path / "shared.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE people AS SELECT 1 AS id")
    before = path.stat()
    first, second = connect(f"duckdb:///{path}"), connect(f"duckdb:///{path}")
    assert first.count(Table("people")) == second.count(Table("people")) == 1
    first.close()
    second.close()
    assert (path.stat().st_mtime_ns, [each.name for each in tmp_path.iterdir()]) == (
        before.st_mtime_ns,
        ["shared.duckdb"],
    )


@pytest.mark.parametrize("slashes", ["duckdb:///", "duckdb://"])
def test_an_absolute_path_may_be_written_with_three_slashes_or_four(tmp_path: Path, slashes: str) -> None:
    """People write both; the file that exists is meant."""
    path = tmp_path / "a.duckdb"
    duckdb.connect(str(path)).close()
    connect(f"{slashes}{path}?threads=1").close()


def test_a_path_to_nothing_or_to_something_else_is_said(tmp_path: Path) -> None:
    """A wrong path is a setting to mend, not a fault of the network."""
    with pytest.raises(WarehouseError, match="no such file") as caught:
        connect(f"duckdb:///{tmp_path}/missing.duckdb")
    assert caught.value.outcome == "config"
    (tmp_path / "text").write_text("people " * 1000)
    with pytest.raises(WarehouseError, match="not a DuckDB database"):
        connect(f"duckdb:///{tmp_path}/text")


@pytest.mark.parametrize(
    "query", ["SELECT count(*) AS n FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = -1"]
)
def test_a_statement_that_takes_too_long_is_cancelled(query: str) -> None:
    """DuckDB has no timeout of its own; ours reaches it while it works."""
    warehouse = connect("duckdb:///:memory:", statement_timeout_seconds=0.1)
    with (
        pytest.raises(WarehouseError, match=r"within 0\.1 seconds"),
        warehouse.read(Query(query), columns=["n"]) as batches,
    ):
        list(batches)
    warehouse.close()


def test_a_value_that_breaks_the_source_is_not_repeated() -> None:
    """DuckDB quotes the value in its message; ours does not."""
    warehouse = connect("duckdb:///:memory:")
    query = Query("SELECT CAST(v AS INT) AS v FROM (VALUES ('ada@example.com')) t(v)")
    with pytest.raises(WarehouseError) as caught, warehouse.read(query, columns=["v"]) as batches:
        list(batches)
    assert caught.value.outcome == "data" and "ada" not in str(caught.value)
    warehouse.close()


def test_what_was_read_is_not_kept_in_memory_once_nobody_reads(tmp_path: Path) -> None:
    """A run keeps its warehouse open until it ends; and who still reads may have all the memory there is."""
    with duckdb.connect(str(tmp_path / "w.duckdb")) as con:
        con.execute("CREATE TABLE t AS SELECT hash(range) AS a, hash(range + 1) AS b FROM range(1_000_000)")
    warehouse = connect(f"duckdb:///{tmp_path}/w.duckdb")

    def held() -> tuple[float, str]:
        asked = Query(
            "SELECT sum(memory_usage_bytes)::BIGINT AS bytes, current_setting('memory_limit') AS most FROM duckdb_memory()"
        )
        with warehouse.read(asked, columns=["bytes", "most"]) as batches:
            return tuple(next(batches).to_pylist()[0].values())  # type: ignore[return-value]

    before, limit = held()
    with warehouse.read(Table("t"), columns=["a", "b"]) as batches:
        assert sum(batch.num_rows for batch in batches) == 1_000_000
        while_reading, same = held()
    after, restored = held()
    warehouse.close()
    assert while_reading > 10_000_000 > after >= before
    assert limit == same == restored
