"""The keyed hash: its authors' vectors, a plain implementation beside it, and every length and key."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.address import hash_addresses
from assets.rules.keyed_hash import siphash
from tests.assets.rules import siphash as plain

VECTORS = {
    0: "a3817f04ba25a8e66df67214c7550293",
    1: "da87c1d86b99af44347659119b22fc45",
    15: "5493e99933b0a8117e08ec0f97cfc3d9",
}


@pytest.mark.parametrize(("length", "expected"), VECTORS.items())
def test_the_authors_vectors(length: int, expected: str) -> None:
    """Key 00…0f, message 00…: vectors_sip128 of the reference implementation."""
    key, message = bytes(range(16)), bytes(range(length))
    found = siphash(
        np.arange(64, dtype=np.uint8), starts=np.zeros(1, np.int64), lengths=np.array([length]), key=key
    )
    assert found.tobytes().hex() == expected
    assert plain.siphash(message, key).hex() == expected


def test_every_length_null_slice_and_key() -> None:
    """Whatever the length of the key and the text, as one column and as a slice of one."""
    texts = [
        "ann@example.com",
        "",
        *("x" * length for length in (*range(1, 20), 255, 256, 300, 1023, 1024, 1025, 3000)),
        None,
        "änn",
    ]
    for key in (b"", b"k", b"k" * 64, b"k" * 200):
        expected = [None if text is None else plain.person(text, key) for text in texts]
        assert hash_addresses(pa.array(texts), key).to_pylist() == expected
        assert hash_addresses(pa.array(["skipped", *texts])[1:], key).to_pylist() == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=30), st.binary(min_size=16, max_size=16))
def test_a_column_is_hashed_cell_by_cell(cells: list[bytes], key: bytes) -> None:
    """All at once gives what one after the other gives."""
    ends = np.cumsum([0, *map(len, cells)])
    data = np.frombuffer(b"".join(cells), np.uint8)
    found = siphash(data, starts=ends[:-1], lengths=np.diff(ends), key=key)
    assert [each.tobytes() for each in found] == [plain.siphash(cell, key) for cell in cells]


def test_more_cells_than_are_taken_at_once() -> None:
    """Twenty thousand of different lengths keep their places."""
    texts = [f"{'x' * (number % 37)}{number}" for number in range(20_000)]
    found = hash_addresses(pa.array(texts), b"key").to_pylist()
    assert all(found[place] == plain.person(texts[place], b"key") for place in range(0, 20_000, 997))
    assert len(set(found)) == 20_000
