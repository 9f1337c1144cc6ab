"""A corpus of rows at once: each ends where it must, cell by cell, and nothing of a silent one is left."""

import hashlib
import math
from collections import Counter
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from assets.rules.buckets import in_bucket
from assets.rules.screening import Screened, screen
from assets.rules.sync_file import parse_sync
from resources.warehouses.statement import is_odd
from tests.assets.rules.corpus import CASES, DUPLICATE, EITHER, NOW, SILENT, Case, Contact, Outcome, Rejected

SYNC = parse_sync(
    """
sync: people
source: {table: people, key: id, updated_at: updated_at}
email: email
consent:
  {granted: consent, withdrawn: opted_out, granted_at: consented_at, evidence: evidence, max_age_days: 730, truthy: ["yes", "Y", "1"]}
fields:
  first_name: {column: name, required: true}
  note: note
  age: {column: age, type: integer, min: 0, max: 130}
  big: {column: big, type: integer}
  score: {column: score, type: float}
  vip: {column: vip, type: boolean}
  born: {column: born, type: date}
  plan: {column: plan, one_of: [free, pro], default: free}
  level: {column: level, type: integer, one_of: [1, 2, 3], nulls: clear}
  since: {column: since, type: date, min: 2000-01-01, max: 2030-12-31}
  ratio: {column: ratio, type: float, min: 0, max: 1}
lists: {include: [Newsletter], from_column: lists}
""",
    path="people.yaml",
)

BUCKETS = 5


@pytest.fixture(scope="module")
def screened() -> Screened:
    """All of them in one frame, in which persons meet."""
    table = pa.table(
        {name: pa.array([case.row[name] for case in CASES], pa.string()) for name in CASES[0].row}
    )
    return screen(table.to_pandas(types_mapper=pd.ArrowDtype), SYNC, now=NOW, key=b"k" * 32)


def test_every_row_of_the_corpus_ends_where_it_must(screened: Screened) -> None:
    """Named by its key, so that a failure prints which."""
    accepted = {row["_source_key"]: row for row in screened.accepted.to_pylist()}
    rejected = {row["source_key"]: row["column"] for row in screened.rejections.to_pylist()}
    wrong = [
        (case.row["id"], case.row["email"], case.outcomes, rejected.get(key), accepted.get(key))
        for case in CASES
        for key in [case.row["id"]]
        if not any(_is(each, case, accepted.get(key), rejected.get(key)) for each in case.outcomes)
    ]
    assert wrong == []
    assert len(CASES) > 400


def test_the_corpus_ends_where_it_must_also_in_buckets(screened: Screened) -> None:
    """Whatever the spelling, all rows of a person meet: bucket by bucket the same contacts as all at once."""
    table = pa.Table.from_pylist([case.row for case in CASES])
    parts = [
        screen(table.filter(_rows_of(table["email"], each)).to_pandas(types_mapper=pd.ArrowDtype), SYNC, now=NOW, key=b"k" * 32)
        for each in range(BUCKETS)
    ]  # fmt: skip
    told = {row["_source_key"]: row for part in parts for row in part.accepted.to_pylist()}
    assert told == {row["_source_key"]: row for row in screened.accepted.to_pylist()}
    assert sum((Counter(part.counts.rows) for part in parts), Counter()) == Counter(screened.counts.rows)


def _rows_of(emails: pa.ChunkedArray, bucket: int) -> pa.Array:
    """What a run of the bucket keeps: the warehouse's choice of the plainly spelt, and of the odd ones its own."""
    column = emails.combine_chunks().cast(pa.string())
    hashes = [
        hashlib.md5((each or "").strip(" \t\r\n").lower().encode()).hexdigest() for each in column.to_pylist()
    ]
    theirs = [int(each[:8], 16) % BUCKETS == bucket for each in hashes]
    given = [mine or is_odd(each) for mine, each in zip(theirs, column.to_pylist(), strict=True)]
    return pa.array(np.array(given) & in_bucket(column, bucket, BUCKETS))


def test_the_corpus_is_accounted_for(screened: Screened) -> None:
    """Silent rows by reason, the others by name; the sum is what was read."""
    rows = Counter(screened.counts.rows)
    assert rows.pop("read") == len(CASES) == rows.total()
    certain = Counter(
        case.outcomes[0] for case in CASES if len(case.outcomes) == 1 and isinstance(case.outcomes[0], str)
    )
    assert rows["no_consent"] >= certain[SILENT] and rows["duplicate"] == certain[DUPLICATE]


def test_of_silent_rows_nothing_is_left(screened: Screened) -> None:
    """Neither the address nor the key of such a row stands in any of the three tables."""
    silent = [case.row for case in CASES if case.outcomes == (SILENT,)]
    left = "\n".join(
        str(table.to_pylist()) for table in (screened.accepted, screened.rejections, screened.no_consent)
    )
    assert [row["id"] for row in silent if f"'{row['id']}'" in left] == []
    assert [
        row["email"] for row in silent if row["email"] and f"'{row['email'].strip().lower()}'" in left
    ] == []


def _is(outcome: Outcome, case: Case, contact: dict[str, Any] | None, column: str | None) -> bool:
    match outcome:
        case Rejected():
            return column == outcome.column and contact is None
        case Contact() if contact is not None:
            values = {rule.merge_tag: _plain(contact[rule.merge_tag]) for rule in SYNC.fields}
            told = {tag: value for tag, value in values.items() if value is not None}
            here = (contact["email"], tuple(sorted({*(contact["_lists"] or ()), "Newsletter"})))
            address = outcome.email or case.row["email"]
            return _same(told, outcome.fields) and here == (
                address,
                tuple(sorted({*outcome.lists, "Newsletter"})),
            )
        case Contact():
            return False
    either = outcome == EITHER and contact is not None
    return either or (outcome in (SILENT, DUPLICATE) and contact is None and column is None)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _same(told: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return told.keys() == wanted.keys() and all(
        type(told[tag]) is type(value)
        and told[tag] == value
        and (not isinstance(value, float) or math.copysign(1, told[tag]) == math.copysign(1, value))
        for tag, value in wanted.items()
    )
