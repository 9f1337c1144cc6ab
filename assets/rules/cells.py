"""How a column arrives, whatever made it: plain Arrow, no dictionaries, no views, bytes that we can look at.

Belongs here: turning any Arrow or pandas column into one plain Arrow array, and the cheap looks at its bytes.
Not here: what a value means (`address`, `consent`, `moments`, `fields`).
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]
_BYTES_AT_ONCE = 1 << 18  # what stays near a core through all the looks at it
Array = Any
"""A pyarrow.Array: pyarrow ships no types."""


def plain(column: Array) -> Array:
    """The same values as one array without chunks, dictionaries, views, large offsets or run lengths."""
    if isinstance(column, pa.ChunkedArray):
        column = (
            column.chunk(0)
            if column.num_chunks == 1
            else pa.concat_arrays(column.chunks or [pa.nulls(0, column.type)])
        )
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain(column.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return plain(pc.run_end_decode(column))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return column.cast(pa.binary())
    if isinstance(kind, pa.UuidType):
        return pa.array([None if cell is None else str(cell) for cell in column.to_pylist()], pa.string())
    if isinstance(kind, pa.BaseExtensionType):
        return plain(column.storage)
    return column


def kinds(column: Array) -> Iterable[tuple[Array, Rows | None]]:
    """The parts of a column that hold one type each, with their rows; nearly always the column itself."""
    if not pa.types.is_union(column.type):
        yield column, None
        return
    codes = column.type_codes.to_numpy()
    for code in range(column.type.num_fields):
        rows = np.flatnonzero(codes == code)
        if len(rows):
            yield plain(column.field(code).take(pa.array(column.offsets.to_numpy()[rows]))), rows


def from_pandas(column: "pd.Series[Any]") -> Array:
    """A pandas column as plain Arrow; a column of mixed objects becomes a union of its types."""
    try:
        return plain(pa.array(column, from_pandas=True))
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError, ValueError):
        return _mixed(column.astype(object).tolist())


def _mixed(cells: list[object]) -> Array:
    makers = [make for _, make in _KINDS]
    held: list[list[Any]] = [[] for _ in _KINDS]
    codes, offsets = bytearray(), []
    for cell in cells:
        code = next(number for number, (types, _) in enumerate(_KINDS) if isinstance(cell, types))
        codes.append(code)
        offsets.append(len(held[code]))
        held[code].append(cell)
    parts = [make(values) for make, values in zip(makers, held, strict=True)]
    return pa.UnionArray.from_dense(
        pa.array(list(codes), pa.int8()),
        pa.array(offsets, pa.int32()),
        parts,
        [str(n) for n in range(len(parts))],
    )


def text_of(values: Iterable[str]) -> Array:
    """Texts as Arrow, lone surrogates kept as the invalid bytes that they are, for a rule to find."""
    held = pa.array([value.encode("utf-8", "surrogatepass") for value in values], pa.binary())
    return pa.StringArray.from_buffers(len(held), held.buffers()[1], held.buffers()[2])


def _whole(values: list[Any]) -> Array:
    """Python's integers at any size; beyond 38 digits one stands for all, since every rule refuses it alike."""
    most = 10**38
    held = [Decimal(max(-most, min(most, int(value)))) for value in values]
    return pa.array(held, pa.decimal256(40, 0))


def _opaque(values: list[Any]) -> Array:
    return pa.array([b""] * len(values), pa.binary())


def _safely(make: Callable[[list[Any]], Array]) -> Callable[[list[Any]], Array]:
    def made(values: list[Any]) -> Array:
        try:
            return make(values)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            return _opaque(values)

    return made


def _floats(values: list[Any]) -> Array:
    return pa.array([float(value) for value in values], pa.float64(), from_pandas=True)


_KINDS: list[tuple[Any, Callable[[list[Any]], Array]]] = [
    ((type(None), type(pd.NA), type(pd.NaT)), lambda values: pa.nulls(len(values))),
    ((bool, np.bool_), lambda values: pa.array([bool(value) for value in values], pa.bool_())),
    ((int, np.integer), _whole),
    ((float, np.floating), _floats),
    (str, text_of),
    (datetime, _safely(lambda values: pa.array(values, pa.timestamp("us", tz="UTC")))),
    (date, _safely(lambda values: pa.array(values, pa.date32()))),
    (Decimal, _safely(lambda values: pa.array(values))),
    (object, _opaque),
]


def nulls(column: Array) -> Mask:
    """Which cells are null."""
    if pa.types.is_union(column.type):
        found = np.zeros(len(column), np.bool_)
        for part, rows in kinds(column):
            found[rows] = nulls(part)
        return found
    if column.null_count == 0:
        return np.zeros(len(column), np.bool_)
    return to_mask(column.is_null())


def to_mask(flags: Array) -> Mask:
    """Arrow booleans as numpy ones; null is False."""
    if flags.null_count:
        flags = flags.fill_null(False)
    if isinstance(flags, pa.ChunkedArray):
        flags = flags.combine_chunks()
    return np.asarray(flags.to_numpy(zero_copy_only=False), np.bool_)


def raw_bytes(column: Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """The bytes of a text column without its unused ends, and where each row ends in them, from 0."""
    _, offsets, data = column.buffers()
    ends = (
        np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
        if len(column)
        else np.zeros(1, np.int32)
    )
    held = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return held[ends[0] : ends[-1]], ends - ends[0]


def rows_with_bytes_outside(column: Array, low: int, high: int, *, also: str = "") -> Rows:
    """The rows of a text column with a byte outside `low` to `high`, or one of `also`: one look at the buffer."""
    data, ends = raw_bytes(column)
    found = [
        first + np.flatnonzero(_outside(data[first : first + _BYTES_AT_ONCE], low, high, also))
        for first in range(0, len(data), _BYTES_AT_ONCE)
    ]
    places = np.concatenate([*found, np.zeros(0, np.int64)])
    rows = np.searchsorted(ends, places, side="right") - 1
    return rows[np.diff(rows, prepend=-1) > 0]


def _outside(data: npt.NDArray[np.uint8], low: int, high: int, also: str) -> Mask:
    strange: Mask = (data - np.uint8(low)) > np.uint8(high - low)
    for letter in also:
        strange |= data == np.uint8(ord(letter))
    return strange


def rows_of_invalid_utf8(column: Array) -> Rows:
    """The rows of a text column whose bytes are no UTF-8: lone surrogates, cut characters, other encodings."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        rows = rows_with_bytes_outside(column, 0x00, 0x7F)
        cells = binary(column).take(pa.array(rows)).to_pylist()
        return rows[[cell is not None and not _is_utf8(cell) for cell in cells]]
    return np.zeros(0, np.int64)


def binary(column: Array) -> Array:
    """The bytes of a text column, without a look at what they say."""
    return pa.Array.from_buffers(pa.binary(), len(column), column.buffers(), column.null_count, column.offset)


def _is_utf8(cell: bytes) -> bool:
    try:
        cell.decode()
    except UnicodeDecodeError:
        return False
    return True


def blank(column: Array, rows: Rows | Mask) -> Array:
    """The column with null in these rows."""
    if rows.dtype != np.bool_:
        mask = np.zeros(len(column), np.bool_)
        mask[rows] = True
        rows = mask
    return pc.if_else(pa.array(rows), pa.scalar(None, column.type), column)


def as_text(column: Array) -> Array:
    """Any column as text for people to read: plain spellings, null where there is none."""
    if pa.types.is_string(column.type):
        bad = rows_of_invalid_utf8(column)
        return blank(column, bad) if len(bad) else column
    try:
        return column.cast(pa.string()) if not pa.types.is_floating(column.type) else _spelled(column, str)
    except pa.ArrowException:
        return _spelled(column, str)


def as_bytes(column: Array) -> Array:
    """Any column as bytes that differ where its cells differ, to be hashed."""
    if pa.types.is_string(column.type):
        return binary(column)
    if pa.types.is_binary(column.type):
        return column
    try:
        return binary(column.cast(pa.string()))
    except pa.ArrowException:
        return binary(_spelled(column, repr))


def _spelled(column: Array, spell: Callable[[object], str]) -> Array:
    """Cell by cell, for types that Arrow has no text for; what even Python cannot read is a question mark."""
    found: list[str | None] = []
    for place in range(len(column)):
        try:
            cell = column[place].as_py()
            found.append(None if cell is None else spell(cell).encode("utf-8", "replace").decode())
        except (ValueError, OverflowError):
            found.append("?")
    return pa.array(found, pa.string())
