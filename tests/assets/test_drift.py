"""What Mailtrap was told is found again, or it is known what is not; and what is missing is offered again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from assets.analyst_database import DATABASE
from assets.drift import Drift, drift, find_drift
from assets.export_jobs import Patience
from assets.rules.sync import FieldRule, Lists
from tests.assets.world import World, people


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Fifty people told."""
    made = World(tmp_path)
    made.mailtrap.seed({"fields": [{"name": "Plan", "merge_tag": "plan", "data_type": "text"}]})
    made.wants()
    made.run(people(50))
    yield made
    made.close()


def look(world: World, **options: Any) -> Drift:
    """One comparison, without waiting."""
    clock = world.mailtrap.clock
    world.mailtrap.advance(5.0)
    patience = Patience(clock=clock.time, sleep=clock.sleep)
    return find_drift(world.client, world.store, world.sync, patience=patience, **options)


def rows(world: World, found: Drift) -> list[dict[str, Any]]:
    """The report."""
    return [row for batch in world.store.lake.read(found.path) for row in batch.to_pylist()]


def drop(world: World, *emails: str) -> None:
    """Mailtrap loses people without a word."""
    store = world.mailtrap.account.contacts
    for email in emails:
        row = store.row(email)
        assert row is not None
        store.delete(row)


def change(world: World, email: str, **fields: Any) -> None:
    """Somebody edits a contact in Mailtrap."""
    world.client.upsert_contact(email, email=email, fields=fields)


@pytest.mark.parametrize(
    "layout", ["merge_tags", "display_names", "with_id", "list_names", "list_ids", "bom"]
)
def test_everybody_is_found_applied(world: World, layout: str) -> None:
    """In every layout of the export, with values and lists compared."""
    world.mailtrap.turn(export_layout=layout)
    found = look(world)
    assert found.is_none and found.states["applied"] == found.told == 50
    assert all(row["compared"] and row["differing"] == [] for row in rows(world, found))


def test_every_silently_dropped_person_is_found_and_offered_again(world: World) -> None:
    """Missing ones are new to the next sync; the others stay unchanged."""
    world.wants(verify="export")
    drop(world, *(f"p{n}@example.com" for n in (3, 17, 44)))
    found = look(world)
    assert (found.states["missing"], found.states["applied"], found.offered_again) == (3, 47, 3)
    sent = world.run(people(50))
    assert (sent.rows["accepted"], sent.rows["unchanged"]) == (3, 47)
    assert look(world).is_none


def test_without_verify_nothing_is_offered_until_asked(world: World) -> None:
    """The report says first what a healing run would do."""
    drop(world, "p3@example.com")
    change(world, "p4@example.com", plan="pro", first_name="Other")
    found = look(world)
    assert (found.offered_again, found.would_offer_again) == (0, 2)
    assert found.fields == {"plan": 1, "first_name": 1}
    assert world.run(people(50)).rows["accepted"] == 0
    assert look(world, heal=True).offered_again == 2
    assert world.run(people(50)).rows["accepted"] == 2
    assert look(world).is_none and world.contact("p4@example.com")["fields"]["plan"] == "free"


def test_healing_twice_offers_once(world: World) -> None:
    """A second look before the next sync finds nobody left to offer."""
    drop(world, "p3@example.com")
    assert look(world, heal=True).offered_again == 1
    assert look(world, heal=True).offered_again == 0


def test_too_many_missing_are_not_offered_by_themselves(world: World) -> None:
    """An export of nobody is no reason to send everybody again."""
    world.sync = replace(
        world.sync,
        verify="export",
        guards=replace(world.sync.guards, max_gone=type(world.sync.guards.max_gone)(share=0.1)),
    )
    world.mailtrap.faults.add({"fault": "F-15", "variant": "header_only"})
    found = look(world)
    assert (found.states["missing"], found.offered_again) == (50, 0)


def test_people_who_unsubscribed_are_no_drift(world: World) -> None:
    """They are counted by themselves, and never offered again."""
    world.mailtrap.unsubscribe("p5@example.com")
    found = look(world, heal=True)
    assert (found.states["unsubscribed"], found.is_none, found.offered_again) == (1, True, 0)


def test_a_list_that_somebody_was_taken_off_differs(world: World) -> None:
    """Lists are told too."""
    number = next(each.id for each in world.client.lists() if each.name == "Newsletter")
    world.client.upsert_contact("p6@example.com", email="p6@example.com", list_ids_excluded=[number])
    assert look(world).fields == {"lists": 1}


def test_values_that_changed_since_are_not_compared(world: World) -> None:
    """What is pending is no drift: only presence is proven then."""
    changed = people(50, plan="pro", day=2)
    world.mailtrap.faults.add(
        {"fault": "F-03", "variant": "503", "match": {"method": "POST", "path": "/imports$"}, "times": 50}
    )
    world.run(changed)
    world.mailtrap.faults.clear()
    found = look(world)
    assert found.is_none and not any(row["compared"] for row in rows(world, found))


def test_an_export_older_than_the_last_receipt_proves_nothing(world: World) -> None:
    """It is taken anew; a younger one serves."""
    first = look(world)
    assert look(world).exported_at == first.exported_at
    world.run(people(60))
    assert look(world).exported_at > first.exported_at


def test_people_over_the_plans_limit_are_told_apart(world: World) -> None:
    """They were never there: not missing, but left out."""
    world.mailtrap.faults.add({"fault": "F-09", "with": {"rows": 2}})
    world.run(people(60))
    found = look(world)
    assert found.states["over_limit"] == 2 and found.states["missing"] == 0


def test_types_and_empty_values_are_compared_as_people_mean_them(tmp_path: Path) -> None:
    """An empty text is no text; a field that was not told is not compared."""
    made = World(tmp_path)
    try:
        made.mailtrap.seed({"fields": [{"name": "Plan", "merge_tag": "plan", "data_type": "text"}]})
        made.wants(fields=(FieldRule("first_name", "name"), FieldRule("plan", "plan")), lists=Lists())
        made.run([{**row, "plan": None} for row in people(3)])
        change(made, "p1@example.com", plan="set elsewhere")
        assert look(made).is_none
    finally:
        made.close()


def test_the_asset_has_a_chart_a_check_and_no_address(world: World) -> None:
    """Drift warns; it does not fail the run."""
    drop(world, "p3@example.com")
    ran = dg.materialize(
        [drift(world.sync, owners=[])],
        resources={
            "mailtrap": dg.ResourceDefinition.hardcoded_resource(world.client),
            "store": dg.ResourceDefinition.hardcoded_resource(world.store),
        },
    )
    (check,) = ran.get_asset_check_evaluations()
    assert ran.success and not check.passed and check.severity == dg.AssetCheckSeverity.WARN
    (event,) = ran.asset_materializations_for_node(f"{world.sync.name}__drift")
    assert event.metadata["people_missing"].value == 1
    assert "1 person is missing and 0 differ." in str(check.description)
    assert "@example.com" not in "".join(str(each) for each in ran.all_events)
    with world.store.lake.local(DATABASE) as path, duckdb.connect(path, read_only=True) as connection:
        found = connection.sql("select state, count(*) from drift group by all order by all").fetchall()
    assert found == [("applied", 49), ("missing", 1)], "analysts have the report from the first one on"
