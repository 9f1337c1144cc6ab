"""Sensors: what sets a sync off besides its schedule: work left unfinished, an upstream asset, a file that arrived.

Belongs here: noticing, and asking for a run; keys keep the same thing from asking twice. Not here: what runs (`jobs`),
when a schedule ticks (`schedules`), whom to tell (`alerts`).
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from assets.partitions import WHOLE
from assets.rules.sync import Sync
from assets.sources import fitting, relation_of
from pipelines.abandoned import end_abandoned
from pipelines.jobs import SYNC_TAG, TAKES_UP_TAG
from pipelines.retries import refused_retries
from pipelines.schedules import requests_of
from resources.errors import JournalError, WarehouseError
from resources.journal import Delivery, Journal
from resources.life import is_silent
from resources.store.store import Store
from resources.warehouses.contract import Files, Warehouse
from resources.warehouses.files import FilesWarehouse

if TYPE_CHECKING:  # Dagster does not export the type of what define_asset_job returns
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

    Jobs = Sequence[UnresolvedAssetJobDefinition]

UNFINISHED_SECONDS = 30
FILES_SECONDS = 60
SETTLED_SECONDS = 5.0
"""A file that changed within the last seconds may still be written."""
RETRY_PATIENCE_SECONDS = 300.0
"""How long Dagster is given to begin the retry that it promised."""
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def unfinished_imports(
    syncs: Sequence[Sync], jobs: "Jobs", *, name: str = "unfinished_imports"
) -> dg.SensorDefinition:
    """The one sensor that runs by default: what a dead run of these jobs left is taken up."""

    @dg.sensor(
        name=name,
        jobs=list(jobs),
        description=(
            "Takes up what a dead run left unfinished: says of runs whose process is no more that they failed, and "
            "runs a sync again whose imports nobody awaits, or whose run Dagster did not retry as it had promised."
        ),
        minimum_interval_seconds=UNFINISHED_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def _unfinished_imports(
        context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        ended = end_abandoned(context.instance, silent=partial(is_silent, store.journal.engine))
        found = [
            delivery
            for sync in syncs
            for delivery in store.journal.deliveries(sync.name)
            if delivery.state == "open" and is_left_alone(context.instance, store.journal, delivery)
        ]
        hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
        yield from (take_up(delivery, hour=hour) for delivery in _one_each(found))
        refused = refused_retries(context.instance, [job.name for job in jobs], now=time.time())
        yield from refused
        if not found and not refused:
            yield dg.SkipReason(f"Nothing is left unfinished. Runs found dead: {len(ended)}.")

    return _unfinished_imports


def is_left_alone(instance: dg.DagsterInstance, journal: Journal, delivery: Delivery) -> bool:
    """Whether imports are under way that no run awaits, none is about to, and nobody ended their run."""
    former = instance.get_run_by_id(delivery.run_id)
    if former is not None and (not former.is_finished or former.status is dg.DagsterRunStatus.CANCELED):
        return False
    if any(_is_of(delivery.sync, run) for run in instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY))):
        return False
    return not _is_about_to_be_retried(instance, former) and not _is_held(journal, delivery.account)


def _is_of(sync: str, run: dg.DagsterRun) -> bool:
    """Whether a run is one of this sync: of its jobs, or of its tables as they are launched from the graph."""
    return run.tags.get(SYNC_TAG) == sync or dg.AssetKey([sync, "contact_imports"]) in (
        run.asset_selection or ()
    )


def take_up(delivery: Delivery, *, hour: str) -> dg.RunRequest:
    """The run that goes on with a delivery; asked for once an hour at most."""
    partitions = [each for each in delivery.facts.get("partitions", ()) if each != WHOLE]
    tags = {TAKES_UP_TAG: delivery.id}
    if len(partitions) > 1:
        tags |= {
            "dagster/asset_partition_range_start": partitions[0],
            "dagster/asset_partition_range_end": partitions[-1],
        }
    return dg.RunRequest(
        run_key=f"{delivery.id}/{hour}",
        job_name=f"sync_{delivery.sync}",
        partition_key=partitions[0] if len(partitions) == 1 else None,
        tags=tags,
    )


def upstream_sensor(sync: Sync, job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Runs a sync after the asset that its source is made by, such as a dbt model, has been made anew."""

    @dg.asset_sensor(
        name=f"{sync.name}_upstream",
        asset_key=dg.AssetKey(list(sync.source.asset or ())),
        job=job,
        description=f"Runs sync_{sync.name} when {'/'.join(sync.source.asset or ())} has been materialized. "
        "Off until it is switched on.",
        default_status=dg.DefaultSensorStatus.STOPPED,
    )
    def _upstream(
        context: dg.SensorEvaluationContext,  # noqa: ARG001 - Dagster passes it by place
        asset_event: dg.EventLogEntry,
    ) -> Iterator[dg.RunRequest]:
        moment = datetime.fromtimestamp(asset_event.timestamp, UTC)
        yield from requests_of(sync, moment, key=f"{asset_event.run_id}/{asset_event.timestamp}")

    return _upstream


def file_sensor(
    sync: Sync, job: "UnresolvedAssetJobDefinition", *, clock: Callable[[], float] = time.time
) -> dg.SensorDefinition:
    """Runs a sync after one of the files of its source has arrived, changed or gone."""

    @dg.sensor(
        name=f"{sync.name}_files",
        job=job,
        description=f"Runs sync_{sync.name} when one of the files {sync.source.file} arrives, changes or goes. "
        "Off until it is switched on.",
        minimum_interval_seconds=FILES_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
    )
    def _files(
        context: dg.SensorEvaluationContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        now = clock()
        try:
            state, newest = state_of_files(warehouse, sync)
        except WarehouseError as error:
            yield dg.SkipReason(error.happened)
            return
        if state == context.cursor:
            yield dg.SkipReason("The files are the same as before.")
        elif now - newest < SETTLED_SECONDS:
            yield dg.SkipReason("A file has just changed; it may still be written.")
        else:
            context.update_cursor(state)
            yield from requests_of(sync, datetime.fromtimestamp(now, UTC), key=state)

    return _files


def state_of_files(warehouse: Warehouse, sync: Sync) -> tuple[str, float]:
    """What the files of a source are, as text that differs when they do, and when the newest changed."""
    relation = relation_of(sync.source)
    assert isinstance(relation, Files)
    given = fitting(sync, warehouse)
    assert isinstance(given, FilesWarehouse)
    with closing(given):
        files = given.files(relation)
    names = hashlib.sha256(
        "\n".join(f"{each.path}\0{each.size}\0{each.changed_ns}" for each in files).encode()
    )
    newest_ns = max(each.changed_ns for each in files)
    return f"{newest_ns}/{len(files)}/{names.hexdigest()[:16]}", newest_ns / 1e9


def sensors_of(sync: Sync, job: "UnresolvedAssetJobDefinition") -> list[dg.SensorDefinition]:
    """What sets this sync off besides its schedule."""
    upstream = [upstream_sensor(sync, job)] if sync.source.asset else []
    return [*upstream, *([file_sensor(sync, job)] if sync.source.file else [])]


def _one_each(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """One delivery of each sync: its run settles the others too."""
    return list({delivery.sync: delivery for delivery in reversed(deliveries)}.values())


def _is_about_to_be_retried(instance: dg.DagsterInstance, run: dg.DagsterRun | None) -> bool:
    if run is None or run.tags.get("dagster/will_retry") != "true":
        return False
    record = instance.get_run_record_by_id(run.run_id)
    ended = record.end_time if record else None
    return ended is not None and time.time() - ended < RETRY_PATIENCE_SECONDS


def _is_held(journal: Journal, account: str) -> bool:
    """Whether a living run writes to the account: only then can its lease not be had."""
    with suppress(JournalError), journal.lease(f"account:{account}"):
        return False
    return True
