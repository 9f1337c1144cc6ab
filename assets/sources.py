"""Which warehouse a sync reads: that of CONTACTS_WAREHOUSE, another that it names, or an upstream asset's rows.

Belongs here: the choice, and what it is called in Dagster. Not here: reading (`source_rows`), an asset's rows
(`upstream`), how a URL becomes a warehouse (`resources/warehouses`).
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import dagster as dg

from assets import upstream
from assets.rules.sync import Source, Sync
from resources.warehouses.contract import Files, Query, Relation, Table, Warehouse
from resources.warehouses.files import FilesWarehouse


def relation_of(source: Source) -> Relation:
    """What the warehouse shall read."""
    if source.query is not None:
        return Query(source.query)
    if source.file is not None:
        return Files(source.file, source.csv)
    return Table(source.table or "/".join(source.asset or ()))


def resource_of(sync: Sync) -> str | None:
    """The name of the resource that the sync reads from; none for an upstream asset's rows."""
    if sync.source.is_asset:
        return None
    return f"warehouse_{sync.source.warehouse.lower()}" if sync.source.warehouse else "warehouse"


def fitting(sync: Sync, given: Warehouse) -> Warehouse:
    """The warehouse for the sync: where it names files and the warehouse is no folder of them, files from here on."""
    return FilesWarehouse("files:") if sync.source.file and not isinstance(given, FilesWarehouse) else given


@contextmanager
def source_of(context: dg.AssetExecutionContext, sync: Sync) -> Iterator[Warehouse]:
    """The warehouse of the sync, for a step."""
    resource, source = resource_of(sync), sync.source
    if resource is not None:
        yield fitting(sync, getattr(context.resources, resource))
        return
    key = source.asset or ()
    load = upstream.loader_of(context, key)
    with closing(upstream.rows_of(key, instance=context.instance, load=load, csv=source.csv)) as rows:
        yield rows
