"""Screening as a whole: the order of decisions, the laws that hold for any table, and tables that drifted."""

import datetime as dt
import random
import uuid
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules import judgement
from assets.rules.rejection import REJECTIONS, Reason
from assets.rules.screening import (
    Screened,
    Screening,
    ScreeningError,
    discreetly,
    schemas,
    screen,
    screen_file,
)
from assets.rules.sync import Consent, FieldRule, Lists, Source, Sync
from tests.assets.rules import siphash

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
KEY = b"a key of tests"
SYNC = Sync(
    name="newsletter",
    source=Source(table="people", key="id", updated_at="updated_at"),
    email="email",
    consent=Consent("consent", withdrawn="withdrawn", granted_at="consented_at", evidence="form"),
    fields=(
        FieldRule("first_name", "name", required=True),
        FieldRule("age", "age", type="integer", min=0, max=130),
        FieldRule("plan", "plan", one_of=("free", "pro"), default="free"),
    ),
    lists=Lists(from_column="lists"),
)
COLUMNS = {
    "id": pa.int64(), "updated_at": pa.timestamp("us", tz="UTC"), "email": pa.string(), "consent": pa.bool_(),
    "withdrawn": pa.timestamp("us", tz="UTC"), "consented_at": pa.timestamp("us", tz="UTC"), "form": pa.string(),
    "name": pa.string(), "age": pa.int64(), "plan": pa.string(), "lists": pa.string(),
}  # fmt: skip
PLAIN: dict[str, Any] = {
    "id": 1, "updated_at": NOW, "email": "ann@example.com", "consent": True, "withdrawn": None, "consented_at": NOW,
    "form": "paper", "name": "Ann", "age": 30, "plan": None, "lists": "News, Offers",
}  # fmt: skip


class Kept:
    """A sink that keeps its rows."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema, self.tables = schema, list[pa.Table]()

    def write(self, rows: pa.Table) -> None:
        """Add rows."""
        assert rows.schema == self.schema
        self.tables.append(rows)

    def table(self) -> pa.Table:
        """All rows."""
        return pa.concat_tables([self.schema.empty_table(), *self.tables])


def rows_of(*changes: dict[str, Any]) -> pa.Table:
    """Plain rows with changes, each with an id of its own."""
    rows = [{**PLAIN, "id": number, **change} for number, change in enumerate(changes, 1)]
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in COLUMNS.items()})


def in_memory(rows: pa.Table, sync: Sync = SYNC, *, now: dt.datetime = NOW) -> Screened:
    """Screened as a frame."""
    return screen(rows.to_pandas(types_mapper=pd.ArrowDtype), sync, now=now, key=KEY)


def on_disk(
    rows: pa.Table,
    folder: Path,
    sync: Sync = SYNC,
    *,
    per_batch: int = 3,
    now: dt.datetime = NOW,
    former: Path | None = None,
) -> Screened:
    """Screened as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f"scratch-{uuid.uuid4()}"
    scratch.mkdir()
    pq.write_table(rows, folder / "source.parquet", row_group_size=5)
    kept = schemas(sync)
    sinks = {name: Kept(getattr(kept, name)) for name in ("accepted", "rejections", "no_consent")}
    counts = screen_file(
        folder / "source.parquet", sync, now=now, key=KEY, **sinks, scratch=scratch, former_rejections=former,
        rows_per_batch=per_batch,
    )  # fmt: skip
    return Screened(*(sink.table() for sink in sinks.values()), counts)


def outcome(screened: Screened) -> list[list[tuple[str, ...]]]:
    """What came out, in no order."""
    tables = (screened.accepted, screened.rejections, screened.no_consent)
    return [sorted(tuple(map(str, row.values())) for row in table.to_pylist()) for table in tables]


def person(text: str) -> uuid.UUID:
    """The hash of an address, made the plain way."""
    return siphash.person(text, KEY)


def test_an_accepted_contact_is_its_canonical_row() -> None:
    """Every column, cell by cell."""
    [contact] = in_memory(rows_of({"email": " Ann@Example.com"})).accepted.to_pylist()
    assert contact.pop("_fingerprint") is not None
    assert contact == {
        "_address_hash": person("ann@example.com"), "email": "ann@example.com", "first_name": "Ann", "age": 30,
        "plan": "free", "_lists": ["News", "Offers"], "_as_of": NOW, "_source_key": "1", "_consent_at": NOW,
        "_consent_evidence": "paper",
    }  # fmt: skip


def test_a_rejection_names_reason_and_remedy_and_no_values() -> None:
    """The first failing column in the order of the sync leads, the others follow."""
    screened = in_memory(rows_of({"name": "Ann\x00", "age": 131, "plan": "gold"}))
    [rejection] = screened.rejections.to_pylist()
    assert rejection.pop("row_fingerprint") is not None
    assert rejection.pop("address_hash") is not None
    assert rejection == {
        "source_key": "1", "column": "name", "rule": "type", "reason": "text_control_character",
        "remedy": Reason.text_control_character.value.remedy, "also": ["age:above_max", "plan:not_one_of"],
        "mailtrap_says": None, "first_seen": NOW, "last_seen": NOW, "times_seen": 1,
    }  # fmt: skip


def test_a_row_without_consent_leaves_a_keyed_hash_and_a_reason() -> None:
    """Nothing else of it is kept, not even that it is bad in other ways."""
    screened = in_memory(rows_of({"consent": False, "email": "ann@", "age": 999}))
    assert screened.no_consent.to_pylist() == [
        {"address_hash": person("ann@"), "reason": "consent_refused", "as_of": NOW}
    ]
    assert screened.rejections.num_rows == screened.accepted.num_rows == 0


NEWER, OLDER = NOW, NOW - dt.timedelta(days=1)
PERSONS: dict[str, tuple[tuple[dict[str, Any], ...], tuple[int, int, int, int], str | None]] = {
    # rows; accepted, rejected, no_consent, duplicate; source key of the contact
    "the newest row wins": (({"updated_at": OLDER}, {"email": "ANN@example.com"}), (1, 0, 0, 1), "2"),
    "a row without a time is the oldest": (({"updated_at": None}, {"updated_at": OLDER}), (1, 0, 0, 1), "2"),
    "a tie goes to the smallest key": (({"id": 9}, {"id": 10}), (1, 0, 0, 1), "10"),
    "one no silences all": (({}, {"consent": False, "updated_at": OLDER}, {}), (0, 0, 3, 0), None),
    "one unknown silences all": (({}, {"consent": None}), (0, 0, 2, 0), None),
    "a withdrawal in one row silences all": (({}, {"withdrawn": NOW}), (0, 0, 2, 0), None),
    "a no silences bad rows too": (({"age": 999}, {"consent": False}), (0, 0, 2, 0), None),
    "a no is heard through an invisible character": (
        ({}, {"email": "an\u200bn@example.com", "consent": False}), (0, 0, 2, 0), None),
    "a no is heard beside a display name": (({}, {"email": "Ann <ann@example.com>", "consent": False}), (0, 0, 2, 0), None),
    "a bad row does not compete": (({"updated_at": OLDER}, {"age": 999}), (1, 1, 0, 0), "1"),
    "two bad rows are two rejections": (({"age": 999}, {"age": 999}), (0, 2, 0, 0), None),
    "a Unicode domain and its A-label are one": (
        ({"email": "ann@bücher.example", "updated_at": OLDER}, {"email": "ann@xn--bcher-kva.example"}), (1, 0, 0, 1), "2"),
    "rows without an address are nobody": (({"email": None}, {"email": None, "consent": False}, {}), (1, 1, 1, 0), "3"),
    "strangers do not meet": (({}, {"email": "bob@example.com", "consent": False}), (1, 0, 1, 0), "1"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "counts", "winner"), PERSONS.values(), ids=PERSONS)
def test_rows_of_one_person_are_settled_together(
    changes: tuple[dict[str, Any], ...], counts: tuple[int, ...], winner: str | None, tmp_path: Path
) -> None:
    """In a frame and in a file, in any order of the rows and in batches of any size."""
    rows = rows_of(*changes)
    backwards = rows.take(list(reversed(range(rows.num_rows))))
    for screened in (in_memory(rows), on_disk(rows, tmp_path), on_disk(backwards, tmp_path, per_batch=1)):
        found = screened.counts.rows
        assert (found["accepted"], found["rejected"], found["no_consent"], found["duplicate"]) == counts
        assert screened.accepted["_source_key"].to_pylist() == ([winner] if winner else [])


EMAILS = st.sampled_from(
    ["ann@example.com", "ANN@example.com ", "bob@example.com", "cy@bücher.example", "cy@xn--bcher-kva.example",
     "ann@", "an\u200bn@example.com", "", None, "Bob <bob@example.com>"]
)  # fmt: skip
TIMES = st.sampled_from([None, OLDER, NEWER, NOW + dt.timedelta(days=9)])
TABLES = st.lists(
    st.fixed_dictionaries(
        {
            "email": EMAILS, "consent": st.sampled_from([True, True, True, True, False, None]), "updated_at": TIMES,
            "withdrawn": st.sampled_from([None, None, None, OLDER, NEWER]), "name": st.sampled_from(["Ann", "", None, "\x00"]),
            "age": st.sampled_from([30, 999, -1, None]), "plan": st.sampled_from([None, "pro", "gold"]),
            "lists": st.sampled_from([None, "", "A", "B, A"]),
        }
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(TABLES, st.integers(1, 15), st.randoms(use_true_random=False))
def test_the_laws_of_screening(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[dict[str, Any]],
    per_batch: int,
    shuffle: random.Random,
) -> None:
    """Conservation, one contact per person, no contact without consent, and independence of order and batches."""
    folder = tmp_path_factory.mktemp("laws")
    rows = rows_of(*changes)
    screened = on_disk(rows, folder, per_batch=per_batch)
    _holds_together(screened, rows.num_rows)
    order = list(range(rows.num_rows))
    shuffle.shuffle(order)
    other = on_disk(rows.take(pa.array(order, pa.int64())), folder, per_batch=16 - per_batch)
    assert outcome(other) == outcome(screened) == outcome(in_memory(rows))
    assert other.counts == screened.counts
    silent = set(screened.no_consent["address_hash"].to_pylist()) - {None}
    assert not silent & set(screened.accepted["_address_hash"].to_pylist())


def _holds_together(screened: Screened, read: int) -> None:
    counts = screened.counts.rows
    assert counts["read"] == read == sum(counts.values()) - read
    assert counts["accepted"] == screened.accepted.num_rows
    assert (
        counts["rejected"] == screened.rejections.num_rows == sum(screened.counts.rejected_by_reason.values())
    )
    assert (
        counts["no_consent"]
        == screened.no_consent.num_rows
        == sum(screened.counts.no_consent_by_reason.values())
    )
    emails = screened.accepted["email"].to_pylist()
    assert len(set(emails)) == len(emails)
    assert screened.accepted["_address_hash"].to_pylist() == [person(email) for email in emails]


@settings(max_examples=25, deadline=None)
@given(TABLES)
def test_what_was_accepted_is_accepted_again(changes: list[dict[str, Any]]) -> None:
    """Screening its own output changes nothing: canonical forms are fixed points."""
    accepted = in_memory(rows_of(*changes)).accepted
    again = pa.table(
        {
            **{name: accepted[name] for name in ("email", "age", "plan")},
            "id": accepted["_source_key"], "updated_at": accepted["_as_of"], "name": accepted["first_name"],
            "consent": pa.array([True] * accepted.num_rows, pa.bool_()), "consented_at": accepted["_consent_at"],
            "withdrawn": pa.nulls(accepted.num_rows), "form": accepted["_consent_evidence"], "lists": accepted["_lists"],
        }
    )  # fmt: skip
    twice = in_memory(again)
    assert outcome(twice)[0] == sorted(tuple(map(str, row.values())) for row in accepted.to_pylist())


def test_without_a_key_the_winner_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    """The position of a row names it, and decides nothing."""
    sync = replace(SYNC, source=replace(SYNC.source, key=None))
    rows = rows_of({"name": "Ann"}, {"name": "Anna"}, {"name": "Anne"})
    names = {
        tuple(on_disk(rows.take(order), tmp_path, sync).accepted["first_name"].to_pylist())
        for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0])
    }
    assert len(names) == 1


def test_positions_run_through_all_batches(tmp_path: Path) -> None:
    """Without a key, a rejection names the row by its place in the table, from 0."""
    sync = replace(SYNC, source=replace(SYNC.source, key=None))
    rows = rows_of(*({"age": 999} for _ in range(8)))
    assert sorted(on_disk(rows, tmp_path, sync).rejections["source_key"].to_pylist()) == [*"01234567"]
    nameless = rows_of({"id": None, "age": 999})
    assert in_memory(nameless).rejections["source_key"].to_pylist() == ["row 0"]


def test_an_unchanged_bad_row_is_not_new_and_a_mended_one_leaves(tmp_path: Path) -> None:
    """First seen stays, times seen counts on; a row that changed, though still bad, begins anew."""
    rows = rows_of(
        {"age": 999}, {"age": 998, "email": "b@example.com"}, {"age": 997, "email": "c@example.com"}
    )
    pq.write_table(on_disk(rows, tmp_path).rejections, tmp_path / "former.parquet")
    tomorrow = NOW + dt.timedelta(days=1)
    mended = rows_of(
        {"age": 999, "updated_at": tomorrow},
        {"age": 30, "email": "b@example.com"},
        {"age": 131, "email": "c@example.com"},
    )
    found = on_disk(mended, tmp_path, now=tomorrow, former=tmp_path / "former.parquet").rejections.to_pylist()
    seen = {row["source_key"]: (row["first_seen"], row["last_seen"], row["times_seen"]) for row in found}
    assert seen == {"1": (NOW, tomorrow, 2), "3": (tomorrow, tomorrow, 1)}


def test_without_a_key_a_bad_row_is_known_by_its_content(tmp_path: Path) -> None:
    """Rows above it may come and go."""
    sync = replace(SYNC, source=replace(SYNC.source, key=None))
    pq.write_table(on_disk(rows_of({"age": 999}), tmp_path, sync).rejections, tmp_path / "former.parquet")
    moved = rows_of({"email": "new@example.com"}, {"age": 999})
    [row] = on_disk(moved, tmp_path, sync, former=tmp_path / "former.parquet").rejections.to_pylist()
    assert (row["source_key"], row["times_seen"]) == ("1", 2)


def _with(name: str, column: Any) -> pa.Table:
    table = rows_of(*({"email": f"p{number}@example.com"} for number in range(4)))
    return table.set_column(
        table.column_names.index(name), name, pa.array(column) if isinstance(column, list) else column
    )


FOUR = 4
DRIFTS: dict[str, tuple[pa.Table, int]] = {
    # a table of four sound rows after a drift, and how many contacts may come of it
    "consent became text": (_with("consent", ["true", "yes", "1", "t"]), 0),
    "consent became numbers": (_with("consent", [1, 1, 0, 1]), 0),
    "consent became null": (_with("consent", pa.nulls(FOUR)), 0),
    "consent became bytes": (_with("consent", [b"1"] * FOUR), 0),
    "consent became a list": (_with("consent", [[True]] * FOUR), 0),
    "consent became dictionary text": (_with("consent", pa.array(["true"] * FOUR).dictionary_encode()), 0),
    "withdrawals became text": (_with("withdrawn", ["never", "no", "false", ""]), 2),
    "withdrawals became numbers": (_with("withdrawn", [1, 0, None, 20260101]), 2),
    "withdrawals became booleans": (_with("withdrawn", [True, False, None, True]), 2),
    "withdrawals became a list": (_with("withdrawn", [["x"], [], None, None]), 2),
    "the time of consent became numbers": (_with("consented_at", [1, 2, 3, None]), 1),
    "addresses became numbers": (_with("email", [1, 2, 3, 4]), 0),
    "addresses became null": (_with("email", pa.nulls(FOUR)), 0),
    "addresses became bytes": (_with("email", [b"a@example.com"] * FOUR), 0),
    "addresses became structs": (_with("email", [{"a": "a@example.com"}] * FOUR), 0),
    "addresses became views": (_with("email", pa.array([f"{n}@x.co" for n in range(FOUR)], pa.string_view())), 4),
    "addresses became categories": (_with("email", pa.array([f"{n}@x.co" for n in range(FOUR)]).dictionary_encode()), 4),
    "all addresses are one": (_with("email", ["ann@example.com"] * FOUR), 1),
    "a number became text": (_with("age", ["30", "31", "thirty", None]), 3),
    "a number became a float": (_with("age", [30.0, 30.5, float("nan"), None]), 2),
    "a number became unsigned": (_with("age", pa.array([30, 2**63, None, 1], pa.uint64())), 3),
    "text became nested": (_with("name", [["Ann"]] * FOUR), 0),
    "text became a map": (_with("name", pa.array([[("a", 1)]] * FOUR, pa.map_(pa.string(), pa.int64()))), 0),
    "text became durations": (_with("name", [dt.timedelta(1)] * FOUR), 0),
    "changes became text": (_with("updated_at", ["2026-05-01", "2026-05-01T00:00:00Z", "May", None]), 3),
    "changes became numbers": (_with("updated_at", [1, 2, 3, 4]), 0),
    "changes lie in the future": (_with("updated_at", [NOW + dt.timedelta(days=900)] * FOUR), 0),
    "keys became floats": (_with("id", [1.0, 2.5, None, float("nan")]), 4),
    "keys became bytes": (_with("id", [b"\xff", b"a", None, b""]), 4),
    "keys became lists": (_with("id", [[1], [2], None, []]), 4),
    "lists became numbers": (_with("lists", [1, 2, 3, None]), 1),
    "lists became lists": (_with("lists", [["A"], [], None, [None]]), 3),
    "evidence became nested": (_with("form", [{"a": 1}] * FOUR), 4),
    "the table is empty": (rows_of(), 0),
}  # fmt: skip


@pytest.mark.parametrize(("table", "contacts"), DRIFTS.values(), ids=DRIFTS)
def test_a_drifted_table_is_accounted_for_and_never_accepted_wrongly(
    table: pa.Table, contacts: int, tmp_path: Path
) -> None:
    """A column of another type costs rows, with a reason for each; it neither raises nor lets anybody in."""
    screened = on_disk(table, tmp_path)
    _holds_together(screened, table.num_rows)
    assert screened.accepted.num_rows == contacts


@pytest.mark.parametrize(
    "change",
    [lambda table: table.drop(["consent"]), lambda table: table.rename_columns({"email": "mail"}),
     lambda table: table.append_column("consent", table["consent"])],
    ids=["missing", "renamed", "twice"],
)  # fmt: skip
def test_a_column_that_is_gone_or_there_twice_stops_the_screening(change: Any, tmp_path: Path) -> None:
    """By the name of the column, before any row is judged."""
    with pytest.raises(ScreeningError, match=r"is (missing|there twice)"):
        on_disk(change(rows_of({})), tmp_path)


def test_mixed_objects_of_pandas_are_judged_one_by_one() -> None:
    """A notebook's frame of Python objects has no types to trust."""
    frame = pd.DataFrame(
        [
            {**PLAIN, "email": "a@example.com", "consent": True},
            {**PLAIN, "email": "b@example.com", "consent": "true"},
            {**PLAIN, "email": "c@example.com", "consent": 1},
            {**PLAIN, "email": 7, "consent": True},
            {**PLAIN, "email": "d\ud800@example.com", "consent": True, "age": 2**70},
            {**PLAIN, "email": "e@example.com", "consent": None, "age": b"x"},
            {**PLAIN, "email": "f@example.com", "consent": True, "age": "31", "name": "Zoë"},
        ]
    )
    screened = screen(frame, SYNC, now=NOW, key=KEY)
    assert screened.accepted["email"].to_pylist() == ["a@example.com", "f@example.com"]
    assert screened.accepted["age"].to_pylist() == [30, 31]
    assert screened.counts.rejected_by_reason == {"address_invalid_unicode": 1, "address_not_text": 1}


def test_errors_never_hold_a_value_of_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a bad row to pass its checks, the schema stops it, and pandera's report of values stays behind."""
    monkeypatch.setattr(judgement.Findings, "rows", lambda self: judgement.np.zeros(0, judgement.np.int64))
    with pytest.raises(ScreeningError) as caught:
        in_memory(rows_of({"name": "Canary" * 99}))
    error: BaseException | None = caught.value
    assert error is not None and error.__cause__ is None and error.__context__ is None
    assert "Canary" not in repr(error)


def test_foreign_errors_stay_behind_with_the_values_they_quote() -> None:
    """Whatever a library stumbles over: the error says where, never over what."""

    def stumble() -> None:
        pa.array(["Canary"]).cast(pa.int64())

    with pytest.raises(ScreeningError, match="rows from 7 on could not be judged: ArrowInvalid") as caught:
        discreetly(stumble, first=7)
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    assert "Canary" not in str(caught.value)


def test_sinks_get_exactly_the_schemas_that_are_promised(tmp_path: Path) -> None:
    """Also where nothing is written."""
    kept = schemas(SYNC)
    assert kept.rejections == REJECTIONS
    for screened in (in_memory(rows_of()), on_disk(rows_of({}, {"consent": None}, {"name": None}), tmp_path)):
        assert screened.accepted.schema == kept.accepted
        assert screened.rejections.schema == kept.rejections
        assert screened.no_consent.schema == kept.no_consent


def test_progress_is_told_in_rows(tmp_path: Path) -> None:
    """For people who wait."""
    told: list[int] = []
    pq.write_table(rows_of({}, {}, {}), tmp_path / "source.parquet")
    kept = schemas(SYNC)
    found: Iterable[Screening] = [
        screen_file(
            tmp_path / "source.parquet", SYNC, now=NOW, key=KEY, accepted=Kept(kept.accepted),
            rejections=Kept(kept.rejections), no_consent=Kept(kept.no_consent), scratch=tmp_path, rows_per_batch=2,
            progress=told.append,
        )
    ]  # fmt: skip
    assert told == [2, 3] and [one.rows["read"] for one in found] == [3]
