"""The store as a Dagster resource: its settings as described fields, and a plain `Store` at run time."""

import contextlib
from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from resources import life, settings
from resources.store.store import Store, open_store


class StoreResource(dg.ConfigurableResource[Store]):
    """Home, lake and journal; assets receive a plain `Store`."""

    home: str = Field(default=".contacts", description=settings.describe("CONTACTS_HOME"))
    lake: str | None = Field(default=None, description=settings.describe("CONTACTS_LAKE"))
    journal: str | None = Field(default=None, repr=False, description=settings.describe("CONTACTS_JOURNAL"))
    key: str | None = Field(default=None, repr=False, description=settings.describe("CONTACTS_KEY"))
    tombstones: str | None = Field(default=None, description=settings.describe("CONTACTS_TOMBSTONES"))
    rows_per_payload: str | None = Field(
        default=None, description=settings.describe("CONTACTS_ROWS_PER_PAYLOAD")
    )
    bytes_per_payload: str | None = Field(
        default=None, description=settings.describe("CONTACTS_BYTES_PER_PAYLOAD")
    )
    poll_seconds: str | None = Field(default=None, description=settings.describe("CONTACTS_POLL_SECONDS"))
    job_deadline_seconds: str | None = Field(
        default=None, description=settings.describe("CONTACTS_JOB_DEADLINE_SECONDS")
    )

    keep_extracts_days: str | None = Field(
        default=None, description=settings.describe("CONTACTS_KEEP_EXTRACTS_DAYS")
    )
    keep_rejections_days: str | None = Field(
        default=None, description=settings.describe("CONTACTS_KEEP_REJECTIONS_DAYS")
    )
    keep_exports_days: str | None = Field(
        default=None, description=settings.describe("CONTACTS_KEEP_EXPORTS_DAYS")
    )
    keep_summaries_days: str | None = Field(
        default=None, description=settings.describe("CONTACTS_KEEP_SUMMARIES_DAYS")
    )

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Store]:
        """Open the store for as long as the step takes, and say meanwhile that its run is at work."""
        given = {f"CONTACTS_{name.upper()}": getattr(self, name) for name in type(self).model_fields}
        known = settings.read({name: value for name, value in given.items() if value is not None})
        with (
            open_store(known) as store,
            life.at_work(store.journal.engine, context.run.run_id)
            if context.run
            else contextlib.nullcontext(),
        ):
            yield store
