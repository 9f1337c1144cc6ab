"""Keyed hashes have the spelling of a UUID, whatever Arrow holds them in."""

import os
from uuid import UUID

import pyarrow as pa
import pytest

from assets.rules.hash_text import as_text, is_text_of_hashes

HASHES = [os.urandom(16) if number % 7 else None for number in range(50)]
COLUMN = pa.ExtensionArray.from_storage(pa.uuid(), pa.array(HASHES, pa.binary(16)))
CASES = {
    "all": COLUMN,
    "a slice": COLUMN[3:20],
    "chunks": pa.chunked_array([COLUMN[5:9], COLUMN[9:9], COLUMN[20:]]),
    "nobody": COLUMN[:0],
    "null alone": COLUMN[:1],
    "no chunk": pa.chunked_array([], pa.uuid()),
}


@pytest.mark.parametrize("column", CASES.values(), ids=CASES)
def test_each_hash_is_spelled_as_python_and_duckdb_spell_it(column: pa.Array) -> None:
    """So that it can be cast back; null stays null."""
    text = as_text(column)
    text.validate(full=True)
    assert text.to_pylist() == [None if each is None else str(each) for each in column.to_pylist()]
    assert is_text_of_hashes(text) and as_text(text) is text


@pytest.mark.parametrize(
    "column", [pa.array(["short"]), pa.array([str(UUID(int=1)), "x"]), pa.array([1]), COLUMN]
)
def test_other_columns_are_no_texts_of_hashes(column: pa.Array) -> None:
    """Whatever they are called."""
    assert not is_text_of_hashes(column)
