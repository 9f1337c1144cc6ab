"""Tables of requests to be left alone: done once, remembered for good, and no contact ever comes of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.partitions import WHOLE, file_of
from assets.requests import carry_out
from assets.rules.sync import NOBODY, Source, Sync, Unsubscribes
from tests.assets.world import World, conserved, people

OPT_OUTS = Sync(
    name="opt_outs",
    source=Source(table="opt_outs"),
    email="email",
    consent=NOBODY,
    unsubscribes=Unsubscribes(),
    version="1",
)
DELETIONS = replace(OPT_OUTS, name="deletions", unsubscribes=Unsubscribes("delete"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Ten contacts at Mailtrap."""
    world = World(tmp_path)
    world.run(people(10))
    return world


def asked(world: World, *emails: str | None, sync: Sync = OPT_OUTS) -> dict[str, Any]:
    """Requests of these people, carried out."""
    with world.store.lake.writer(
        file_of(sync, "source_rows", WHOLE), pa.schema([("email", pa.string())])
    ) as sink:
        sink.write(pa.table({"email": pa.array(emails, pa.string())}))
    return carry_out(world.client, world.store, sync, partitions=[WHOLE], run_id="run")


def test_who_asked_is_unsubscribed_once(world: World) -> None:
    """Whatever the capitals; the next run asks nothing about them."""
    first = asked(world, " P1@Example.com ", "p2@example.com", "p2@example.com", "no address", None)
    assert conserved(first["rows"], accepted=2, duplicate=1, rejected=2)
    assert {world.contact(f"p{n}@example.com")["status"] for n in (1, 2)} == {"unsubscribed"}
    assert asked(world, "p1@example.com", "p2@example.com")["requests"] == 0


def test_who_asked_to_be_deleted_is_deleted_and_does_not_come_back(world: World) -> None:
    """A source that still says yes for them is overruled."""
    assert asked(world, "p1@example.com", sync=DELETIONS)["gone"] == {"deleted": 1}
    assert world.client.get_contact("p1@example.com") is None
    sent = world.run(people(10, plan="pro", day=9), resend=True)
    assert sent.rows["unsubscribed"] == 1
    assert world.client.get_contact("p1@example.com") is None


def test_who_is_not_with_mailtrap_is_neither_made_nor_forgotten(world: World) -> None:
    """No request names them; a sync that has them later withholds them."""
    found = asked(world, "p11@example.com")
    assert conserved(found["rows"], unchanged=1)
    assert world.client.get_contact("p11@example.com") is None
    sent = world.run(people(12))
    assert sent.rows["unsubscribed"] == 1
    assert world.client.get_contact("p11@example.com") is None
