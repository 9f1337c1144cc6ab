"""The rows of an upstream asset: what its IO manager loads, or the files that its last materialization names.

Belongs here: from an asset key to a warehouse of its rows, by what Dagster knows of the asset. Not here: how a frame or a
file is read (`resources/warehouses/frames`), from which warehouse a sync reads (`sources`).
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from resources.errors import WarehouseError
from resources.warehouses.complaints import code_of
from resources.warehouses.contract import CsvDialect
from resources.warehouses.frames import FramesWarehouse, Part

Load = Callable[[str | None], object]
"""The value of the asset, or of one of its partitions, by its IO manager."""

PLACES = ("dagster/uri", "uri", "path")
"""Under which names of its metadata a materialization says where its files are; the first that does counts."""
_FILES = re.compile(r"(?i)\.(parquet|pq|csv|tsv|jsonl|ndjson|json)(\.(gz|zst|bz2|lz4))?$|/$")
_FOLDER = re.compile(r"[^./]+$")
_OTHER_SCHEME = re.compile(r"(?!(?:file|s3|gs|gcs|abfss?|hdfs):)[A-Za-z][A-Za-z0-9+.-]+:")


def rows_of(
    key: Sequence[str], *, instance: dg.DagsterInstance, load: Load, csv: CsvDialect | None = None
) -> FramesWarehouse:
    """The asset's rows as a warehouse; of a partitioned asset all partitions that there are, one at a time."""
    asset = dg.AssetKey(list(key))
    partitions: list[str | None] = [*sorted(instance.get_materialized_partitions(asset))]
    parts = [
        Part(each or "", functools.partial(_value, asset, each, instance=instance, load=load))
        for each in partitions or [None]
    ]
    return FramesWarehouse("/".join(key), parts, csv=csv)


def loader_of(context: dg.AssetExecutionContext, key: Sequence[str]) -> Load:
    """Loads an asset of the same definitions, whether or not this run makes it."""
    asset = dg.AssetKey(list(key))
    made_by = context.job_def.asset_layer.get(asset).assets_def

    def load(partition: str | None) -> object:
        with dg.AssetValueLoader({asset: made_by}, instance=context.instance) as loader:
            return loader.load_asset_value(asset, partition_key=partition)

    return load


def place_in(metadata: Mapping[str, dg.MetadataValue[Any]]) -> str | None:
    """Where the files of a materialization are, if they are files that can be read."""
    for name in PLACES:
        place = metadata[name].value if name in metadata else None
        if not isinstance(place, str) or _OTHER_SCHEME.match(place):
            continue
        # A `path` without an ending is a pickle of Dagster's own; a URI without one is a folder.
        if _FILES.search(place) or (name != "path" and _FOLDER.search(place)):
            return place
    return None


def _value(asset: dg.AssetKey, partition: str | None, *, instance: dg.DagsterInstance, load: Load) -> object:
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, asset_partitions=None if partition is None else [partition]),
        limit=1,
    ).records
    made = records[0].asset_materialization if records else None
    place = place_in(made.metadata) if made else None
    if place is not None:
        return place
    try:
        return load(partition)
    except Exception as error:  # noqa: BLE001 - IO managers are the user's, and raise whatever they like
        raise _not_loaded(asset.to_user_string(), made=made is not None, code=code_of(error)) from None


def _not_loaded(asset: str, *, made: bool, code: str) -> WarehouseError:
    if not made:
        return WarehouseError(
            f"Asset {asset} has never been materialized here.",
            "So there are no rows to read.",
            "Materialize it first (on this Dagster instance), or correct `asset:` in the sync file.",
        )
    return WarehouseError(
        f"The rows of asset {asset} cannot be loaded ({code}).",
        "Its last materialization names no file in its metadata, and its IO manager gave no value.",
        "Let it report its file as `dagster/uri` (a path or URL that ends in .parquet, or a folder that ends in /), "
        "or put asset and sync into the same definitions, so that its IO manager can be asked.",
    )
