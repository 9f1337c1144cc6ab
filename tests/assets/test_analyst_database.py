"""An analyst opens one file and asks in SQL; the file holds nobody, and its views are as fresh as the lake."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from assets.analyst_database import DATABASE, analyst_database, write_database
from assets.export_jobs import Patience
from assets.exports import take_export
from tests.assets.world import World, people


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two takings, one of them after somebody unsubscribed; one row refused by us, one by Mailtrap."""
    made = World(tmp_path)
    made.mailtrap.faults.add({"fault": "F-10", "variant": "some"})
    made.mailtrap.seed({"fields": [{"name": "Plan", "merge_tag": "plan", "data_type": "text"}]})
    made.wants()
    made.run([*people(21), {**people(1, first=99)[0], "email": "not an address"}])
    take(made)
    made.mailtrap.unsubscribe("p7@example.com")
    take(made)
    yield made
    made.close()


def take(world: World) -> None:
    """A taking of everyone, a little later than the one before."""
    clock = world.mailtrap.clock
    world.mailtrap.advance(60.0)
    take_export(world.client, world.store, patience=Patience(clock=clock.time, sleep=clock.sleep))


def ask(world: World, query: str) -> list[tuple[Any, ...]]:
    """As an analyst does: read only."""
    with world.store.lake.local(DATABASE) as path, duckdb.connect(path, read_only=True) as connection:
        return connection.sql(query).fetchall()


def test_the_views_answer(world: World) -> None:
    """Contacts, their history, who unsubscribed in between, why rows were refused, runs and imports."""
    names = write_database(world.store.lake, world.store.journal)
    assert set(names) == {"contacts", "contacts_history", "status_changes", "rejections", "runs", "imports"}
    assert ask(world, "select status, count(*) from contacts group by all order by all") == [
        ("subscribed", 19),
        ("unsubscribed", 1),
    ]
    assert ask(
        world, "select count(*), count(distinct taken_at), count(distinct export_id) from contacts_history"
    ) == [(40, 2, 2)]
    assert ask(world, "select email, former_status, status, former_lists from status_changes") == [
        ("p7@example.com", "subscribed", "unsubscribed", ["Newsletter"])
    ]
    refused = ask(world, "select sync, reason, address_hash is not null from rejections order by reason")
    assert [each[1:] for each in refused] == [("address_without_at", True), ("refused_by_mailtrap", True)]
    assert {sync for sync, *_ in refused} == {"people"}
    assert ask(world, "select sync, outcome, rows['accepted'] from runs") == [("people", "ok", 20)]
    assert ask(world, "select sync, state, contacts, created from imports") == [
        ("people", "finished", 20, 20)
    ]


def test_the_views_are_as_fresh_as_the_lake(world: World) -> None:
    """A new taking is seen without writing the file again."""
    write_database(world.store.lake, world.store.journal)
    world.mailtrap.unsubscribe("p8@example.com")
    take(world)
    assert ask(world, "select count(*) from contacts where status = 'unsubscribed'") == [(2,)]
    assert ask(world, "select count(*) from status_changes") == [(2,)]


def test_the_file_is_private_and_holds_nobody(world: World) -> None:
    """Erasing a person needs no change in it."""
    write_database(world.store.lake, world.store.journal)
    with world.store.lake.local(DATABASE) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"example.com" not in path.read_bytes()


def test_an_empty_lake_has_a_file_with_what_there_is(tmp_path: Path) -> None:
    """The first run is no special case."""
    world = World(tmp_path)
    try:
        assert write_database(world.store.lake, world.store.journal) == ("imports",)
        assert ask(world, "select count(*) from imports") == [(0,)]
    finally:
        world.close()


def test_the_asset_names_the_views(world: World) -> None:
    """In the UI, without an address."""
    ran = dg.materialize(
        [analyst_database()], resources={"store": dg.ResourceDefinition.hardcoded_resource(world.store)}
    )
    (event,) = ran.asset_materializations_for_node("mailtrap__analyst_database")
    assert "`status_changes`" in str(event.metadata["views"].value)
