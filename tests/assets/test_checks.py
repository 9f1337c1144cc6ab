"""Checks that look at more than one run, or ahead."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from assets import checks
from assets.rules.sync_file import parse_sync
from resources.lake import Lake

KEY = dg.AssetKey(["newsletter", "contact_imports"])
NOW = datetime(2026, 5, 1, tzinfo=UTC)
SYNC = """
sync: newsletter
source: {table: people, key: id}
email: email
consent: {granted: consent, granted_at: consented_at, max_age_days: 365}
lists: {include: [Newsletter]}
"""


def summary(run: str, *, read: int = 1000, seconds: float = 10.0, **more: Any) -> dict[str, Any]:
    """A summary as a run leaves it, as far as the checks look."""
    facts = {"run_id": run, "outcome": "ok", "partition": None, "rows": {"read": read}, "payloads": 1}
    return {**facts, "seconds": seconds, **more}


def results(now: dict[str, Any], former: list[dict[str, Any]]) -> dict[str, dg.AssetCheckResult]:
    """The results by name."""
    found = checks.against_former_runs(KEY, now, former)
    return {each.check_name or "": each for each in found}


@pytest.mark.parametrize(
    ("now", "failed"),
    [
        pytest.param(summary("now"), set(), id="as ever"),
        pytest.param(summary("now", read=100), {"as_many_rows_as_usual"}, id="half-loaded source"),
        pytest.param(summary("now", read=5000), {"as_many_rows_as_usual"}, id="a source that exploded"),
        pytest.param(summary("now", seconds=100), {"as_fast_as_usual"}, id="slow"),
        pytest.param(summary("now", seconds=100, payloads=10), set(), id="longer because there was more"),
    ],
)
def test_a_run_that_is_unlike_those_before_it_warns(now: dict[str, Any], failed: set[str]) -> None:
    """A warning says what is unusual; it never stops anything."""
    found = results(now, [summary(str(each)) for each in range(5)])
    assert {name for name, each in found.items() if not each.passed} == failed
    assert {each.severity for each in found.values()} == {dg.AssetCheckSeverity.WARN}
    assert all(found[name].description for name in failed)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        pytest.param({"resend": True, "changed": 950}, "full resync was asked for", id="asked for"),
        pytest.param({"new": 950}, "ledger knew none", id="another key or lake"),
        pytest.param({"new": 10, "changed": 940}, "nearly everybody changed", id="the sync file was edited"),
    ],
)
def test_a_full_resync_says_why(facts: dict[str, int], why: str) -> None:
    """Everything was sent although most was known: an automation at Mailtrap may wake for everybody."""
    told = {"read": 1000, "accepted": 10, "unchanged": 940}
    now = summary("now", rows={"read": 1000, "accepted": 950, "unchanged": 0}, **facts)
    found = results(now, [summary("a", rows=told)])["only_changes_are_sent"]
    assert not found.passed and found.description is not None and why in found.description


@pytest.mark.parametrize(
    ("now", "former"),
    [
        pytest.param({"accepted": 950, "unchanged": 0}, [], id="the first run of all"),
        pytest.param({"accepted": 400, "unchanged": 550}, [{"accepted": 950}], id="many changes"),
        pytest.param({"accepted": 5, "unchanged": 0}, [{"accepted": 5}], id="too few to speak of"),
    ],
)
def test_what_is_no_full_resync(now: dict[str, int], former: list[dict[str, int]]) -> None:
    """First runs, ordinary changes and tiny tables are nothing to warn of."""
    rows = {"read": 1000}
    runs = [summary("a", rows={**rows, **each}) for each in former]
    found = results(summary("now", rows={**rows, **now}, new=0, changed=400), runs)
    assert found["only_changes_are_sent"].passed


def test_the_first_runs_warn_of_nothing() -> None:
    """Nothing is usual yet."""
    assert all(each.passed for each in results(summary("now", read=0), [summary("a"), summary("b")]).values())


def test_only_runs_of_the_same_kind_that_succeeded_count_as_former(tmp_path: Path) -> None:
    """Failed runs, ranges of partitions and the run itself say nothing about what is usual; the newest come first."""
    lake = Lake(str(tmp_path))
    kept = [
        summary("old"),
        summary("failed", outcome="data"),
        summary("day", partition="2026-01-01"),
        summary("range", partition="2026-01-01...2026-01-31"),
        summary("new"),
        summary("this"),
    ]
    for number, each in enumerate(kept):
        path = f"summaries/newsletter/{each['run_id']}.json"
        lake.write_bytes(path, json.dumps(each).encode())
        os.utime(tmp_path / path, (1000 + number, 1000 + number))

    def runs(like: str | None) -> list[str]:
        found = checks.former_summaries(lake, "newsletter", but="this", like=like, now=2000.0)
        return [each["run_id"] for each in found]

    assert runs(None) == ["new", "old"]
    assert runs("2026-02-01") == ["day"]
    assert runs("2026-02-01...2026-02-28") == []


def test_consent_that_expires_soon_is_counted(tmp_path: Path) -> None:
    """Of three people one has consent that is 340 of 365 days old; without a date nothing expires."""
    sync, lake = parse_sync(SYNC, path="newsletter.yaml"), Lake(str(tmp_path))
    ages = [NOW - timedelta(days=340), NOW - timedelta(days=3), None]
    rows = pa.table({"_consent_at": pa.array(ages, pa.timestamp("us", tz="UTC"))})
    with lake.writer("newsletter/accepted_contacts/all.parquet", rows.schema) as sink:
        sink.write(rows)
    assert checks.expiring(lake, sync, partitions=("all",), now=NOW) == (1, 3)
