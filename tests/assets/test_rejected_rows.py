"""Analysts list, count and plot rejections; the file for a spreadsheet is safe, private and exact."""

import csv
import re
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.delivery.refusals import Refusal, write_refusals
from assets.rejected_rows import COLUMNS, Refused, counted, hand_out
from assets.rules.rejection import REJECTIONS, Reason
from resources.errors import SettingsError
from resources.lake import Lake
from tests.tree import ROOT

MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
KEYS = ("=HYPERLINK(1)", "-17", "'quoted", "p1", "two\nlines", 'comma, "quote"; semicolon')


def rejection(key: str, reason: Reason, *, column: str, first_seen: datetime = MARCH) -> dict[str, Any]:
    """A row as screening keeps it."""
    return {
        "source_key": key, "column": column, "rule": reason.value.rule, "reason": reason.name, "remedy": reason.value.remedy,
        "also": ["age:above_max"], "first_seen": first_seen, "last_seen": APRIL, "times_seen": 2,
    }  # fmt: skip


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Rejections of two partitions, and one of Mailtrap's."""
    lake = Lake(tmp_path / "lake")
    rows = {
        "2026-03-01": [rejection(key, Reason.address_domain, column="email") for key in KEYS],
        "2026-04-01": [rejection("a1", Reason.above_max, column="age", first_seen=APRIL)],
    }
    for partition, here in rows.items():
        with lake.writer(f"people/rejections/{partition}.parquet", REJECTIONS) as sink:
            sink.write(pa.Table.from_pylist(here, REJECTIONS))
    refusal = Refusal("m1", "2026-04-01", b"h" * 16, 7, "email", "=is invalid")
    write_refusals(lake, "people", "delivery", name="one", version="1", refusals=[refusal])
    return lake


def test_rejections_are_counted_by_column_and_reason(lake: Lake) -> None:
    """Over all partitions, the most frequent first, with what would mend them."""
    found = counted(lake, "people")
    assert found[0] == Refused("email", "address_domain", Reason.address_domain.value.remedy, len(KEYS))
    assert {(each.column, each.reason, each.rows) for each in found[1:]} == {
        ("age", "above_max", 1),
        ("email", "refused_by_mailtrap", 1),
    }
    assert [each.reason for each in counted(lake, "people", since=APRIL)] == [
        "above_max",
        "refused_by_mailtrap",
    ]
    assert counted(lake, "strangers") == []


def test_the_file_for_a_spreadsheet_is_safe_private_and_exact(lake: Lake, tmp_path: Path) -> None:
    """No cell is a formula; keys come back by taking one apostrophe off; only its owner may read it."""
    out = tmp_path / "new folder" / "refused.csv"
    assert hand_out(lake, "people", out) == len(KEYS) + 2
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS.names
    assert {row["source_key"].removeprefix("'") for row in rows} == {*KEYS, "a1", "m1"}
    assert not any(cell[:1] in "=+-@\t\r\n" and cell for row in rows for cell in row.values())
    assert rows[-1]["mailtrap_says"] == "'=is invalid" or rows[0]["mailtrap_says"] == "'=is invalid"


def test_a_folder_that_cannot_be_written_is_a_setting_to_mend(lake: Lake, tmp_path: Path) -> None:
    """And nothing is left behind."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="--out"):
        hand_out(lake, "people", tmp_path / "file" / "refused.csv")


def test_the_documented_plot_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands on the page, where the lake is."""
    monkeypatch.chdir(tmp_path)
    with Lake(tmp_path / ".contacts/lake").writer("newsletter/rejections/all.parquet", REJECTIONS) as sink:
        sink.write(pa.Table.from_pylist([rejection("1", Reason.above_max, column="age")], REJECTIONS))
    page = (ROOT / "docs" / "when-it-fails.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(compile(code, "when-it-fails.md", "exec"), {})
    assert (tmp_path / "refused.png").stat().st_size > 1000
