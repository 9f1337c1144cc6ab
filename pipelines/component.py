"""Dagster Components, for a `dg` project of your own: a sync in a defs.yaml, without cloning this repository.

Belongs here: from the attributes of a defs.yaml to the definitions that `definitions` makes of a sync file. Not here:
what a sync may say (`assets/rules/sync_file`).

    type: pipelines.component.MailtrapAccount        # once: the account's tables, the export, the connections
    ---
    type: pipelines.component.MailtrapContactSync    # for each sync; attributes are the keys of a sync file
    attributes: {sync: newsletter, source: {table: marts.subscribers}, ...}
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import dagster as dg
import yaml
from dagster.components import ComponentLoadContext
from pydantic import BaseModel, ConfigDict

from assets.rules.sync import Sync, SyncFileError
from assets.rules.sync_file import parse_sync
from assets.rules.sync_file.schema import sync_schema
from pipelines.definitions import assets_of, mailtrap_assets, named_warehouses, resources_from
from pipelines.jobs import export_job, full_resync_job, sync_job
from pipelines.schedules import schedule_of
from pipelines.sensors import triggers_of
from resources.errors import SettingsError


class SyncAttributes(BaseModel):
    """The keys of a sync file; the rules of sync files judge them, and `dg` shows their schema."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra=lambda schema: schema.update(sync_schema() | {"title": "Sync"})
    )


@dataclass
class MailtrapContactSync(dg.Component):
    """Rows of a warehouse become contacts at Mailtrap: its attributes are the keys of a sync file."""

    sync: Sync

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """What may stand under `attributes`."""
        return SyncAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: ComponentLoadContext) -> Self:
        """The component of a defs.yaml; all that is wrong with its attributes is said at once."""
        given = {} if attributes is None else attributes.model_dump()
        resolved = context.resolution_context.at_path("attributes").resolve_value(given)
        return cls(sync_of(dict(resolved), place=f"{context.path.name}/defs.yaml"))

    def build_defs(self, context: ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        """The tables, jobs, schedule and sensors of this sync, and the warehouse that it names."""
        job = sync_job(self.sync)
        return dg.Definitions(
            assets=assets_of(self.sync),
            jobs=[job, full_resync_job(self.sync)],
            schedules=[schedule_of(self.sync, job)] if self.sync.schedule else [],
            sensors=triggers_of(self.sync, job),
            resources=named_warehouses([self.sync], os.environ),
        )


@dataclass
class MailtrapAccount(dg.Component):
    """What every sync needs once: the account's tables, the export for analysts, and the connections."""

    def build_defs(self, context: ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        """The account's tables, its jobs, and resources set by the environment."""
        return dg.Definitions(
            assets=mailtrap_assets(),
            jobs=[export_job()],
            resources=resources_from(os.environ),
            executor=dg.in_process_executor,
        )


def sync_of(attributes: dict[str, Any], *, place: str) -> Sync:
    """The sync that attributes describe, judged by the rules of sync files."""
    try:
        return parse_sync(yaml.safe_dump(attributes, sort_keys=False, allow_unicode=True), path=place)
    except SyncFileError as error:
        raise SettingsError(
            _in_words(place, error.problems), "This sync is not loaded.", "Mend the attributes named."
        ) from None


def _in_words(place: str, problems: Iterable[Any]) -> str:
    """Without line numbers, which would be those of a text that nobody has seen."""
    return "\n".join(f"{place}: {each.key}: {each.happened} {each.remedy}".rstrip() for each in problems)
