"""The jobs of syncs, whole and by partition, as Dagster runs them."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets.failures import RUN_RETRY
from tests.pipelines.syncing_world import DAYS, TABLES, SyncingWorld, rows_of, syncing_world

FIRST, SECOND, THIRD, LAST = DAYS


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SyncingWorld]:
    """Twenty people, five a day."""
    with syncing_world(tmp_path) as made:
        yield made


def test_a_day_is_sent_once(world: SyncingWorld) -> None:
    """A partition tells Mailtrap its people; run again, it sends nothing, and says so."""
    assert rows_of(world.run("sync_daily", partition=SECOND), "daily") == {SECOND: {"read": 5, "accepted": 5}}
    again = world.run("sync_daily", partition=SECOND)
    run = world.instance.get_run_by_id(again.run_id)
    assert run is not None and run.tags["contacts/accepted"] == "0 of 5", "the list of runs shows it"
    assert rows_of(again, "daily") == {SECOND: {"read": 5, "unchanged": 5}}
    assert len(world.imports()) == 1 and len(world.contacts()) == 5


def test_many_days_in_one_run_are_one_payload_and_each_day_is_shown(world: SyncingWorld) -> None:
    """A backfill as one run fills payloads over days; every table shows every day by itself."""
    result = world.run("sync_daily", days=(FIRST, LAST))
    assert result.success
    assert rows_of(result, "daily") == {day: {"read": 5, "accepted": 5} for day in DAYS}
    assert len(world.imports()) == 1 and len(world.contacts()) == 20
    for table in TABLES:
        assert world.instance.get_materialized_partitions(dg.AssetKey(["daily", table])) == {*DAYS}, table


def test_days_may_come_in_any_order_and_older_rows_never_win(world: SyncingWorld) -> None:
    """Somebody who changed on the first and the third day keeps what the third said, also when that is sent first."""
    world.change(
        "insert into people values ('p1', 'person1@people.example.org', true, 'New', ?::timestamp)", THIRD
    )
    world.change(
        "update people set first_name = 'Old', updated_at = ?::timestamp where first_name = 'Name1'", FIRST
    )
    assert rows_of(world.run("sync_daily", partition=THIRD), "daily")[THIRD]["accepted"] == 6
    late = rows_of(world.run("sync_daily", days=(FIRST, SECOND)), "daily")
    assert late[FIRST].get("stale") == 1 and sum(late[FIRST].values()) == 2 * late[FIRST]["read"]
    assert world.contacts()["person1@people.example.org"]["fields"]["first_name"] == "New"


def test_buckets_part_people_and_together_are_everybody(world: SyncingWorld) -> None:
    """Every person is in one bucket, whatever the order of the runs."""
    rows = [rows_of(world.run("sync_buckets", partition=key), "buckets")[key] for key in ("3", "0", "2", "1")]
    assert sum(each.get("accepted", 0) for each in rows) == 20 == len(world.contacts())
    again = world.run("sync_buckets", days=("0", "3"))
    assert sum(each.get("unchanged", 0) for each in rows_of(again, "buckets").values()) == 20


def test_everything_can_be_materialized_in_one_run(world: SyncingWorld) -> None:
    """What `Materialize all` does: the account's tables and those of a sync, in one process."""
    definitions = world.definitions()
    keys = [
        each
        for each in definitions.resolve_asset_graph().materializable_asset_keys
        if each.path[0] in ("mailtrap", "whole")
    ]
    job = definitions.resolve_implicit_global_asset_job_def()
    result = job.get_subset(asset_selection=set(keys)).execute_in_process(instance=world.instance)
    assert result.success
    assert {each.asset_key for each in result.get_asset_materialization_events()} == {*keys}
    assert rows_of(result, "whole") == {None: {"read": 20, "accepted": 20}}


@pytest.mark.parametrize(
    ("fault", "retry"),
    [({"status": 401}, "false"), ({"status": 503}, "true")],
    ids=["token refused", "mailtrap down"],
)
def test_a_run_is_retried_only_when_that_can_help(
    world: SyncingWorld, fault: dict[str, int], retry: str
) -> None:
    """The run carries the tag that Dagster's run retries read, and the failure says the same to a step's retries."""
    world.mailtrap.fault(action={"do": "answer", **fault}, match={"path": "/contacts/imports$"}, times=None)
    result = world.run("sync_whole")
    run = world.instance.get_run_by_id(result.run_id)
    assert not result.success and run is not None
    assert run.tags[RUN_RETRY] == retry


def test_runs_of_a_whole_sync_wait_for_each_other(world: SyncingWorld) -> None:
    """The queue lets one run of an unpartitioned sync at a time, and two of a partitioned one."""
    definitions = world.definitions()
    assert definitions.resolve_job_def("sync_whole").tags["contacts/one_at_a_time"] == "whole"
    assert definitions.resolve_job_def("full_resync_whole").tags["contacts/one_at_a_time"] == "whole"
    assert "contacts/one_at_a_time" not in definitions.resolve_job_def("sync_daily").tags
    assert definitions.resolve_job_def("sync_daily").tags["contacts/sync"] == "daily"


def test_a_sync_waits_for_no_table_that_somebody_would_have_to_make_first(world: SyncingWorld) -> None:
    """The UI asks `Are you sure?` before a run whose upstream tables were never made; a first run needs none."""
    definitions = world.definitions()
    graph = definitions.resolve_asset_graph()
    for sync in world.syncs:
        for job in (f"sync_{sync.name}", f"full_resync_{sync.name}"):
            made = definitions.resolve_job_def(job).asset_layer.executable_asset_keys
            before = {parent for key in made for parent in graph.get(key).parent_keys} - {*made}
            assert [key for key in before if graph.get(key).is_materializable] == [], job


def test_every_table_links_to_its_code_and_its_sync_file(world: SyncingWorld) -> None:
    """To the function that makes it, by a path that this machine has."""
    graph = world.definitions().resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        places = graph.get(key).metadata["dagster/code_references"].code_references
        labels = [place.label for place in places]
        assert labels[0].startswith("assets/") and labels[0].endswith(".py"), key
        assert labels[1:] == ([] if key.path[0] == "mailtrap" else [f"{key.path[0]}.yaml"]), key
        assert all(Path(place.file_path).is_file() for place in places)


def test_everything_in_the_ui_says_what_it_is(world: SyncingWorld) -> None:
    """A table, job, schedule, sensor or check without a sentence is one that somebody has to ask about."""
    repository = world.definitions().get_repository_def()
    graph = world.definitions().resolve_asset_graph()
    checks = [spec for each in graph.assets_defs for spec in each.check_specs]
    jobs = [each for each in repository.get_all_jobs() if not each.name.startswith("__")]
    tables = [graph.get(key) for key in graph.materializable_asset_keys]
    for each in (*tables, *jobs, *repository.schedule_defs, *repository.sensor_defs, *checks):
        assert each.description and each.description.endswith("."), each
