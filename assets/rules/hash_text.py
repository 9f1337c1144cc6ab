"""Keyed hashes as text, for the tables that people read with tools of their own: Spark refuses a Parquet file with a UUID.

Belongs here: the spelling, 36 characters that every tool can join by and DuckDB casts back (`::uuid`). Not here: the
hash (`keyed_hash`), and the tables of our own, which keep their 16 bytes.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.rules import cells

TEXT = pa.string()
_PAIRS = np.array([f"{byte:02x}" for byte in range(256)], "S2")
_DASHES = (8, 13, 18, 23)
_DIGITS = [place for place in range(36) if place not in _DASHES]


def as_text(column: cells.Array) -> cells.Array:
    """A column of UUIDs as their text; what is text already stays."""
    if not isinstance(column.type, pa.UuidType):
        return column
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([of_bytes(each.storage) for each in column.chunks], TEXT)
    return of_bytes(column.storage)


def of_bytes(hashes: cells.Array) -> cells.Array:
    """The same for an array of 16 bytes a row."""
    rows, absent = len(hashes), cells.nulls(hashes)
    held = pc.fill_null(hashes, bytes(16)).cast(pa.binary()) if absent.any() else hashes.cast(pa.binary())
    data, _ends = cells.raw_bytes(held)
    text = np.full((rows, 36), ord("-"), np.uint8)
    digits = _PAIRS[data.reshape(rows, 16)]
    text[:, _DIGITS] = digits.view(np.uint8).reshape(rows, 32)
    valid = pa.array(~absent).buffers()[1] if absent.any() else None
    places = pa.py_buffer(np.arange(0, 36 * rows + 1, 36, dtype=np.int32))
    return pa.StringArray.from_buffers(rows, places, pa.py_buffer(text), valid)


def is_text_of_hashes(column: cells.Array) -> bool:
    """Whether every cell has the shape of such a text; a column of somebody else's may have the same name."""
    return bool(
        pa.types.is_string(column.type)
        and pc.all(pc.equal(pc.utf8_length(column.drop_null()), 36), min_count=0).as_py()
    )
