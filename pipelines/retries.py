"""Retries that Dagster promised and then refused.

Dagster calls a backfill of a job ended once none of its runs is under way, also where the last one died and is to be
retried; and what belongs to an ended backfill it retries no more. Which comes first is chance. Belongs here: finding such
runs, and the request that runs them again. Not here: runs that nobody knows to be dead (`abandoned`).
"""

from collections.abc import Collection
from datetime import UTC, datetime

import dagster as dg

from pipelines.jobs import TAKES_UP_TAG

LOOKED_BACK_SECONDS = 86_400.0
_AT_MOST = 200
_PARTITION, _RANGE = "dagster/partition", "dagster/asset_partition_range_"
_ENDED = ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED")
"""Not those that somebody cancelled: who ends a backfill does not want its runs back."""


def refused_retries(
    instance: dg.DagsterInstance, jobs: Collection[str], *, now: float
) -> list[dg.RunRequest]:
    """The runs of these jobs that were to be retried and are not; each is asked for once."""
    promised = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={"dagster/will_retry": "true"},
        updated_after=datetime.fromtimestamp(now - LOOKED_BACK_SECONDS, UTC),
    )
    found = [
        record
        for record in instance.get_run_records(promised, limit=_AT_MOST)
        if record.dagster_run.job_name in jobs
    ]
    return [
        _again(record.dagster_run)
        for record in found
        if _is_refused(instance, record.dagster_run) and not _was_done_by_hand(instance, record)
    ]


def _is_refused(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    backfill = instance.get_backfill(run.tags["dagster/backfill"]) if "dagster/backfill" in run.tags else None
    if backfill is None or backfill.status.value not in _ENDED or "dagster/auto_retry_run_id" in run.tags:
        return False
    followers = ({name: run.run_id} for name in ("dagster/parent_run_id", TAKES_UP_TAG))
    return not any(instance.get_runs(dg.RunsFilter(tags=each), limit=1) for each in followers)


def _was_done_by_hand(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether somebody was quicker, and ran the same job for the same partitions."""
    run = record.dagster_run
    names = {name: value for name, value in run.tags.items() if name == _PARTITION or name.startswith(_RANGE)}
    later = dg.RunsFilter(
        job_name=run.job_name,
        statuses=[dg.DagsterRunStatus.SUCCESS],
        tags=names,
        created_after=record.create_timestamp,
    )
    return bool(instance.get_runs(later, limit=1))


def _again(run: dg.DagsterRun) -> dg.RunRequest:
    of_a_range = {name: value for name, value in run.tags.items() if name.startswith(_RANGE)}
    return dg.RunRequest(
        run_key=f"retry/{run.run_id}",
        job_name=run.job_name,
        run_config=run.run_config,
        asset_selection=list(run.asset_selection) if run.asset_selection else None,
        partition_key=run.tags.get(_PARTITION),
        tags={TAKES_UP_TAG: run.run_id, **of_a_range},
    )
