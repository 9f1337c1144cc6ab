"""How Dagster is told where the rows are: one URL, and how long a statement may take.

Here: settings and how to make a plain `Warehouse` from them. Not here: anything about one kind of warehouse.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from resources.warehouses import Warehouse, connect
from resources.warehouses.contract import STATEMENT_TIMEOUT_SECONDS


class WarehouseResource(dg.ConfigurableResource[Warehouse]):
    """The warehouse that the syncs read from; assets receive the plain, open `Warehouse`."""

    url: str = Field(
        repr=False,
        description=(
            "Where the rows are, as a URL; its scheme names the file in resources/warehouses/: duckdb:///path, "
            "md:database, postgresql://user:password@host/database, snowflake://…, bigquery://project, "
            "files:///folder, s3://bucket/folder. May hold a password: give it as EnvVar('CONTACTS_WAREHOUSE')."
        ),
    )
    statement_timeout_seconds: float = Field(
        default=STATEMENT_TIMEOUT_SECONDS,
        gt=0,
        description="How long one statement may run in the warehouse, in seconds. Default: 3600.",
    )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Warehouse]:  # noqa: ARG002
        """The open warehouse, closed when the run's step ends, however it ends."""
        warehouse = self.open()
        try:
            yield warehouse
        finally:
            warehouse.close()

    def open(self) -> Warehouse:
        """The open warehouse, for code outside of a run; the caller closes it."""
        return connect(self.url, statement_timeout_seconds=self.statement_timeout_seconds)
