"""A real daemon, a real web server, real run workers: a backfill from the UI that is killed goes on by itself."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
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
PATIENCE_SECONDS = 600.0
"""For everything that only a slow machine makes slow: process starts, Dagster's ticks of half a minute."""
LAUNCH = """mutation($wanted: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $wanted) { __typename ... on LaunchBackfillSuccess { backfillId } }
}"""
RUNS = "{ runsOrError { ... on Runs { results { runId status parentRunId tags { key value } } } } }"
EVENTS = """query($run: ID!) { logsForRun(runId: $run) {
  ... on EventConnection { events { ... on MessageEvent { message timestamp eventType } } }
} }"""
SHOWN = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionStats { numMaterialized numPartitions } assetMaterializations(limit: 100) { partition }
} } }"""


def runs_of(world: DagsterWorld) -> list[dict[str, Any]]:
    """Every run, newest first."""
    found: list[dict[str, Any]] = world.graphql(RUNS)["runsOrError"]["results"]
    return found


def events_of(world: DagsterWorld, run: str) -> list[dict[str, Any]]:
    """What a run has told Dagster."""
    found: list[dict[str, Any]] = world.graphql(EVENTS, run=run)["logsForRun"]["events"]
    return found


def worker_of(world: DagsterWorld, run: str) -> int:
    """The process id of a run's worker, as it said itself."""
    text = " ".join(each.get("message") or "" for each in events_of(world, run))
    found = re.search(r"Started process for run \(pid: (\d+)\)", text)
    assert found, text
    return int(found[1])


def told_at(world: DagsterWorld, run: str, *kinds: str) -> float | None:
    """When a run's events of these kinds were recorded, the last one in seconds of the clock."""
    found = [each for each in events_of(world, run) if each.get("eventType") in kinds]
    return max((float(each["timestamp"]) / 1000 for each in found), default=None)


def launched(world: DagsterWorld, *days: str) -> str:
    """Launch these days as the UI does; says which backfill they are."""
    wanted = {
        "assetSelection": [{"path": ["daily", table]} for table in TABLES],
        "partitionNames": list(days),
    }
    found = world.graphql(LAUNCH, wanted=wanted)["launchPartitionBackfill"]
    assert found["__typename"] == "LaunchBackfillSuccess"
    return str(found["backfillId"])


def of_backfill(world: DagsterWorld, backfill: str) -> list[dict[str, Any]]:
    """The runs of a backfill, the newest first: the one that was launched, and those that go on with it."""
    tag = {"key": "dagster/backfill", "value": backfill}
    return [each for each in runs_of(world) if tag in each["tags"]]


def succeeded(world: DagsterWorld, *backfills: str) -> None:
    """Wait until each of these has a run that succeeded, and nothing at all is under way any more."""

    def all_done() -> bool:
        statuses = [{each["status"] for each in of_backfill(world, backfill)} for backfill in backfills]
        under_way = {each["status"] for each in runs_of(world)} - {"SUCCESS", "FAILURE", "CANCELED"}
        return not under_way and all("SUCCESS" in each for each in statuses)

    until(all_done, seconds=PATIENCE_SECONDS, every=1, what=f"{len(backfills)} backfills that succeeded")


def imports_of(world: DagsterWorld) -> int:
    """How many imports Mailtrap was asked for."""
    requests = world.mailtrap("requests")
    return sum(each["method"] == "POST" and each["path"].endswith("/contacts/imports") for each in requests)


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_a_backfill_whose_worker_is_killed_in_mid_import_is_taken_up(tmp_path: Path) -> None:
    """SIGKILL while an import is under way: no orphan sends, Dagster notices, and the next run only awaits."""
    with dagster_world(tmp_path, days=20, people_a_day=10, knobs={"import_start_seconds": 20}) as world:
        backfill = launched(world, *world.days)
        until(lambda: imports_of(world), seconds=PATIENCE_SECONDS, what="the first import")
        [first] = runs_of(world)
        os.kill(worker_of(world, first["runId"]), signal.SIGKILL)
        succeeded(world, backfill)
        assert runs_of(world)[-1]["status"] == "FAILURE", "the import was over before its run was killed"
        shown = world.graphql(SHOWN, key={"path": ["daily", "contact_imports"]})["assetNodeOrError"]

        assert imports_of(world) == 1
        assert sum(each["contacts"] for each in world.mailtrap("counts").values()) == 200
        assert {each["partition"] for each in shown["assetMaterializations"]} == {*world.days}


TERMINATE = """mutation($run: String!) { terminateRun(runId: $run) { __typename } }"""
ENDS = ("RUN_FAILURE", "RUN_CANCELED")
HOW_TO_STOP = ("SIGTERM", "the UI", "the UI, its code server paused")
DAYS = len(HOW_TO_STOP) + 4
SILENT = {
    "match": {"method": "POST", "path": "/contacts/imports$"},
    "action": {"do": "hang_after", "seconds": 45},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterWorld]:
    """A day for each way to stop, four more; and somebody who was updated on each of them."""
    folder = tmp_path_factory.mktemp("dagster")
    with dagster_world(folder, days=DAYS, people_a_day=5) as world:
        with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
            connection.execute(
                """insert into people select 'often', 'often@people.example.org', true, 'Day' || n,
                   ?::timestamp + to_days(n::int) + to_seconds(5) from range(?) t(n)""",
                [world.days[0], DAYS],
            )
        yield world


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("how", HOW_TO_STOP)
def test_a_run_that_is_told_to_stop_ends_within_ten_seconds(world: DagsterWorld, how: str) -> None:
    """Mailtrap is silent about an import: the run ends, with everything recorded; the next one sends nothing twice.

    Ten seconds from the signal to the end that the run itself records, by the times of Dagster's events.
    """
    day, imports = world.days[HOW_TO_STOP.index(how)], imports_of(world)
    rule = world.mailtrap("faults", SILENT)
    backfill = launched(world, day)
    until(lambda: imports_of(world) > imports, seconds=PATIENCE_SECONDS, every=0.1, what="the import")
    [run] = (each["runId"] for each in of_backfill(world, backfill))
    worker = worker_of(world, run)
    began = time.time()
    if how == "SIGTERM":
        os.kill(worker, signal.SIGTERM)
    else:
        with paused(parent_of(worker)) if "paused" in how else nullcontext():
            threading.Thread(target=end_in_the_ui, args=[world, run]).start()
            until(lambda: told_at(world, run, *ENDS), seconds=PATIENCE_SECONDS, what="the run ends")
    until(lambda: not started(worker), seconds=PATIENCE_SECONDS, every=0.05, what="the worker ends")
    began = told_at(world, run, "RUN_CANCELING") or began
    ended = told_at(world, run, *ENDS)
    assert ended is not None, "the run did not record its end"
    print(f"told by {how}, the run ended after {ended - began:.1f} s")  # noqa: T201 - what make proof is for
    world.mailtrap(f"faults/{rule['id']}", method="DELETE")
    succeeded(world, launched(world, day))
    assert imports_of(world) == imports + 1
    assert ended - began < 10


def end_in_the_ui(world: DagsterWorld, run: str) -> None:
    """As the button does; the answer comes when the code server has one."""
    with suppress(OSError):
        world.graphql(TERMINATE, run=run)


def parent_of(process_id: int) -> int:
    """The process that started another one: of a run worker, the code server."""
    return int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def paused(process_id: int) -> Iterator[None]:
    """It lives, and does nothing."""
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_days_in_any_order_and_beside_each_other_end_with_the_newest(world: DagsterWorld) -> None:
    """As many single runs, newest day first: no day overwrites a newer one, and a day that is done sends nothing again."""
    days = world.days[len(HOW_TO_STOP) :]
    succeeded(world, *(launched(world, day) for day in reversed(days)))
    often = next(e for e in contacts_of(world) if e["email"] == "often@people.example.org")
    assert often["fields"]["first_name"] == f"Day{DAYS - 1}"
    wanted = {f"person{n}@people.example.org" for n in range(DAYS * 5) if world.days[n % DAYS] in days}
    assert len(wanted) == 20 and wanted <= {each["email"] for each in contacts_of(world)}
    imports = imports_of(world)
    succeeded(world, *(launched(world, days[which]) for which in (2, 0, 3)))
    assert imports_of(world) == imports, "a day that was done was sent again"


def contacts_of(world: DagsterWorld) -> list[dict[str, Any]]:
    """Everybody whom Mailtrap has."""
    found: list[dict[str, Any]] = world.mailtrap("state")["accounts"][0]["contacts"]
    return found
