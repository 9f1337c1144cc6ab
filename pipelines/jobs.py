"""Jobs: for each sync one that runs it and one that resends everything; and the export for analysts.

Belongs here: which assets run together, in which executor, under which tags. Not here: when (`schedules`, `sensors`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

from assets.exports import ExportConfig
from assets.rules.sync import Kind, Sync

if TYPE_CHECKING:  # Dagster does not export the type of what define_asset_job returns
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

MAX_RUNTIME_SECONDS = 6 * 3600
SYNC_TAG = "contacts/sync"
ALONE_TAG = "contacts/one_at_a_time"
"""Runs with the same value wait for each other in the queue (`concurrency` in dagster.yaml)."""
TAKES_UP_TAG = "contacts/takes_up"
"""The delivery, or the run, that a run goes on with."""


TABLES: Mapping[Kind, tuple[str, ...]] = {
    "contacts": (
        *("source_rows", "accepted_contacts", "rejections"),
        *("departures", "pending_contacts", "contact_imports"),
    ),
    "events": ("source_rows", "accepted_events", "rejections", "contact_events"),
    "unsubscribes": ("source_rows", "requests"),
}
"""The tables that a run of a sync makes."""


def sending_jobs(sync: Sync) -> "tuple[UnresolvedAssetJobDefinition, ...]":
    """The jobs that tell Mailtrap something: the sync, and of contacts the one that sends all of them again."""
    return (sync_job(sync), full_resync_job(sync)) if sync.kind == "contacts" else (sync_job(sync),)


def sync_job(sync: Sync) -> "UnresolvedAssetJobDefinition":
    """Pull, screen, compare and send: the sync as its schedule runs it."""
    return dg.define_asset_job(
        f"sync_{sync.name}",
        selection=_tables(sync),
        description=f"Bring Mailtrap up to date with the rows of {sync.name}. Sends only what changed.",
        tags=_tags(sync),
        executor_def=dg.in_process_executor,
    )


def full_resync_job(sync: Sync) -> "UnresolvedAssetJobDefinition":
    """The same, but everything is sent again."""
    return dg.define_asset_job(
        f"full_resync_{sync.name}",
        selection=_tables(sync),
        description=f"Send every accepted contact of {sync.name} again, also the unchanged ones.",
        config={"ops": {f"{sync.name}__pending_contacts": {"config": {"full_resync": True}}}},
        tags=_tags(sync),
        executor_def=dg.in_process_executor,
    )


def export_job() -> "UnresolvedAssetJobDefinition":
    """What analysts launch: Mailtrap's contacts as Parquet."""
    return dg.define_asset_job(
        "export_contacts",
        selection=dg.AssetSelection.assets(
            dg.AssetKey(["mailtrap", "exported_contacts"]), dg.AssetKey(["mailtrap", "analyst_database"])
        ),
        description="Take an export of Mailtrap's contacts, filtered as the launchpad says, as Parquet.",
        # The launchpad shows these few lines, each with its default, and nothing else.
        config={"ops": {"mailtrap__exported_contacts": {"config": ExportConfig().model_dump()}}},
        tags={"contacts/export": "yes", "dagster/max_runtime": str(MAX_RUNTIME_SECONDS)},
        executor_def=dg.in_process_executor,
    )


def opt_outs_job() -> "UnresolvedAssetJobDefinition":
    """For the source of truth: who opted out at Mailtrap."""
    names = ("unsubscribed", "suppressions", "opt_outs")
    return dg.define_asset_job(
        "opt_outs",
        selection=dg.AssetSelection.assets(*(dg.AssetKey(["mailtrap", name]) for name in names)),
        description="Look up who unsubscribed or was suppressed at Mailtrap, and keep it as a table for the warehouse.",
        tags={"dagster/max_runtime": str(MAX_RUNTIME_SECONDS)},
        executor_def=dg.in_process_executor,
    )


def drift_job(sync: Sync) -> "UnresolvedAssetJobDefinition":
    """Proof: what Mailtrap has against what it was told."""
    return dg.define_asset_job(
        f"drift_{sync.name}",
        selection=dg.AssetSelection.assets(
            dg.AssetKey(["mailtrap", "exported_contacts"]), dg.AssetKey([sync.name, "drift"])
        ),
        description=f"Take an export and compare it with what Mailtrap was told by {sync.name}.",
        tags=_tags(sync),
        executor_def=dg.in_process_executor,
    )


def _tables(sync: Sync) -> dg.AssetSelection:
    proof = ("drift",) if sync.verify == "export" else ()
    return dg.AssetSelection.assets(
        *(dg.AssetKey([sync.name, name]) for name in (*TABLES[sync.kind], *proof))
    )


def _tags(sync: Sync) -> dict[str, str]:
    alone = {ALONE_TAG: sync.name} if sync.source.partition is None else {}
    return {SYNC_TAG: sync.name, **alone, "dagster/max_runtime": str(MAX_RUNTIME_SECONDS)}
