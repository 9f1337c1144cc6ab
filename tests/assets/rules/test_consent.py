"""Consent, column type by column type: only a clear yes is a yes."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from assets.rules.consent import NOES, No, read_consent
from assets.rules.sync import NOBODY, Consent

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
YES = "yes"
UNKNOWN, REFUSED, UNREADABLE, WITHDRAWN = (
    No.consent_unknown, No.consent_refused, No.consent_unreadable, No.consent_withdrawn,
)  # fmt: skip


def answers(consent: Consent, **columns: Any) -> list[Any]:
    """YES, or the kind of no, for every row."""
    size = len(next(iter(columns.values())))
    found = read_consent(columns, consent, now=NOW, size=size)
    return [NOES[no - 1] if no else YES for no in found.noes]


GRANTED: list[tuple[Any, tuple[str, ...], list[Any]]] = [
    (pa.array([True, False, None]), (), [YES, REFUSED, UNKNOWN]),
    (pa.array([True, False, None]), ("false",), [YES, REFUSED, UNKNOWN]),
    (pa.array(["true", "True", "t", "yes", "1", "", None]), (), [UNREADABLE] * 6 + [UNKNOWN]),
    (pa.array(["yes", "Y", "Yes", "yes ", "no", None]), ("yes", "Y"), [YES, YES, *[UNREADABLE] * 3, UNKNOWN]),
    (pa.array([1, 0, 2, None]), (), [UNREADABLE] * 3 + [UNKNOWN]),
    (pa.array([1, 0, 2, None]), ("1",), [YES, UNREADABLE, UNREADABLE, UNKNOWN]),
    (pa.array([1.0, 0.0, 1.5, float("nan"), None]), ("1",), [YES, *[UNREADABLE] * 3, UNKNOWN]),
    (pa.array([Decimal("1.00"), Decimal("1.10")]), ("1",), [YES, UNREADABLE]),
    (pa.array([1, 0]), ("yes",), [UNREADABLE] * 2),
    (pa.array([b"yes", b"\x01"]), ("yes",), [UNREADABLE] * 2),
    (pa.array([["yes"], None]), ("yes",), [UNREADABLE, UNKNOWN]),
    (pa.nulls(2), ("yes",), [UNKNOWN] * 2),
    (pa.array([NOW - DAY, NOW, NOW + DAY, None]), (), [YES, YES, No.consent_time_unreadable, UNKNOWN]),
    (pa.array([dt.date(2026, 6, 1), dt.date(2026, 6, 2)]), (), [YES, No.consent_time_unreadable]),
    (pa.array(["2026-01-01T00:00:00Z"]), (), [UNREADABLE]),
    (pa.array([10**15]).cast(pa.timestamp("s")), (), [No.consent_time_unreadable]),
    (pa.array([dt.time(1)]), (), [UNREADABLE]),
]


@pytest.mark.parametrize(("column", "truthy", "expected"), GRANTED, ids=range(len(GRANTED)))
def test_only_true_a_past_time_or_a_listed_spelling_grants(
    column: Any, truthy: tuple[str, ...], expected: list[Any]
) -> None:
    """Whatever the type of the column turned into."""
    assert answers(Consent("c", truthy=truthy), c=column) == expected


WITHDRAWN_AT: list[tuple[Any, list[Any]]] = [
    (pa.array([True, False, None]), [WITHDRAWN, YES, YES]),
    (pa.array([NOW, NOW - 20 * DAY, None]), [WITHDRAWN, YES, YES]),
    (pa.array([NOW - 10 * DAY, NOW + DAY]), [WITHDRAWN, WITHDRAWN]),
    (pa.array(["", None, "false", "0", "FALSE"]), [YES] * 5),
    (pa.array(["true", "1", "2026-05-31", "2026-01-01T00:00:00Z"]), [WITHDRAWN, WITHDRAWN, WITHDRAWN, YES]),
    (pa.array(["no", "never", "n/a", "2026-02-30"]), [No.consent_withdrawal_unreadable] * 4),
    (pa.array([0, None, 1, 7]), [YES, YES, *[No.consent_withdrawal_unreadable] * 2]),
    (pa.array([0.0, None]), [No.consent_withdrawal_unreadable, YES]),
    (pa.array([b"", None]), [No.consent_withdrawal_unreadable, YES]),
    (pa.array([["x"], None]), [No.consent_withdrawal_unreadable, YES]),
    (pa.nulls(1), [YES]),
]


@pytest.mark.parametrize(("column", "expected"), WITHDRAWN_AT, ids=range(len(WITHDRAWN_AT)))
def test_a_withdrawal_counts_unless_it_is_older_than_the_grant(column: Any, expected: list[Any]) -> None:
    """The grant is ten days old; equal times are a no, and so is whatever cannot be read."""
    granted_at = pa.array([NOW - 10 * DAY] * len(column))
    consent = Consent("c", withdrawn="w", granted_at="g")
    assert answers(consent, c=pa.array([True] * len(column)), w=column, g=granted_at) == expected
    assert answers(Consent("g", withdrawn="w"), g=granted_at, w=column) == expected


def test_a_dated_withdrawal_of_an_undated_consent_is_a_no() -> None:
    """Nobody knows which came last."""
    consent = Consent("c", withdrawn="w", granted_at="g")
    column = {"c": pa.array([True]), "w": pa.array([NOW - 900 * DAY]), "g": pa.nulls(1)}
    assert answers(consent, **column) == [WITHDRAWN]
    assert answers(Consent("c", withdrawn="w"), c=column["c"], w=column["w"]) == [WITHDRAWN]


def test_consent_expires_after_its_maximum_age() -> None:
    """To the microsecond; undated, unreadable and future consent is a no where an age is asked for."""
    at = ["2024-06-01T00:00:00Z", "2024-05-31T23:59:59.999999Z", None, "soon", "2026-06-01T00:00:00.000001Z"]
    consent = Consent("c", granted_at="g", max_age_days=730)
    assert answers(consent, c=pa.array([True] * 5), g=pa.array(at)) == [
        YES, No.consent_expired, No.consent_undated, No.consent_time_unreadable, No.consent_time_unreadable,
    ]  # fmt: skip
    assert answers(Consent("g", max_age_days=730), g=pa.array([NOW - 730 * DAY, NOW - 731 * DAY])) == [
        YES, No.consent_expired,
    ]  # fmt: skip


def test_of_two_dates_of_one_consent_the_earlier_counts() -> None:
    """A date that was touched later must not make a consent younger."""
    found = read_consent(
        {"c": pa.array([NOW - 2 * DAY, NOW - DAY, NOW]), "g": pa.array([NOW - DAY, NOW - 2 * DAY, None])},
        Consent("c", granted_at="g"), now=NOW, size=3,
    )  # fmt: skip
    assert found.at.as_arrow().to_pylist() == [NOW - 2 * DAY, NOW - 2 * DAY, NOW]


def test_an_undated_consent_without_a_maximum_age_stands() -> None:
    """The date is evidence then, and its absence no statement."""
    assert answers(Consent("c", granted_at="g"), c=pa.array([True]), g=pa.nulls(1)) == [YES]


def test_a_table_of_requests_grants_nothing() -> None:
    """Rows of a sync without consent columns can never become contacts."""
    assert answers(NOBODY, email=pa.array(["ann@example.com"])) == [UNKNOWN]
