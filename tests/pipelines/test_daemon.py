"""A real daemon, a real web server, real run workers: a backfill from the UI that is killed goes on by itself."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.dagster_world import DagsterWorld, dagster_world, until

TABLES = (
    "source_rows",
    "accepted_contacts",
    "rejections",
    "departures",
    "pending_contacts",
    "contact_imports",
)
LAUNCH = """mutation($wanted: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $wanted) { __typename ... on LaunchBackfillSuccess { backfillId } }
}"""
RUNS = "{ runsOrError { ... on Runs { results { runId status parentRunId } } } }"
EVENTS = """query($run: ID!) { logsForRun(runId: $run) {
  ... on EventConnection { events { ... on MessageEvent { message } } }
} }"""
SHOWN = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionStats { numMaterialized numPartitions } assetMaterializations(limit: 100) { partition }
} } }"""


def runs_of(world: DagsterWorld) -> list[dict[str, Any]]:
    """Every run, newest first."""
    found: list[dict[str, Any]] = world.graphql(RUNS)["runsOrError"]["results"]
    return found


def worker_of(world: DagsterWorld, run: str) -> int:
    """The process id of a run's worker, as it said itself."""
    events = world.graphql(EVENTS, run=run)["logsForRun"]["events"]
    text = " ".join(each.get("message") or "" for each in events)
    found = re.search(r"Started process for run \(pid: (\d+)\)", text)
    assert found, text
    return int(found[1])


def imports_of(world: DagsterWorld) -> int:
    """How many imports Mailtrap was asked for."""
    requests = world.mailtrap("requests")
    return sum(each["method"] == "POST" and each["path"].endswith("/contacts/imports") for each in requests)


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_a_backfill_whose_worker_is_killed_in_mid_import_is_taken_up(tmp_path: Path) -> None:
    """SIGKILL while an import is under way: no orphan sends, Dagster notices, and the next run only awaits."""
    with dagster_world(tmp_path, days=20, people_a_day=10, knobs={"import_start_seconds": 6}) as world:
        wanted = {
            "assetSelection": [{"path": ["daily", table]} for table in TABLES],
            "partitionNames": list(world.days),
        }
        launched = world.graphql(LAUNCH, wanted=wanted)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess"
        until(lambda: imports_of(world), seconds=120, what="the first import")
        [first] = runs_of(world)
        os.kill(worker_of(world, first["runId"]), signal.SIGKILL)

        until(
            lambda: runs_of(world)[-1]["status"] == "FAILURE", seconds=120, what="the killed run is noticed"
        )
        until(lambda: runs_of(world)[0]["status"] == "SUCCESS", seconds=180, what="the run that goes on")
        shown = world.graphql(SHOWN, key={"path": ["daily", "contact_imports"]})["assetNodeOrError"]

        assert imports_of(world) == 1
        assert sum(each["contacts"] for each in world.mailtrap("counts").values()) == 200
        assert {each["partition"] for each in shown["assetMaterializations"]} == {*world.days}
