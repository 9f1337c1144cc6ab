"""The sample warehouse: untidy in every way that we promise to handle, and the same each time."""

from collections import Counter
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from assets.rules.screening import screen
from assets.rules.sync_file import load_syncs
from pipelines import sample
from tests.pipelines.recount import canonical, recount
from tests.tree import ROOT

TODAY = date(2026, 6, 1)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sample for all tests that only read it."""
    path = tmp_path_factory.mktemp("sample") / "warehouse.duckdb"
    assert sample.write_sample(path, today=TODAY) == 20_400
    return path


def rows_of(path: Path) -> list[tuple[object, ...]]:
    """Every row, in the order of the file."""
    with duckdb.connect(str(path), read_only=True) as con:
        return con.sql(f"FROM {sample.TABLE}").fetchall()


def test_the_same_seed_and_day_give_the_same_rows(warehouse: Path, tmp_path: Path) -> None:
    """Two people who run the demo on one day see the same numbers."""
    sample.write_sample(tmp_path / "again.duckdb", today=TODAY)
    assert rows_of(tmp_path / "again.duckdb") == rows_of(warehouse)


def test_the_sample_has_the_promised_shares(warehouse: Path) -> None:
    """About 20 % without consent, 3 % invalid, duplicates, and somebody in every other place."""
    known = sample.known_at_mailtrap(warehouse)
    suppressed = [email for email, _ in known.suppressed]
    rows = recount(warehouse, NOW, unsubscribed=known.unsubscribed, suppressed=suppressed).rows
    assert rows["read"] == sum(count for place, count in rows.items() if place != "read")
    assert 0.18 < rows["no_consent"] / rows["read"] < 0.23
    assert 0.025 < rows["rejected"] / rows["read"] < 0.035
    assert all(rows[place] > 50 for place in ("duplicate", "unsubscribed", "suppressed"))


def test_the_counts_do_not_move_while_the_sample_is_some_weeks_old(warehouse: Path) -> None:
    """No consent of the sample expires within three months of its making."""
    assert recount(warehouse, NOW + timedelta(days=90)).rows == recount(warehouse, NOW).rows


def test_every_address_is_reserved_for_documentation(warehouse: Path) -> None:
    """Nobody real can be written to, even if someone points the demo at a real account."""
    people = recount(warehouse, NOW).contacts
    assert people
    assert all(address.rpartition("@")[2].endswith(sample.DOMAINS) for address in people)


def test_names_and_companies_vary_as_in_real_tables(warehouse: Path) -> None:
    """A sample of a few repeated words would flatter every measurement."""
    with duckdb.connect(str(warehouse), read_only=True) as con:
        companies, names = con.sql(
            f"SELECT count(DISTINCT company), count(DISTINCT given_name || family_name) FROM {sample.TABLE}"
        ).fetchall()[0]
    assert companies > 15_000
    assert names > 10_000


def test_one_percent_changes_and_nothing_else(tmp_path: Path) -> None:
    """The second sync of the demo has exactly these rows to look at."""
    path = tmp_path / "warehouse.duckdb"
    sample.write_sample(path, today=TODAY, people=3_000)
    before = set(rows_of(path))
    assert sample.change_one_percent(path, now=NOW) == 31
    assert len(set(rows_of(path)) - before) == 31
    assert len(rows_of(path)) == len(before)


def test_those_who_said_no_are_those_that_the_recount_leaves_out(warehouse: Path) -> None:
    """The demo's own look at who must not be told of agrees with a row-by-row one."""
    said_no = sample.who_said_no(warehouse, now=NOW)
    assert len(said_no) > 3_000
    assert not said_no & recount(warehouse, NOW).contacts.keys()


def test_nobody_is_known_to_mailtrap_twice(warehouse: Path) -> None:
    """Unsubscribed, suppressed and subscribed people are different people of the sample."""
    known = sample.known_at_mailtrap(warehouse)
    everyone = [*known.unsubscribed, *(email for email, _ in known.suppressed), *known.subscribed]
    assert len(everyone) == len(set(everyone)) > 300
    assert all(canonical(email) == email for email in everyone)


def test_people_known_to_mailtrap_do_not_show_in_a_repr(warehouse: Path) -> None:
    """A failing assertion or a debug line must not print addresses."""
    known = sample.known_at_mailtrap(warehouse)
    assert known.unsubscribed[0] in asdict(known)["unsubscribed"]
    assert known.unsubscribed[0] not in repr(known)


def test_an_interrupted_write_leaves_the_former_warehouse(tmp_path: Path) -> None:
    """A half-written file beside the warehouse is replaced by the next write."""
    path = tmp_path / "warehouse.duckdb"
    path.with_name(f".{path.name}.partial").write_bytes(b"half")
    assert sample.write_sample(path, today=TODAY, people=100) == 102
    assert len(rows_of(path)) == 102
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_rules_and_the_recount_agree_about_every_row(warehouse: Path) -> None:
    """Two programs that share no line come to the same counts and to the same contacts, value by value."""
    (sync,) = load_syncs(ROOT / "pipelines" / "syncs")
    with duckdb.connect(str(warehouse), read_only=True) as con:
        rows = con.sql(f"FROM {sample.TABLE}").to_arrow_table().to_pandas(types_mapper=pd.ArrowDtype)
    screened = screen(rows, sync, now=NOW, key=b"k" * 32)
    counted = recount(warehouse, NOW)
    by_column = Counter(pa.table(screened.rejections)["column"].to_pylist())
    contacts = {row.pop("email"): contact_of(row) for row in pa.table(screened.accepted).to_pylist()}
    assert by_column == counted.rejected_by_column
    assert pa.table(screened.no_consent).num_rows == counted.rows["no_consent"]
    assert contacts == counted.contacts


def contact_of(row: dict[str, object]) -> dict[str, object]:
    """An accepted contact in the words of the recount."""
    values = {tag: value for tag, value in row.items() if not tag.startswith("_") and value is not None}
    return {tag: value.isoformat() if isinstance(value, date) else value for tag, value in values.items()}
