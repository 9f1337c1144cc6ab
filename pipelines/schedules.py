"""Schedules: each sync at its own time; a partitioned one runs its newest partitions.

Belongs here: when a sync runs by itself. Not here: what runs (`jobs`), and what else sets a run off (`sensors`).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.rules.sync import BucketPartition, DayPartition, Sync

if TYPE_CHECKING:  # Dagster does not export the type of what define_asset_job returns
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

EXPORT_EVERY_DAY = "47 4 * * *"
DAYS_EACH_TIME = 2
"""Today and yesterday: rows of yesterday evening may have arrived after the last run of that day."""


def schedule_of(sync: Sync, job: "UnresolvedAssetJobDefinition") -> dg.ScheduleDefinition:
    """The schedule of a sync, on by default off: somebody has to switch it on in the UI."""

    @dg.schedule(
        name=f"{sync.name}_schedule",
        job=job,
        cron_schedule=sync.schedule or "",
        execution_timezone="UTC",
        description=f"Brings Mailtrap up to date with {sync.name}{_which(sync)}. Off until it is switched on.",
    )
    def _schedule(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        moment = context.scheduled_execution_time
        yield from requests_of(sync, moment, key=moment.isoformat())

    return _schedule


def export_schedule(job: "UnresolvedAssetJobDefinition") -> dg.ScheduleDefinition:
    """Everybody as Parquet once a day; off until somebody switches it on in the UI."""
    return dg.ScheduleDefinition(
        name="export_contacts_schedule",
        job=job,
        cron_schedule=EXPORT_EVERY_DAY,
        execution_timezone="UTC",
        description="Takes an export of everybody once a day, so that its history has no gaps. Off until it is switched on.",
    )


def _which(sync: Sync) -> str:
    match sync.source.partition:
        case DayPartition():
            return ": the rows of today and yesterday, a run each"
        case BucketPartition(count=count):
            return f": {count} buckets, a run each"
    return ": sends only what changed"


def requests_of(sync: Sync, moment: datetime, *, key: str, **facts: Any) -> Iterator[dg.RunRequest]:
    """The runs that bring a sync up to date: one, or one for each of its newest partitions."""
    for partition in newest_partitions(sync, moment):
        run_key = key if partition is None else f"{key}/{partition}"
        yield dg.RunRequest(run_key=run_key, partition_key=partition, **facts)


def newest_partitions(sync: Sync, moment: datetime) -> list[str | None]:
    """The partitions that may have new rows: the last days, or every bucket; none by name where there are none."""
    match sync.source.partition:
        case DayPartition(start=start):
            days = [(moment.astimezone(UTC) - timedelta(days=back)).date() for back in range(DAYS_EACH_TIME)]
            return [day.isoformat() for day in days if day >= start]
        case BucketPartition(count=count):
            width = len(str(count - 1))
            return [f"{index:0{width}d}" for index in range(count)]
    return [None]
