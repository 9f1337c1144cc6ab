"""People who say no are taken away at Mailtrap before anything is sent: one way, once, and not by mistake."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.contacts import screen
from assets.departures import depart
from assets.partitions import WHOLE, file_of
from assets.people.leavers import find
from assets.rules.sync import Consent
from resources.errors import ConnectorError, GuardError, UnavailableError
from tests.assets.world import ROWS, Row, World, people


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Thirty people with Mailtrap."""
    world = World(tmp_path)
    world.run(people(30))
    return world


def offered(world: World, rows: list[Row]) -> None:
    """What the source says now, screened."""
    store, sync = world.store, world.sync
    with store.lake.writer(file_of(sync, "source_rows", WHOLE), ROWS) as sink:
        sink.write(pa.Table.from_pylist(rows, ROWS))
    screen(store.lake, sync, partition=WHOLE, key=store.key, now=datetime(2026, 6, 1, tzinfo=UTC))


def departed(world: World, rows: list[Row]) -> dict[str, int]:
    """Screen these rows and take away who leaves."""
    offered(world, rows)
    return dict(depart(world.client, world.store, world.sync, partitions=[WHOLE], run_id="d").by_act)


def saying(answer: bool | None, *numbers: int, count: int = 30) -> list[Row]:
    """Everybody as before, but for these people, who say this."""
    rows = people(count)
    for number in numbers:
        rows[number]["yes"] = answer
    return rows


def patches(world: World) -> list[dict[str, Any]]:
    """The PATCH requests that arrived."""
    return [each.as_dict() for each in world.mailtrap.journal.entries if each.method == "PATCH"]


def test_who_says_no_is_unsubscribed(world: World) -> None:
    """A person whom we told Mailtrap about and who says no now is unsubscribed there, whatever else."""
    assert departed(world, saying(False, 3, 4)) == {"unsubscribed": 2}
    assert [world.contact(f"p{n}@example.com")["status"] for n in (3, 4, 5)] == [
        "unsubscribed",
        "unsubscribed",
        "subscribed",
    ]


def test_who_never_was_told_about_is_not_named_to_mailtrap(world: World) -> None:
    """No consent and no history: not one request names them."""
    before = len(world.mailtrap.journal.entries)
    assert (
        departed(
            world, [*people(30), *saying(False, 0, count=1)[:0], {**people(1, first=99)[0], "yes": False}]
        )
        == {}
    )
    assert len(world.mailtrap.journal.entries) == before


def test_it_is_done_once(world: World) -> None:
    """The next run knows from the ledger that they are done, and asks nothing."""
    departed(world, saying(False, 3))
    before = len(world.mailtrap.journal.entries)
    assert departed(world, saying(False, 3)) == {}
    assert len(world.mailtrap.journal.entries) == before


def test_nobody_comes_back_by_saying_yes_again(world: World) -> None:
    """Mailtrap has them as unsubscribed: they are withheld, and nothing says `unsubscribed: false`."""
    departed(world, saying(False, 3))
    sent = world.run(people(30, plan="pro", day=8))
    assert sent.rows["unsubscribed"] == 1
    assert world.contact("p3@example.com")["status"] == "unsubscribed"


def test_a_lapsed_consent_takes_people_off_the_lists_of_the_sync(world: World) -> None:
    """Nobody said no, but nobody can show a yes: off the list, not unsubscribed from everything."""
    assert departed(world, saying(None, 7)) == {"unlisted": 1}
    assert world.contact("p7@example.com")["status"] == "subscribed"
    assert "p7@example.com" not in world.members()


def test_a_contact_that_mailtrap_does_not_have_is_not_made_by_unsubscribing(world: World) -> None:
    """PATCH makes what is not there; so we look first."""
    world.client.delete_contact("p3@example.com")
    assert departed(world, saying(False, 3)) == {"unsubscribed": 1}
    assert world.client.get_contact("p3@example.com") is None


def test_a_run_that_is_cut_off_goes_on(world: World) -> None:
    """Mailtrap fails in the middle: who is done stays done, and the rest follows."""
    everyone = range(20)
    rule = world.mailtrap.fault(
        action={"do": "answer", "status": 503, "json": {"errors": "x"}},
        match={"method": "PATCH", "nth": list(range(8, 40))},
        times=1000,
    )
    with pytest.raises(UnavailableError):
        departed(world, saying(False, *everyone))
    world.mailtrap.faults.remove(rule.id)
    departed(world, saying(False, *everyone))
    statuses = Counter(world.contact(f"p{n}@example.com")["status"] for n in range(30))
    assert statuses == {"unsubscribed": 20, "subscribed": 10}


def test_an_audience_is_not_unsubscribed_by_a_broken_column(tmp_path: Path) -> None:
    """More than max_gone, and more than a hundred: the guard stops it before the first request."""
    world = World(tmp_path)
    world.run(people(120))
    before = len(world.mailtrap.journal.entries)
    with pytest.raises(GuardError, match="max_gone"):
        departed(world, saying(False, *range(110), count=120))
    assert len(world.mailtrap.journal.entries) == before


@pytest.mark.parametrize("when_gone", ["unsubscribe", "delete"])
def test_who_left_a_mirror_is_treated_as_its_file_says(tmp_path: Path, when_gone: str) -> None:
    """`when_gone` of a mirror, one person at a time."""
    world = World(tmp_path)
    world.wants(mode="mirror", when_gone=when_gone)
    world.run(people(30))
    departed(world, people(28))
    if when_gone == "delete":
        assert world.client.get_contact("p29@example.com") is None
    else:
        assert world.contact("p29@example.com")["status"] == "unsubscribed"


def test_a_deleted_contact_that_was_unsubscribed_is_not_made_anew(tmp_path: Path) -> None:
    """Its no went with the contact, so we remember it: promise 2."""
    world = World(tmp_path)
    world.wants(mode="mirror", when_gone="delete")
    world.run(people(30))
    world.mailtrap.unsubscribe("p29@example.com")
    departed(world, people(29))
    world.mailtrap.account.unsubscribed.clear()
    sent = world.run(people(30, day=9))
    assert sent.rows["unsubscribed"] == 1
    assert world.client.get_contact("p29@example.com") is None


def test_a_no_that_goes_with_its_contact_is_remembered_before_the_contact_is_deleted(tmp_path: Path) -> None:
    """A run that dies at the deletion leaves no contact and, without this, nothing that says they had unsubscribed."""
    world = World(tmp_path)
    world.wants(mode="mirror", when_gone="delete")
    world.run(people(30))
    for number in (27, 28, 29):
        world.mailtrap.unsubscribe(f"p{number}@example.com")
    world.mailtrap.fault(
        action={"do": "reset_after"}, match={"method": "DELETE", "nth": [2, 3, 4, 5, 6, 7, 8, 9]}, times=1000
    )
    with pytest.raises(ConnectorError):
        departed(world, people(27))
    world.mailtrap.account.unsubscribed.clear()
    sent = world.run(people(30, day=9))
    assert sent.rows["unsubscribed"] == 3
    assert len(world.mailtrap.dump()["accounts"][0]["contacts"]) == 27


def test_only_looking_needs_the_address_in_a_url(world: World) -> None:
    """From there on the contact has an id; and who vanished meanwhile is not made anew by it."""
    world.mailtrap.journal.clear()
    assert departed(world, saying(False, 3, 4)) == {"unsubscribed": 2}
    assert all("/contacts/<" not in each["path"] for each in patches(world))


def test_a_plan_can_count_them_without_a_request(world: World) -> None:
    """Finding is separate from doing."""
    offered(world, saying(False, 1, 2))
    verdicts, leavers = find(world.store, world.sync, partitions=[WHOLE])
    assert leavers["why"].to_pylist() == ["withdrawn", "withdrawn"]
    assert not any(each.stops for each in verdicts)


def test_a_withdrawal_with_a_date_counts(tmp_path: Path) -> None:
    """The consent rules decide what a no is; here it is only carried out."""
    world = World(tmp_path)
    world.wants(consent=Consent("yes", withdrawn="plan", truthy=()))
    rows = people(3)
    for row in rows:
        row["plan"] = None
    world.run(rows)
    rows[1]["plan"] = "true"
    assert departed(world, rows) == {"unsubscribed": 1}
