"""Whose status changed, and the last import that told Mailtrap about that person: not the last import of all."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from assets.analyst_database import DATABASE, write_database
from assets.export_jobs import Patience
from assets.exports import take_export
from assets.status_changes import changes_of
from pipelines.people import told
from tests.assets.world import World, people


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Everybody told by one import, some of them by a second one; then two people leave."""
    made = World(tmp_path)
    made.mailtrap.seed({"fields": [{"name": "Plan", "merge_tag": "plan", "data_type": "text"}]})
    made.wants()
    made.run(people(20))
    take(made)
    made.mailtrap.advance(60.0)
    made.run([*people(10, plan="pro", day=2), *people(10, first=10)])
    made.mailtrap.unsubscribe("p3@example.com", "p15@example.com")
    take(made)
    yield made
    made.close()


def take(world: World) -> None:
    """A taking of everyone, a little later than the one before."""
    clock = world.mailtrap.clock
    world.mailtrap.advance(60.0)
    take_export(world.client, world.store, patience=Patience(clock=clock.time, sleep=clock.sleep))


def imports(world: World) -> list[int]:
    """The ids of the imports, in their order."""
    every = [
        p for each in world.store.journal.deliveries("people") for p in world.store.journal.payloads(each)
    ]
    return sorted(each.import_id for each in every if each.import_id is not None)


def test_the_import_is_the_last_that_told_about_that_person(world: World) -> None:
    """The second import said nothing about the fifteenth."""
    write_database(world.store.lake, world.store.journal)
    with world.store.lake.local(DATABASE) as path, duckdb.connect(path, read_only=True) as connection:
        query = "select email, former_status, status, former_lists, after_import, of_sync from status_changes order by email"
        found = connection.sql(query).fetchall()
    first, second = imports(world)
    left = ("subscribed", "unsubscribed", ["Newsletter"])
    assert found == [
        ("p15@example.com", *left, first, "people"),
        ("p3@example.com", *left, second, "people"),
    ]


def test_one_persons_changes_are_found_by_any_spelling_of_mailtraps(world: World) -> None:
    """The same answer as the view; nobody else's, and nothing for who stayed."""
    (row,) = changes_of(world.store.lake, "p15@example.com").to_pylist()
    assert (row["status"], row["after_import"], row["of_sync"]) == (
        "unsubscribed",
        imports(world)[0],
        "people",
    )
    assert changes_of(world.store.lake, "p4@example.com").num_rows == 0
    assert changes_of(world.store.lake, "o'hara@example.com").num_rows == 0


def test_explain_says_when_and_after_which_import(world: World) -> None:
    """In one sentence."""
    changes = changes_of(world.store.lake, "p15@example.com").to_pylist()
    nothing = {
        "email": "p15@example.com",
        "erased": None,
        "suppressed": [],
        "unsubscribed": True,
        "syncs": {},
    }
    lines = [*told({**nothing, "exported": [], "mailtrap": None, "status_changes": changes})]
    (line,) = [each for each in lines if each.startswith("changed from subscribed to unsubscribed")]
    assert "lists before: Newsletter; last told by import " + str(imports(world)[0]) + " of people" in line


def test_without_two_takings_nothing_has_changed(tmp_path: Path) -> None:
    """No error, no rows."""
    made = World(tmp_path)
    assert changes_of(made.store.lake, "p1@example.com").num_rows == 0
    made.close()
