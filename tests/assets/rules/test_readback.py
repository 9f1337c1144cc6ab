"""What was told against what an export has: every state, every type, and what is not compared."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.rules import comparison, readback
from assets.rules.comparison import TOLD_SCHEMA, Told
from assets.rules.readback import FOUND_SCHEMA, Evidence
from assets.rules.sync import FieldRule
from tests.assets.rules.test_comparison import person

TYPES: Mapping[str, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}
PRINT = 5
"""The fingerprint of everybody who has not changed since."""


def field(kind: str = "text", *, nulls: str = "omit") -> FieldRule:
    """A field of this type, under a name that needs quotes."""
    return FieldRule('a "tag"', "column", type=kind, nulls=nulls)  # type: ignore[arg-type]


def scene(
    folder: Path,
    *,
    told: Sequence[tuple[int, int | None]] = ((1, PRINT),),
    ours: object = "x",
    theirs: Sequence[Mapping[str, Any]] = (),
    rule: FieldRule | None = None,
    accepted: bool = True,
    list_names: Mapping[int, str] | None = None,
    over_limit: Sequence[int] = (),
) -> Evidence:
    """Files with who was told what, the one value that was told, and what an export has."""
    rule = rule or field()
    kind = TYPES[rule.type]
    count = len(told)
    pq.write_table(
        pa.table(
            {
                "address_hash": pa.array([person(who) for who, _ in told], pa.uuid()),
                "fingerprint": pa.array([print_ for _, print_ in told], pa.uint64()),
                "as_of": pa.nulls(count, TOLD_SCHEMA.field("as_of").type),
                "import_id": pa.array([9] * count, pa.int64()),
                "list_ids": pa.array([[7, 8]] * count, pa.list_(pa.int64())),
                "partition": pa.array(["all"] * count),
            },
            TOLD_SCHEMA,
        ),
        folder / "told.parquet",
    )
    values = {
        "_address_hash": pa.array([person(who) for who, _ in told], pa.uuid()),
        "_fingerprint": pa.array([PRINT] * count, pa.uint64()),
        rule.merge_tag: pa.array([ours] * count, kind),
    }
    pq.write_table(pa.table(values), folder / "accepted.parquet")
    export = {
        "address_hash": pa.array([person(row["who"]) for row in theirs], pa.uuid()),
        "status": pa.array([row.get("status", "subscribed") for row in theirs], pa.string()),
        "lists": pa.array([row.get("lists") for row in theirs], pa.list_(pa.string())),
        rule.merge_tag: pa.array([row.get("value", "x") for row in theirs], kind),
    }
    pq.write_table(pa.table(export), folder / "theirs.parquet")
    left_out = {
        "address_hash": pa.array([person(who) for who in over_limit], pa.uuid()),
        "import_id": pa.array([9] * len(over_limit), pa.int64()),
    }
    pq.write_table(pa.table(left_out), folder / "left_out.parquet")
    return Evidence(
        told=Told(base=(folder / "told.parquet",)),
        accepted=(folder / "accepted.parquet",) if accepted else (),
        theirs=folder / "theirs.parquet",
        over_limit=folder / "left_out.parquet" if over_limit else None,
        fields=[rule],
        list_names=list_names,
    )


def found(folder: Path, **facts: Any) -> dict[int, dict[str, Any]]:
    """The report, by person."""
    connection = comparison.connect(folder)
    try:
        batches = list(readback.read_back(connection, scene(folder, **facts)))
    finally:
        connection.close()
    assert all(batch.schema == FOUND_SCHEMA for batch in batches)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert len({row["address_hash"] for row in rows}) == len(rows)
    return {UUID(str(row["address_hash"])).int: row for row in rows}


def test_everybody_told_is_in_one_state(tmp_path: Path) -> None:
    """There, not there, changed, left; who was told to leave is not looked for, nor is who was never told."""
    rows = found(
        tmp_path,
        told=[(1, PRINT), (2, PRINT), (3, PRINT), (4, PRINT), (5, None)],
        theirs=[
            {"who": 1},
            {"who": 3, "value": "y"},
            {"who": 4, "value": "y", "status": "unsubscribed"},
            {"who": 99},
        ],
    )
    states = {who: row["state"] for who, row in rows.items()}
    assert states == {1: "applied", 2: "missing", 3: "differs", 4: "unsubscribed"}
    assert rows[3]["differing"] == ['a "tag"'] and rows[2]["differing"] == []
    assert {row["import_id"] for row in rows.values()} == {9}


@pytest.mark.parametrize(
    ("kind", "ours", "theirs", "same"),
    [
        ("text", "", None, True),
        ("text", "Zoë", "Zoe", False),
        ("text", "x", " x", False),
        ("integer", 2**53 + 1, 2**53 + 1, True),
        ("integer", 2**53 + 1, 2**53, False),
        ("integer", 0, None, False),
        ("float", 0.1 + 0.2, 0.3, True),
        ("float", 1.0, 1.001, False),
        ("float", 1.0, None, False),
        ("boolean", False, False, True),
        ("boolean", False, None, False),
        ("date", date(2026, 2, 28), date(2026, 2, 28), True),
        ("date", date(2026, 2, 28), date(2026, 3, 1), False),
    ],
)
def test_values_are_compared_as_people_mean_them(
    tmp_path: Path, kind: str, ours: object, theirs: object, same: bool
) -> None:
    """To the last digit of an integer, but not of a float; a CSV cannot tell an empty text from none."""
    rows = found(tmp_path, rule=field(kind), ours=ours, theirs=[{"who": 1, "value": theirs}])
    assert rows[1]["state"] == ("applied" if same else "differs") and rows[1]["compared"]


@pytest.mark.parametrize(("nulls", "state"), [("omit", "applied"), ("clear", "differs")])
def test_what_was_not_told_is_not_compared(tmp_path: Path, nulls: str, state: str) -> None:
    """Nothing was told: whatever is there may stay. It was told to be emptied: then it must be empty."""
    rows = found(tmp_path, rule=field(nulls=nulls), ours=None, theirs=[{"who": 1, "value": "theirs"}])
    assert rows[1]["state"] == state


def test_values_that_are_not_at_hand_prove_presence_only(tmp_path: Path) -> None:
    """The extract has gone, or holds other values than those that were told."""
    other = [{"who": 1, "value": "other"}]
    for more in ({"accepted": False}, {"told": [(1, PRINT + 1)]}):
        row = found(tmp_path, theirs=other, **more)[1]
        assert (row["state"], row["compared"], row["differing"]) == ("applied", False, [])


@pytest.mark.parametrize(
    ("lists", "state"),
    [
        (["Newsletter", "VIP", "Other"], "applied"),
        (["Newsletter"], "differs"),
        ([], "differs"),
        (None, "applied"),
    ],
    ids=["in more", "not in one", "in none", "not known"],
)
def test_a_list_that_is_missing_differs(tmp_path: Path, lists: list[str] | None, state: str) -> None:
    """More lists are somebody else's business; lists that the export does not know prove nothing."""
    names = {7: "Newsletter", 8: "VIP", 3: "it's"}
    row = found(tmp_path, theirs=[{"who": 1, "lists": lists}], list_names=names)[1]
    assert row["state"] == state and row["differing"] == (["lists"] if state == "differs" else [])


def test_who_was_over_the_limit_is_told_apart_from_who_is_missing(tmp_path: Path) -> None:
    """Unless the export has them, or they were told after all."""
    rows = found(tmp_path, theirs=[{"who": 1}, {"who": 2}], over_limit=[1, 2, 3])
    assert {who: row["state"] for who, row in rows.items()} == {1: "applied", 3: "over_limit"}


def test_an_address_that_the_export_has_twice_is_one_person(tmp_path: Path) -> None:
    """A report with two rows of a person would count them twice."""
    assert len(found(tmp_path, theirs=[{"who": 1}, {"who": 1, "value": "y"}])) == 1


def test_counting_says_how_many_and_which_fields(tmp_path: Path) -> None:
    """Every state has a number, also nought."""
    connection = comparison.connect(tmp_path)
    evidence = scene(tmp_path, told=[(1, PRINT), (2, PRINT)], theirs=[{"who": 1, "value": "y"}])
    states, fields = readback.count(readback.read_back(connection, evidence))
    connection.close()
    assert states == Counter(applied=0, differs=1, missing=1, unsubscribed=0, over_limit=0)
    assert fields == Counter({'a "tag"': 1})


@pytest.mark.parametrize("kind", ["text", "integer", "float", "boolean", "date"])
def test_a_field_that_the_account_has_no_more_differs(tmp_path: Path, kind: str) -> None:
    """The export has no such column: whoever was told a value has lost it; nobody's report fails over it."""
    values = {"text": "x", "integer": 1, "float": 1.5, "boolean": True, "date": date(2026, 1, 2)}
    evidence = scene(tmp_path, ours=values[kind], theirs=[{"who": 1, "value": None}], rule=field(kind))
    theirs = pq.read_table(evidence.theirs).drop_columns(['a "tag"', "status"])
    pq.write_table(theirs, evidence.theirs)
    with comparison.connect(tmp_path) as connection:
        (batch,) = readback.read_back(connection, evidence)
    (row,) = batch.to_pylist()
    assert (row["state"], row["differing"]) == ("differs", ['a "tag"'])
