"""The lists that a row asks for, out of a column."""

from typing import Any

import pyarrow as pa
import pytest

from assets.rules import cells
from assets.rules.lists import read_lists, rows_with_other_lists

BAD = "unreadable"
CASES: list[tuple[Any, list[Any]]] = [
    (pa.array(["A, B", "A", "", " , ", None]), [["A", "B"], ["A"], [], [], None]),
    (pa.array([["A", "B"], [], None]), [["A", "B"], [], None]),
    (pa.array([[1, 2], None]), [["1", "2"], None]),
    (pa.array([["A"], None], pa.large_list(pa.large_string())), [["A"], None]),
    (pa.array([["A", None], ["B"], [" "]]), [BAD, ["B"], BAD]),
    (pa.array([[["A"]], None]), [BAD, None]),
    (pa.array([7, None]), [BAD, None]),
    (pa.array([b"A"]), [BAD]),
    (pa.nulls(2), [None, None]),
    (cells.text_of(["A\ud800", "A"]), [BAD, ["A"]]),
]


@pytest.mark.parametrize(("column", "expected"), CASES, ids=range(len(CASES)))
def test_lists_are_read_or_the_row_is_refused(column: Any, expected: list[Any]) -> None:
    """Blank text asks for none; a name that is null or blank is a mistake of the row; slices are what they are."""
    longer = pa.concat_arrays([column, column])[len(column) :]
    for given in (column, longer):
        read = read_lists(given)
        held = read.values.to_pylist()
        assert [BAD if bad else value for bad, value in zip(read.unreadable, held, strict=True)] == expected


@pytest.mark.parametrize(
    ("known", "create", "rows"),
    [
        (None, False, []),
        ({"A", "7"}, False, [2, 3, 5, 6]),
        ({"A", "7"}, True, [3, 5]),
        ({"a@b.co"}, True, [0]),
    ],
)
def test_a_row_names_only_lists_that_are_known_or_may_be_made(
    known: set[str] | None, create: bool, rows: list[int]
) -> None:
    """A number is an id and a text with an @ no name: neither brings a list about."""
    values = pa.array(
        [["A", "7"], None, ["A", "New"], ["a@b.co"], [], ["8" if known != {"a@b.co"} else "X"], ["B"]]
    )
    found = rows_with_other_lists(values, known=None if known is None else frozenset(known), create=create)
    assert found.tolist() == rows
