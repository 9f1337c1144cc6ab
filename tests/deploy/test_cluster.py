"""A sync of 64 buckets over three workers, two of whose machines and whose daemon are killed: nothing lost or sent twice.

The limits are Mailtrap's own, and it is Mailtrap that counts. What comes out is compared with an undisturbed run of the
command on one machine. `make cluster` installs what it needs and runs it.
"""

import bisect
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


def all_done(world: parts.Cluster, buckets: int = parts.BUCKETS) -> bool:
    """Whether every bucket has a run that ended well, and nothing is under way."""
    runs = runs_of(world)
    ended = collections.Counter(each["status"] for each in runs)
    return ended["SUCCESS"] >= buckets and set(ended) <= {"SUCCESS", "FAILURE"}


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


def launch(world: parts.Cluster) -> None:
    """Every bucket, as the UI launches them."""
    repository = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
    wanted = {
        "selector": {"partitionSetName": "sync_people_partition_set", "repositorySelector": repository},
        "allPartitions": True,
    }
    launched = world.graphql(LAUNCH, wanted=wanted)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched


@needed
@pytest.mark.timeout(2400)
def test_workers_and_daemon_are_killed_and_every_person_is_told_once(tmp_path: Path) -> None:
    """SIGKILL of a worker in mid-import, of another one, and of the daemon: the state is that of an undisturbed run."""
    with contextlib.ExitStack() as stack:
        world = stack.enter_context(
            parts.cluster(tmp_path, people=PEOPLE, workers=3, knobs={"import_start_seconds": 1})
        )
        began = time.monotonic()
        launch(world)

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


BUCKETS, PAYLOADS, ROWS = 6, 80, 10
MAILTRAPS_LIMIT = 200


@needed
@pytest.mark.timeout(1800)
def test_all_workers_together_use_the_limit_up_and_never_more(tmp_path: Path) -> None:
    """They want more than Mailtrap's 200 requests a minute; a worker is killed while it sends, and the daemon.

    There is a worker more than elsewhere, so that one is ready to go on whenever another one ends.
    """
    people = BUCKETS * PAYLOADS * ROWS
    with contextlib.ExitStack() as stack:
        knobs = {"import_start_seconds": 0.5}
        world = stack.enter_context(
            parts.cluster(
                tmp_path, people=people, workers=4, knobs=knobs, buckets=BUCKETS, rows_per_payload=ROWS
            )
        )
        launch(world)
        until(lambda: len(imports_of(world)) > 1.5 * PAYLOADS, seconds=600, what="more than a window's work")
        victim = until(lambda: who_is_sending(world), seconds=300, every=0.02, what="somebody sends")
        parts.kill(victim)
        parts.kill(world.daemon)
        time.sleep(5)
        parts.start_daemon(world)
        world.workers.append(stack.enter_context(parts.worker(world, len(world.workers))))
        until(lambda: all_done(world, BUCKETS), seconds=1200, every=2, what="every bucket")

        requests = [each for each in world.mailtrap("requests") if each["pool"] == "contacts"]
        told = [f"person{n}@people.example.org" for n in range(1, people + 1)]
        times = collections.Counter(each["imported"] for each in world.mailtrap("seen", {"emails": told}))
        imports = [each["at"] for each in imports_of(world)]
        arrived = [each["at"] for each in requests]
        # Until then others have work, even if all that is left of one bucket waits for its run to be begun again.
        minutes = used_by_minute(arrived, begin=imports[0], end=imports[-2 * PAYLOADS])
        measured = {
            "requests": len(requests),
            "payloads": len(imports),
            "refused_429": sum(each["status"] == 429 for each in requests),
            "peaks": world.mailtrap("peaks")["arrived"],
            "used_by_minute": minutes,
            "times_a_person_was_sent": times,
        }
        sys.stdout.write(json.dumps(measured) + "\n")

        assert measured["peaks"]["contacts_60s"] <= MAILTRAPS_LIMIT
        assert not any(each["status"] == 429 for each in requests)
        assert len(minutes) >= 2 and min(minutes) >= 0.95 * MAILTRAPS_LIMIT, (
            "somebody waited who need not have"
        )
        assert times == {1: people - people // 50, 0: people // 50}


def used_by_minute(arrived: list[float], *, begin: float, end: float) -> list[int]:
    """How many requests arrived in each whole minute between two moments; the peaks look at every window that slides."""
    starts = [begin + 60 * number for number in range(int((end - begin) // 60))]
    return [bisect.bisect_left(arrived, start + 60) - bisect.bisect_left(arrived, start) for start in starts]
