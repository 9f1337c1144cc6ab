"""When something happened, whatever type says so: microseconds since 1970 in UTC.

Belongs here: reading timestamps, dates and ISO 8601 text. Not here: what the moment means (`consent`).
A timestamp without a zone is UTC. Everything else than a timestamp, a date or ISO 8601 text is unreadable.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from assets.rules import cells

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = -62_135_596_800_000_000
_LAST = 253_402_300_799_999_999
"""The years 1 to 9999: what Python, JSON readers and other people's databases can name."""
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_SHAPE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
_SHAPES = (
    (f"{_SHAPE}$", pa.timestamp("us")),
    (f"{_SHAPE}(Z|[+-][0-9]{{2}}:[0-9]{{2}})$", pa.timestamp("us", tz="UTC")),
)


class Moments(NamedTuple):
    """A column read as moments: microseconds where `known`, and what was there but could not be read."""

    microseconds: npt.NDArray[np.int64]
    known: cells.Mask
    unreadable: cells.Mask

    def at(self, rows: cells.Rows) -> "Moments":
        """Some of the rows."""
        return Moments(self.microseconds[rows], self.known[rows], self.unreadable[rows])

    def as_arrow(self) -> cells.Array:
        """The moments as timestamps with zone UTC; null where unknown."""
        held = pa.array(self.microseconds, mask=~self.known)
        return held.cast(pa.timestamp("us", tz="UTC"))


def microseconds(moment: datetime) -> int:
    """A moment as the number that columns hold."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def read_moments(column: cells.Array) -> Moments:
    """Every cell as a moment, as known as it can be without guessing."""
    size = len(column)
    read = Moments(np.zeros(size, np.int64), np.zeros(size, np.bool_), np.zeros(size, np.bool_))
    for part, rows in cells.kinds(column):
        place = slice(None) if rows is None else rows
        for whole, of_part in zip(read, _read(part), strict=True):
            whole[place] = of_part
    return read


def _read(column: cells.Array) -> Moments:
    kind = column.type
    if pa.types.is_timestamp(kind):
        return _numbers(column, _PER_SECOND[kind.unit])
    if pa.types.is_date64(kind):
        return _numbers(column, _PER_SECOND["ms"])
    if pa.types.is_date(kind):
        days = column.cast(pa.int32()).cast(pa.int64())
        return _numbers(days, None)
    if pa.types.is_string(kind):
        return _texts(column)
    known = np.zeros(len(column), np.bool_)
    return Moments(np.zeros(len(column), np.int64), known, ~cells.nulls(column))


def _numbers(column: cells.Array, per_second: int | None) -> Moments:
    """Whole units as microseconds; what a 64-bit count of them cannot hold is unreadable, not wrapped."""
    absent = cells.nulls(column)
    held = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    factor = 86_400_000_000 if per_second is None else max(1, 1_000_000 // per_second)
    divisor = 1 if per_second is None else max(1, per_second // 1_000_000)
    inside = (
        (held >= _FIRST // factor) & (held <= _LAST // factor)
        if divisor == 1
        else np.ones(len(held), np.bool_)
    )
    return Moments(np.where(inside, held, 0) * factor // divisor, inside & ~absent, ~inside & ~absent)


def _texts(column: cells.Array) -> Moments:
    blank = cells.nulls(column) | cells.to_mask(
        pc.equal(pc.binary_length(pc.ascii_trim_whitespace(column)), 0)
    )
    for shape, kind in _SHAPES:
        if (cells.to_mask(pc.match_substring_regex(column, shape)) | blank).all():
            try:
                return _numbers(cells.blank(column, blank).cast(kind), _PER_SECOND["us"])
            except pa.ArrowInvalid:
                break
    return _texts_one_by_one(column, blank)


def _texts_one_by_one(column: cells.Array, blank: cells.Mask) -> Moments:
    """Texts of several shapes, or with days that no calendar has: each distinct one is read by Python."""
    named = cells.binary(column).dictionary_encode()
    values = [_from_iso(cell) for cell in named.dictionary.to_pylist()] or [None]
    numbers = named.indices.fill_null(0).to_numpy(zero_copy_only=False)
    held = np.array([value or 0 for value in values], np.int64)[numbers]
    known = np.array([value is not None for value in values], np.bool_)[numbers] & ~blank
    return Moments(held, known, ~known & ~blank)


@lru_cache(maxsize=1 << 14)
def _from_iso(cell: bytes) -> int | None:
    try:
        text = cell.decode("ascii").strip()
        return microseconds(datetime.fromisoformat(text)) if text[4:5] == "-" and text[7:8] == "-" else None
    except (ValueError, OverflowError):
        return None


def none_known(size: int) -> Moments:
    """A column that says nothing."""
    return Moments(np.zeros(size, np.int64), np.zeros(size, np.bool_), np.zeros(size, np.bool_))
