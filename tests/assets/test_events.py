"""Events: each once, at most; none for people who must not be written to; every row accounted for."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.events import Sent, screen, send
from assets.partitions import WHOLE, file_of
from assets.rules.sync import Consent, Events, FieldRule, Source, Sync
from assets.rules.traces import hashes_of
from resources import tombstones
from tests.assets.world import World, conserved, people

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ORDERS = Sync(
    name="orders",
    source=Source(table="orders"),
    email="email",
    consent=Consent("yes"),
    events=Events(
        key="order",
        name="order_placed",
        params=(FieldRule("total", "total", type="float", min=0), FieldRule("order", "order")),
    ),
    version="1",
)
ROWS = pa.schema(
    [("order", pa.string()), ("email", pa.string()), ("yes", pa.bool_()), ("total", pa.float64())]
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Ten contacts at Mailtrap."""
    world = World(tmp_path)
    world.run(people(10))
    return world


def order(number: int, *, who: int | None = None, **changes: Any) -> dict[str, Any]:
    """An order of one of the contacts."""
    email = f"p{number % 10 if who is None else who}@example.com"
    return {"order": f"A-{number}", "email": email, "yes": True, "total": 9.5 + number, **changes}


def run(world: World, rows: list[dict[str, Any]], sync: Sync = ORDERS) -> Sent:
    """Screen and send."""
    with world.store.lake.writer(file_of(sync, "source_rows", WHOLE), ROWS) as sink:
        sink.write(pa.Table.from_pylist(rows, ROWS))
    screen(world.store, sync, WHOLE, now=NOW)
    return send(world.client, world.store, sync, partitions=[WHOLE], run_id="run")


def recorded(world: World) -> list[Any]:
    """The orders that Mailtrap has recorded."""
    return [each["params"]["order"] for each in world.mailtrap.account.events]


def test_each_event_is_sent_once(world: World) -> None:
    """The same rows again, and more: only what is new is sent, with name and parameters."""
    assert conserved(dict(run(world, [order(1), order(2)]).rows), accepted=2)
    assert conserved(dict(run(world, [order(1), order(2), order(3)]).rows), accepted=1, unchanged=2)
    assert sorted(recorded(world)) == ["A-1", "A-2", "A-3"]
    assert world.mailtrap.account.events[0]["name"] == "order_placed"
    assert world.mailtrap.account.events[0]["params"] == {"total": 10.5, "order": "A-1"}


def test_a_person_may_have_many_events_and_a_key_only_one(world: World) -> None:
    """Duplicates are settled by the key, not by the address."""
    rows = [order(1, who=1), order(2, who=1), order(2, who=1, total=1.0)]
    assert conserved(dict(run(world, rows).rows), accepted=2, duplicate=1)


def test_no_consent_no_event(world: World) -> None:
    """Unknown is a no, and one no of a person silences all their events."""
    rows = [order(1, yes=None), order(2, who=3), order(3, who=3, yes=False), order(4)]
    assert conserved(dict(run(world, rows).rows), accepted=1, no_consent=3)
    assert recorded(world) == ["A-4"]


def test_rows_that_are_no_events_are_rejected_with_a_reason(world: World) -> None:
    """A key is missing, a parameter is wrong, an address is none."""
    rows = [order(1, order=None), order(2, total=-1.0), order(3, email="nobody"), order(4)]
    sent = run(world, rows)
    assert conserved(dict(sent.rows), accepted=1, rejected=3)
    assert set(sent.rejected_by_reason) == {"value_missing", "below_min", "address_without_at"}


def test_a_lost_answer_is_reported_and_never_repeated(world: World) -> None:
    """Whether it was recorded nobody knows; twice would be two events."""
    world.mailtrap.fault(action={"do": "reset_after"}, match={"method": "POST", "path": "/events$"})
    first = run(world, [order(1), order(2)])
    assert (first.ambiguous, first.rows["pending"], first.rows["accepted"]) == (1, 1, 1)
    assert conserved(dict(run(world, [order(1), order(2)]).rows), unchanged=2)
    assert sorted(recorded(world)) == ["A-1", "A-2"]


def test_an_event_that_was_certainly_not_recorded_is_sent_by_the_next_run(world: World) -> None:
    """Mailtrap says 429 for longer than we wait: the run ends as transient, and goes on later."""
    busy = {"do": "answer", "status": 429, "json": {"errors": "Rate limit exceeded"}}
    rule = world.mailtrap.fault(action=busy, match={"method": "POST", "path": "/events$"}, times=1000)
    first = run(world, [order(1), order(2)])
    assert first.problem is not None
    assert conserved(dict(first.rows), pending=2)
    world.mailtrap.faults.remove(rule.id)
    assert conserved(dict(run(world, [order(1), order(2)]).rows), accepted=2)


def test_a_run_that_was_killed_between_intent_and_answer_does_not_repeat(world: World) -> None:
    """The intent stands in the journal; what came of it is not known."""
    rows = [order(1), order(2)]
    with world.store.lake.writer(file_of(ORDERS, "source_rows", WHOLE), ROWS) as sink:
        sink.write(pa.Table.from_pylist(rows, ROWS))
    screen(world.store, ORDERS, WHOLE, now=NOW)
    table = pa.concat_tables(
        pa.Table.from_batches([each])
        for each in world.store.lake.read(file_of(ORDERS, "accepted_events", WHOLE))
    )
    with world.store.journal.lease("account:killed") as lease:
        world.store.journal.begin_event("orders", table["_event_hash"][0].as_py().bytes, lease=lease)
    after = run(world, rows)
    assert conserved(dict(after.rows), accepted=1, unchanged=1)
    assert after.ambiguous == 1, "somebody must be told that nobody knows"
    assert len(recorded(world)) == 1
    assert run(world, rows).ambiguous == 0, "once"


def test_people_who_must_not_be_written_to_get_no_events(world: World) -> None:
    """Unsubscribed, suppressed and erased, each counted as what they are."""
    world.mailtrap.unsubscribe("p1@example.com")
    world.mailtrap.suppress("p2@example.com", kind="hard bounce")
    tombstones.bury(
        world.store.home, world.store.journal, hashes_of(["p3@example.com"], world.store.key), state="erased"
    )
    sent = run(world, [order(1), order(2), order(3), order(4)])
    assert (sent.rows["accepted"], sent.rows["erased"]) == (1, 1)
    assert sent.rows["unsubscribed"] + sent.rows["suppressed"] == 2
    assert recorded(world) == ["A-4"]


def test_an_event_of_somebody_whom_mailtrap_does_not_have_waits(world: World) -> None:
    """404 is no reason to make a contact; it is rejected now and tried again a day later."""
    sent = run(world, [order(1, email="stranger@example.com")])
    assert dict(sent.rejected_by_reason) == {"no_such_contact": 1}
    assert conserved(dict(sent.rows), rejected=1)
