"""A whole pipeline in one process for tests: real definitions, a real warehouse file, the local Mailtrap on loopback.

The Dagster instance is one of a moment, and its runs are executed in this process.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import duckdb

from assets.rules.guards import OUTCOMES
from assets.rules.sync import Sync
from assets.rules.sync_file import load_syncs
from pipelines.definitions import build_definitions
from resources.alerts.settings import AlertsResource
from resources.local_mailtrap.clock import real_clock
from resources.local_mailtrap.mailtrap import LocalMailtrap
from resources.mailtrap.settings import MailtrapResource
from resources.store.settings import StoreResource
from resources.store.store import Store
from resources.warehouses.settings import WarehouseResource
from tests.pipelines.dagster_world import make_warehouse, write_syncs

DAYS = ("2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04")
QUICK = {
    "import_start_seconds": 0,
    "import_seconds_per_1000_rows": 0,
    "export_start_seconds": 0,
    "contacts_limit": 100_000,
    "suppressions_limit": 100_000,
    "token_limit": 100_000,
}
UNLIMITED = "100000/1"
TABLES = ("source_rows", "accepted_contacts", "rejections", "pending_contacts", "contact_imports")


@dataclass(slots=True)
class SyncingWorld:
    """What a test can do with it."""

    folder: Path
    mailtrap: LocalMailtrap
    instance: dg.DagsterInstance
    resources: dict[str, Any] = field(repr=False)

    @property
    def syncs(self) -> tuple[Sync, ...]:
        """The syncs of its folder."""
        return load_syncs(self.folder / "syncs")

    def definitions(self, **resources: Any) -> dg.Definitions:
        """What Dagster loads; a resource can be another one."""
        return build_definitions(self.syncs, environ={}, resources={**self.resources, **resources})

    def run(
        self,
        job: str,
        *,
        partition: str | None = None,
        days: tuple[str, str] | None = None,
        **resources: Any,
    ) -> dg.ExecuteInProcessResult:
        """Run a job: whole, for one partition, or for a range of days in one run."""
        first, last = days or ("", "")
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        return (
            self.definitions(**resources)
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                partition_key=partition,
                tags=tags if days else None,
                raise_on_error=False,
            )
        )

    def change(self, sql: str, *values: Any) -> None:
        """Change the warehouse."""
        with duckdb.connect(str(self.folder / "warehouse.duckdb")) as connection:
            connection.execute(sql, values)

    def imports(self) -> list[dict[str, Any]]:
        """The import requests that Mailtrap has seen."""
        every = (each.as_dict() for each in self.mailtrap.journal.entries)
        return [
            each for each in every if each["method"] == "POST" and each["path"].endswith("/contacts/imports")
        ]

    def contacts(self) -> dict[str, Any]:
        """Every contact that Mailtrap has, by address."""
        return {
            contact["email"]: contact
            for account in self.mailtrap.dump()["accounts"]
            for contact in account["contacts"]
        }

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        """Lake and journal, opened."""
        with self.resources["store"].yield_for_execution(dg.build_init_resource_context()) as store:
            yield store


def rows_of(result: dg.ExecuteInProcessResult, sync: str) -> dict[str | None, dict[str, int]]:
    """The rows by outcome that contact_imports showed, by partition; only the outcomes that there were."""
    events = result.asset_materializations_for_node(f"{sync}__contact_imports")
    return {
        each.partition: {
            name.removeprefix("rows_"): int(value.value)  # type: ignore[arg-type]
            for name, value in each.metadata.items()
            if name.removeprefix("rows_") in ("read", *OUTCOMES) and name.startswith("rows_") and value.value
        }
        for each in events
    }


@contextlib.contextmanager
def syncing_world(
    folder: Path, *, days: Sequence[str] = DAYS, people_a_day: int = 5
) -> Iterator[SyncingWorld]:
    """A world with a few people a day, and three syncs of the same table: `daily`, `buckets`, `whole`."""
    make_warehouse(folder / "warehouse.duckdb", days=days, people_a_day=people_a_day)
    write_syncs(folder / "syncs", start=days[0])
    mailtrap = LocalMailtrap(clock=real_clock(), knobs=QUICK)
    with mailtrap.running(), dg.DagsterInstance.ephemeral() as instance:
        home = str(folder / "contacts")
        yield SyncingWorld(
            folder,
            mailtrap,
            instance,
            {
                "store": StoreResource(home=home, poll_seconds="0.02"),
                "warehouse": WarehouseResource(url=f"duckdb:///{folder / 'warehouse.duckdb'}"),
                "mailtrap": MailtrapResource(
                    home=home,
                    api_token=mailtrap.token,
                    api_url=mailtrap.api_origin,
                    download_hosts=urlsplit(mailtrap.storage_origin).netloc,
                    poll_seconds="0.02",
                    contacts_limit=UNLIMITED,
                    token_limit=UNLIMITED,
                    suppressions_limit=UNLIMITED,
                ),
                "alerts": AlertsResource(),
            },
        )
