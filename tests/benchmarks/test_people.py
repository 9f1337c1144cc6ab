"""The table of the benchmarks is as bad and as varied as it says."""

from pathlib import Path

import duckdb
import pytest

from benchmarks import people

ROWS = 20_000


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small, and made once."""
    path = tmp_path_factory.mktemp("people") / "people.duckdb"
    people.make(path, ROWS)
    return path


def test_three_in_a_hundred_rows_are_bad_and_two_have_no_consent(table: Path) -> None:
    """What is left to deliver is what the shares say."""
    assert 0.935 < people.usable(table) / ROWS < 0.955


def test_names_repeat_no_more_than_in_life(table: Path) -> None:
    """Few distinct texts would be hashed and encoded once, and flatter everybody."""
    with duckdb.connect(str(table), read_only=True) as con:
        companies, columns = con.sql(
            f"SELECT count(DISTINCT company), (SELECT count(*) FROM (DESCRIBE {people.TABLE})) FROM {people.TABLE}"
        ).fetchall()[0]
    assert companies > 0.8 * ROWS
    assert columns == 10


def test_a_thousandth_changes_and_stays_usable(table: Path, tmp_path: Path) -> None:
    """The third measurement of ours has something to find, and nothing else changes."""
    path = tmp_path / "changed.duckdb"
    path.write_bytes(table.read_bytes())
    people.change_one_in_a_thousand(path)
    with duckdb.connect(str(path), read_only=True) as con:
        con.execute(f"ATTACH '{table}' AS before (READ_ONLY)")
        changed = con.sql(
            f"SELECT count(*) FROM (FROM {people.TABLE} EXCEPT FROM before.{people.TABLE})"
        ).fetchall()[0][0]
    assert 0 < changed < ROWS / 500
    assert people.usable(path) == people.usable(table)
