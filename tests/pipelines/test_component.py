"""A sync as a Dagster Component, in a project of somebody's own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.testing.utils import DefsFolderSandbox, create_defs_folder_sandbox

from assets.rules.sync_file import load_syncs
from pipelines.component import MailtrapContactSync, SyncAttributes
from resources.errors import SettingsError

# What Dagster does itself when it loads a component.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
SHIPPED = Path(__file__).resolve().parents[2] / "pipelines" / "syncs" / "newsletter.yaml"


@pytest.fixture
def project() -> Iterator[DefsFolderSandbox]:
    """A project with nothing in it."""
    with create_defs_folder_sandbox() as sandbox:
        yield sandbox


def put(project: DefsFolderSandbox, name: str, attributes: str = "") -> Path:
    """A defs.yaml in a folder of its own."""
    component = "MailtrapContactSync" if attributes else "MailtrapAccount"
    folder = project.defs_folder_path / name
    folder.mkdir()
    text = f"type: pipelines.component.{component}\n"
    if attributes:
        text += "attributes:\n" + "".join(f"  {line}\n" for line in attributes.splitlines())
    (folder / "defs.yaml").write_text(text)
    return folder


def test_a_sync_file_under_attributes_is_the_same_sync(project: DefsFolderSandbox) -> None:
    """The keys of the sync file that we ship can be moved under `attributes` as they stand."""
    folder = put(project, "newsletter", SHIPPED.read_text())
    with project.load_component_and_build_defs(folder) as (component, definitions):
        assert isinstance(component, MailtrapContactSync)
        (shipped,) = load_syncs(SHIPPED.parent)
        assert component.sync.version == shipped.version
        assert {schedule.name for schedule in definitions.schedules or ()} == {"newsletter_schedule"}


def test_an_account_and_its_syncs_make_a_code_location(project: DefsFolderSandbox) -> None:
    """One account and two syncs load together, with jobs, assets and resources that fit."""
    put(project, "account")
    put(project, "newsletter", SHIPPED.read_text())
    put(project, "customers", SHIPPED.read_text().replace("sync: newsletter", "sync: customers"))
    with project.build_all_defs() as definitions:
        jobs = {job.name for job in definitions.get_repository_def().get_all_jobs()}
        assert {"sync_newsletter", "sync_customers", "export_contacts", "drift_customers"} <= jobs
        assert {"erase_people", "opt_outs", "retention"} <= jobs
        sensors = {each.name for each in definitions.get_repository_def().sensor_defs}
        assert sensors >= {"newsletter_unfinished_imports", "alert_on_failure", "alert_on_warnings"}
        keys = definitions.resolve_asset_graph().executable_asset_keys
        assert {dg.AssetKey(["customers", "contact_imports"]), dg.AssetKey(["mailtrap", "lists"])} <= keys


EXAMPLES = (Path(__file__).resolve().parents[2] / "docs" / "syncs.md").read_text()


@pytest.mark.parametrize("kind", ["events", "unsubscribes"])
def test_every_kind_of_sync_is_a_component(project: DefsFolderSandbox, kind: str) -> None:
    """Syncs that send events or take people away have no full resync, and load all the same."""
    blocks = EXAMPLES.split("```yaml\n")[1:]
    text = next(each.partition("```")[0] for each in blocks if f"\n{kind}:" in each and "sync:" in each)
    put(project, "account")
    put(project, "other", text)
    with project.build_all_defs() as definitions:
        jobs = {job.name for job in definitions.get_repository_def().get_all_jobs()}
    assert [each for each in jobs if each.startswith("sync_")]
    assert not [each for each in jobs if each.startswith("full_resync_")]


def test_a_value_can_come_from_the_environment(
    project: DefsFolderSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Components resolve templates before the sync is read."""
    monkeypatch.setenv("SUBSCRIBERS_TABLE", "marts.other_table")
    text = SHIPPED.read_text().replace("marts.newsletter_subscribers", "'{{ env.SUBSCRIBERS_TABLE }}'")
    folder = put(project, "newsletter", text)
    with project.load_component_and_build_defs(folder) as (component, _):
        assert isinstance(component, MailtrapContactSync)
        assert component.sync.source.table == "marts.other_table"


def test_a_sync_of_the_project_s_own_asset_is_set_off_by_it(project: DefsFolderSandbox) -> None:
    """`asset` alone: no warehouse is asked for, the asset is shown upstream, and a sensor waits for it."""
    put(project, "account")
    text = SHIPPED.read_text().replace("table: marts.newsletter_subscribers", "asset: marts/people")
    put(project, "newsletter", text)
    with project.build_all_defs() as definitions:
        assert "newsletter_upstream" in {sensor.name for sensor in definitions.sensors or ()}
        graph, key = definitions.resolve_asset_graph(), dg.AssetKey(["newsletter", "source_rows"])
        assert graph.get(key).parent_keys == {dg.AssetKey(["marts", "people"])}
        asset = definitions.get_repository_def().assets_defs_by_key[key]
        assert "warehouse" not in asset.required_resource_keys


def test_two_syncs_may_name_the_same_warehouse(project: DefsFolderSandbox) -> None:
    """Dagster takes only one resource for a name."""
    put(project, "account")
    for name in ("newsletter", "customers"):
        text = SHIPPED.read_text().replace("sync: newsletter", f"sync: {name}")
        put(project, name, text.replace("  table:", "  warehouse: CRM_URL\n  table:"))
    with project.build_all_defs() as definitions:
        assert "warehouse_crm_url" in (definitions.resources or {})


def test_what_is_wrong_is_said_by_key(project: DefsFolderSandbox) -> None:
    """The same judge as for sync files, in the same words."""
    folder = put(project, "newsletter", SHIPPED.read_text().replace("mode: upsert", "mode: upserd"))
    with pytest.raises(ComponentTreeException) as caught, project.load_component_and_build_defs(folder):
        pass
    cause = caught.value.__cause__ or caught.value.__context__
    assert isinstance(cause, SettingsError)
    assert cause.happened.startswith("newsletter/defs.yaml: mode: ")


def test_editors_are_told_the_keys_of_a_sync_file() -> None:
    """`dg` shows the schema of sync files, not an empty one."""
    assert set(yaml.safe_load(SHIPPED.read_text())) <= set(SyncAttributes.model_json_schema()["properties"])


@pytest.mark.proof
def test_dg_checks_and_lists_what_is_here() -> None:
    """`dg check defs` and `dg list defs` work in a clone, on the sync files, with nothing set."""
    dg_command = Path(sys.executable).parent / "dg"
    environ = {**os.environ, "DAGSTER_DISABLE_TELEMETRY": "1"}

    def run(*words: str) -> str:
        done = subprocess.run(
            [dg_command, *words],
            cwd=SHIPPED.parents[2],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert "All definitions loaded successfully" in run("check", "defs")
    found = json.loads(run("list", "defs", "--json"))
    assert "newsletter/contact_imports" in {each["asset_key"] for each in found["assets"]}
    assert "pipelines.component.MailtrapContactSync" in run("list", "components", "--json")


def test_an_automation_condition_is_given_beside_the_attributes(project: DefsFolderSandbox) -> None:
    """Dagster's own `post_processing` sets it on the tables that are named; a sync's attributes need no key for it."""
    put(project, "account")
    folder = put(project, "newsletter", SHIPPED.read_text())
    page = Path(__file__).resolve().parents[2] / "docs" / "deploying.md"
    (extra,) = re.findall(r"```yaml\n(post_processing:.*?)```", page.read_text(), re.DOTALL)
    with (folder / "defs.yaml").open("a") as file:
        file.write(extra)
    with project.build_all_defs() as definitions:
        graph = definitions.resolve_asset_graph()
        automated = {
            key.path[-1] for key in graph.executable_asset_keys if graph.get(key).automation_condition
        }
        assert {"source_rows", "accepted_contacts", "pending_contacts", "contact_imports"} <= automated
