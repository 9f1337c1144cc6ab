"""What machines read of a run: one JSON object a line, with numbers and without people."""

import json
import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from pipelines.definitions import build_definitions
from tests.pipelines.syncing_world import syncing_world

RUNNING = (Path(__file__).parents[2] / "docs" / "running.md").read_text()
AS_DOCUMENTED = yaml.safe_load(re.findall(r"```yaml\n(python_logs.*?)```", RUNNING, re.S)[0])
CONSOLE = {"loggers": {"console": {"config": {"log_level": "DEBUG"}}}}


@pytest.mark.filterwarnings("ignore:Handling yaml-defined logging")  # Dagster calls it beta
@pytest.mark.parametrize(
    ("settings", "config"),
    [({}, CONSOLE), (AS_DOCUMENTED, None)],
    ids=["from the command", "from Dagster, by dagster.yaml"],
)
def test_a_run_is_written_as_json_lines(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], settings: dict[str, Any], config: Any
) -> None:
    """Tables and checks with their numbers, our own sentences, the run's ids; and nobody's address."""
    with (
        syncing_world(tmp_path, people_a_day=1) as world,
        dg.DagsterInstance.ephemeral(settings=settings) as instance,
    ):
        definitions = build_definitions(
            world.syncs, environ={"CONTACTS_LOGS": "json"}, resources=world.resources
        )
        job = definitions.resolve_job_def("sync_whole")
        result = job.execute_in_process(instance=instance, run_config=config)
    text = capfd.readouterr().err
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert {each["run"] for each in lines} == {result.run_id} and {each["sync"] for each in lines} == {
        "whole"
    }
    [made] = [each for each in lines if each.get("asset") == "whole/contact_imports" and "check" not in each]
    assert made["event"] == "asset_materialization"
    assert made["numbers"]["rows_read"] == made["numbers"]["rows_accepted"] == 4
    assert any(each.get("check") == "every_row_is_accounted_for" and each["passed"] for each in lines)
    told = [each["message"] for each in lines if each["event"] == "log"]
    assert any("4 of 4 rows told to Mailtrap and proven" in each for each in told)
    assert "@" not in text and "Name1" not in text
