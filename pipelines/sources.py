"""Where a command reads a sync's rows: what `assets/sources` is for a run.

Belongs here: opening the sync's warehouse, or its upstream asset on the Dagster instance, outside of a run.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from assets import upstream
from assets.rules.sync import Sync
from assets.sources import fitting
from pipelines.definitions import build_definitions
from pipelines.runs import instance_of
from resources import settings
from resources.settings import Settings
from resources.warehouses import Warehouse, connect
from resources.warehouses.settings import require_url


@contextmanager
def opened_source(sync: Sync, environ: Mapping[str, str]) -> Iterator[Warehouse]:
    """The warehouse that the sync reads."""
    known = settings.read(environ)
    if sync.source.is_asset:
        with _upstream(sync, known, environ) as rows:
            yield rows
        return
    variable = sync.source.warehouse
    url = require_url(environ.get(variable, ""), variable=variable) if variable else known.warehouse
    with closing(connect(url)) as warehouse:
        yield fitting(sync, warehouse)


@contextmanager
def _upstream(sync: Sync, known: Settings, environ: Mapping[str, str]) -> Iterator[Warehouse]:
    key, csv = sync.source.asset or (), sync.source.csv
    definitions = build_definitions((sync,), environ=environ)
    with instance_of(known) as instance, definitions.get_asset_value_loader(instance) as loader:

        def load(partition: str | None) -> object:
            return loader.load_asset_value(list(key), partition_key=partition)

        with closing(upstream.rows_of(key, instance=instance, load=load, csv=csv)) as rows:
            yield rows
