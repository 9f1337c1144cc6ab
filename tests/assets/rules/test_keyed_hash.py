"""The keyed hash: its authors' vectors, a plain implementation beside it, and every length and key."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.address import hash_addresses
from assets.rules.keyed_hash import keyed_hashes
from tests.assets.rules import siphash as plain

VECTORS = {0: "310e0edd47db6f72", 1: "fd67dc93c539f874", 15: "e545be4961ca29a1", 63: "724506eb4c328a95"}


@pytest.mark.parametrize(("length", "expected"), VECTORS.items())
def test_the_authors_vectors(length: int, expected: str) -> None:
    """Key 00…0f, message 00…: vectors_sip64 of the reference implementation. A pandas that hashes otherwise is found here."""
    key, message = bytes(range(16)), bytes(range(length))
    held = np.array([message, None], object)[:1]
    (found,) = pd.util.hash_array(held, encoding="latin-1", hash_key=key.decode("latin-1"), categorize=False)
    assert plain.siphash(message, key).to_bytes(8, "little").hex() == expected
    assert int(found) == plain.spread(plain.siphash(message, key))


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
@given(st.lists(st.binary(max_size=40), max_size=30), st.binary(min_size=1, max_size=40), st.integers(1, 2))
def test_a_column_is_hashed_cell_by_cell(cells: list[bytes], key: bytes, words: int) -> None:
    """Any bytes, also such as are no text; one word for a fingerprint, two for a person."""
    found = keyed_hashes(pa.array(cells, pa.binary()), key, words=words)
    assert found.tolist() == [plain.words(cell, key, words) for cell in cells]
