"""source_rows: the rows as the warehouse gave them, selected columns only, one Parquet file per partition.

Belongs here: from a sync to a read of the warehouse. Not here: any judgement about a row (`contacts`).
"""

import dagster as dg
import pyarrow as pa

from assets import metadata, shown
from assets.failures import told_to_dagster
from assets.partitions import backfill_policy_of, file_of, partitions_of, partitions_of_run, window_of
from assets.rules.buckets import in_bucket
from assets.rules.side_by_side import side_by_side
from assets.rules.sync import Sync
from assets.rules.traces import People, is_of
from assets.sources import relation_of, resource_of, source_of
from assets.steady import steady
from assets.warehouse_tables import key_of
from resources.lake import QUICK, Lake
from resources.store.store import Store
from resources.warehouses.contract import Bucket, Warehouse, Window


def source_rows(sync: Sync, *, owners: list[str]) -> dg.AssetsDefinition:
    """The asset of one sync."""

    @dg.asset(
        name="source_rows",
        key_prefix=sync.name,
        group_name=sync.name,
        owners=owners,
        kinds={"parquet"},
        tags=metadata.tags_of(sync, personal_data="addresses"),
        deps=[key_of(sync)],
        partitions_def=partitions_of(sync),
        backfill_policy=backfill_policy_of(sync),
        required_resource_keys={"store", *filter(None, [resource_of(sync)])},
        description="Rows as the warehouse gave them: the columns that the sync names, nothing else.",
    )
    @told_to_dagster
    def _source_rows(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        store: Store = context.resources.store
        with source_of(context, sync) as warehouse:
            counts = {
                partition: steady(
                    store.journal,
                    lambda partition=partition: extract(  # type: ignore[misc]
                        warehouse, store.lake, sync, partition=partition, erased=erased_people(store)
                    ),
                )
                for partition in partitions_of_run(context)
            }
        facts = {key: shown.of_source_rows(store.lake, sync, key, rows=rows) for key, rows in counts.items()}
        return metadata.of_partitions(context, facts)

    return _source_rows


def erased_people(store: Store) -> People:
    """Whose rows never enter the lake, though the warehouse has them."""
    return People.of_hashes(store.journal.tombstones(), key=store.key)


def extract(
    warehouse: Warehouse, lake: Lake, sync: Sync, *, partition: str, erased: People | None = None
) -> int:
    """Stream one partition of the source into the lake; says how many rows the source gave.

    Rows of erased people stay out; the file notes how many, so that they are counted all the same.
    """
    window = window_of(sync, partition)
    with warehouse.read(relation_of(sync.source), columns=sync.columns, window=window) as batches:
        schema = pa.schema(batches.schema)
        path = file_of(sync, "source_rows", partition)
        with lake.writer(
            path, schema, compression=QUICK, dictionary=False, metadata={"sync_version": sync.version}
        ) as sink:

            def write(batch: pa.RecordBatch) -> int:
                ours = _of_window(batch, window)
                sink.write(_without(ours, erased, email=sync.email))
                return int(ours.num_rows)

            read = sum(side_by_side(write, batches, threads=1, ahead=1))  # the warehouse is read meanwhile
            sink.note("erased", str(read - sink.rows))
            return read


def _of_window(batch: pa.RecordBatch, window: Window | None) -> pa.RecordBatch:
    if not isinstance(window, Bucket):
        return batch
    ours = in_bucket(batch[window.column], window.index, window.count)
    return batch if ours.all() else batch.filter(pa.array(ours))


def _without(batch: pa.RecordBatch, erased: People | None, *, email: str) -> pa.RecordBatch:
    if not erased:
        return batch
    theirs = is_of(pa.Table.from_batches([batch]), erased, email=email)
    return batch.filter(pa.array(~theirs)) if theirs.any() else batch
