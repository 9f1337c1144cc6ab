"""Whom not to write to: read anew each time, only what is new, and never older than allowed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from assets import account
from assets.account import PEOPLE, SUPPRESSIONS, UNSUBSCRIBED, Knowledge, refresh_knowledge
from assets.export_jobs import Patience
from assets.rules.address import hash_addresses
from assets.rules.hash_text import as_text
from resources.errors import JournalError, RefusedError, UnavailableError
from tests.assets.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An account where one person unsubscribed and one is suppressed."""
    made = World(tmp_path)
    made.mailtrap.seed(
        {
            "contacts": [
                {"email": "ada@example.com"},
                {"email": "bob@example.com", "status": "unsubscribed"},
                {"email": "cy@example.com"},
            ]
        }
    )
    made.mailtrap.suppress("cy@example.com")
    yield made
    made.close()


def refresh(world: World, **options: Any) -> Knowledge:
    """What a sync asks before it plans."""
    clock = world.mailtrap.clock
    waiting = Patience(wait_seconds=300.0, clock=clock.time, sleep=clock.sleep)
    known: dict[str, Any] = {"key": world.store.key, "now": now(world), "patience": waiting, **options}
    return refresh_knowledge(world.client, world.store.lake, world.store.journal, **known)


def now(world: World) -> datetime:
    """The time at Mailtrap."""
    return datetime.fromtimestamp(world.mailtrap.clock.time(), UTC)


def emails(world: World, path: str) -> list[str]:
    """Who is in a table."""
    return sorted(row["email"] for batch in world.store.lake.read(path) for row in batch.to_pylist())


def suppression_requests(world: World) -> list[dict[str, Any]]:
    """The pages that were asked for."""
    every = [each.as_dict() for each in world.mailtrap.journal.entries]
    return [each for each in every if each["path"].endswith("/suppressions")]


def test_it_knows_who_is_suppressed_and_who_is_unsubscribed(world: World) -> None:
    """Each by keyed hash; a suppressed contact counts as unsubscribed too, as Mailtrap says."""
    known = refresh(world)
    assert emails(world, known.suppressions) == ["cy@example.com"]
    assert emails(world, known.unsubscribed) == ["bob@example.com", "cy@example.com"]
    (batch,) = world.store.lake.read(known.suppressions)
    expected = hash_addresses(pa.array(["cy@example.com"]), world.store.key)
    assert batch["address_hash"].to_pylist() == as_text(expected).to_pylist() and known.contacts is None


def test_another_spelling_is_the_same_person(world: World) -> None:
    """A suppression of DI@Example.com withholds di@example.com."""
    world.mailtrap.suppress("DI@Example.COM")
    known = refresh(world)
    hashes = {
        value
        for batch in world.store.lake.read(known.suppressions)
        for value in batch["address_hash"].to_pylist()
    }
    assert as_text(hash_addresses(pa.array(["di@example.com"]), world.store.key)).to_pylist()[0] in hashes


def test_everyone_is_known_when_the_mode_asks(world: World) -> None:
    """For syncs that insert or update only."""
    assert refresh(world, contacts=True).contacts == PEOPLE
    assert len(emails(world, PEOPLE)) == 3


def test_only_new_suppressions_are_read(world: World) -> None:
    """A second look asks from the newest on, keeps the former ones, and has the new."""
    refresh(world)
    first = len(suppression_requests(world))
    world.mailtrap.advance(7200.0)
    world.mailtrap.suppress("new@example.com")
    refresh(world)
    assert emails(world, SUPPRESSIONS) == ["cy@example.com", "new@example.com"]
    later = suppression_requests(world)[first:]
    assert later and all("start_time" in str(each) for each in later)


def test_nothing_new_writes_nothing_but_the_stamp(world: World) -> None:
    """A million suppressions are not written again every hour."""
    refresh(world)
    before = world.store.lake.read_bytes(SUPPRESSIONS)
    world.mailtrap.advance(3600.0)
    assert refresh(world).taken_at >= now(world) - timedelta(seconds=60)
    assert world.store.lake.read_bytes(SUPPRESSIONS) == before


def test_lifted_suppressions_are_noticed_once_a_day(world: World) -> None:
    """Reading only what is new cannot see what is gone."""
    refresh(world)
    world.mailtrap.account.release(next(iter(world.mailtrap.account.suppressions)))
    world.mailtrap.advance(3600.0)
    refresh(world)
    assert emails(world, SUPPRESSIONS) == ["cy@example.com"]
    world.mailtrap.advance(90_000.0)
    refresh(world)
    assert emails(world, SUPPRESSIONS) == []


def test_former_knowledge_serves_while_it_is_young(world: World) -> None:
    """Mailtrap may be away for a while; not for a day."""
    refresh(world)
    taken_at = now(world)
    world.mailtrap.faults.add({"fault": "F-12", "times": 100_000})
    world.mailtrap.advance(3600.0)
    world.mailtrap.unsubscribe("ada@example.com")
    assert refresh(world).taken_at <= taken_at + timedelta(seconds=60)
    assert emails(world, UNSUBSCRIBED) == ["bob@example.com", "cy@example.com"]
    world.mailtrap.advance(86_400.0)
    with pytest.raises(UnavailableError, match=r"unsubscribed.*hours old.*nothing is sent"):
        refresh(world)


def test_without_any_knowledge_nothing_goes_on(world: World) -> None:
    """The first run has nothing to fall back on."""
    world.mailtrap.faults.add({"fault": "F-12", "times": 100_000})
    with pytest.raises(UnavailableError, match="there is none yet"):
        refresh(world)


def test_without_a_journal_nothing_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look into a database that is locked takes a minute: the first one is enough; who is only held waits no more."""
    refresh(world)
    later = now(world) + timedelta(seconds=5)
    looks: list[str] = []

    def locked(name: str, *_: object) -> None:
        looks.append(name)
        raise JournalError("The journal is locked.", "", "")

    with monkeypatch.context() as patch:
        patch.setattr(world.store.journal, "_take", locked)
        with pytest.raises(JournalError, match="locked"):
            refresh(world, now=later)
    assert len(looks) == 1
    monkeypatch.setattr("assets.account._LEASE_SECONDS", 1.0)
    with world.store.journal.lease(f"refresh:{UNSUBSCRIBED}"):
        assert refresh(world, now=later).taken_at < later


def test_a_revoked_token_is_not_covered_by_former_knowledge(world: World) -> None:
    """It is a matter of settings, not of waiting."""
    refresh(world)
    world.mailtrap.faults.add({"fault": "F-16", "variant": "revoked", "times": 10})
    with pytest.raises(RefusedError):
        refresh(world, now=now(world) + timedelta(seconds=5))


def test_two_runs_at_once_share_one_look(world: World) -> None:
    """What another run read after this one began is as good as our own."""
    began = now(world)
    refresh(world)
    requests = world.client.usage_counts.requests
    refresh(world, now=began)
    assert world.client.usage_counts.requests == requests


def test_a_filter_that_is_not_obeyed_withholds_nobody_else(world: World) -> None:
    """Were everyone exported as unsubscribed, no sync would send anything any more."""
    table = account._Account(
        *(world.client, world.store.lake, world.store.journal, world.store.key, now(world)),
        Patience(),
        account.People.of_hashes([], key=world.store.key),
    )
    batch = pa.record_batch(
        {
            "email": ["a@x.org", "b@x.org", None, "c@x.org"],
            "status": ["subscribed", "unsubscribed", "x", None],
        }
    )
    assert table._people(batch, status="unsubscribed")["email"].to_pylist() == ["b@x.org", "c@x.org"]


def test_another_accounts_knowledge_is_worth_nothing(world: World) -> None:
    """The same home may be pointed at another account."""
    refresh(world)
    stamp = world.store.lake.read_bytes("mailtrap/suppressions/freshness.json")
    world.store.lake.write_bytes(
        "mailtrap/suppressions/freshness.json", stamp.replace(str(world.client.account_id).encode(), b"1")
    )
    before = len(suppression_requests(world))
    refresh(world, now=datetime(2026, 1, 1, tzinfo=UTC))
    asked = suppression_requests(world)[before:]
    assert asked and not any("start_time" in str(each) for each in asked)


def test_erased_people_are_not_kept_again(world: World) -> None:
    """Mailtrap keeps their suppression; we keep their tombstone only."""
    world.store.journal.bury(
        [hash_addresses(pa.array(["cy@example.com"]), world.store.key).storage[0].as_py()], state="done"
    )
    known = refresh(world)
    assert emails(world, known.suppressions) == [] and emails(world, known.unsubscribed) == [
        "bob@example.com"
    ]


def test_the_tables_of_the_account_are_assets(world: World) -> None:
    """Counts by kind in the UI, and no address."""
    ran = dg.materialize(
        [account.lists(), account.fields(), account.suppressions(), account.unsubscribed()],
        resources={
            "mailtrap": dg.ResourceDefinition.hardcoded_resource(world.client),
            "store": dg.ResourceDefinition.hardcoded_resource(world.store),
        },
    )
    counts = {
        event.asset_key.path[-1]: event.step_materialization_data.materialization.metadata[
            "dagster/row_count"
        ].value
        for event in ran.get_asset_materialization_events()
        if event.asset_key
    }
    assert counts == {"lists": 0, "fields": 2, "suppressions": 1, "unsubscribed": 2}
    assert "@example.com" not in "".join(str(each) for each in ran.all_events)


def test_waiting_for_mailtrap_can_be_used(world: World) -> None:
    """For the account's one slot, and for the export itself."""
    clock, offered = world.mailtrap.clock, []
    world.mailtrap.faults.add({"action": {"do": "export_busy"}, "match": {"path": "/contacts/exports$"}})
    refresh(world, patience=Patience(clock=clock.time, sleep=clock.sleep, meanwhile=offered.append))
    assert offered[:2] == [2.0, 1.0]


def test_a_clock_that_is_set_back_makes_no_pause_longer() -> None:
    """Leases are held meanwhile: others would wait for as long."""
    moments, slept = iter([1000.0, 10.0]), []
    Patience(clock=lambda: next(moments), sleep=slept.append).pause(2.0)
    assert slept == [2.0]
