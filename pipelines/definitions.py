"""The one place where syncs, assets, resources and jobs meet.

Dagster loads `defs`; the command and the tests call `build_definitions`. Reading sync files and the environment
happens here and nowhere below.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import account
from assets.analyst_database import analyst_database
from assets.changes import pending_contacts
from assets.code import with_code
from assets.contacts import screened_contacts
from assets.departures import departures
from assets.drift import drift
from assets.events import contact_events, screened_events
from assets.exports import exported_contacts
from assets.imports import contact_imports
from assets.opt_outs import opt_outs
from assets.requests import requests
from assets.rules.sync import Kind, Sync, SyncFileError
from assets.rules.sync_file import load_syncs
from assets.source_rows import source_rows
from assets.sources import resource_of
from assets.warehouse_tables import warehouse_tables
from pipelines.alerts import alert_on_failure, alert_on_warnings
from pipelines.erasing import erase_people_job
from pipelines.jobs import drift_job, export_job, opt_outs_job, sending_jobs
from pipelines.logs import json_lines
from pipelines.schedules import export_schedule, schedule_of
from pipelines.sensors import sensors_of, unfinished_imports
from pipelines.upkeep import retention_job, retention_schedule
from resources import settings
from resources.alerts.settings import AlertsResource
from resources.errors import SettingsError
from resources.mailtrap.settings import MailtrapResource
from resources.store.settings import StoreResource
from resources.warehouses.settings import WarehouseResource, WriteBackResource

if TYPE_CHECKING:  # Dagster does not export the type of what define_asset_job returns
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition as Job

DEFAULT_OWNERS = ["team:data"]
MADE_OF: Mapping[Kind, tuple[Callable[..., dg.AssetsDefinition], ...]] = {
    "contacts": (source_rows, screened_contacts, departures, pending_contacts, contact_imports, drift),
    "events": (source_rows, screened_events, contact_events),
    "unsubscribes": (source_rows, requests),
}
"""What a sync's tables are made by, in their order."""


def build_definitions(
    syncs: Sequence[Sync] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """Everything that Dagster shows; each part can be replaced."""
    environ = os.environ if environ is None else environ
    found = read_syncs(environ) if syncs is None else tuple(syncs)
    jobs = {sync.name: sending_jobs(sync) for sync in found}
    take_up = [unfinished_imports(found, list(chain(*jobs.values())))] if found else []
    return dg.Definitions.merge(
        account_definitions(found, environ=environ, resources=resources),
        dg.Definitions(sensors=take_up),
        *(sync_definitions(sync, jobs[sync.name]) for sync in found),
    )


def account_definitions(
    syncs: Sequence[Sync],
    *,
    environ: Mapping[str, str],
    resources: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """What there is once, whatever the syncs: the account's tables and jobs, upkeep, alerts, and the connections."""
    exports, expired = export_job(), retention_job()
    return dg.Definitions(
        assets=[*warehouse_tables(syncs), *mailtrap_assets()],
        jobs=[exports, erase_people_job(syncs), opt_outs_job(), expired],
        schedules=[export_schedule(exports), retention_schedule(expired)],
        sensors=[alert_on_failure(), alert_on_warnings()],
        resources={**resources_from(environ), **named_warehouses(syncs, environ), **(resources or {})},
        executor=dg.in_process_executor,
        loggers=loggers_from(environ),
    )


def sync_definitions(sync: Sync, jobs: Sequence["Job"]) -> dg.Definitions:
    """What a sync brings: its tables, its jobs, and what sets off the first of them."""
    job, *others = jobs
    proof = [drift_job(sync)] if sync.kind == "contacts" else []
    return dg.Definitions(
        assets=assets_of(sync),
        jobs=[job, *others, *proof],
        schedules=[schedule_of(sync, job)] if sync.schedule else [],
        sensors=sensors_of(sync, job),
    )


def loggers_from(environ: Mapping[str, str]) -> dict[str, dg.LoggerDefinition]:
    """How runs write their log: as Dagster does, or as lines of JSON."""
    return {"console": json_lines} if settings.read(environ).logs == "json" else {}


def mailtrap_assets() -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """What Mailtrap has, whatever the syncs."""
    made = (
        *(account.lists, account.fields, account.suppressions, account.unsubscribed),
        *(opt_outs, exported_contacts, analyst_database),
    )
    tables = [with_code(make(owners=DEFAULT_OWNERS), make) for make in made]
    return [account.account(owners=DEFAULT_OWNERS), *tables]


def assets_of(sync: Sync) -> list[dg.AssetsDefinition]:
    """The tables of one sync, in the order in which they are made."""
    owners = list(sync.owners) or DEFAULT_OWNERS
    return [with_code(make(sync, owners=owners), make, sync) for make in MADE_OF[sync.kind]]


def read_syncs(environ: Mapping[str, str]) -> tuple[Sync, ...]:
    """The syncs of CONTACTS_SYNCS; all that is wrong with their files is said at once."""
    folder = settings.read(environ).syncs
    try:
        return load_syncs(syncs_folder(folder))
    except SyncFileError as error:
        raise SettingsError(
            str(error), "No sync runs until its file is right.", "Mend the lines named."
        ) from None


def syncs_folder(folder: Path) -> Path:
    """The folder as given, or, when that is the default and we are elsewhere, the one beside this file."""
    beside = Path(__file__).parent / "syncs"
    return beside if folder == Path("pipelines/syncs") and not folder.is_dir() else folder


STORE = {
    "home": "CONTACTS_HOME",
    "lake": "CONTACTS_LAKE",
    "journal": "CONTACTS_JOURNAL",
    "key": "CONTACTS_KEY",
    "tombstones": "CONTACTS_TOMBSTONES",
    "rows_per_payload": "CONTACTS_ROWS_PER_PAYLOAD",
    "bytes_per_payload": "CONTACTS_BYTES_PER_PAYLOAD",
    "poll_seconds": "CONTACTS_POLL_SECONDS",
    "job_deadline_seconds": "CONTACTS_JOB_DEADLINE_SECONDS",
    "keep_extracts_days": "CONTACTS_KEEP_EXTRACTS_DAYS",
    "keep_rejections_days": "CONTACTS_KEEP_REJECTIONS_DAYS",
    "keep_exports_days": "CONTACTS_KEEP_EXPORTS_DAYS",
    "keep_summaries_days": "CONTACTS_KEEP_SUMMARIES_DAYS",
}
MAILTRAP = {
    "api_token": "MAILTRAP_API_TOKEN",
    "account_id": "MAILTRAP_ACCOUNT_ID",
    "api_url": "MAILTRAP_API_URL",
    "path_style": "MAILTRAP_PATH_STYLE",
    "auth": "MAILTRAP_AUTH",
    "download_hosts": "MAILTRAP_DOWNLOAD_HOSTS",
    "contacts_limit": "MAILTRAP_CONTACTS_LIMIT",
    "token_limit": "MAILTRAP_TOKEN_LIMIT",
    "suppressions_limit": "MAILTRAP_SUPPRESSIONS_LIMIT",
    "timeout_seconds": "CONTACTS_TIMEOUT_SECONDS",
    "poll_seconds": "CONTACTS_POLL_SECONDS",
    "job_deadline_seconds": "CONTACTS_JOB_DEADLINE_SECONDS",
    "home": "CONTACTS_HOME",
    "journal": "CONTACTS_JOURNAL",
}


def resources_from(environ: Mapping[str, str]) -> dict[str, Any]:
    """The resources, with every setting that is set taken from the environment at run time, secrets unseen."""

    def given(names: Mapping[str, str]) -> dict[str, Any]:
        return {field: dg.EnvVar(name) for field, name in names.items() if environ.get(name, "").strip()}

    warehouse = {
        "url": settings.BY_NAME["CONTACTS_WAREHOUSE"].default,
        **given({"url": "CONTACTS_WAREHOUSE"}),
    }
    return {
        "store": StoreResource(**given(STORE)),
        "warehouse": WarehouseResource(**warehouse),
        "mailtrap": MailtrapResource(**given(MAILTRAP)),
        "write_back": WriteBackResource(
            **given({"url": "CONTACTS_WRITE_BACK", "table": "CONTACTS_WRITE_BACK_TABLE"})
        ),
        "alerts": AlertsResource(**given({"webhook": "CONTACTS_ALERT_WEBHOOK"})),
    }


def named_warehouses(syncs: Sequence[Sync], environ: Mapping[str, str]) -> dict[str, WarehouseResource]:
    """The warehouses that syncs name by a variable of their own, beside the one of CONTACTS_WAREHOUSE."""
    named = {resource_of(sync): sync.source.warehouse for sync in syncs if sync.source.warehouse}
    return {
        resource: _warehouse_of(variable, is_set=bool(environ.get(variable, "").strip()))
        for resource, variable in named.items()
        if resource and variable
    }


@functools.cache  # two components may name the same one, and Dagster takes only one object for a name
def _warehouse_of(variable: str, *, is_set: bool) -> WarehouseResource:
    return WarehouseResource(url=dg.EnvVar(variable) if is_set else "", variable=variable)


defs = build_definitions()
