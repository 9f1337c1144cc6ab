"""Moments out of whatever a warehouse calls a time."""

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules import cells
from assets.rules.moments import read_moments

NOON = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
BAD = "unreadable"
CASES: list[tuple[Any, list[Any]]] = [
    (pa.array([NOON, None], pa.timestamp("us", tz="UTC")), [NOON, None]),
    (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("s")), [NOON]),
    (pa.array([NOON], pa.timestamp("ns", tz="Asia/Tokyo")), [NOON]),
    (pa.array([NOON], pa.timestamp("ms", tz="+02:00")), [NOON]),
    (pa.array([dt.date(2024, 2, 29), None]), [NOON.replace(hour=0), None]),
    (pa.array([dt.date(2024, 2, 29), None], pa.date64()), [NOON.replace(hour=0), None]),
    (pa.array([10**15, -(10**15)]).cast(pa.timestamp("s")), [BAD, BAD]),
    (pa.array([2**31 - 1], pa.int32()).cast(pa.date32()), [BAD]),
    (pa.array(["2024-02-29T12:00:00Z", "2024-02-29 13:00:00+01:00"]), [NOON, NOON]),
    (pa.array(["2024-02-29 12:00:00", "2024-02-29T12:00:00.000000", None]), [NOON, NOON, None]),
    (pa.array(["2024-02-29T12:00:00Z", "2024-02-29 12:00", " 2024-02-29 12:00:00 "]), [NOON, NOON, NOON]),
    (pa.array(["2024-02-29"]), [NOON.replace(hour=0)]),
    (pa.array(["", "  ", "2024-02-29T12:00:00Z"]), [None, None, NOON]),
    (pa.array(["2023-02-29 12:00:00", "2024-02-29 12:00:00"]), [BAD, NOON]),
    (
        pa.array(["yesterday", "20240229T120000", "29.02.2024", "1709208000", "2024-02-29 25:00:00"]),
        [BAD] * 5,
    ),
    (cells.text_of(["2024-02-29\ud800", "2024-02-29 12:00:00"]), [BAD, NOON]),
    (pa.array([1709208000, None]), [BAD, None]),
    (pa.array([True]), [BAD]),
    (pa.array([dt.time(12)]), [BAD]),
    (pa.nulls(2), [None, None]),
    (pa.array([], pa.string()), []),
]


@pytest.mark.parametrize(("column", "expected"), CASES, ids=range(len(CASES)))
def test_a_time_is_read_or_unreadable_never_guessed(column: Any, expected: list[Any]) -> None:
    """Known moments, nothing said, and said but unreadable are three different things."""
    read = read_moments(column)
    held = read.as_arrow().to_pylist()
    assert [BAD if bad else value for bad, value in zip(read.unreadable, held, strict=True)] == expected


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.datetimes(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=-5))])), max_size=5
    )
)
def test_iso_text_is_read_as_python_reads_it(moments: list[dt.datetime]) -> None:
    """However many of them stand in one column, whatever their zones."""
    inside = [moment for moment in moments if 1 < moment.year < 9999]
    assert (
        read_moments(pa.array([str(moment) for moment in inside], pa.string())).as_arrow().to_pylist()
        == inside
    )
