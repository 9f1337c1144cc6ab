"""What we hold about one person, and why they are, or are not, with Mailtrap."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from assets.drift import find_drift
from assets.export_jobs import Patience
from assets.people.records import Person, everything, explained
from pipelines.people import told
from resources.warehouses import connect
from tests.assets.world import KEY, World, people

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three people with Mailtrap; in the warehouse a fourth without consent, and a fifth without an age."""
    world = World(tmp_path)
    world.run(people(3))
    with duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
        connection.execute(
            'create table people (id text, email text, yes boolean, name text, plan text, "at" timestamptz)'
        )
        rows = [*people(3), {**people(1, first=3)[0], "yes": None}]
        connection.executemany(
            "insert into people values (?, ?, ?, ?, ?, ?)", [list(row.values()) for row in rows]
        )
    return world


def person(address: str) -> Person:
    """Somebody by their address."""
    return Person.of(address, key=KEY.encode())


def explain(world: World, address: str) -> dict[str, Any]:
    """What can be said of them."""
    with closing(connect(f"duckdb:///{world.folder / 'w.duckdb'}")) as warehouse:
        return explained(world.client, world.store, person(address), syncs=[(world.sync, warehouse)], now=NOW)


def test_access_gives_every_row_and_what_mailtrap_has(world: World) -> None:
    """Each table that holds them, as JSON can say it, and nobody else's rows."""
    world.mailtrap.suppress("p1@example.com", kind="hard bounce")
    found = everything(world.client, world.store, person("p1@example.com"), syncs=[world.sync])
    tables = {path.split("/")[1] for path in found["ours"]}
    assert tables >= {"source_rows", "accepted_contacts", "evidence", "ledger"}
    assert found["mailtrap"]["contact"]["email"] == "p1@example.com"
    assert [each["type"] for each in found["mailtrap"]["suppressions"]] == ["hard bounce"]
    text = json.dumps(found, default=str)
    assert "p1@example.com" in text
    assert "p2@example.com" not in text


def test_a_stranger_has_no_rows(world: World) -> None:
    """An honest nothing is an answer too."""
    found = everything(world.client, world.store, person("nobody@example.com"), syncs=[world.sync])
    assert (found["ours"], found["mailtrap"]["contact"], found["tombstone"]) == ({}, None, None)


def test_explain_says_what_the_last_comparison_found(world: World) -> None:
    """The report holds keyed hashes: this is where it is told who they are."""
    clock = world.mailtrap.clock
    assert explain(world, "p1@example.com")["syncs"]["people"]["drift"] is None
    world.client.upsert_contact("p1@example.com", email="p1@example.com", fields={"first_name": "Other"})
    find_drift(world.client, world.store, world.sync, patience=Patience(clock=clock.time, sleep=clock.sleep))
    assert "drift: differs in first_name, in the export of" in "\n".join(
        told(explain(world, "p1@example.com"))
    )
    assert "drift: applied, in the export of" in "\n".join(told(explain(world, "p2@example.com")))


def test_explain_follows_a_row_to_its_import(world: World) -> None:
    """Source, rule, payload, ledger, Mailtrap."""
    lines = "\n".join(told(explain(world, "p1@example.com")))
    for words in (
        "rows in the warehouse: 1",
        "rule: accepted (row 1",
        "payload: new in import",
        "last told by import",
        "has the contact now: subscribed",
    ):
        assert words in lines


def test_explain_says_why_somebody_is_not_there(world: World) -> None:
    """No consent, and Mailtrap was never told."""
    lines = "\n".join(told(explain(world, "p3@example.com")))
    assert "no consent (consent_unknown)" in lines
    assert "never told" in lines
