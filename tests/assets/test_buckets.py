"""A sync by bucket: each bucket's ledger is its own, and together they are the ledger of everybody."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from assets.delivery import ledger
from assets.rules import comparison
from assets.rules.sync import BucketPartition
from tests.assets.world import Row, World, conserved, people


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two buckets."""
    made = World(tmp_path)
    by_bucket(made, 2)
    yield made
    made.close()


def by_bucket(world: World, count: int) -> None:
    """The same sync, parted in so many."""
    world.wants(source=replace(world.sync.source, partition=BucketPartition(count)))


def rows(bucket: int, *, plan: str = "free", day: int = 1) -> list[Row]:
    """The people of a bucket, as a warehouse would part them."""
    return people(10, first=10 * bucket, plan=plan, day=day)


def files_read(world: World, bucket: str | None) -> int:
    """How many files a run of this bucket has to read."""
    with ledger.told(world.store.journal, world.store.lake, "people", bucket=bucket) as told:
        return len(told.base) + len(told.parts)


def test_a_bucket_reads_its_own_ledger_only(world: World) -> None:
    """What a run reads does not grow with the other buckets, and their receipts do not make its own work old."""
    world.run({"0": rows(0)})
    before = ledger.version(world.store.journal, "people", bucket="2.0")
    world.run({"1": rows(1)})
    assert [files_read(world, each) for each in ("2.0", "2.1", None)] == [1, 1, 2]
    assert ledger.version(world.store.journal, "people", bucket="2.0") == before
    for bucket in (0, 1):
        assert conserved(world.run({str(bucket): rows(bucket)}), unchanged=10)


def test_all_buckets_in_one_run_know_what_single_runs_told_and_the_other_way_round(world: World) -> None:
    """Nobody is told twice, however the buckets are taken together."""
    world.run({"0": rows(0)})
    world.run({"1": rows(1)})
    assert conserved(world.run({"0": rows(0), "1": rows(1)}), unchanged=20)
    assert conserved(world.run({"0": rows(0, plan="pro", day=2), "1": rows(1)}), accepted=10, unchanged=10)
    assert conserved(world.run({"0": rows(0, plan="pro", day=2)}), unchanged=10)


def test_another_number_of_buckets_is_no_reason_to_send_everybody_again(world: World) -> None:
    """Files that were parted otherwise concern everybody."""
    world.run({"0": rows(0)})
    world.run({"1": rows(1)})
    by_bucket(world, 4)
    assert conserved(world.run({"3": rows(1)}), unchanged=10)


def test_a_merge_keeps_the_order_in_which_people_were_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What single buckets were told between two runs of all is overruled by the second, and overrules the first."""
    monkeypatch.setattr(ledger, "PARTS_AT_MOST", 1)
    world.run({"0": rows(0), "1": rows(1)})
    world.run({"0": rows(0, plan="pro", day=2)})
    half = rows(0, plan="max", day=3)[:5] + rows(0, plan="pro", day=2)[5:]
    world.run({"0": half, "1": rows(1)})
    assert files_read(world, None) == 1
    assert conserved(world.run({"0": half}), unchanged=10)


def test_a_merge_of_a_bucket_leaves_the_others_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a base of one bucket beside files of another is read in the right order."""
    monkeypatch.setattr(ledger, "PARTS_AT_MOST", 1)
    world.run({"1": rows(1)})
    for day, plan in enumerate(("free", "pro", "max"), start=1):
        world.run({"0": rows(0, plan=plan, day=day)})
    assert [files_read(world, each) for each in ("2.0", "2.1", None)] == [2, 1, 3]
    last = {"0": rows(0, plan="max", day=3), "1": rows(1)}
    assert conserved(world.run(last), unchanged=20)


def test_who_is_held_no_longer_stays_so_when_a_bucket_is_merged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older file of all buckets still has them; the merged file of their bucket must go on saying no."""
    world.run({"0": rows(0), "1": rows(1)})
    monkeypatch.setattr(ledger, "PARTS_AT_MOST", 0)
    lease = f"account:{world.client.account_id}"
    journal, lake = world.store.journal, world.store.lake
    with ledger.told(journal, lake, "people") as told, comparison.connect(world.folder) as connection:
        one = connection.sql(f"select * from ({comparison.told_sql(told)}) limit 1").to_arrow_table()
    gone = one.set_column(1, "fingerprint", pa.nulls(1, pa.uint64()))
    with journal.lease(lease) as held:
        path = ledger.write_part(lake, "people", gone, bucket="2.0")
        journal.add_ledger_part("people", path=path, rows=1, lease=held)
        assert ledger.merge(journal, lake, "people", lease=held, bucket="2.0")
    with (
        ledger.told(journal, lake, "people", bucket="2.0") as told,
        comparison.connect(world.folder) as connection,
    ):
        query = f"select count(*) from ({comparison.told_sql(told)}) where fingerprint is not null"
        assert connection.sql(query).fetchall() == [(19,)]
