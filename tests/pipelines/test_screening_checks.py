"""The checks of screening, each seen failing in a real run: what stops, what only warns, and what Dagster remembers of it."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets import contacts
from assets.contacts import Screened
from pipelines.runs import run_job
from resources.warehouses.settings import WarehouseResource
from tests.pipelines.syncing_world import DAYS, SyncingWorld, syncing_world

CANARY = "canary-4711"
SYNC = """
sync: strict
source: {table: people, key: id, updated_at: updated_at}
email: email
consent: {granted: consent, granted_at: consented_at, max_age_days: 365}
fields: {first_name: first_name}
lists: {include: [strict]}
create: true
guards: {max_rejected: 10%, min_rows: 1}
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SyncingWorld]:
    """Four people whose values are canaries, and whose consent expires in ten days."""
    with syncing_world(tmp_path, days=DAYS[:1], people_a_day=4) as made:
        (tmp_path / "syncs" / "strict.yaml").write_text(SYNC)
        made.change("alter table people add column consented_at timestamp")
        made.change("update people set consented_at = now()::timestamp - to_days(355)")
        made.change(
            "update people set email = ? || id || '@people.example.org', first_name = ?", CANARY, CANARY
        )
        yield made


def failing(ran: dg.ExecuteInProcessResult) -> set[str]:
    """The names of the checks that did not pass."""
    return {each.check_name for each in ran.get_asset_check_evaluations() if not each.passed}


def remembered(world: SyncingWorld) -> str:
    """All that Dagster keeps of all runs."""
    runs = world.instance.get_runs()
    return "\n".join(repr(event) for run in runs for event in world.instance.all_logs(run.run_id)) + repr(
        runs
    )


def test_each_check_is_seen_failing_before_anything_is_sent(world: SyncingWorld) -> None:
    """Consent that expires soon warns; too many rejections and an empty source stop; no value of a row is kept."""
    ran = world.run("sync_strict")
    assert ran.success and failing(ran) == {"consent_stays_valid"}
    assert len(world.imports()) == 1 and len(world.contacts()) == 4

    world.change("update people set email = ? || '@@nowhere', updated_at = now() where id = 'p1'", CANARY)
    ran = world.run("sync_strict")
    assert not ran.success and failing(ran) == {"consent_stays_valid", "few_rows_are_rejected"}

    world.change("delete from people")
    ran = world.run("sync_strict")
    assert not ran.success and "source_is_not_empty" in failing(ran)

    assert len(world.imports()) == 1
    assert CANARY not in remembered(world)


def test_rows_that_nobody_counted_fail_a_blocking_check(world: SyncingWorld) -> None:
    """It is told in one number: how many are missing."""
    sync = next(each for each in world.syncs if each.name == "strict")
    keys = {name: dg.AssetKey(["strict", name]) for name in ("accepted", "rejections")}
    rows = {"read": 10, "accepted": 5, "rejected": 1, "no_consent": 1, "duplicate": 1, "erased": 1}
    found = {each.check_name: each for each in contacts.checks(sync, [Screened(rows, {}, {})], **keys)}
    counted = found["every_row_is_counted"]
    assert not counted.passed and counted.metadata["unaccounted"].value == 1
    blocking = {each.name for each in contacts.check_specs(sync, **keys) if each.blocking}
    assert blocking == {"every_row_is_counted", "source_is_not_empty", "few_rows_are_rejected"}


@pytest.mark.parametrize(
    ("url", "outcome"),
    [("duckdb:////nowhere/at/all.duckdb", "config"), ("postgresql://a:b@127.0.0.1:1/c", "transient")],
)
def test_a_warehouse_that_is_not_there_is_told_in_its_own_words(
    world: SyncingWorld, url: str, outcome: str
) -> None:
    """Dagster opens it before the first step, so that no step tells; the exit code is the error's all the same."""
    ran = run_job(
        world.definitions(warehouse=WarehouseResource(url=url)), "sync_strict", instance=world.instance
    )
    assert (ran.outcome, "warehouse" in ran.sentence.lower(), "Check" in ran.sentence) == (
        outcome,
        True,
        True,
    )
    assert "outcome:" not in ran.sentence and not world.imports()
