"""From a column as it arrives to a field as Mailtrap types it, without losing anything on the way.

Belongs here: which arrivals have a lossless reading as text, integer, float, boolean or date, and that reading.
Not here: what a value of the right type may be (`schemas`: lengths, `one_of`, `min`, `max`, `required`).

| field   | arrives as                                                                              |
|---------|-----------------------------------------------------------------------------------------|
| text    | text; integers, decimals, booleans, dates and UUIDs in their one plain spelling          |
| integer | integers of any width; floats and decimals that are whole; text like 42, -7 or 42.00     |
| float   | floats, finite; integers and decimals that a float holds exactly; text like 4.25 or 1e-3 |
| boolean | booleans; 0 and 1; the texts true and false in any case                                  |
| date    | dates; timestamps at midnight UTC (or midnight without a zone); text as yyyy-mm-dd        |
Null stays null. Everything else is refused with a reason; nothing is rounded, cut or guessed.
"""

from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.rules import cells
from assets.rules.rejection import Reason
from assets.rules.sync import FieldRule, FieldType

ARROW_TYPES: dict[FieldType, Any] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}
_EXACT_IN_A_FLOAT = 2**53
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_ISO_DATE = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
_DAY_IN = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


class Coerced(NamedTuple):
    """A field's values, null where refused, and the number of the reason (0: none; no array: none at all)."""

    values: cells.Array
    problems: cells.Codes | None


def coerce(column: cells.Array, rule: FieldRule) -> Coerced:
    """Every cell of the column as the field's type, or why not; null becomes the default."""
    found = _by_kind(column, rule.type)
    if rule.default is None or found.values.null_count == 0:
        return found
    return Coerced(found.values.fill_null(_scalar(rule.default, rule.type)), found.problems)


def _scalar(value: object, kind: FieldType) -> Any:
    """A value of the sync file as the field's type."""
    if kind == "date" and isinstance(value, str):
        value = date.fromisoformat(value)
    if kind == "float" and isinstance(value, int):
        value = float(value)
    return pa.scalar(value, ARROW_TYPES[kind])


def scalars(values: tuple[Any, ...], kind: FieldType) -> cells.Array:
    """Values of the sync file as an array of the field's type."""
    return pa.array([_scalar(value, kind).as_py() for value in values], ARROW_TYPES[kind])


def _by_kind(column: cells.Array, kind: FieldType) -> Coerced:
    if not pa.types.is_union(column.type):
        return _READERS[kind](column)
    values: list[object] = [None] * len(column)
    problems = np.zeros(len(column), np.uint8)
    for part, rows in cells.kinds(column):
        found = _READERS[kind](part)
        for row, value in zip(rows.tolist(), found.values.to_pylist(), strict=True):  # type: ignore[union-attr]
            values[row] = value
        if found.problems is not None:
            problems[rows] = found.problems
    return Coerced(pa.array(values, ARROW_TYPES[kind]), problems)


def _refused(column: cells.Array, kind: FieldType, reason: Reason = Reason.type_unsupported) -> Coerced:
    """Every value of the column refused for one reason; null stays null."""
    problems = np.where(cells.nulls(column), 0, reason.number).astype(np.uint8)
    return Coerced(pa.nulls(len(column), ARROW_TYPES[kind]), problems)


def _where(column: cells.Array, bad: cells.Mask, reason: Reason) -> Coerced:
    """The column without its bad cells, which get the reason."""
    if not bad.any():
        return Coerced(column, None)
    return Coerced(cells.blank(column, bad), np.where(bad, reason.number, 0).astype(np.uint8))


def _then(found: Coerced, read: Callable[[cells.Array], Coerced]) -> Coerced:
    """Read on from what is left; the first reason stays."""
    further = read(found.values)
    if found.problems is None or further.problems is None:
        return Coerced(further.values, found.problems if further.problems is None else further.problems)
    return Coerced(further.values, np.where(found.problems > 0, found.problems, further.problems))


def _whole(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale <= 0))


def _text(column: cells.Array) -> Coerced:
    kind = column.type
    if pa.types.is_string(kind):
        bad = np.zeros(len(column), np.bool_)
        bad[cells.rows_of_invalid_utf8(column)] = True
        return _where(column, bad, Reason.text_invalid_unicode)
    if pa.types.is_date(kind):
        return _then(_date(column), lambda days: Coerced(days.cast(pa.string()), None))
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind):
        return Coerced(column.cast(pa.string()), None)
    return _refused(column, "text")


def _integer(column: cells.Array) -> Coerced:
    kind = column.type
    if pa.types.is_string(kind):
        return _integer_from_text(column)
    if pa.types.is_floating(kind):
        return _then(_whole_floats(column), lambda whole: Coerced(whole.cast(pa.int64()), None))
    if pa.types.is_decimal(kind):
        return _then(_whole_decimals(column), lambda whole: Coerced(whole.cast(pa.int64()), None))
    if pa.types.is_integer(kind):
        if kind != pa.uint64():
            return Coerced(column.cast(pa.int64()), None)
        large = cells.to_mask(pc.greater(column, pa.scalar(2**63 - 1, pa.uint64())))
        return _then(
            _where(column, large, Reason.integer_out_of_range),
            lambda kept: Coerced(kept.cast(pa.int64()), None),
        )
    return _refused(column, "integer")


def _integer_from_text(column: cells.Array) -> Coerced:
    """Plain digits, as a decimal's with zeros for a fraction: a plus, leading zeros and blanks would be lost."""
    if pc.any(pc.match_substring(column, ".")).as_py():
        column = pc.replace_substring_regex(column, r"^(-?[0-9]+)\.0+$", r"\1")
    digits = cells.to_mask(pc.match_substring_regex(column, r"^-?[1-9][0-9]*$|^0$"))
    short = cells.to_mask(pc.less_equal(pc.binary_length(column), 18))
    present = ~cells.nulls(column)
    if (digits & short | ~present).all():
        return Coerced(column.cast(pa.int64()), None)
    values: list[int | None] = cells.blank(column, ~(digits & short)).cast(pa.int64()).to_pylist()
    problems = np.where(present & ~digits, Reason.integer_invalid.number, 0).astype(np.uint8)
    for row in np.flatnonzero(digits & ~short).tolist():
        text = column[row].as_py()
        if len(text) <= 20 and -(2**63) <= int(text) < 2**63:
            values[row] = int(text)
        else:
            problems[row] = Reason.integer_out_of_range.number
    return Coerced(pa.array(values, pa.int64()), problems)


def _whole_floats(column: cells.Array) -> Coerced:
    """Floats that are whole, up to 2**53: beyond it one float stands for several integers."""
    held = column.cast(pa.float64())
    numbers = held.fill_null(0).to_numpy(zero_copy_only=False)
    fraction = np.isfinite(numbers) & (numbers != np.trunc(numbers)) | np.isnan(numbers)
    found = _where(held, fraction, Reason.integer_invalid)
    return _then(
        found,
        lambda kept: _where(
            kept, (np.abs(numbers) > _EXACT_IN_A_FLOAT) & ~fraction, Reason.integer_out_of_range
        ),
    )


def _whole_decimals(column: cells.Array) -> Coerced:
    held = (
        column.cast(pa.decimal256(76, max(column.type.scale, 0))) if column.type.precision <= 38 else column
    )
    whole = pc.floor(held)
    found = _where(held, cells.to_mask(pc.not_equal(whole, held)), Reason.integer_invalid)
    kind = held.type
    limits = (pc.less(held, _decimal(-(2**63), kind)), pc.greater(held, _decimal(2**63 - 1, kind)))
    outside = cells.to_mask(limits[0]) | cells.to_mask(limits[1])
    return _then(found, lambda kept: _where(kept, outside, Reason.integer_out_of_range))


def _decimal(value: int, kind: Any) -> Any:
    return pa.scalar(value, pa.decimal256(76, 0)).cast(pa.decimal256(76, min(kind.scale, 50)))


def _float(column: cells.Array) -> Coerced:
    kind = column.type
    if pa.types.is_string(kind):
        return _float_from_text(column)
    if pa.types.is_floating(kind):
        held = column.cast(pa.float64())
        finite = np.isfinite(held.fill_null(0).to_numpy(zero_copy_only=False))
        return _where(held, ~finite, Reason.float_not_finite)
    if pa.types.is_decimal(kind) or pa.types.is_integer(kind):
        return _float_from_exact(column)
    return _refused(column, "float")


def _float_from_exact(column: cells.Array) -> Coerced:
    """Integers and decimals of at most 15 digits keep their value in a float, and so do small whole ones."""
    held = column.cast(pa.float64(), safe=False)
    if pa.types.is_integer(column.type):
        numbers = column.fill_null(0).to_numpy(zero_copy_only=False)  # as floats, 2**53 + 1 would be 2**53
        beyond = (numbers > _EXACT_IN_A_FLOAT) | (numbers < -_EXACT_IN_A_FLOAT)
        return _where(held, beyond, Reason.float_inexact)
    if column.type.precision <= 15:
        return Coerced(held, None)
    digits = pc.replace_substring_regex(column.cast(pa.string()), r"[eE].*$|[-.]", "")
    significant = pc.binary_length(pc.ascii_trim(digits, characters="0"))
    return _where(held, cells.to_mask(pc.greater(significant, 15)), Reason.float_inexact)


def _float_from_text(column: cells.Array) -> Coerced:
    number = cells.to_mask(
        pc.match_substring_regex(column, r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$")
    )
    found = _where(column, ~number & ~cells.nulls(column), Reason.float_invalid)
    mantissa = pc.replace_substring_regex(found.values, r"[eE].*$|^-?[0.]*", "")
    digits = pc.ascii_rtrim(pc.replace_substring(mantissa, ".", ""), characters="0")
    many = cells.to_mask(pc.greater(pc.binary_length(digits), 17))
    kept = _then(found, lambda texts: _where(texts, many, Reason.float_inexact))
    read = _then(_then(kept, lambda texts: Coerced(texts.cast(pa.float64()), None)), _float)
    return _then(read, lambda floats: _where(floats, _vanished(floats, mantissa), Reason.float_inexact))


def _vanished(floats: cells.Array, mantissa: cells.Array) -> cells.Mask:
    """Text with a digit other than 0 that became 0: smaller than any float."""
    zero = cells.to_mask(pc.equal(floats, 0.0))
    return zero & cells.to_mask(pc.greater(pc.binary_length(mantissa), 0)) if zero.any() else zero


def _boolean(column: cells.Array) -> Coerced:
    kind = column.type
    if pa.types.is_boolean(kind):
        return Coerced(column, None)
    if pa.types.is_string(kind):
        lowered = cells.binary(pc.ascii_lower(column))
        true, false = (pc.equal(lowered, pa.scalar(word, pa.binary())) for word in (b"true", b"false"))
    elif pa.types.is_integer(kind):
        true, false = (pc.equal(column, pa.scalar(number, kind)) for number in (1, 0))
    elif _whole(kind):
        texts = column.cast(pa.string())
        true, false = pc.equal(texts, "1"), pc.equal(texts, "0")
    else:
        return _refused(column, "boolean")
    read = cells.to_mask(true) | cells.to_mask(false)
    return _where(true, ~read & ~cells.nulls(column), Reason.boolean_invalid)


def _date(column: cells.Array) -> Coerced:
    kind = column.type
    if pa.types.is_string(kind):
        return _date_from_text(column)
    if pa.types.is_timestamp(kind):
        return _date_from_timestamp(column)
    if not pa.types.is_date(kind):
        return _refused(column, "date")
    if pa.types.is_date64(kind):
        timed = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False) % _DAY_IN["ms"] != 0
        return _then(
            _where(column, timed, Reason.date_with_time), lambda days: _in_calendar(days.cast(pa.date32()))
        )
    return _in_calendar(column)


def _date_from_timestamp(column: cells.Array) -> Coerced:
    units = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    days, rest = np.divmod(units, _DAY_IN[column.type.unit])
    outside = (days < _FIRST_DAY) | (days > _LAST_DAY)
    whole = np.where(outside, 0, days).astype(np.int32)
    held = pa.array(whole, mask=cells.nulls(column)).cast(pa.date32())
    found = _where(held, (rest != 0), Reason.date_with_time)
    return _then(found, lambda kept: _where(kept, outside & (rest == 0), Reason.date_out_of_range))


def _in_calendar(column: cells.Array) -> Coerced:
    days = column.cast(pa.int32()).fill_null(0).to_numpy(zero_copy_only=False)
    return _where(column, (days < _FIRST_DAY) | (days > _LAST_DAY), Reason.date_out_of_range)


def _date_from_text(column: cells.Array) -> Coerced:
    shaped = cells.to_mask(pc.match_substring_regex(column, _ISO_DATE)) & ~cells.to_mask(
        pc.starts_with(column, "0000")
    )
    found = _where(column, ~shaped & ~cells.nulls(column), Reason.date_invalid)
    try:
        return _then(_then(found, lambda texts: Coerced(texts.cast(pa.date32()), None)), _in_calendar)
    except pa.ArrowInvalid:
        return _then(found, _date_from_few_texts)


def _date_from_few_texts(column: cells.Array) -> Coerced:
    """Some text looks like a date and is none (31 February): each distinct one is looked up in the calendar."""
    named = column.dictionary_encode()
    days = pa.array([_day(text) for text in named.dictionary.to_pylist()], pa.date32())
    held = days.take(named.indices)
    return _where(held, cells.nulls(held) & ~cells.nulls(column), Reason.date_invalid)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


_READERS: dict[FieldType, Callable[[cells.Array], Coerced]] = {
    "text": _text,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "date": _date,
}
