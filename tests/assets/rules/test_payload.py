"""The JSON of contacts: valid, complete, the same bytes every time; payloads within both caps."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules import comparison, payload
from assets.rules.payload import ListIds
from assets.rules.sync import Consent, FieldRule, Lists, Source, Sync

KEY = b"k" * 32


def sync(**changes: object) -> Sync:
    """A sync with a field of every type."""
    given = {
        "name": "s",
        "source": Source(table="t"),
        "email": "email",
        "consent": Consent("c"),
        "fields": (
            FieldRule("name", "a"),
            FieldRule("note", "b", nulls="clear"),
            FieldRule("age", "c", type="integer"),
            FieldRule("score", "d", type="float"),
            FieldRule("vip", "e", type="boolean"),
            FieldRule("since", "f", type="date"),
        ),
        "lists": Lists(include=("L",)),
    }
    return Sync(**{**given, **changes})


def contacts(**columns: list[object]) -> pa.Table:
    """Accepted contacts; what is not given is null."""
    rows = len(next(iter(columns.values())))
    types = {
        "email": pa.string(),
        "name": pa.string(),
        "note": pa.string(),
        "age": pa.int64(),
        "score": pa.float64(),
        "vip": pa.bool_(),
        "since": pa.date32(),
        "_lists": pa.list_(pa.string()),
        "_leaving": pa.list_(pa.int64()),
    }
    given = {
        name: columns.get(name, [None] * rows)
        for name in types
        if name in columns or not name.startswith("_")
    }
    return pa.table({name: pa.array(values, types[name]) for name, values in given.items()})


def encoded(
    table: pa.Table, tmp_path: Path, *, of: Sync | None = None, lists: ListIds | None = None
) -> list[object]:
    """What Mailtrap would read in the body."""
    connection = comparison.connect(tmp_path)
    found = payload.contact_json(connection, table, sync=of or sync(), lists=lists or ListIds(include=(7,)))
    body = b"".join(payload.body(found))
    return json.loads(body)["contacts"]


def test_every_type_arrives_as_json_says_it(tmp_path: Path) -> None:
    """Integers stay integers, dates are yyyy-mm-dd, nulls are left out or sent as the sync says."""
    table = contacts(
        email=["a@b.co"], name=["Ann"], age=[2**53 + 1], score=[1e-7], vip=[False], since=[date(999, 1, 2)]
    )
    assert encoded(table, tmp_path) == [
        {
            "email": "a@b.co",
            "fields": {
                "name": "Ann",
                "note": None,
                "age": 2**53 + 1,
                "score": 1e-7,
                "vip": False,
                "since": "0999-01-02",
            },
            "list_ids_included": [7],
        }
    ]


def test_a_contact_without_any_value_has_empty_fields(tmp_path: Path) -> None:
    """No stray comma where every field is left out."""
    only = sync(fields=(FieldRule("name", "a"),), lists=Lists())
    assert encoded(contacts(email=["a@b.co"]), tmp_path, of=only, lists=ListIds()) == [
        {"email": "a@b.co", "fields": {}}
    ]


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Quotes, backslashes, control characters, emoji: what goes in is what a JSON reader gets."""
    found = encoded(contacts(email=["a@b.co"], name=[text]), tmp_path_factory.mktemp("j"))
    assert found[0]["fields"]["name"] == text


def test_lists_of_a_row_and_lists_to_leave(tmp_path: Path) -> None:
    """Names in rows become ids, added to the fixed ones; lists to leave are excluded."""
    of = sync(lists=Lists(include=("L",), from_column="x"))
    table = contacts(email=["a@b.co", "b@b.co"], _lists=[["B", "A"], None], _leaving=[None, [9]])
    found = encoded(table, tmp_path, of=of, lists=ListIds(include=(7,), by_name={"A": 1, "B": 2}))
    assert [each.get("list_ids_included") for each in found] == [[1, 2, 7], [7]]
    assert [each.get("list_ids_excluded") for each in found] == [None, [9]]


def test_the_same_contacts_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another time zone and batch, byte by byte."""
    table = contacts(email=["a@b.co", "b@b.co"], since=[date(2026, 1, 2), None], score=[0.1, 1e22])
    connection = comparison.connect(tmp_path)
    whole = payload.contact_json(connection, table, sync=sync(), lists=ListIds())
    connection.execute("set TimeZone = 'Pacific/Auckland'")
    halves = [
        payload.contact_json(connection, table.slice(place, 1), sync=sync(), lists=ListIds())
        for place in (0, 1)
    ]
    first = b"".join(payload.body(whole))
    assert first == b"".join(payload.body(pa.chunked_array([half.combine_chunks() for half in halves])))


@settings(max_examples=200, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=60),
    rows=st.integers(1, 70),
    cap=st.integers(20, 3000),
)
def test_payloads_keep_both_caps(lengths: list[int], rows: int, cap: int) -> None:
    """Never more rows or bytes than allowed, never fewer than would fit; one row always goes."""
    count = payload.rows_that_fit(np.array(lengths), rows_per_payload=rows, bytes_per_payload=cap)
    size = sum(lengths[:count]) - 1 + len(payload.HEAD) + len(payload.TAIL)
    assert 1 <= count <= rows
    assert count == 1 or size <= cap
    more = size + lengths[count] if count < len(lengths) else None
    assert more is None or more > cap or count == rows


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.none() | st.text(max_size=3), st.none() | st.integers(0, 9), st.none() | st.booleans()),
        min_size=1,
        max_size=5,
    ),
    clear=st.sampled_from(["omit", "clear"]),
)
def test_a_contact_reads_the_same_whoever_it_is_written_with(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str | None, int | None, bool | None]],
    clear: str,
) -> None:
    """Which commas are needed depends on which fields the others lack; the text of a contact does not."""
    fields = (
        FieldRule("name", "a"),
        FieldRule("age", "c", type="integer", nulls=clear),  # type: ignore[arg-type]
        FieldRule("vip", "e", type="boolean"),
    )
    names, ages, vips = zip(*rows, strict=True)
    table = contacts(email=["a@b.co"] * len(rows), name=list(names), age=list(ages), vip=list(vips))
    connection = comparison.connect(tmp_path_factory.mktemp("scratch"))

    def texts(part: pa.Table) -> list[str]:
        written = payload.contact_json(
            connection, part, sync=sync(fields=fields), lists=ListIds(include=(7,))
        )
        return list(written.to_pylist())

    together = texts(table)
    assert together == [text for row in range(len(rows)) for text in texts(table.slice(row, 1))]
    for text, (name, age, vip) in zip(together, rows, strict=True):
        given = {"name": name, "age": age, "vip": vip}
        kept = {
            key: value
            for key, value in given.items()
            if value is not None or (key, clear) == ("age", "clear")
        }
        assert json.loads(text[1:])["fields"] == kept
