"""What the source of truth learns of people who opted out at Mailtrap."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assets.account import refresh_knowledge
from assets.opt_outs import OPT_OUTS, by_person, counted, keep
from tests.assets.world import World, people

NOW = datetime(2036, 6, 1, tzinfo=UTC)


def seen(world: World, now: datetime) -> dict[tuple[str, str], dict[str, object]]:
    """The table after a look at Mailtrap, by person and reason."""
    refresh_knowledge(world.client, world.store.lake, world.store.journal, key=world.store.key, now=now)
    keep(world.store.lake, now=now)
    with world.store.lake.local(OPT_OUTS) as path:
        table: pa.Table = pq.read_table(path)
    return {(row["email"], row["reason"]): row for row in table.to_pylist()}


def test_each_opt_out_has_a_history(tmp_path: Path) -> None:
    """When it was first seen, when last, and whether it still holds."""
    world = World(tmp_path)
    world.run(people(5))
    world.mailtrap.unsubscribe("p1@example.com", "p2@example.com")
    world.mailtrap.suppress("p3@example.com", kind="hard bounce")
    first = seen(world, NOW)
    assert first[("p1@example.com", "unsubscribed")]["active"] is True
    assert ("p3@example.com", "hard bounce") in first
    world.mailtrap.account.unsubscribed.discard("p1@example.com")
    later = seen(world, NOW + timedelta(days=2))
    gone, still = later[("p1@example.com", "unsubscribed")], later[("p2@example.com", "unsubscribed")]
    assert (gone["active"], gone["last_seen"]) == (False, NOW)
    assert (still["active"], still["first_seen"], still["last_seen"]) == (True, NOW, NOW + timedelta(days=2))


def test_a_warehouse_learns_of_each_person_once(tmp_path: Path) -> None:
    """By address: all reasons that hold, since the first of them."""
    world = World(tmp_path)
    world.run(people(5))
    world.mailtrap.unsubscribe("p1@example.com")
    world.mailtrap.suppress("p1@example.com", kind="hard bounce")
    seen(world, NOW)
    assert by_person(world.store.lake).select(["email", "reasons", "first_seen", "active"]).to_pylist() == [
        {"email": "p1@example.com", "reasons": "hard bounce, unsubscribed", "first_seen": NOW, "active": True}
    ]
    assert counted(world.store.lake) == {"hard bounce": 1, "unsubscribed": 1}
    world.mailtrap.unsubscribe("p2@example.com")
    seen(world, NOW + timedelta(days=1))
    world.mailtrap.account.unsubscribed.discard("p2@example.com")
    seen(world, NOW + timedelta(days=2))
    _, former = by_person(world.store.lake).to_pylist()
    assert (former["reasons"], former["active"]) == ("unsubscribed", False)


def test_a_lake_without_any_table_has_no_opt_outs(tmp_path: Path) -> None:
    """The first time of all."""
    world = World(tmp_path)
    assert keep(world.store.lake, now=NOW) == 0
