"""Every way a value can arrive, and what becomes of it as each type of field."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules import cells
from assets.rules.fields import ARROW_TYPES, coerce
from assets.rules.rejection import REASONS, Reason
from assets.rules.sync import FieldRule

INF, NAN = float("inf"), float("nan")
DAY = dt.date(2024, 2, 29)
TYPE = Reason.type_unsupported


def at(*, tz: str | None = None, **time: int) -> dt.datetime:
    """A leap day, by default at midnight."""
    zone = dt.UTC if tz else None
    return dt.datetime(2024, 2, 29, tzinfo=zone).replace(**time)  # type: ignore[arg-type]


OUTCOMES: list[tuple[str, Any, Any]] = [
    # field, column as it arrives, what becomes of each cell: a value, or a reason
    ("text", pa.array(["a", "", " b ", "é", None]), ["a", "", " b ", "é", None]),
    ("text", pa.array(["a", None]).dictionary_encode(), ["a", None]),
    ("text", pa.array(["a", None], pa.large_string()), ["a", None]),
    ("text", pa.array(["a", None], pa.string_view()), ["a", None]),
    ("text", pa.array([7, -7, None], pa.int8()), ["7", "-7", None]),
    ("text", pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
    ("text", pa.array([Decimal("1.50"), None]), ["1.50", None]),
    ("text", pa.array([True, False, None]), ["true", "false", None]),
    ("text", pa.array([DAY, None]), ["2024-02-29", None]),
    ("text", pa.array([uuid.UUID(int=1).bytes, None], pa.uuid()), [str(uuid.UUID(int=1)), None]),
    ("text", pa.array([1.5, None]), [TYPE, None]),  # 42 that became 42.0 on the way must not reach a person
    ("text", pa.array([at()]), [TYPE]),
    ("text", pa.array([b"a", None]), [TYPE, None]),
    ("text", pa.array([["a"], None]), [TYPE, None]),
    ("text", pa.array([{"a": 1}, None]), [TYPE, None]),
    ("text", pa.array([dt.time(1)]), [TYPE]),
    ("text", pa.nulls(2), [None, None]),
    ("text", cells.text_of(["a\ud800b", "ok"]), [Reason.text_invalid_unicode, "ok"]),
    ("integer", pa.array([1, -(2**63), 2**63 - 1, None]), [1, -(2**63), 2**63 - 1, None]),
    ("integer", pa.array([255, None], pa.uint8()), [255, None]),
    ("integer", pa.array([2**63, 2**63 - 1, None], pa.uint64()), [Reason.integer_out_of_range, 2**63 - 1, None]),
    ("integer", pa.array([1.0, -0.0, 2.0**53, None]), [1, 0, 2**53, None]),
    ("integer", pa.array([1.5, NAN, INF, 2.0**53 + 2, 1e300]), [
        Reason.integer_invalid, Reason.integer_invalid, *[Reason.integer_out_of_range] * 3]),
    ("integer", pa.array([1.5, 3.0], pa.float32()), [Reason.integer_invalid, 3]),
    ("integer", pa.array([Decimal("7.00"), Decimal("7.10"), None]), [7, Reason.integer_invalid, None]),
    ("integer", pa.array([Decimal(2**63), Decimal(2**63 - 1), Decimal(-(2**63))]), [
        Reason.integer_out_of_range, 2**63 - 1, -(2**63)]),
    ("integer", pa.array([Decimal("1e37"), Decimal("0")], pa.decimal128(38, 0)), [Reason.integer_out_of_range, 0]),
    ("integer", pa.array([Decimal("1.000000000000000000"), None], pa.decimal128(38, 18)), [1, None]),
    ("integer", pa.array(["42", "-7", "0", None]), [42, -7, 0, None]),
    ("integer", pa.array(["42.00", "-7.0", "0.0", "9223372036854775807.0", "7.10", "7.", ".0", "007.0", "-0.0", "1.0e1", None]), [
        42, -7, 0, 2**63 - 1, *[Reason.integer_invalid] * 6, None]),
    ("integer", pa.array([str(2**63 - 1), str(-(2**63)), str(2**63), "9" * 400]), [
        2**63 - 1, -(2**63), Reason.integer_out_of_range, Reason.integer_out_of_range]),
    ("integer", pa.array(["", " 42", "42 ", "+42", "007", "4_2", "1.5", "1e3", "-0", "٤٢", "x", "42\n"]), [
        Reason.integer_invalid] * 12),
    ("integer", pa.array([True, None]), [TYPE, None]),
    ("integer", pa.array([DAY, None]), [TYPE, None]),
    ("integer", pa.array([dt.timedelta(1), None]), [TYPE, None]),
    ("float", pa.array([1.5, -0.0, 5e-324, None]), [1.5, -0.0, 5e-324, None]),
    ("float", pa.array([NAN, INF, -INF]), [Reason.float_not_finite] * 3),
    ("float", pa.array([0.5, None], pa.float32()), [0.5, None]),
    ("float", pa.array([1.5, None], pa.float16()), [1.5, None]),
    ("float", pa.array([7, 2**53, 2**53 + 2, None]), [7.0, 2.0**53, Reason.float_inexact, None]),
    ("float", pa.array([2**53 + 1, -(2**53) - 1, -(2**53), -(2**63)]), [
        Reason.float_inexact, Reason.float_inexact, -(2.0**53), Reason.float_inexact]),
    ("float", pa.array(["1.50000000000000000000", "-0.100000000000000000", "1000000000000000000000", "0.12345678901234567890"]), [
        1.5, -0.1, 1e21, Reason.float_inexact]),
    ("float", pa.array([2**64 - 1, 1], pa.uint64()), [Reason.float_inexact, 1.0]),
    ("float", pa.array([Decimal("0.10"), None]), [0.1, None]),
    ("float", pa.array([Decimal("1.123456789012345678"), Decimal("1.5"), None], pa.decimal128(38, 18)), [
        Reason.float_inexact, 1.5, None]),
    ("float", pa.array(["4.25", "-1e-3", "0", "1E5", "12345678.9", None]), [4.25, -0.001, 0.0, 1e5, 12345678.9, None]),
    ("float", pa.array(["", "1,5", "nan", "inf", "Infinity", "0x10", " 1", ".5", "1.", "1_0", "+1", "01"]), [
        Reason.float_invalid] * 12),
    ("float", pa.array(["1e-400", "-0.0001e-999", "0e9", "5e-324"]), [
        Reason.float_inexact, Reason.float_inexact, 0.0, 5e-324]),
    ("float", pa.array(["1e999", "-1e999", "0.1234567890123456789"]), [
        Reason.float_not_finite, Reason.float_not_finite, Reason.float_inexact]),
    ("float", pa.array([True]), [TYPE]),
    ("boolean", pa.array([True, False, None]), [True, False, None]),
    ("boolean", pa.array([1, 0, 2, -1, None]), [True, False, Reason.boolean_invalid, Reason.boolean_invalid, None]),
    ("boolean", pa.array([Decimal(1), Decimal(0), Decimal(2), None], pa.decimal128(1, 0)), [
        True, False, Reason.boolean_invalid, None]),
    ("boolean", pa.array(["true", "FALSE", "True", None]), [True, False, True, None]),
    ("boolean", pa.array(["yes", "t", "1", "", " true"]), [Reason.boolean_invalid] * 5),
    ("boolean", pa.array([1.0, None]), [TYPE, None]),
    ("boolean", pa.array([DAY]), [TYPE]),
    ("date", pa.array([DAY, None]), [DAY, None]),
    ("date", pa.array([DAY, None], pa.date64()), [DAY, None]),
    ("date", pa.array([at(), at(hour=1), None]), [DAY, Reason.date_with_time, None]),
    ("date", pa.array([at(tz="UTC"), at(tz="UTC", minute=1)]), [DAY, Reason.date_with_time]),
    ("date", pa.array([at(tz="UTC")], pa.timestamp("ns", tz="Europe/Berlin")), [DAY]),
    ("date", pa.array([1], pa.int64()).cast(pa.timestamp("ns")), [Reason.date_with_time]),
    ("date", pa.array([10**12 * 86_400]).cast(pa.timestamp("s")), [Reason.date_out_of_range]),
    ("date", pa.array([2_932_896, 2_932_897, -719_162, -719_163], pa.int32()).cast(pa.date32()), [
        dt.date.max, Reason.date_out_of_range, dt.date.min, Reason.date_out_of_range]),
    ("date", pa.array(["2024-02-29", "0001-01-01", "9999-12-31", None]), [DAY, dt.date.min, dt.date.max, None]),
    ("date", pa.array(["2023-02-29", "2024-02-30", "2024-02-29"]), [Reason.date_invalid, Reason.date_invalid, DAY]),
    ("date", pa.array(["", "2024-2-9", "29.02.2024", "02/29/2024", "2024-02-29T00:00:00", "20240229", "0000-01-01", "2024-13-01"]), [
        Reason.date_invalid] * 8),
    ("date", pa.array([20240229]), [TYPE]),
    ("date", pa.array([dt.time(0)]), [TYPE]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "column", "expected"),
    OUTCOMES,
    ids=[f"{kind}-{number}" for number, (kind, _, _) in enumerate(OUTCOMES)],
)
def test_every_arrival_has_a_decided_outcome(kind: Any, column: Any, expected: list[Any]) -> None:
    """A value without loss, null, or a reason; alone and as a slice of a longer column."""
    rule = FieldRule("tag", "column", type=kind)
    assert outcome(column, rule) == expected
    longer = pa.concat_arrays([cells.plain(column)] * 2)[len(column) :]
    assert outcome(longer, rule) == expected


def outcome(column: Any, rule: FieldRule) -> list[Any]:
    """The value or the reason of every cell."""
    found = coerce(cells.plain(column), rule)
    assert found.values.type == ARROW_TYPES[rule.type]
    problems = found.problems if found.problems is not None else np.zeros(len(column), np.uint8)
    values = found.values.to_pylist()
    assert all(value is None for value, problem in zip(values, problems, strict=True) if problem)
    return [
        REASONS[problem - 1] if problem else value for value, problem in zip(values, problems, strict=True)
    ]


def test_mixed_python_objects_are_read_one_by_one() -> None:
    """A pandas column of objects may hold anything, row by row."""
    held = [True, "true", 1, 1.0, b"x", None, pd.NA, Decimal(0), dt.date(2024, 1, 1), ["x"], 2**70, "\ud800"]
    column = cells.from_pandas(pd.Series(held, dtype=object))
    assert outcome(column, FieldRule("t", "c", type="boolean")) == [
        True, True, True, TYPE, TYPE, None, None, False, TYPE, TYPE,
        Reason.boolean_invalid, Reason.boolean_invalid,
    ]  # fmt: skip
    assert outcome(column, FieldRule("t", "c", type="integer")) == [
        TYPE, Reason.integer_invalid, 1, 1, TYPE, None, None, 0, TYPE, TYPE, Reason.integer_out_of_range,
        Reason.integer_invalid,
    ]  # fmt: skip
    texts = outcome(column, FieldRule("t", "c"))
    assert texts[:3] == ["true", "true", "1"] and texts[-1] == Reason.text_invalid_unicode


@pytest.mark.parametrize("dtype", ["Int64", "float64", "object", "int64[pyarrow]"])
def test_nullable_integers_never_become_floats(dtype: str) -> None:
    """Whatever pandas calls them; the largest exact ones included."""
    column = cells.from_pandas(pd.Series([2**53 - 1, None, 7], dtype=dtype))
    assert outcome(column, FieldRule("t", "c", type="integer")) == [2**53 - 1, None, 7]


def test_large_integers_among_nulls_keep_every_digit() -> None:
    """64 bits, where a float keeps 53."""
    for column in (pd.Series([2**63 - 1, None], dtype="Int64"), pd.Series([2**63 - 1, None], dtype=object)):
        assert outcome(cells.from_pandas(column), FieldRule("t", "c", type="integer")) == [2**63 - 1, None]


@pytest.mark.parametrize(
    ("kind", "default", "expected"),
    [
        ("text", "free", "free"),
        ("integer", 3, 3),
        ("float", 3, 3.0),
        ("boolean", False, False),
        ("date", DAY, DAY),
    ],
)
def test_a_default_takes_the_place_of_null(kind: Any, default: Any, expected: Any) -> None:
    """But not of a value that was refused."""
    found = coerce(pa.nulls(1), FieldRule("t", "c", type=kind, default=default))
    assert found.values.to_pylist() == [expected]
    refused = coerce(pa.array([b"x"]), FieldRule("t", "c", type=kind, default=default))
    assert refused.problems is not None and refused.problems.tolist() == [TYPE.number]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_survive_their_way_through_text(numbers: list[int]) -> None:
    """Coercion is lossless both ways."""
    texts = coerce(pa.array(numbers, pa.int64()), FieldRule("t", "c")).values
    assert coerce(texts, FieldRule("t", "c", type="integer")).values.to_pylist() == numbers


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=8), st.from_regex(r"-?[0-9.eE+-]{1,8}", fullmatch=True))))
def test_text_that_is_read_as_a_number_is_that_number(texts: list[str]) -> None:
    """Python's own reading as the oracle, for whatever was accepted."""
    column = cells.text_of(texts)
    for kind, read in (("integer", lambda text: int(Decimal(text))), ("float", float)):
        found = outcome(column, FieldRule("t", "c", type=kind))  # type: ignore[arg-type]
        assert all(
            isinstance(value, Reason) or value == read(text) for text, value in zip(texts, found, strict=True)
        )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.dates().map(str), st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True))))
def test_dates_are_those_of_the_calendar(texts: list[str]) -> None:
    """Python's own calendar as the oracle."""

    def expected(text: str) -> dt.date | Reason:
        try:
            return dt.date.fromisoformat(text)
        except ValueError:
            return Reason.date_invalid

    assert outcome(pa.array(texts, pa.string()), FieldRule("t", "c", type="date")) == [*map(expected, texts)]
