"""The job `retention` and its schedule: what expired goes every night, also where no sync runs.

Not here: what expires when (`assets/retention.py`).
"""

import time

import dagster as dg

from assets.failures import told_to_dagster
from assets.retention import expire
from resources.store.store import Store

EVERY_NIGHT = "17 3 * * *"


def retention_job() -> dg.JobDefinition:
    """Remove what is kept for longer than the settings say."""

    @dg.op(name="remove_what_expired", description="Remove files that are older than their setting allows.")
    @told_to_dagster
    def _expire(context: dg.OpExecutionContext, store: dg.ResourceParam[Store]) -> None:
        context.add_output_metadata(dict(expire(store, now=time.time())))

    @dg.job(
        name="retention",
        description="Remove what is kept for longer than the settings CONTACTS_KEEP_… say; syncs do so too, at their end.",
        executor_def=dg.in_process_executor,
    )
    def _job() -> None:
        _expire()

    return _job


def retention_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Every night, and on without being asked: people's data must not linger because nobody switched it on."""
    return dg.ScheduleDefinition(
        name="retention_schedule",
        job=job,
        cron_schedule=EVERY_NIGHT,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Removes every night what is kept for longer than the settings say.",
    )
