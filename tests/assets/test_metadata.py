"""What the UI is told of a table."""

from pathlib import Path

import pyarrow as pa

from assets import metadata
from assets.rules.rejection import Reason
from resources.lake import Lake


def test_a_file_is_told_by_rows_bytes_columns_and_place(tmp_path: Path) -> None:
    """Dagster's own names for rows and columns, so that its pages plot and show them; the path is the lake's."""
    lake = Lake(str(tmp_path))
    with lake.writer("x/y.parquet", pa.schema([("a", pa.int64())])) as sink:
        sink.write(pa.table({"a": [1, 2, 3]}))
    facts = metadata.of_file(lake, "x/y.parquet", described={"a": "A number."})
    assert facts["dagster/row_count"] == 3
    assert facts["bytes"] == (tmp_path / "x/y.parquet").stat().st_size
    assert facts["path"] == "x/y.parquet"
    (column,) = facts["dagster/column_schema"].columns
    assert (column.name, column.type, column.description) == ("a", "int64", "A number.")


def test_counts_become_numbers_that_plot() -> None:
    """Each outcome keeps its name from run to run; the rejected share is a number too."""
    facts = metadata.of_rows({"read": 8, "accepted": 6, "rejected": 2})
    assert facts == {"rows_read": 8, "rows_accepted": 6, "rows_rejected": 2, "rejected_share": 0.25}
    assert metadata.of_rows({"read": 0})["rejected_share"] == 0


def test_the_chart_shows_every_outcome_that_occurred_with_its_share() -> None:
    """Largest bar full, smallest at least a sliver, nothing for what did not occur."""
    chart = metadata.where_rows_went({"read": 1010, "accepted": 1000, "rejected": 10, "stale": 0}).value
    lines = [line for line in str(chart).splitlines() if "%" in line]
    assert [line.split()[:3] for line in lines] == [
        ["accepted", "1,000", "99.0%"],
        ["rejected", "10", "1.0%"],
    ]
    assert lines[0].count("█") == metadata.BAR_WIDTH
    assert "every row is counted once" in str(chart)
    assert "stale" not in str(chart)


def test_a_chart_that_does_not_add_up_says_so() -> None:
    """The sum is shown, not assumed."""
    assert "3 rows are not counted" in str(metadata.where_rows_went({"read": 10, "accepted": 7}).value)


def test_reasons_come_with_their_remedies() -> None:
    """Whoever sees a rejection in the UI reads there what to do."""
    reasons = {"address_several": 2, "refused_by_mailtrap": 1}
    assert "**3 of 100 rows rejected** (3.0%)" in str(metadata.by_reason(reasons, read=100).value)
    told = str(metadata.remedies(reasons).value)
    assert "`address_several` (2): Keep one address per row." in told
    assert "`refused_by_mailtrap` (1): See `mailtrap_says`" in told
    assert metadata.by_reason({}, read=5).value == "No row was rejected."


def test_many_reasons_still_fit_on_the_page() -> None:
    """Dagster hides a long text behind a link: the rarest reasons are summed up, none is lost from the sum."""
    told = str(metadata.by_reason({f"reason_{n:02}": 50 - n for n in range(20)}, read=5000).value)
    assert len(told) < 1000 and "12 more" in told and "**810 of 5,000 rows rejected**" in told


def test_a_chart_of_reasons_fits_in_the_table_of_a_page() -> None:
    """Names, counts and bars of the longest reasons are not cut off at the right; short ones have longer bars."""
    chart = metadata.bars([(name, 99_999) for name in Reason.__members__], whole=99_999)
    assert max(len(line) for line in chart.splitlines()) <= metadata.LINE_WIDTH
