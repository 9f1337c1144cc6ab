"""What sets a sync off besides its schedule, asked as the daemon asks."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import pytest
import sqlalchemy as sa
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from assets.rules.sync import Sync
from pipelines.abandoned import PROCESS_TAG, end_abandoned
from pipelines.definitions import build_definitions
from pipelines.sensors import file_sensor, unfinished_imports
from resources import life
from resources.database import metadata
from resources.process import this_host, this_process
from resources.store.settings import StoreResource
from resources.warehouses.files import FilesWarehouse
from tests.pipelines.syncing_world import DAYS, SyncingWorld, syncing_world

NOBODY = f"{this_host()}:999999999:1"
"""A process of this machine that there is not."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SyncingWorld]:
    """Four people a sync."""
    with syncing_world(tmp_path, people_a_day=1) as made:
        yield made


def ask(sensor: Any, instance: dg.DagsterInstance, *, cursor: str | None = None, **resources: Any) -> Any:
    """One tick: the runs it asks for, or why it asks for none; and the cursor."""
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources)
    answers = list(sensor(context))
    runs = [each for each in answers if isinstance(each, dg.RunRequest)]
    return (runs or answers[0].skip_message), context.cursor


def taking_up(world: SyncingWorld) -> Any:
    """One tick of the sensor that takes up."""
    kinds = ("sync", "full_resync")
    jobs = [
        world.definitions().resolve_job_def(f"{kind}_{sync.name}") for sync in world.syncs for kind in kinds
    ]
    with world.store() as store:
        return ask(unfinished_imports(world.syncs, jobs), world.instance, store=store)[0]  # type: ignore[arg-type]


def leave_unfinished(world: SyncingWorld, job: str, **how: Any) -> dg.DagsterRun:
    """A run whose import is not finished in its time."""
    world.mailtrap.turn(import_start_seconds=1.5)
    store = StoreResource(
        home=world.resources["store"].home, poll_seconds="0.02", job_deadline_seconds="0.05"
    )
    result = world.run(job, store=store, **how)
    assert not result.success and len(world.imports()) == 1
    run = world.instance.get_run_by_id(result.run_id)
    assert run is not None
    return run


def test_nothing_is_asked_for_when_all_is_settled(world: SyncingWorld) -> None:
    """A finished sync leaves nothing to take up."""
    assert world.run("sync_whole").success
    assert "Nothing is left unfinished" in taking_up(world)


@pytest.mark.slow
def test_an_import_that_nobody_awaits_is_taken_up_once_and_not_sent_again(world: SyncingWorld) -> None:
    """The sensor asks for the sync, for the same days, with a key that stays the same; its run only awaits."""
    leave_unfinished(world, "sync_daily", days=(DAYS[0], DAYS[2]))
    [request] = taking_up(world)
    assert request.job_name == "sync_daily" and request.partition_key is None
    assert request.tags["dagster/asset_partition_range_start"] == DAYS[0]
    assert request.tags["dagster/asset_partition_range_end"] == DAYS[2]
    assert [each.run_key for each in taking_up(world)] == [request.run_key]
    assert world.run("sync_daily", days=(DAYS[0], DAYS[2])).success
    assert len(world.imports()) == 1
    assert "Nothing is left unfinished" in taking_up(world)


def test_a_single_partition_is_taken_up_by_its_key(world: SyncingWorld) -> None:
    """A run of one day is followed by a run of that day."""
    leave_unfinished(world, "sync_daily", partition=DAYS[1])
    [request] = taking_up(world)
    assert request.partition_key == DAYS[1]
    assert "dagster/asset_partition_range_start" not in request.tags


def test_what_a_living_run_awaits_is_left_to_it(world: SyncingWorld) -> None:
    """While a run holds the account, or a run of the sync is starting, nothing is asked for."""
    leave_unfinished(world, "sync_whole")
    with world.store() as store:
        account = store.journal.deliveries("whole")[0].account
        with store.journal.lease(f"account:{account}"):
            assert "Nothing is left unfinished" in taking_up(world)
    world.instance.create_run_for_job(
        world.definitions().resolve_job_def("sync_whole"),
        tags={"contacts/sync": "whole"},
        status=dg.DagsterRunStatus.STARTING,
    )
    assert "Nothing is left unfinished" in taking_up(world)


def test_a_day_that_was_launched_from_the_graph_is_left_to_its_run(world: SyncingWorld) -> None:
    """A backfill of tables is no run of the sync's job and has no tag of it; it is known by its tables."""
    leave_unfinished(world, "sync_daily", partition=DAYS[1])
    world.instance.create_run_for_job(
        world.definitions().resolve_implicit_global_asset_job_def(),
        asset_selection=frozenset({dg.AssetKey(["daily", "contact_imports"])}),
        status=dg.DagsterRunStatus.STARTING,
    )
    assert "Nothing is left unfinished" in taking_up(world)


def test_a_run_that_somebody_ended_is_not_begun_again(world: SyncingWorld) -> None:
    """Who ends a run does not want it back half a minute later; the next run awaits what it had begun."""
    run = leave_unfinished(world, "sync_daily", partition=DAYS[1])
    world.instance.report_run_canceled(run)
    assert "Nothing is left unfinished" in taking_up(world)


def test_a_run_whose_process_is_no_more_is_called_failed(world: SyncingWorld) -> None:
    """A command that was killed does not look as if it ran for ever; one that lives is left alone."""
    job = world.definitions().resolve_job_def("sync_whole")
    dead, alive = (
        world.instance.create_run_for_job(
            job, tags={PROCESS_TAG: process}, status=dg.DagsterRunStatus.STARTED
        )
        for process in (NOBODY, this_process())
    )
    taking_up(world)
    statuses = {run.run_id: run.status for run in world.instance.get_runs()}
    assert statuses[dead.run_id] is dg.DagsterRunStatus.FAILURE
    assert statuses[alive.run_id] is dg.DagsterRunStatus.STARTED


def died(
    world: SyncingWorld,
    backfill: BulkActionStatus,
    *,
    job: str = "sync_daily",
    will_retry: str = "true",
    **tags: str,
) -> dg.DagsterRun:
    """The last run of a backfill of a job: dead, to be retried, and the backfill stands as it says."""
    identifier = f"backfill-{len(world.instance.get_backfills())}"
    world.instance.add_backfill(
        PartitionBackfill(identifier, backfill, from_failure=False, tags={}, backfill_timestamp=time.time())
    )
    definition = world.definitions().resolve_job_def(job)
    config = definition.partitioned_config
    run = world.instance.create_run_for_job(
        definition,
        run_config=config.get_run_config_for_partition_key(DAYS[1]) if config else {},
        tags={"dagster/backfill": identifier, **(tags or {"dagster/partition": DAYS[1]})},
        status=dg.DagsterRunStatus.STARTED,
    )
    world.instance.report_run_failed(run)
    world.instance.add_run_tags(run.run_id, {"dagster/will_retry": will_retry})
    return run


@pytest.mark.parametrize(
    ("job", "follower"),
    [
        ("sync_daily", "dagster/parent_run_id"),
        ("sync_daily", "contacts/takes_up"),
        ("full_resync_daily", "contacts/takes_up"),
    ],
)
def test_a_retry_that_dagster_promised_and_refused_is_asked_for(
    world: SyncingWorld, job: str, follower: str
) -> None:
    """Its backfill counted as ended before the retry had begun, and a run of an ended backfill is retried no more."""
    run = died(world, BulkActionStatus.COMPLETED_FAILED, job=job)
    [request] = taking_up(world)
    assert (request.job_name, request.partition_key) == (job, DAYS[1])
    assert bool(request.run_config) == (
        job == "full_resync_daily"
    )  # where everything is sent again stands there
    assert [each.run_key for each in taking_up(world)] == [request.run_key]  # Dagster runs a key once
    world.instance.create_run_for_job(
        world.definitions().resolve_job_def("sync_daily"), tags={follower: run.run_id}
    )
    assert "Nothing is left unfinished" in taking_up(world)


@pytest.mark.parametrize(("job", "day", "is_done"), [(0, 1, True), (0, 2, False), (1, 1, False)])
def test_a_refused_retry_that_somebody_made_by_hand_is_not_asked_for(
    world: SyncingWorld, job: int, day: int, is_done: bool
) -> None:
    """The same job for the same day, and well; a run of another day, or one that sends all again, is another thing."""
    died(world, BulkActionStatus.COMPLETED_FAILED)
    world.instance.create_run_for_job(
        world.definitions().resolve_job_def(("sync_daily", "full_resync_daily")[job]),
        tags={"dagster/partition": DAYS[day]},
        status=dg.DagsterRunStatus.SUCCESS,
    )
    assert isinstance(taking_up(world), str) == is_done


def test_a_refused_retry_of_a_range_of_days_is_one_of_the_same_range(world: SyncingWorld) -> None:
    """As a backfill in one run is."""
    days = {
        "dagster/asset_partition_range_start": DAYS[0],
        "dagster/asset_partition_range_end": DAYS[2],
    }
    died(world, BulkActionStatus.COMPLETED_FAILED, **days)
    [request] = taking_up(world)
    assert request.partition_key is None and days.items() <= request.tags.items()


@pytest.mark.parametrize("backfill", [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELED])
def test_a_retry_that_dagster_will_make_or_nobody_wants_is_not_asked_for(
    world: SyncingWorld, backfill: BulkActionStatus
) -> None:
    """While the backfill goes on Dagster keeps its word, and what somebody cancelled stays so."""
    died(world, backfill)
    died(world, BulkActionStatus.COMPLETED_FAILED, **{"dagster/auto_retry_run_id": "made"})
    died(world, BulkActionStatus.COMPLETED_FAILED, will_retry="false")
    died(world, BulkActionStatus.COMPLETED_FAILED, job="drift_daily")
    assert "Nothing is left unfinished" in taking_up(world)


def test_a_run_of_another_machine_that_gives_no_sign_of_life_is_called_failed(world: SyncingWorld) -> None:
    """Where a launcher cannot tell, as Celery's cannot of a worker that was killed, the run's own silence does."""
    job = world.definitions().resolve_job_def("sync_whole")
    silent, alive, unknown = (
        world.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED) for _ in range(3)
    )
    with world.store() as store, life.at_work(store.journal.engine, alive.run_id):
        leave_a_sign(store.journal.engine, silent.run_id, seconds_ago=life.SILENT_SECONDS + 1)
        taking_up(world)
    statuses = {run.run_id: run.status for run in world.instance.get_runs()}
    assert statuses[silent.run_id] is dg.DagsterRunStatus.FAILURE
    assert {statuses[each.run_id] for each in (alive, unknown)} == {dg.DagsterRunStatus.STARTED}


def test_who_looks_for_dead_runs_need_not_know_the_launcher(tmp_path: Path) -> None:
    """A code server has neither Celery's broker nor the cluster's API: the launcher cannot be made there, nor need it be."""
    launcher = {
        "module": "not_installed_here.launcher",
        "class": "CeleryRunLauncher",
        "config": {"broker": {"env": "NOT_SET_HERE"}},
    }
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"run_launcher": launcher}) as instance:
        silent, alive = (
            instance.create_run_for_job(a_job, status=dg.DagsterRunStatus.STARTED) for _ in range(2)
        )
        assert end_abandoned(instance, silent=lambda run_id: run_id == silent.run_id) == [silent.run_id]
        assert instance.get_run_by_id(alive.run_id).status is dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]


@dg.job
def a_job() -> None:
    """Nothing to do."""


def leave_a_sign(engine: sa.Engine, run_id: str, *, seconds_ago: float) -> None:
    """As a process does that is killed afterwards."""
    with engine.begin() as connection:
        values = {"run_id": run_id, "process": NOBODY, "seen_at": time.time() - seconds_ago}
        connection.execute(sa.insert(metadata.tables["signs_of_life"]).values(values))


def test_a_sync_runs_after_its_upstream_asset(world: SyncingWorld) -> None:
    """A materialization of the asset that makes the table asks for the newest days, once."""
    model = dg.AssetKey(["dbt", "people"])
    sync = changed(world, "daily", asset=("dbt", "people"))
    definitions = build_definitions([sync], environ={})
    sensor = definitions.get_repository_def().get_sensor_def("daily_upstream")
    world.instance.report_runless_asset_event(dg.AssetMaterialization(model))
    context = dg.build_sensor_context(instance=world.instance, definitions=definitions)
    requests = list(sensor.evaluate_tick(context).run_requests or ())
    today = datetime.now(UTC).date().isoformat()
    assert len(requests) == 2 and requests[0].partition_key == today
    assert len({each.run_key for each in requests}) == 2


def test_a_sync_runs_after_a_file_has_arrived(world: SyncingWorld, tmp_path: Path) -> None:
    """A new file, or a changed one, asks for a run once it has settled; the same files ask for none."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    sync = changed(world, "whole", table=None, file="*.csv")
    seconds = [1_000_000.0]
    sensor = file_sensor(sync, world.definitions().resolve_job_def("sync_whole"), clock=lambda: seconds[0])  # type: ignore[arg-type]

    def tick(cursor: str | None) -> Any:
        return ask(sensor, world.instance, cursor=cursor, warehouse=FilesWarehouse(f"files://{folder}"))

    def arrive(name: str, text: str, *, at: float) -> None:
        (folder / name).write_text(text)
        os.utime(folder / name, (at, at))

    assert "There is no file" in tick(None)[0] or "no file" in tick(None)[0].lower()
    arrive("a.csv", "id,email\n", at=seconds[0] - 1)
    assert "may still be written" in tick(None)[0]
    seconds[0] += 60
    [first], cursor = tick(None)
    assert first.run_key == cursor
    assert tick(cursor) == ("The files are the same as before.", cursor)
    arrive("a.csv", "id,email\n1,\n", at=seconds[0] - 30)
    [second], after = tick(cursor)
    assert second.run_key == after != cursor


def test_a_file_that_arrives_at_a_url_of_another_store_is_seen_too(world: SyncingWorld) -> None:
    """Whatever fsspec knows; the state of a file there is its size and its time, as on a disk."""
    store = fsspec.filesystem("memory")
    sync = changed(world, "whole", table=None, file=f"memory://{world.folder.name}/*.csv")
    job: Any = world.definitions().resolve_job_def("sync_whole")
    sensor = file_sensor(sync, job, clock=lambda: time.time() + 60)

    def tick(cursor: str | None) -> Any:
        return ask(sensor, world.instance, cursor=cursor, warehouse=FilesWarehouse("files:"))

    assert "no file" in tick(None)[0].lower()
    store.pipe(f"/{world.folder.name}/a.csv", b"id,email\n")
    [first], cursor = tick(None)
    assert first.run_key == cursor and tick(cursor)[0] == "The files are the same as before."
    store.pipe(f"/{world.folder.name}/a.csv", b"id,email\n1,\n")
    [second], _ = tick(cursor)
    assert second.run_key != first.run_key


def test_only_taking_up_is_on_by_itself(world: SyncingWorld) -> None:
    """Whatever sends or tells somebody has to be switched on by a person."""
    syncs = [
        changed(world, "whole", asset=("dbt", "people")),
        changed(world, "daily", table=None, file="*.csv"),
    ]
    sensors = build_definitions(syncs, environ={}).get_repository_def().sensor_defs
    assert {each.name for each in sensors} == {
        "unfinished_imports", "whole_upstream", "daily_files", "alert_on_failure", "alert_on_warnings",
    }  # fmt: skip
    running = {each.name for each in sensors if each.default_status is dg.DefaultSensorStatus.RUNNING}
    assert running == {"unfinished_imports"}


def changed(world: SyncingWorld, name: str, **source: Any) -> Sync:
    """A sync with another source."""
    import dataclasses

    sync = next(each for each in world.syncs if each.name == name)
    return dataclasses.replace(sync, source=dataclasses.replace(sync.source, **source))
