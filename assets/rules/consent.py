"""Did this person say yes, and does it still stand?  Whatever is not a clear yes is a no.

Belongs here: reading the consent columns of a row, and the words for each kind of no.
Not here: a no in another row of the same person (`duplicates`), or Mailtrap's own unsubscribes.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.rules import cells
from assets.rules.moments import Moments, microseconds, none_known, read_moments
from assets.rules.sync import Consent

_DAY = 86_400_000_000


class No(Enum):
    """Every kind of no; its place in this list is its number in a batch, 0 is a yes."""

    consent_unknown = "The column says nothing."
    consent_refused = "The column says no."
    consent_unreadable = "The column says something that is neither true nor listed under 'truthy'."
    consent_withdrawn = "It was withdrawn, at the same time or later, or at a time that nobody knows."
    consent_withdrawal_unreadable = "The column for withdrawals holds something that we cannot read."
    consent_time_unreadable = "The time of the consent cannot be read, or lies in the future."
    consent_undated = "The sync file asks for a maximum age and the consent has no date."
    consent_expired = "It is older than the sync file allows."
    consent_conflict = "Another row of the same person says no."

    @property
    def number(self) -> int:
        """The code in a batch's arrays."""
        return _NUMBERS[self]


NOES: tuple[No, ...] = tuple(No)
_NUMBERS = {no: number for number, no in enumerate(NOES, start=1)}
NO_NAMES = pa.array([no.name for no in NOES])


class Answers(NamedTuple):
    """What each row says: 0 for yes or the number of a no, and when it was said."""

    noes: cells.Codes
    at: Moments


def read_consent(table: Mapping[str, cells.Array], consent: Consent, *, now: datetime, size: int) -> Answers:
    """The answer of every row, by itself."""
    if not consent.granted:
        return Answers(np.full(size, No.consent_unknown.number, np.uint8), none_known(size))
    noes, at = _granted(table[consent.granted], consent.truthy)
    if consent.granted_at is not None:
        at = _earlier(at, read_moments(table[consent.granted_at]))
    _refuse(
        noes, at.unreadable | (at.known & (at.microseconds > microseconds(now))), No.consent_time_unreadable
    )
    if consent.withdrawn is not None:
        _withdraw(noes, table[consent.withdrawn], at)
    if consent.max_age_days is not None:
        oldest = microseconds(now) - consent.max_age_days * _DAY
        _refuse(noes, ~at.known, No.consent_undated)
        _refuse(noes, at.known & (at.microseconds < oldest), No.consent_expired)
    return Answers(noes, at)


def _refuse(noes: cells.Codes, rows: cells.Mask, no: No) -> None:
    noes[rows & (noes == 0)] = no.number


def _earlier(one: Moments, other: Moments) -> Moments:
    """Two dates of one consent: the earlier counts, and each must be readable."""
    latest = np.iinfo(np.int64).max
    first = np.minimum(
        np.where(one.known, one.microseconds, latest), np.where(other.known, other.microseconds, latest)
    )
    known = one.known | other.known
    return Moments(np.where(known, first, 0), known, one.unreadable | other.unreadable)


def _granted(column: cells.Array, truthy: tuple[str, ...]) -> tuple[cells.Codes, Moments]:
    noes = np.full(len(column), No.consent_unreadable.number, np.uint8)
    at = none_known(len(column))
    for part, rows in cells.kinds(column):
        place = slice(None) if rows is None else rows
        if _is_moment(part.type):
            for whole, of_part in zip(at, read_moments(part), strict=True):
                whole[place] = of_part
            noes[place] = 0
        elif pa.types.is_boolean(part.type):
            noes[place] = np.where(cells.to_mask(part), 0, No.consent_refused.number)
        else:
            noes[place] = np.where(_is_listed(part, truthy), 0, No.consent_unreadable.number)
    noes[cells.nulls(column)] = No.consent_unknown.number
    return noes, at


def _is_moment(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _is_listed(column: cells.Array, truthy: tuple[str, ...]) -> cells.Mask:
    """Texts exactly as the sync file lists them, and numbers that are a listed number."""
    if pa.types.is_string(column.type):
        spellings = pa.array([spelling.encode("utf-8", "surrogatepass") for spelling in truthy], pa.binary())
        return cells.to_mask(pc.is_in(cells.binary(column), value_set=spellings))
    if (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_decimal(column.type)
    ):
        numbers = [
            int(spelling)
            for spelling in truthy
            if spelling.isascii() and spelling.isdigit() and len(spelling) < 16
        ]
        listed = np.zeros(len(column), np.bool_)
        for number in numbers:
            listed |= cells.to_mask(pc.equal(column.cast(pa.float64(), safe=False), float(number)))
        return listed
    return np.zeros(len(column), np.bool_)


def _withdraw(noes: cells.Codes, column: cells.Array, at: Moments) -> None:
    for part, rows in cells.kinds(column):
        place = np.arange(len(column)) if rows is None else rows
        withdrawn, unreadable = _withdrawals(part, at.at(place))
        for flags, no in ((unreadable, No.consent_withdrawal_unreadable), (withdrawn, No.consent_withdrawn)):
            whole = np.zeros(len(column), np.bool_)
            whole[place[flags]] = True
            _refuse(noes, whole, no)


def _withdrawals(column: cells.Array, at: Moments) -> tuple[cells.Mask, cells.Mask]:
    """Which rows withdraw, and which hold what we cannot read; false, 0 and blank withdraw nothing."""
    kind, none = column.type, np.zeros(len(column), np.bool_)
    if pa.types.is_boolean(kind):
        return cells.to_mask(column), none
    if pa.types.is_integer(kind):
        return none, cells.to_mask(pc.not_equal(column, pa.scalar(0, kind)))
    if not (_is_moment(kind) or pa.types.is_string(kind)):
        return none, ~cells.nulls(column)
    moments = read_moments(column)
    unreadable = moments.unreadable
    if pa.types.is_string(kind):
        unreadable = unreadable & ~_says(column, b"false", b"0")
        true = _says(column, b"true", b"1")
        return true | _not_before(moments, at), unreadable & ~true
    return _not_before(moments, at), unreadable


def _not_before(withdrawn: Moments, granted: Moments) -> cells.Mask:
    """Withdrawn when the consent was given or later, or when nobody knows when it was given."""
    return withdrawn.known & (~granted.known | (withdrawn.microseconds >= granted.microseconds))


def _says(column: cells.Array, *words: bytes) -> cells.Mask:
    spelled = pc.ascii_trim_whitespace(pc.ascii_lower(column))
    return cells.to_mask(pc.is_in(cells.binary(spelled), value_set=pa.array(words, pa.binary())))
