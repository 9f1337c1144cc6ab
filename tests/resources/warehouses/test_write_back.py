"""Opt-outs written back: one table, one transaction, the same twice, and nothing that a name could smuggle in."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from resources.errors import WarehouseError
from resources.warehouses.write_back import SCHEMA, WriteBack
from tests.postgres import Server

NOW, LATER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
Query = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture(params=["duckdb", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Query]:
    """A real one, and how to ask it."""
    if request.param == "duckdb":
        path = tmp_path / "warehouse.duckdb"
        duckdb.connect(str(path)).close()

        def ask_duckdb(sql: str) -> list[tuple[object, ...]]:
            with duckdb.connect(str(path)) as connection:
                return connection.execute(sql).fetchall()

        return f"duckdb:///{path}", ask_duckdb
    server: Server = request.getfixturevalue("postgres")
    server.run("DROP SCHEMA IF EXISTS wb CASCADE; CREATE SCHEMA wb; DROP TABLE IF EXISTS mailtrap_opt_outs")

    def ask_postgres(sql: str) -> list[tuple[object, ...]]:
        return [tuple(line.split("|")) for line in server.run(sql).splitlines()]

    return server.url(), ask_postgres


def people(*rows: tuple[str, str, bool], seen: datetime = NOW) -> pa.Table:
    """Who opted out, why, and whether it still holds."""
    found = [
        {
            "email": email,
            "reasons": why,
            "since": None,
            "first_seen": NOW,
            "last_seen": seen,
            "active": active,
        }
        for email, why, active in rows
    ]
    return pa.Table.from_pylist(found, SCHEMA)


def test_the_table_is_made_and_kept_up_to_date(database: tuple[str, Query]) -> None:
    """One row a person; the same again changes nothing."""
    url, ask = database
    target = WriteBack(url, "mailtrap_opt_outs")
    assert (
        target.tell(people(("a@x.example", "unsubscribed", True), ("b@x.example", "hard bounce", True))) == 2
    )
    assert (
        target.tell(people(("a@x.example", "unsubscribed", True), ("b@x.example", "hard bounce", True))) == 0
    )
    assert target.tell(people(("a@x.example", "unsubscribed", False), seen=LATER)) == 1
    held = [
        tuple(map(str, row)) for row in ask("SELECT email, reasons FROM mailtrap_opt_outs ORDER BY email")
    ]
    assert held == [("a@x.example", "unsubscribed"), ("b@x.example", "hard bounce")]
    assert str(ask("SELECT count(*) FROM mailtrap_opt_outs WHERE active")[0][0]) == "1"


def test_erased_people_are_taken_out(database: tuple[str, Query]) -> None:
    """The one table of a warehouse that is ours is cleaned with the others."""
    url, ask = database
    target = WriteBack(url, "mailtrap_opt_outs")
    target.tell(people(("a@x.example", "unsubscribed", True), ("b@x.example", "unsubscribed", True)))
    assert target.forget(["a@x.example", "nobody@x.example"]) == 1
    assert target.forget(["a@x.example"]) == 0
    assert [tuple(row) for row in ask("SELECT email FROM mailtrap_opt_outs")] == [("b@x.example",)]


def test_values_and_names_are_never_sql(database: tuple[str, Query]) -> None:
    """Whatever an address or the name of a table holds."""
    url, ask = database
    nasty = "o'hara'); DROP TABLE mailtrap_opt_outs; --@x.example"
    WriteBack(url, "mailtrap_opt_outs").tell(people((nasty, 'un"subscribed', True)))
    assert str(ask("SELECT email FROM mailtrap_opt_outs")[0][0]) == nasty
    odd = WriteBack(url, '"x; DROP TABLE mailtrap_opt_outs; --"')
    assert odd.tell(people(("a@x.example", "unsubscribed", True))) == 1
    assert str(ask("SELECT count(*) FROM mailtrap_opt_outs")[0][0]) == "1"
    with pytest.raises(WarehouseError, match="not a name of a table"):
        WriteBack(url, "").tell(people())


def test_half_a_change_is_no_change(database: tuple[str, Query]) -> None:
    """A table of another shape refuses a row: nothing of the call is kept, and the message holds nobody."""
    url, ask = database
    narrow = "CREATE TABLE mailtrap_opt_outs (email TEXT PRIMARY KEY, reasons TEXT, since TIMESTAMPTZ, first_seen TIMESTAMPTZ, last_seen TIMESTAMPTZ, active BOOLEAN, CHECK (reasons <> 'spam complaint'))"
    ask(narrow)
    rows = people(("a@x.example", "unsubscribed", True), ("b@x.example", "spam complaint", True))
    with pytest.raises(WarehouseError, match="could not be written back") as raised:
        WriteBack(url, "mailtrap_opt_outs").tell(rows)
    assert "x.example" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert str(ask("SELECT count(*) FROM mailtrap_opt_outs")[0][0]) == "0"


def test_nowhere_is_a_place_too() -> None:
    """Without the setting nothing is opened, and nothing is written."""
    nowhere = WriteBack(None, "mailtrap_opt_outs")
    assert nowhere.tell(people()) is None
    assert nowhere.forget(["a@x.example"]) is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("snowflake://account/db", "DuckDB and PostgreSQL only"),
        ("duckdb:///no/such/folder/w.duckdb", "no such file"),
        ("postgresql://user:hunter2@127.0.0.1:1/db", "nobody listens there"),
    ],
)
def test_what_cannot_be_written_says_why(url: str, words: str) -> None:
    """In the words of the person who set it, without a password."""
    with pytest.raises(WarehouseError, match=words) as raised:
        WriteBack(url, "t").tell(people())
    assert "hunter2" not in str(raised.value)
