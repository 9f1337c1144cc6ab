"""What is kept of people, and for how long."""

from dataclasses import replace
from pathlib import Path

import pytest

from assets.exports import take_export
from assets.partitions import WHOLE
from assets.retention import after_a_run, expire, kept_as
from resources.store.store import KEEP_DAYS
from tests.assets.world import World, people

DAY = 86_400.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A run and an export."""
    world = World(tmp_path)
    world.run(people(5))
    take_export(world.client, world.store)
    return world


def now(world: World, *, days: float) -> float:
    """So many days after the newest file."""
    path = next(each for each in Path(world.store.lake.root).rglob("*.parquet"))
    return path.stat().st_mtime + days * DAY


def tables(world: World) -> set[str]:
    """The tables of which there are files."""
    return {"/".join(path.split("/")[:2]) for path in world.store.lake.list()}


def test_extracts_go_after_a_day_and_evidence_stays(world: World) -> None:
    """Rows of the warehouse, also of people without consent, do not linger; proof of consent does."""
    expire(world.store, now=now(world, days=0.9))
    assert "people/source_rows" in tables(world)
    expire(world.store, now=now(world, days=1.1))
    assert not tables(world) & {"people/source_rows", "people/accepted_contacts", "people/pending_contacts"}
    assert tables(world) >= {
        "people/evidence",
        "people/ledger",
        "people/no_consent",
        "mailtrap/exported_contacts",
    }


def test_exports_and_rejections_go_after_a_season(world: World) -> None:
    """Each kind has a setting of its own."""
    expire(world.store, now=now(world, days=91))
    assert not tables(world) & {"people/rejections", "mailtrap/exported_contacts"}
    assert "summaries/people" in tables(world)
    expire(world.store, now=now(world, days=366))
    assert "summaries/people" not in tables(world)


def test_nothing_need_be_kept_beyond_the_run(world: World) -> None:
    """With 0 days a run removes its own extracts at its end, and leaves alone what another may be at work on."""
    store = replace(world.store, keep_days={**KEEP_DAYS, "extracts": 0.0})
    expire(store, now=now(world, days=0.01))
    assert "people/source_rows" in tables(world)
    after_a_run(store, world.sync, partitions=[WHOLE], now=now(world, days=0.01))
    assert "people/source_rows" not in tables(world)


def test_a_sync_goes_on_as_before_when_its_extracts_are_gone(world: World) -> None:
    """They are made anew by each run; what Mailtrap was told is known without them."""
    expire(world.store, now=now(world, days=2))
    assert world.run(people(5)).rows["unchanged"] == 5


@pytest.mark.parametrize(
    "path",
    [
        "receipts/erasure-1.json",
        "people/ledger/base-1.parquet",
        "people/evidence/1.parquet",
        "mailtrap/opt_outs/latest.parquet",
    ],
)
def test_what_protects_people_is_never_removed_by_age(path: str) -> None:
    """Who said no, who was erased, who was told and why they agreed."""
    assert kept_as(path) is None
