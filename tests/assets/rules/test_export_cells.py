"""What a cell means depends on the cell alone, and what Python could not read is a misfit."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.export_cells import type_column
from assets.rules.export_layout import Kind

PLAIN = st.one_of(
    st.text("0123456789-.e", min_size=1, max_size=10),
    st.integers().map(str),
    st.floats().map(repr),
    st.dates().map(str),
)


def meaning(cells: list[str], kind: Kind, *, of: int) -> tuple[object, bool]:
    """The value of one cell, and whether it did not fit."""
    typed = type_column(pa.array(cells, pa.string()), kind)
    return typed.values[of].as_py(), typed.unfit is not None and typed.unfit[of].as_py()


@settings(max_examples=150, deadline=None)
@given(cell=PLAIN, kind=st.sampled_from(["integer", "float", "date"]))
def test_a_cell_means_the_same_beside_any_other(cell: str, kind: Kind) -> None:
    """Columns of plain cells are cast as a whole, others cell by cell: nobody may see a difference."""
    assert repr(meaning([cell], kind, of=0)) == repr(meaning([cell, "odd"], kind, of=0))


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ("0000-01-01", "date"),
        ("0000-01-01T00:00:00Z", "moment"),
        ("0001-01-01T00:00:00+05:00", "moment"),
        ("9999-12-31T23:59:59-05:00", "moment"),
        ("0x10", "integer"),
        ("nan", "float"),
        ("1e999", "float"),
    ],
)
def test_what_no_reader_knows_is_a_misfit(cell: str, kind: Kind) -> None:
    """A year 0 in one cell would make the whole column unreadable for Python and pandas."""
    assert meaning([cell], kind, of=0) == (None, True)
    assert meaning([cell, "odd", "2026-01-01"], kind, of=0) == (None, True)
