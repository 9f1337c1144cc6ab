"""A sync of 64 buckets over three workers, two of whose machines and whose daemon are killed: nothing lost or sent twice.

The limits are Mailtrap's own, and it is Mailtrap that counts. What comes out is compared with an undisturbed run of the
command on one machine. `make cluster` installs what it needs and runs it.
"""

import collections
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import cluster as parts
from tests.pipelines.dagster_world import LOCATION, ROOT, until

PEOPLE = 12_800
LAUNCH = """mutation($wanted: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $wanted) { __typename ... on LaunchBackfillSuccess { backfillId } }
}"""
RUNS = (
    "{ runsOrError(limit: 500) { ... on Runs { results { runId status parentRunId startTime endTime } } } }"
)
pytestmark = pytest.mark.proof
needed = pytest.mark.skipif(parts.missing() is not None, reason=str(parts.missing()))


def runs_of(world: parts.Cluster) -> list[dict[str, Any]]:
    """Every run, newest first."""
    found: list[dict[str, Any]] = world.graphql(RUNS)["runsOrError"]["results"]
    return found


def imports_of(world: parts.Cluster) -> list[dict[str, Any]]:
    """The import requests that Mailtrap was asked for."""
    every = world.mailtrap("requests")
    return [each for each in every if each["method"] == "POST" and each["path"].endswith("/contacts/imports")]


def all_done(world: parts.Cluster) -> bool:
    """Whether every bucket has a run that ended well, and nothing is under way."""
    runs = runs_of(world)
    ended = collections.Counter(each["status"] for each in runs)
    return ended["SUCCESS"] >= parts.BUCKETS and set(ended) <= {"SUCCESS", "FAILURE"}


def who_is_sending(world: parts.Cluster) -> subprocess.Popen[bytes] | None:
    """The worker whose import is under way just now, by the journal."""
    sending = """select holder from leases where name like 'account:%' and holder <> ''
                 and exists (select 1 from payloads where state in ('sending', 'submitted'))"""
    for [holder] in world.journal(sending):
        with contextlib.suppress(ProcessLookupError):
            group = os.getpgid(int(holder.split(":")[1]))
            return next((each for each in world.workers if each.pid == group), None)
    return None


def people_at(state: Mapping[str, Any]) -> dict[str, Any]:
    """Everyone Mailtrap has, with values and lists by name: what two worlds must agree on."""
    [account] = state["accounts"]
    lists = {each["id"]: each["name"] for each in account["lists"]}
    return {
        each["email"]: (each["status"], each["fields"], sorted(lists[number] for number in each["list_ids"]))
        for each in account["contacts"]
    }


def undisturbed(world: parts.Cluster, folder: Path) -> dict[str, Any]:
    """The same rows, sent by the command on one machine to another Mailtrap."""
    folder.mkdir()
    with parts._mailtrap(folder, {}) as mailtrap:
        alone = {name: value for name, value in world.environ.items() if not name.startswith("AWS_")}
        alone |= {
            "CONTACTS_HOME": str(folder / "contacts"),
            "CONTACTS_LAKE": str(folder / "lake"),
            "CONTACTS_JOURNAL": f"sqlite:///{folder}/journal.db",
            "DAGSTER_HOME": "",
            "CONTACTS_ROWS_PER_PAYLOAD": "50000",
            "MAILTRAP_API_URL": mailtrap["api"],
            "MAILTRAP_DOWNLOAD_HOSTS": mailtrap["storage"].partition("://")[2],
        }
        command = [sys.executable, "-m", "pipelines.command", "sync", "people", "--json"]
        done = subprocess.run(
            command, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert json.loads(done.stdout)["rows"]["accepted"] == PEOPLE - PEOPLE // 50
        return people_at(parts.ask(f"{mailtrap['admin']}/state", token=mailtrap["admin_token"]))


@needed
@pytest.mark.timeout(2400)
def test_workers_and_daemon_are_killed_and_every_person_is_told_once(tmp_path: Path) -> None:
    """SIGKILL of a worker in mid-import, of another one, and of the daemon: the state is that of an undisturbed run."""
    with contextlib.ExitStack() as stack:
        world = stack.enter_context(
            parts.cluster(tmp_path, people=PEOPLE, workers=3, knobs={"import_start_seconds": 1})
        )
        began = time.monotonic()
        repository = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
        wanted = {
            "selector": {"partitionSetName": "sync_people_partition_set", "repositorySelector": repository},
            "allPartitions": True,
        }
        launched = world.graphql(LAUNCH, wanted=wanted)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched

        until(lambda: len(imports_of(world)) > 6, seconds=600, what="the first imports")
        victim = until(lambda: who_is_sending(world), seconds=300, every=0.02, what="somebody sends")
        parts.kill(victim)
        killed_after = len(imports_of(world))

        until(lambda: len(imports_of(world)) > killed_after + 10, seconds=600, what="the others go on")
        parts.kill(world.daemon)
        time.sleep(5)
        parts.start_daemon(world)
        world.workers.append(stack.enter_context(parts.worker(world, len(world.workers))))

        until(lambda: all_done(world), seconds=1800, every=2, what="every bucket")
        seconds = time.monotonic() - began
        runs, imports, peaks = runs_of(world), imports_of(world), world.mailtrap("peaks")["arrived"]
        state = people_at(world.mailtrap("state"))
        requests = world.mailtrap("requests")
        told = [f"person{n}@people.example.org" for n in range(1, PEOPLE + 1)]
        seen = world.mailtrap("seen", {"emails": told})
        times = collections.Counter(each["imported"] for each in seen)
        measured = {
            "seconds": round(seconds),
            "runs": collections.Counter(each["status"] for each in runs),
            "imports": len(imports),
            "requests": len(requests),
            "refused_429": sum(each["status"] == 429 for each in requests),
            "peaks": peaks,
            "times_a_person_was_sent": times,
            "payloads": dict(world.journal("select state, count(*) from payloads group by 1")),
        }
        sys.stdout.write(json.dumps(measured) + "\n")
        expected = undisturbed(world, tmp_path / "alone")

        assert any(each["status"] == "FAILURE" for each in runs), "no run was killed"
        assert state == expected
        assert times == {1: PEOPLE - PEOPLE // 50, 0: PEOPLE // 50}
        assert peaks["contacts_60s"] <= 200
        assert peaks["token_10s"] <= 150
        assert peaks["suppressions_60s"] <= 10
        assert not any(each["status"] == 429 for each in requests)
        assert world.journal("select count(*) from deliveries where state = 'open'") == [["0"]]
