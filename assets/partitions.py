"""Partitions of a sync: days of `updated_at`, or hash buckets; and what they are called in the lake.

Belongs here: from a sync to Dagster's partitions, and from a partition key to a window of the source. Not here: how a
warehouse filters by a window (`resources/warehouses`).
"""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.rules.sync import BucketPartition, DayPartition, Sync
from resources.warehouses.contract import Bucket, Days, Window

# Backfill policies have been called beta since Dagster 1.8; a line for every asset would drown what people must read.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)

WHOLE = "all"
"""The one partition of a sync that has none."""


def partitions_of(sync: Sync) -> dg.PartitionsDefinition[str] | None:
    """The partitions that the Dagster UI offers for a sync."""
    match sync.source.partition:
        case DayPartition(start=start):
            return dg.DailyPartitionsDefinition(start_date=start.isoformat(), timezone="UTC", end_offset=1)
        case BucketPartition(count=count):
            width = len(str(count - 1))
            return dg.StaticPartitionsDefinition([f"{index:0{width}d}" for index in range(count)])
    return None


def backfill_policy_of(sync: Sync) -> dg.BackfillPolicy | None:
    """Many days in one run, so that one payload holds the contacts of many; each bucket in a run of its own.

    Buckets are for tables that are too much for one machine: their runs are spread over all there are.
    """
    match sync.source.partition:
        case DayPartition():
            return dg.BackfillPolicy.single_run()
        case BucketPartition():
            return dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
    return None


def partitions_of_run(context: dg.AssetExecutionContext) -> tuple[str, ...]:
    """The partitions that this run is about, in their order; one for a sync that has none."""
    return (
        tuple(context.partition_keys)
        if context.has_partition_key or context.has_partition_key_range
        else (WHOLE,)
    )


def window_of(sync: Sync, partition: str) -> Window | None:
    """The slice of the source that a partition stands for."""
    match sync.source.partition:
        case DayPartition():
            start = datetime.fromisoformat(partition).replace(tzinfo=UTC)
            return Days(sync.source.updated_at or "", start, start + timedelta(days=1))
        case BucketPartition(count=count):
            return Bucket(sync.email, int(partition), count)
    return None


def file_of(sync: Sync, table: str, partition: str) -> str:
    """Where the rows of a table and partition lie in the lake."""
    return f"{sync.name}/{table}/{partition}.parquet"


def label(partitions: Sequence[str]) -> str:
    """One name for the partitions of a run."""
    return partitions[0] if len(partitions) == 1 else f"{partitions[0]}...{partitions[-1]}"
