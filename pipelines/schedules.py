"""Schedules: each sync at its own time; a partitioned one runs its newest partitions.

Belongs here: when a sync runs by itself. Not here: what runs (`jobs`), and what else sets a run off (`sensors`).
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from assets.rules.sync import BucketPartition, DayPartition, Sync

if TYPE_CHECKING:  # Dagster does not export the type of what define_asset_job returns
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

DAYS_EACH_TIME = 2
"""Today and yesterday: rows of yesterday evening may have arrived after the last run of that day."""


def schedule_of(sync: Sync, job: "UnresolvedAssetJobDefinition") -> dg.ScheduleDefinition:
    """The schedule of a sync, on by default off: somebody has to switch it on in the UI."""

    @dg.schedule(
        name=f"{sync.name}_schedule",
        job=job,
        cron_schedule=sync.schedule or "",
        execution_timezone="UTC",
        description=f"Runs sync_{sync.name} at {sync.schedule} UTC.",
    )
    def _schedule(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        moment = context.scheduled_execution_time
        match sync.source.partition:
            case DayPartition(start=start):
                for back in range(DAYS_EACH_TIME):
                    day = (moment - timedelta(days=back)).date()
                    if day >= start:
                        yield dg.RunRequest(
                            run_key=f"{moment.isoformat()}/{day}", partition_key=day.isoformat()
                        )
            case BucketPartition(count=count):
                width = len(str(count - 1))
                for index in range(count):
                    key = f"{index:0{width}d}"
                    yield dg.RunRequest(run_key=f"{moment.isoformat()}/{key}", partition_key=key)
            case _:
                yield dg.RunRequest(run_key=moment.isoformat())

    return _schedule
