"""What a sync needs of the account and of its source is said before the first row is read or sent."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa
import pytest

from assets.rules import cells
from assets.rules.fields import coerce
from assets.rules.preflight import NewField, preflight, source_problems
from assets.rules.rejection import Reason
from assets.rules.sync import Consent, Events, FieldRule, FieldType, Lists, Source, Sync


class Field(NamedTuple):
    """A field as Mailtrap's client would give it."""

    id: int
    name: str
    data_type: str
    merge_tag: str


class MailtrapList(NamedTuple):
    """A list as Mailtrap's client would give it."""

    id: int
    name: str


FIRST_NAME = Field(1, "First name", "text", "first_name")
NEWS = MailtrapList(7, "News")


def sync(
    *rules: FieldRule,
    create: bool = False,
    include: tuple[str | int, ...] = (),
    exclude: tuple[str | int, ...] = (),
) -> Sync:
    """A sync with these fields and lists."""
    lists = Lists(include=include, exclude=exclude)
    return Sync(
        name="a",
        source=Source(table="t", key="id", updated_at="changed"),
        email="address",
        consent=Consent("agreed"),
        fields=rules,
        lists=lists,
        create=create,
        file="syncs/a.yaml",
    )


def said(
    sync: Sync, *, fields: list[Field] | None = None, lists: list[MailtrapList] | None = None
) -> list[str]:
    """The problems of a preflight, as a person reads them."""
    return [str(problem) for problem in preflight(sync, fields=fields or [], lists=lists or []).problems]


def test_a_sync_that_has_all_it_needs_passes() -> None:
    """Fields of the same type, lists by name or id: nothing to say and nothing to create."""
    ready = sync(FieldRule("first_name", "c"), include=("News", 7), exclude=(7,))
    found = preflight(ready, fields=[FIRST_NAME], lists=[NEWS])
    assert (found.problems, found.to_create_fields, found.to_create_lists) == ((), (), ())


def test_a_missing_field_names_the_nearest_and_both_ways_out() -> None:
    """A typing error and a field that is yet to be made look the same: both remedies are given."""
    (problem,) = said(sync(FieldRule("firstname", "c")), fields=[FIRST_NAME])
    assert problem.startswith("syncs/a.yaml: fields.firstname: is no field at Mailtrap.")
    assert "Did you mean `first_name`? If not, create it there or write `create: true`." in problem


def test_a_type_conflict_is_never_created_away() -> None:
    """Mailtrap never changes a field's type, so neither do we."""
    (problem,) = said(sync(FieldRule("first_name", "c", type="integer"), create=True), fields=[FIRST_NAME])
    assert "is integer here, but text at Mailtrap" in problem
    assert "`type: text`" in problem


def test_capitals_are_never_created_away() -> None:
    """A second `News` beside `news` is a mistake, not a wish."""
    found = said(
        sync(FieldRule("First_Name", "c"), create=True, include=("news ",)), fields=[FIRST_NAME], lists=[NEWS]
    )
    assert len(found) == 2
    assert "is called `first_name` at Mailtrap" in found[0]
    assert "is called `News` at Mailtrap" in found[1]


def test_what_is_missing_is_created_only_when_asked() -> None:
    """With `create: true` fields and included lists are made, under names that are free."""
    rules = (
        FieldRule("first_name", "c"),
        FieldRule("plan_code", "c"),
        FieldRule("seats", "c", type="integer"),
    )
    taken = Field(2, "Seats", "float", "seat_count")
    wanted = sync(*rules, create=True, include=("News", "Trials"))
    found = preflight(wanted, fields=[FIRST_NAME, taken], lists=[NEWS])
    assert found.problems == ()
    assert found.to_create_fields == (
        NewField("Plan code", "text", "plan_code"),
        NewField("seats", "integer", "seats"),
    )
    assert found.to_create_lists == ("Trials",)


def test_nothing_is_created_while_something_stands_in_the_way() -> None:
    """Half an account is worse than none."""
    wanted = sync(
        FieldRule("plan", "c"), FieldRule("first_name", "c", type="date"), create=True, include=("Trials",)
    )
    found = preflight(wanted, fields=[FIRST_NAME], lists=[])
    assert found.problems
    assert (found.to_create_fields, found.to_create_lists) == ((), ())


def test_lists_that_are_not_there_are_named() -> None:
    """By name with the nearest one, by id as such; a list to leave is never created."""
    found = said(sync(include=("New", 8), exclude=("Gone",), create=False), lists=[NEWS])
    assert len(found) == 3
    assert "`New` is no list at Mailtrap. Did you mean `News`?" in found[0]
    assert "names list 8, which Mailtrap does not have" in found[1]
    assert "create: true" not in found[2]
    assert said(sync(exclude=("Gone",), create=True)) == [found[2]]


def test_a_name_that_two_lists_have_is_not_guessed() -> None:
    """The ids are given to choose from."""
    (problem,) = said(sync(include=("News",)), lists=[NEWS, MailtrapList(9, "News")])
    assert "`News` is the name of 2 lists. Write the id of the one that is meant: 7 or 9." in problem


def test_there_must_be_room_for_new_fields_and_lists() -> None:
    """40 fields and 50 lists are all that an account has."""
    fields = [Field(n, f"F{n}", "text", f"f{n}") for n in range(40)]
    lists = [MailtrapList(n, f"L{n}") for n in range(50)]
    found = said(
        sync(FieldRule("one_more", "c"), create=True, include=("Trials",)), fields=fields, lists=lists
    )
    assert "needs 1 new fields, but the account has 40 of at most 40" in found[0]
    assert "needs 1 new lists, but the account has 50 of at most 50" in found[1]
    assert said(sync(FieldRule("f1", "c"), include=("L1",)), fields=fields, lists=lists) == []


SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("changed", pa.timestamp("us", tz="UTC")),
        ("address", pa.string()),
        ("agreed", pa.bool_()),
        ("age", pa.int32()),
    ]
)


def test_a_source_with_the_right_columns_passes() -> None:
    """More columns than needed, dictionaries and views are no problem."""
    schema = SCHEMA.set(2, pa.field("address", pa.dictionary(pa.int32(), pa.string_view()))).append(
        pa.field("x", pa.binary())
    )
    assert source_problems(sync(FieldRule("age", "age", type="integer")), schema) == ()


def test_a_missing_column_names_the_key_and_the_nearest_column() -> None:
    """A renamed column is found without opening the warehouse."""
    renamed = {"address": "email_address", "agreed": "AGREED"}
    schema = pa.schema([field.with_name(renamed.get(field.name, field.name)) for field in SCHEMA])
    found = [str(problem) for problem in source_problems(sync(FieldRule("plan", "zzz")), schema)]
    assert found[0].startswith(
        "syncs/a.yaml: email: column `address` is not in the source. Did you mean `email_address`?"
    )
    assert found[1].startswith(
        "syncs/a.yaml: consent.granted: column `agreed` is not in the source. Did you mean `AGREED`?"
    )
    assert "fields.plan: column `zzz` is not in the source. The source has id, changed," in found[2]


def test_a_column_that_is_there_twice_is_refused() -> None:
    """Nobody knows which one is meant."""
    schema = pa.schema([*SCHEMA, ("Agreed", pa.bool_())])
    (problem,) = source_problems(sync(), schema)
    assert problem.key == "consent.granted"
    assert "2 times" in problem.happened


@pytest.mark.parametrize(
    ("column", "kind", "key", "wanted"),
    [
        ("address", pa.int64(), "email", "an address"),
        ("agreed", pa.list_(pa.bool_()), "consent.granted", "consent"),
        ("changed", pa.int64(), "source.updated_at", "a time"),
        ("age", pa.timestamp("us"), "fields.age", "integer"),
        ("age", pa.struct([("a", pa.int8())]), "fields.age", "integer"),
    ],
)
def test_a_type_that_cannot_become_the_fields_type_is_said(
    column: str, kind: pa.DataType, key: str, wanted: str
) -> None:
    """In the user's words: the column, what it is, and what it should have become."""
    schema = SCHEMA.set(SCHEMA.get_field_index(column), pa.field(column, kind))
    (problem,) = source_problems(sync(FieldRule("age", "age", type="integer")), schema)
    assert problem.key == key
    assert f"column `{column}` is {kind}, which cannot become {wanted}." in problem.happened
    assert "Cast it" in problem.remedy


def test_consent_that_nobody_can_give_is_said_before_a_run() -> None:
    """Text and numbers are a yes only as listed: without a list the sync would silently send nobody."""
    schema = SCHEMA.set(3, pa.field("agreed", pa.string()))
    (problem,) = source_problems(sync(), schema)
    assert problem.key == "consent.granted"
    assert "only listed spellings are a yes" in problem.happened
    assert "`truthy: [" in problem.remedy
    listed = replace(sync(), consent=Consent("agreed", truthy=("yes",)))
    assert source_problems(listed, schema) == ()


def test_the_columns_of_events_are_looked_at_too() -> None:
    """The key, the name and the parameters of an event are columns like any other."""
    events = Events(key="order", name_column="kind", params=(FieldRule("total", "total", type="float"),))
    of_events = Sync(
        name="a", source=Source(table="t"), email="address", consent=Consent("agreed"), events=events
    )
    keys = [problem.key for problem in source_problems(of_events, SCHEMA)]
    assert keys == ["events.params.total", "events.key", "events.name.column"]


SAMPLES = {
    "text": pa.array(["x"]),
    "uuid": pa.array([b"0123456789abcdef"], pa.uuid()),
    "boolean": pa.array([True]),
    "integer": pa.array([1]),
    "float": pa.array([1.0]),
    "decimal": pa.array([Decimal("1")]),
    "date": pa.array([date(2026, 1, 1)]),
    "timestamp": pa.array([datetime(2026, 1, 1, tzinfo=UTC)]),
    "time": pa.array([time(9)]),
    "duration": pa.array([timedelta(1)]),
    "binary": pa.array([b"x"]),
    "list": pa.array([[1]]),
    "struct": pa.array([{"a": 1}]),
}


@pytest.mark.parametrize("kind", ["text", "integer", "float", "boolean", "date"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_type_is_refused_before_a_run_just_when_every_row_would_be(sample: str, kind: FieldType) -> None:
    """What is said of a column beforehand is what the rules of fields do with its rows."""
    rule = FieldRule("age", "age", type=kind)
    problems = coerce(cells.plain(SAMPLES[sample]), rule).problems
    hopeless = problems is not None and int(problems[0]) == Reason.type_unsupported.number
    schema = SCHEMA.set(4, pa.field("age", SAMPLES[sample].type))
    assert bool(source_problems(sync(rule), schema)) is hopeless
