"""source_rows: the rows as the warehouse gave them, selected columns only, one Parquet file per partition.

Belongs here: from a sync to a read of the warehouse. Not here: any judgement about a row (`contacts`).
"""

import dagster as dg
import pyarrow as pa

from assets import metadata
from assets.failures import told_to_dagster
from assets.partitions import backfill_policy_of, file_of, partitions_of, partitions_of_run, window_of
from assets.rules.sync import Source, Sync
from resources.lake import Lake
from resources.store.store import Store
from resources.warehouses.contract import Files, Query, Relation, Table, Warehouse

COMPRESSION = "lz4"  # read once, soon, and then gone: speed counts


def source_rows(sync: Sync, *, owners: list[str]) -> dg.AssetsDefinition:
    """The asset of one sync."""

    @dg.asset(
        name="source_rows",
        key_prefix=sync.name,
        group_name=sync.name,
        owners=owners,
        kinds={"parquet"},
        deps=[dg.AssetKey(list(sync.source.asset))] if sync.source.asset else [],
        partitions_def=partitions_of(sync),
        backfill_policy=backfill_policy_of(sync),
        description="Rows as the warehouse gave them: the columns that the sync names, nothing else.",
    )
    @told_to_dagster
    def _source_rows(
        context: dg.AssetExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        store: dg.ResourceParam[Store],
    ) -> dg.MaterializeResult[None]:
        counts = {
            partition: extract(warehouse, store.lake, sync, partition=partition)
            for partition in partitions_of_run(context)
        }
        return metadata.of_partitions(context, {key: {"rows": rows} for key, rows in counts.items()})

    return _source_rows


def extract(warehouse: Warehouse, lake: Lake, sync: Sync, *, partition: str) -> int:
    """Stream one partition of the source into the lake; says how many rows it has."""
    window = window_of(sync, partition)
    with warehouse.read(relation_of(sync.source), columns=sync.columns, window=window) as batches:
        schema = pa.schema(batches.schema)
        path = file_of(sync, "source_rows", partition)
        with lake.writer(
            path, schema, compression=COMPRESSION, metadata={"sync_version": sync.version}
        ) as sink:
            for batch in batches:
                sink.write(batch)
            return sink.rows


def relation_of(source: Source) -> Relation:
    """What the warehouse shall read."""
    if source.query is not None:
        return Query(source.query)
    if source.file is not None:
        return Files(source.file, source.csv)
    return Table(source.table or "")
