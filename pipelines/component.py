"""Dagster Components, for a `dg` project of your own: a sync in a defs.yaml, without cloning this repository.

Belongs here: from the attributes of a defs.yaml to the definitions that `definitions` makes of a sync file. Not here:
what a sync may say (`assets/rules/sync_file`).

    type: pipelines.component.MailtrapAccount        # once: the account's tables, the export, the connections
    ---
    type: pipelines.component.MailtrapContactSync    # for each sync; attributes are the keys of a sync file
    attributes: {sync: newsletter, source: {table: marts.subscribers}, ...}
"""

import os
import re
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
from pipelines.definitions import account_definitions, sync_definitions
from pipelines.jobs import sending_jobs
from pipelines.sensors import unfinished_imports
from resources.errors import SettingsError

EXAMPLE = {
    "source": {"table": "marts.subscribers", "key": "id", "updated_at": "updated_at"},
    "email": "email",
    "consent": {"granted": "wants_mail", "granted_at": "agreed_at"},
    "fields": {"first_name": "first_name"},
    "lists": {"include": ["Newsletter"]},
    "schedule": "0 * * * *",
}


class ExampleSync(dg.Scaffolder[BaseModel]):
    """What `dg scaffold defs` writes: a sync that loads as it stands, named after its folder."""

    def scaffold(self, request: dg.ScaffoldRequest[BaseModel]) -> None:
        """Write the defs.yaml."""
        name = re.sub(r"[^a-z0-9_]", "_", request.target_path.name.lower())
        dg.scaffold_component(request, {"sync": name, **EXAMPLE})


class SyncAttributes(BaseModel):
    """The keys of a sync file; the rules of sync files judge them, and `dg` shows their schema."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra=lambda schema: schema.update(sync_schema() | {"title": "Sync"})
    )


@dg.scaffold_with(ExampleSync)
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
        """The tables, jobs, schedule and sensors of this sync."""
        # The sensor stands beside its jobs: Dagster copies the jobs of each component, and a copy is another job.
        jobs = sending_jobs(self.sync)
        take_up = unfinished_imports([self.sync], jobs, name=f"{self.sync.name}_unfinished_imports")
        return dg.Definitions.merge(sync_definitions(self.sync, jobs), dg.Definitions(sensors=[take_up]))


@dataclass
class MailtrapAccount(dg.Component):
    """What every sync needs once: the account's tables, the export for analysts, upkeep, alerts, connections."""

    def build_defs(self, context: ComponentLoadContext) -> dg.Definitions:
        """The account's tables and jobs, for all syncs of the project, and resources set by the environment."""
        found = context.component_tree.get_all_components(of_type=MailtrapContactSync)
        return account_definitions([each.sync for each in found], environ=os.environ)


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
