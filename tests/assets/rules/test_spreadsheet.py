"""No cell of a file for a spreadsheet is a formula, and every text comes back exactly."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.spreadsheet import as_before, harmless, harmless_table

FORMULAS = (
    "=1+1", "+1", "-17", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u3000=1", "\ufeff=1", "\u00a0+1", "=cmd|' /C calc'!A0",
    "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x", "\ufe66x", "\u22121", "'=1", "'", "\t", "-", "+49 30 1",
)  # fmt: skip
PLAIN = ("", "p17", "ann@example.com", "a=b", "O'Brien", "1-2", " text", "Ｆull", "<b>")


@pytest.mark.parametrize("text", FORMULAS)
def test_what_begins_like_a_formula_begins_with_an_apostrophe(text: str) -> None:
    """Full-width signs and white space before a sign too; Excel and Calc look through both."""
    assert harmless(pa.array([text])).to_pylist() == ["'" + text]


def test_other_text_is_left_alone() -> None:
    """Null stays null."""
    assert harmless(pa.array([*PLAIN, None])).to_pylist() == [*PLAIN, None]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from("=+-@'\t\n a1＝") | st.characters(codec="utf-8"), max_size=6)))
def test_every_text_comes_back_exactly(texts: list[str]) -> None:
    """One apostrophe off the front, whatever there was."""
    assert as_before(harmless(pa.array(texts, pa.string()))).to_pylist() == texts


def test_numbers_stay_numbers_and_lists_become_one_text() -> None:
    """Only text can be a formula."""
    table = pa.table({"n": [-1], "also": [["=a", "b"]], "key": ["-1"]})
    assert harmless_table(table).to_pylist() == [{"n": -1, "also": "'=a; b", "key": "'-1"}]
