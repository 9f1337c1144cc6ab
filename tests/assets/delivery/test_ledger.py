"""Merging a ledger: what it says stays the same, and nothing is merged or written again before it is worth it."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.delivery import ledger
from assets.rules import comparison
from assets.rules.comparison import TOLD_SCHEMA
from tests.assets.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A journal, a lake, and nobody told."""
    made = World(tmp_path)
    yield made
    made.close()


def told(people: dict[int, int | None]) -> pa.Table:
    """Person to fingerprint; none: held no longer."""
    size = len(people)
    hashes = pa.array([uuid.UUID(int=person << 64).bytes for person in people], pa.binary(16))
    columns = [
        pa.ExtensionArray.from_storage(pa.uuid(), hashes),
        pa.array(people.values(), pa.uint64()),
        *(pa.nulls(size, kind) for kind in TOLD_SCHEMA.types[2:5]),
        pa.repeat("all", size),
    ]
    return pa.table(columns, schema=TOLD_SCHEMA)


def add(world: World, parts: list[tuple[str, dict[int, int | None]]], *, bucket: str | None = None) -> None:
    """Parts of deliveries, oldest first."""
    journal, lake = world.store.journal, world.store.lake
    with journal.lease("account") as lease:
        for delivery, people in parts:
            path = ledger.write_part(lake, "people", told(people), bucket=bucket, delivery=delivery)
            journal.add_ledger_part("people", path=path, rows=len(people), lease=lease)


def merged(world: World, *, bucket: str | None = None) -> bool:
    """Whether there was something to merge."""
    with world.store.journal.lease("account") as lease:
        return ledger.merge(world.store.journal, world.store.lake, "people", lease=lease, bucket=bucket)


def files(world: World) -> list[tuple[str, bool]]:
    """The files of the ledger, and whether each counts as a base."""
    return [(part.path, part.base) for part in world.store.journal.ledger_parts("people")]


def held(world: World) -> dict[int, int]:
    """Whom Mailtrap holds, as the ledger says it."""
    with (
        ledger.told(world.store.journal, world.store.lake, "people") as files,
        comparison.connect(world.folder) as connection,
    ):
        query = f"select address_hash::varchar, fingerprint from ({comparison.told_sql(files)}) where fingerprint is not null"
        rows = connection.sql(query).fetchall()
    people = {uuid.UUID(text).int >> 64: value for text, value in rows}
    assert len(people) == len(rows), "somebody is held twice"
    return people


@pytest.mark.parametrize(("delivery", "is_small"), [("d1", True), ("", False)])
def test_only_a_payloads_part_is_known_to_be_small(
    world: World, monkeypatch: pytest.MonkeyPatch, delivery: str, is_small: bool
) -> None:
    """Others may be of a whole table: put together in memory, ten million rows would take 300 MB."""
    writer, said = world.store.lake.writer, list[bool]()

    def listening(*given: Any, small: bool = False, **named: Any) -> Any:
        said.append(small)
        return writer(*given, small=small, **named)

    monkeypatch.setattr(world.store.lake, "writer", listening)
    add(world, [(delivery, {1: 1})])
    assert said == [is_small]


def test_a_first_load_of_a_few_payloads_is_left_as_it_is(world: World) -> None:
    """There is nothing yet that they would overrule."""
    add(world, [("first", {number: 1}) for number in range(ledger.PARTS_AT_MOST)])
    assert not merged(world)
    add(world, [("first", {99: 1})])
    assert merged(world)
    assert held(world) == {**dict.fromkeys(range(ledger.PARTS_AT_MOST), 1), 99: 1}


def test_parts_of_several_deliveries_overrule_one_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest word about a person counts, before and after."""
    monkeypatch.setattr(ledger, "PARTS_AT_MOST", 1)
    add(world, [("one", {1: 1, 2: 1, 3: 1}), ("two", {2: 2}), ("three", {3: None})])
    assert held(world) == {1: 1, 2: 2}
    assert merged(world)
    assert held(world) == {1: 1, 2: 2}
    add(world, [("four", {1: 4}), ("four", {5: 4})])
    assert merged(world)
    assert held(world) == {1: 4, 2: 2, 5: 4}


def test_parts_without_a_delivery_are_not_taken_to_be_apart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Departures and dates that moved on may be about the same people."""
    monkeypatch.setattr(ledger, "PARTS_AT_MOST", 1)
    add(world, [("", {1: 1}), ("", {1: 2}), ("", {1: None, 2: 1})])
    assert merged(world)
    assert held(world) == {2: 1}


def test_the_large_files_of_a_first_delivery_are_a_base_as_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They need not be written again; what comes later overrules them, until it is merged with them."""
    monkeypatch.setattr(ledger, "PARTS_AT_MOST", 1)
    monkeypatch.setattr(ledger, "ROWS_WORTH_A_FILE", 2)
    add(world, [("one", {1: 1, 2: 1}), ("one", {3: 1, 4: 1}), ("one", {5: 1, 6: 1})])
    before = files(world)
    assert merged(world)
    assert files(world) == [(path, True) for path, _ in before]
    assert not merged(world)
    add(world, [("two", {2: 2, 5: None})])
    assert held(world) == {1: 1, 2: 2, 3: 1, 4: 1, 6: 1}
    add(world, [("two", {6: 2, 7: 2})])
    assert merged(world)
    [(path, base)] = files(world)
    assert base and path not in dict(before)
    assert held(world) == {1: 1, 2: 2, 3: 1, 4: 1, 6: 2, 7: 2}


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([("one", {1: 1, 2: 1}), ("two", {2: 2, 3: 2})], id="two deliveries"),
        pytest.param([("", {1: 1, 2: 1}), ("", {2: 2, 3: 2})], id="no delivery"),
        pytest.param([("one", {1: 1, 2: 2}), ("one", {3: 2})], id="small files"),
    ],
)
def test_other_files_are_merged_into_one(
    world: World, monkeypatch: pytest.MonkeyPatch, parts: list[tuple[str, dict[int, int | None]]]
) -> None:
    """Those of several origins may be about the same people; small ones cost more to open than to read."""
    monkeypatch.setattr(ledger, "PARTS_AT_MOST", 1)
    monkeypatch.setattr(ledger, "ROWS_WORTH_A_FILE", 2)
    add(world, parts)
    assert merged(world)
    assert [base for _, base in files(world)] == [True]
    assert held(world) == {1: 1, 2: 2, 3: 2}


def test_first_deliveries_of_differently_cut_buckets_overrule_one_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a base to its own bucket; who was cut otherwise later is in both, and the later word counts."""
    monkeypatch.setattr(ledger, "PARTS_AT_MOST", 1)
    monkeypatch.setattr(ledger, "ROWS_WORTH_A_FILE", 1)
    add(world, [("one", {1: 1}), ("one", {2: 1})], bucket="2.0")
    assert merged(world, bucket="2.0")
    add(world, [("two", {1: 2}), ("two", {3: 2})], bucket="4.0")
    assert merged(world, bucket="4.0")
    assert held(world) == {1: 2, 2: 1, 3: 2}


def test_what_a_merge_replaces_stays_until_the_next(world: World) -> None:
    """However old it is: a run beside this one may have listed it a moment ago."""
    lake, first = world.store.lake, 0

    def grown_old() -> list[str]:
        nonlocal first
        add(world, [(f"d{number}", {number: 1}) for number in range(first, first + 40)])
        first += 40
        for path in lake.list("people/ledger"):
            os.utime(Path(lake.root) / path, (1e9, 1e9))
        return [path for path, _ in files(world)]

    before = grown_old()
    assert merged(world) and all(lake.exists(path) for path in before)
    assert held(world).keys() == set(range(40))
    grown_old()
    assert merged(world) and not any(lake.exists(path) for path in before)
    assert held(world).keys() == set(range(80))
