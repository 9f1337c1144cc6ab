"""How Dagster is told where the rows are: one URL, and how long a statement may take.

Here: settings and how to make a plain `Warehouse` from them. Not here: anything about one kind of warehouse.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import dagster as dg
import pyarrow as pa
from pydantic import Field

from resources import settings
from resources.errors import ConnectorError, SettingsError
from resources.warehouses import Warehouse, connect
from resources.warehouses.contract import (
    ROWS_PER_BATCH,
    STATEMENT_TIMEOUT_SECONDS,
    Batches,
    Relation,
    Window,
)
from resources.warehouses.write_back import WriteBack


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
    variable: str = Field(
        default="CONTACTS_WAREHOUSE",
        description="Which environment variable the URL comes from; named when it is not set. "
        "Default: CONTACTS_WAREHOUSE.",
    )
    statement_timeout_seconds: float = Field(
        default=STATEMENT_TIMEOUT_SECONDS,
        gt=0,
        description="How long one statement may run in the warehouse, in seconds. Default: 3600.",
    )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Warehouse]:  # noqa: ARG002
        """The open warehouse, closed when the run's step ends, however it ends.

        One that cannot be opened says why when it is read: an error here would reach nobody in words.
        """
        warehouse: Warehouse
        try:
            warehouse = self.open()
        except ConnectorError as error:
            warehouse = Unopened(error)
        try:
            yield warehouse
        finally:
            warehouse.close()

    def open(self) -> Warehouse:
        """The open warehouse, for code outside of a run; the caller closes it."""
        require_url(self.url, variable=self.variable)
        return connect(self.url, statement_timeout_seconds=self.statement_timeout_seconds)


class Unopened:
    """A warehouse that could not be opened: whatever it is asked, it says why."""

    dialect = ""

    def __init__(self, why: ConnectorError) -> None:
        self._why = why

    def columns(self, relation: Relation) -> pa.Schema:  # noqa: ARG002
        """Why not."""
        raise self._why

    def read(
        self,
        relation: Relation,  # noqa: ARG002
        *,
        columns: Sequence[str],  # noqa: ARG002
        window: Window | None = None,  # noqa: ARG002
        rows_per_batch: int = ROWS_PER_BATCH,  # noqa: ARG002
    ) -> AbstractContextManager[Batches]:
        """Why not."""
        raise self._why

    def count(self, relation: Relation, *, window: Window | None = None) -> int | None:  # noqa: ARG002
        """Why not."""
        raise self._why

    def close(self) -> None:
        """Nothing is open."""


def require_url(url: str, *, variable: str) -> str:
    """The URL, when there is one."""
    if not url.strip():
        raise SettingsError(
            f"{variable} is not set.",
            "A sync reads from the warehouse whose URL it holds.",
            f"Set {variable} to the warehouse's URL, or correct `warehouse:` in the sync file.",
        )
    return url


class WriteBackResource(dg.ConfigurableResource[WriteBack]):
    """The database that learns who opted out at Mailtrap; assets receive a plain `WriteBack`."""

    url: str | None = Field(default=None, repr=False, description=settings.describe("CONTACTS_WRITE_BACK"))
    table: str | None = Field(default=None, description=settings.describe("CONTACTS_WRITE_BACK_TABLE"))

    def create_resource(self, context: dg.InitResourceContext) -> WriteBack:  # noqa: ARG002
        """Where to write, checked; nothing is opened before something is written."""
        given = {"CONTACTS_WRITE_BACK": self.url, "CONTACTS_WRITE_BACK_TABLE": self.table}
        known = settings.read({name: value for name, value in given.items() if value is not None})
        return WriteBack(known.write_back, known.write_back_table)
