"""What the text of a cell means, a column at a time: typed values, and the texts that do not fit their type.

A value is never guessed and never lost: what does not fit becomes null, and its text goes to `misfits`. An empty
cell is null (a CSV cannot tell it from an empty text). Not here: which column is which (`export_layout`).
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.rules.export_layout import MISFITS_TYPE, Kind

_SMALL_INTEGER = r"^-?[0-9]{1,18}$"
_LONG_INTEGER = r"^\+?(-?[0-9]{1,40})(?:\.0*)?$"
_FLOAT = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_DATE_AT_MIDNIGHT = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]00:00(?::00(?:\.0+)?)?(?: ?(?:Z|UTC|[+-]00:?00))?$"
_TRUE, _FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")
_MILLISECONDS = r"^[0-9]{12,14}$"
_ISO_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
_FIRST_YEAR, _LAST_YEAR = 1, 9999  # Python and pandas know no others, and would fail on the whole column
_KNOWN_COMBINATIONS = 100_000
_SEPARATORS = (";", "|", ",")


@dataclass(frozen=True, slots=True)
class Typed:
    """A column of values; `text` is what was there, `unfit` says where it did not fit."""

    values: pa.Array
    unfit: pa.Array | None = None


def type_column(text: pa.Array, kind: Kind) -> Typed:
    """The values of a column of texts; `text` has null where a cell is empty."""
    return _READERS[kind](text)


def gather_misfits(texts: Mapping[str, tuple[pa.Array, pa.Array]], *, rows: int) -> pa.Array:
    """One map per row, from column name to the text that did not fit; null where all fitted."""
    names = [name for name, (_, unfit) in texts.items() if pc.any(unfit).as_py()]
    if not names:
        return pa.nulls(rows, MISFITS_TYPE)
    places = [np.flatnonzero(texts[name][1].to_numpy(zero_copy_only=False)) for name in names]
    kept = [texts[name][0].take(pa.array(place)) for name, place in zip(names, places, strict=True)]
    order = np.argsort(np.concatenate(places), kind="stable")
    labels = pa.array(np.repeat(np.array(names, dtype=object), [len(place) for place in places]), pa.string())
    counts = np.bincount(np.concatenate(places), minlength=rows)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return pa.MapArray.from_arrays(
        pa.array(offsets),
        labels.take(pa.array(order)),
        pa.concat_arrays(kept).take(pa.array(order)),
        mask=pa.array(counts == 0),
    )


class ListCells:
    """Cells that name several lists, as one list of names each; combinations are read once and remembered."""

    def __init__(self, lists: Mapping[int, str]) -> None:
        self._by_id = {str(key): name for key, name in lists.items()}
        self._names = set(lists.values())
        self._known: dict[str, list[str]] = {}
        self.unknown = 0
        """Distinct cells with a list that the account does not have (any more)."""

    def read(self, text: pa.Array) -> pa.Array:
        """Names in the order of the cell; an empty cell is a contact in no list."""
        encoded = text.dictionary_encode()
        combinations = pa.array(
            [self._split(cell) for cell in encoded.dictionary.to_pylist()], pa.list_(pa.string())
        )
        nowhere = pa.array([[]], pa.list_(pa.string()))
        places = pc.fill_null(encoded.indices, len(combinations))
        return pa.concat_arrays([combinations, nowhere]).take(places)

    def _split(self, cell: str) -> list[str]:
        if cell not in self._known:
            if len(self._known) >= _KNOWN_COMBINATIONS:
                self._known.clear()
            parts = self._parts(cell.strip())
            self.unknown += any(not self._is_list(part) for part in parts)
            self._known[cell] = [
                self._by_id.get(part, part) if part not in self._names else part for part in parts
            ]
        return self._known[cell]

    def _is_list(self, part: str) -> bool:
        return part in self._names or part in self._by_id

    def _parts(self, cell: str) -> list[str]:
        """The reading in which every part is a list of the account; names may hold the separator."""
        if self._is_list(cell):
            return [cell]
        candidates = [
            _json_list(cell),
            *([part.strip() for part in cell.split(each)] for each in _SEPARATORS),
        ]
        for parts in candidates:
            if parts and all(self._is_list(part) for part in parts):
                return parts
        for separator in _SEPARATORS:
            if joined := self._rejoin(cell.split(separator), separator):
                return joined
        used = candidates[0] or next((parts for parts in candidates[1:] if parts and len(parts) > 1), [cell])
        return [part for part in used if part]

    def _rejoin(self, pieces: Sequence[str], separator: str) -> list[str]:
        """Pieces put together again until each is a list of the account, the longest first."""
        found: list[str] = []
        start = 0
        while start < len(pieces):
            for end in range(len(pieces), start, -1):
                part = separator.join(pieces[start:end]).strip()
                if self._is_list(part):
                    found.append(part)
                    start = end
                    break
            else:
                return []
        return found


def _json_list(cell: str) -> list[str]:
    if not cell.startswith("["):
        return []
    try:
        found = json.loads(cell)
    except ValueError:
        return []
    return [str(part) for part in found] if isinstance(found, list) else []


def _text(text: pa.Array) -> Typed:
    return Typed(text)


def _status(text: pa.Array) -> Typed:
    return Typed(pc.ascii_lower(pc.ascii_trim_whitespace(text)))


def _fits(text: pa.Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(text, pattern), min_count=0).as_py() is not False


def _cast(text: pa.Array, characters: bytes, kind: pa.DataType) -> pa.Array | None:
    """The values, where all cells are plain; None where a cell is not, and each has to be looked at.

    One pass over the bytes of a column costs a tenth of an expression for each cell. Without letters there is nothing
    that Arrow would read in a way of its own (`0x10`, `nan`).
    """
    data = text.buffers()[2]
    if data is None or not bytes(data).translate(None, characters):
        with contextlib.suppress(pa.ArrowInvalid):
            return text.cast(kind)
    return None


def _integer(text: pa.Array) -> Typed:
    values = _cast(text, b"0123456789-", pa.int64())
    if values is not None:
        return Typed(values)
    plain = pc.replace_substring_regex(pc.ascii_trim_whitespace(text), _LONG_INTEGER, r"\1")
    small = pc.match_substring_regex(plain, _SMALL_INTEGER)
    quick = pc.if_else(small, plain, pa.scalar(None, pa.string())).cast(pa.int64())
    long = pc.and_(pc.invert(small), pc.match_substring_regex(plain, _LONG_INTEGER))
    return _checked(text, _patch(quick, long, plain, _long_integer))


def _float(text: pa.Array) -> Typed:
    values = _cast(text, b"0123456789-.e", pa.float64())
    if values is not None and pc.all(pc.is_finite(values), min_count=0).as_py() is not False:
        return Typed(values)
    plain = text if _fits(text, _FLOAT) else pc.ascii_trim_whitespace(text)
    shaped = pc.ascii_ltrim(plain, "+")
    usable = pc.if_else(pc.match_substring_regex(plain, _FLOAT), shaped, pa.scalar(None, pa.string()))
    try:
        values = usable.cast(pa.float64())
    except pa.ArrowInvalid:
        values = pa.array(
            [None if each is None else float(each) for each in usable.to_pylist()], pa.float64()
        )
    return _checked(text, pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64())))


def _boolean(text: pa.Array) -> Typed:
    plain = pc.ascii_lower(pc.ascii_trim_whitespace(text))
    found = pc.index_in(plain, pa.array([*_TRUE, *_FALSE]), skip_nulls=True)
    return _checked(text, pc.less(found, len(_TRUE)))


def _date(text: pa.Array) -> Typed:
    values = _cast(text, b"0123456789-", pa.date32())
    if values is not None and _readable(values):
        return Typed(values)
    plain = text
    if not _fits(text, _DATE):
        trimmed = pc.ascii_trim_whitespace(text)
        plain = pc.replace_substring_regex(trimmed, _DATE_AT_MIDNIGHT, r"\1")
        plain = pc.if_else(pc.match_substring_regex(plain, _DATE), plain, pa.scalar(None, pa.string()))
    try:
        values = plain.cast(pa.date32())
    except pa.ArrowInvalid:  # there is no 30th of February
        values = pc.strptime(plain, format="%Y-%m-%d", unit="s", error_is_null=True).cast(pa.date32())
        values = pc.if_else(pc.equal(values.cast(pa.string()), plain), values, pa.scalar(None, pa.date32()))
    if not _readable(values):
        values = pc.if_else(pc.less(pc.year(values), _FIRST_YEAR), pa.scalar(None, pa.date32()), values)
    return _checked(text, values)


def _readable(dates: pa.Array) -> bool:
    """Whether Python and pandas can take them all."""
    ends = pc.min_max(dates)
    years = [pc.year(each).as_py() for each in (ends["min"], ends["max"])]
    return None in years or (years[0] >= _FIRST_YEAR and years[1] <= _LAST_YEAR)


def _moment(text: pa.Array) -> Typed:
    moment = pa.timestamp("us", tz="UTC")
    if _fits(text, _MILLISECONDS):
        return Typed(text.cast(pa.int64()).cast(pa.timestamp("ms", tz="UTC")).cast(moment))
    if _fits(text, _ISO_MOMENT):
        with contextlib.suppress(pa.ArrowInvalid):
            values = text.cast(moment)
            if _readable(values):
                return Typed(values)
    return _checked(text, pa.array([_read_moment(each) for each in text.to_pylist()], moment))


def _read_moment(text: str | None) -> datetime | None:
    plain = (text or "").strip()
    if plain.isascii() and plain.isdigit():
        seconds = int(plain) / (1000 if len(plain) > 10 else 1) if len(plain) <= 14 else math.inf
        return datetime.fromtimestamp(seconds, UTC) if math.isfinite(seconds) else None
    try:
        found = datetime.fromisoformat(plain.removesuffix(" UTC"))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _long_integer(text: str) -> int | None:
    value = int(text)
    return value if -(2**63) <= value < 2**63 else None


def _patch(values: pa.Array, where: pa.Array, text: pa.Array, read: Callable[[str], int | None]) -> pa.Array:
    """The few values that need more than a cast."""
    places = np.flatnonzero(pc.fill_null(where, False).to_numpy(zero_copy_only=False))
    if len(places) == 0:
        return values
    found: Iterable[int | None] = (read(each) for each in text.take(pa.array(places)).to_pylist())
    return pc.replace_with_mask(values, pc.fill_null(where, False), pa.array(found, values.type))


def _checked(text: pa.Array, values: pa.Array) -> Typed:
    return Typed(values, pc.and_(pc.is_valid(text), pc.is_null(values)))


_READERS: dict[Kind, Callable[[pa.Array], Typed]] = {
    "email": _text,
    "text": _text,
    "status": _status,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "date": _date,
    "moment": _moment,
}
