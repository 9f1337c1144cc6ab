"""A real daemon, a real web server, real run workers: a backfill from the UI that is killed goes on by itself."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from resources.process import started
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


TERMINATE = """mutation($run: String!) { terminateRun(runId: $run) { __typename } }"""
SILENT = {
    "match": {"method": "POST", "path": "/contacts/imports$"},
    "action": {"do": "hang_after", "seconds": 45},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterWorld]:
    """Four days; and somebody who was updated on each of them."""
    folder = tmp_path_factory.mktemp("dagster")
    with dagster_world(folder, days=4, people_a_day=5) as world:
        with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
            connection.execute(
                """insert into people select 'often', 'often@people.example.org', true, 'Day' || n,
                   ?::timestamp + to_days(n::int) + to_seconds(5) from range(4) t(n)""",
                [world.days[0]],
            )
        yield world


def launched(world: DagsterWorld, *days: str) -> None:
    """Launch these days as the UI does."""
    wanted = {
        "assetSelection": [{"path": ["daily", table]} for table in TABLES],
        "partitionNames": list(days),
    }
    found = world.graphql(LAUNCH, wanted=wanted)["launchPartitionBackfill"]
    assert found["__typename"] == "LaunchBackfillSuccess"


def succeeded(world: DagsterWorld, count: int) -> None:
    """Wait until so many runs more have succeeded and nothing is under way; a run that is taken up by itself may fail."""

    def all_done() -> bool:
        found = [each["status"] for each in runs_of(world)]
        return found.count("SUCCESS") >= count and {*found} <= {"SUCCESS", "FAILURE", "CANCELED"}

    until(all_done, seconds=500, what=f"{count} runs that succeeded")


def successes(world: DagsterWorld) -> int:
    """How many runs have succeeded."""
    return sum(each["status"] == "SUCCESS" for each in runs_of(world))


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", ["SIGTERM", "the UI"])
def test_a_run_that_is_told_to_stop_ends_within_ten_seconds(world: DagsterWorld, how: str) -> None:
    """Mailtrap is silent about an import: the run ends, with everything recorded; the next one sends nothing twice."""
    before, day = successes(world), world.days[0 if how == "SIGTERM" else 1]
    imports = imports_of(world)
    rule = world.mailtrap("faults", SILENT)
    launched(world, day)
    until(lambda: imports_of(world) > imports, seconds=200, what="the import")
    run = runs_of(world)[0]["runId"]
    worker = worker_of(world, run)
    began = time.monotonic()
    if how == "SIGTERM":
        os.kill(worker, signal.SIGTERM)
    else:
        world.graphql(TERMINATE, run=run)
    until(lambda: not started(worker), seconds=60, every=0.05, what="the worker ends")
    seconds = time.monotonic() - began
    print(f"told by {how}, the run ended after {seconds:.1f} s")  # noqa: T201 - what make proof is for
    world.mailtrap(f"faults/{rule['id']}", method="DELETE")
    launched(world, day)
    succeeded(world, before + 1)
    assert imports_of(world) == imports + 1
    assert seconds < 10


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_days_in_any_order_and_beside_each_other_end_with_the_newest(world: DagsterWorld) -> None:
    """As many single runs, newest day first: no day overwrites a newer one, and a day that is done sends nothing again."""
    before = successes(world)
    for day in reversed(world.days):
        launched(world, day)
    succeeded(world, before + 4)
    often = next(e for e in contacts_of(world) if e["email"] == "often@people.example.org")
    assert often["fields"]["first_name"] == "Day3"
    assert len(contacts_of(world)) == 21
    imports = imports_of(world)
    for day in (world.days[2], world.days[0], world.days[3]):
        launched(world, day)
    succeeded(world, before + 7)
    assert imports_of(world) == imports, "a day that was done was sent again"


def contacts_of(world: DagsterWorld) -> list[dict[str, Any]]:
    """Everybody whom Mailtrap has."""
    found: list[dict[str, Any]] = world.mailtrap("state")["accounts"][0]["contacts"]
    return found
