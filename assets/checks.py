"""Asset checks that several kinds of syncs share, and those that look at more than one run, or ahead.

Belongs here: every row is accounted for; as many rows and as fast as usual, consent that expires soon, which warn and stop
nothing. Not here: what counts as usual (`rules/usual`), and checks of one table alone (`contacts`, `imports`).
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from assets import metadata
from assets.partitions import file_of
from assets.rules import guards, usual
from assets.rules.sync import Sync
from resources.lake import Lake

FORMER_RUNS = 10
ROWS_TIMES, ROWS_SLACK = 2.0, 100.0
SECONDS_TIMES, SECONDS_SLACK = 3.0, 30.0
NEARLY_ALL, FEWEST_CONTACTS = 0.9, 100
EXPIRES_WITHIN_DAYS = 30
MUCH_EXPIRES = 0.10


def usual_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of a run against the runs before it."""
    return [
        dg.AssetCheckSpec(
            "as_many_rows_as_usual",
            asset=key,
            description=f"Rows read are between half and twice the median of the last {FORMER_RUNS} runs. Warns.",
        ),
        dg.AssetCheckSpec(
            "as_fast_as_usual",
            asset=key,
            description=f"Seconds per payload are at most {SECONDS_TIMES:g} times the median of the last runs. Warns.",
        ),
        dg.AssetCheckSpec(
            "only_changes_are_sent",
            asset=key,
            description=f"After the first run, fewer than {NEARLY_ALL:.0%} of all contacts are sent; otherwise it says "
            "why everything was sent again. Warns.",
        ),
    ]


def consent_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check of consent that is about to expire."""
    return dg.AssetCheckSpec(
        "consent_stays_valid",
        asset=key,
        description=f"At most {MUCH_EXPIRES:.0%} of the accepted contacts have consent that expires within "
        f"{EXPIRES_WITHIN_DAYS} days (consent.max_age_days). Warns.",
    )


def against_former_runs(
    key: dg.AssetKey, run: Mapping[str, Any], former: Sequence[Mapping[str, Any]]
) -> Iterator[dg.AssetCheckResult]:
    """What the numbers of a run say beside the summaries of the runs before it."""
    rows = usual.compare(
        run["rows"]["read"],
        [each["rows"]["read"] for each in former],
        times=ROWS_TIMES,
        slack=ROWS_SLACK,
    )
    yield _warning(
        "as_many_rows_as_usual",
        key,
        passed=rows.is_usual,
        words=f"{rows.value:,.0f} rows were read; usual are {rows.usual:,.0f}. Check that the source is whole.",
        facts={"rows_read": int(rows.value), "usual_rows": rows.usual, "former_runs": rows.runs},
    )
    seconds = usual.compare(
        _seconds_per_payload(run),
        [_seconds_per_payload(each) for each in former if each["payloads"]],
        times=SECONDS_TIMES,
        slack=SECONDS_SLACK,
        falls_count=False,
    )
    yield _warning(
        "as_fast_as_usual",
        key,
        passed=seconds.is_usual,
        words=f"A payload took {seconds.value:,.0f} s; usual are {seconds.usual:,.0f} s. Mailtrap may be slow, or "
        "other runs use up the request budget.",
        facts={
            "seconds_per_payload": seconds.value,
            "usual_seconds": seconds.usual,
            "former_runs": seconds.runs,
        },
    )
    yield _only_changes(key, run, former)


def _only_changes(
    key: dg.AssetKey, run: Mapping[str, Any], former: Sequence[Mapping[str, Any]]
) -> dg.AssetCheckResult:
    """Whether a run sent nearly everybody although Mailtrap had been told; a single day has nobody else."""
    rows = run["rows"]
    sent, kept = rows.get("accepted", 0), rows.get("unchanged", 0)
    part = metadata.share(sent, sent + kept)
    told_before = any(each["rows"].get("accepted", 0) + each["rows"].get("unchanged", 0) for each in former)
    again = told_before and sent >= FEWEST_CONTACTS and part >= NEARLY_ALL and run.get("partition") is None
    return _warning(
        "only_changes_are_sent",
        key,
        passed=not again,
        words=f"{sent:,} of {sent + kept:,} contacts were sent, as if for the first time: {why_everything(run)}",
        facts={"sent_share": part, "sent": sent, "unchanged": kept},
    )


def why_everything(run: Mapping[str, Any]) -> str:
    """Why a run sent everybody, as far as its numbers tell."""
    if run.get("resend"):
        return "a full resync was asked for."
    if run.get("new", 0) > run.get("changed", 0):
        return "the ledger knew none of them. Another CONTACTS_KEY, another lake, another account, or other people?"
    return "the values of nearly everybody changed. Did fields or lists of the sync file, or a whole column, change?"


def former_summaries(
    lake: Lake, sync: str, *, but: str, like: str | None, now: float | None = None
) -> list[dict[str, Any]]:
    """The newest summaries of runs that succeeded: of the same partition, or of other single partitions."""
    ages = lake.ages(f"summaries/{sync}", now=time.time() if now is None else now)
    found: list[dict[str, Any]] = []
    for path in sorted(ages, key=lambda each: ages[each])[: 2 * FORMER_RUNS]:
        summary: dict[str, Any] = json.loads(lake.read_bytes(path))
        if summary["run_id"] != but and summary["outcome"] == "ok" and _alike(summary["partition"], like):
            found.append(summary)
    return found[:FORMER_RUNS]


def expiring(lake: Lake, sync: Sync, *, partitions: Sequence[str], now: datetime) -> tuple[int, int]:
    """How many accepted contacts have consent that expires soon, of how many."""
    if sync.consent.max_age_days is None:
        return 0, 0
    soon = now - timedelta(days=sync.consent.max_age_days - EXPIRES_WITHIN_DAYS)
    limit = pa.scalar(soon, pa.timestamp("us", tz="UTC"))
    part = whole = 0
    for partition in partitions:
        for batch in lake.read(file_of(sync, "accepted_contacts", partition), ["_consent_at"]):
            part += pc.sum(pc.less(batch["_consent_at"], limit)).as_py() or 0
            whole += batch.num_rows
    return part, whole


def consent_stays_valid(
    lake: Lake, sync: Sync, key: dg.AssetKey, *, partitions: Sequence[str]
) -> dg.AssetCheckResult:
    """The share of accepted contacts that will soon be lost to `max_age_days`."""
    part, whole = expiring(lake, sync, partitions=partitions, now=datetime.now(UTC))
    share = metadata.share(part, whole)
    return _warning(
        "consent_stays_valid",
        key,
        passed=share <= MUCH_EXPIRES,
        words=f"The consent of {part:,} of {whole:,} contacts expires within {EXPIRES_WITHIN_DAYS} days. "
        "Ask them again in time, or raise consent.max_age_days.",
        facts={"expiring": part, "expiring_share": share},
    )


def _warning(
    name: str, key: dg.AssetKey, *, passed: bool, words: str, facts: Mapping[str, int | float]
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=key,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=None if passed else words,
        metadata=dict(facts),
    )


def _seconds_per_payload(summary: Mapping[str, Any]) -> float:
    return round(float(summary["seconds"]) / (summary["payloads"] or 1), 3)


def _alike(partition: str | None, like: str | None) -> bool:
    """Whole with whole, single day with single day; a range is like no other."""
    if partition is None or like is None:
        return partition is like
    return "..." not in partition + like


def accounted_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check that closes every run, whatever kind of sync."""
    return dg.AssetCheckSpec(
        "every_row_is_accounted_for",
        asset=key,
        blocking=True,
        description="The rows that were read are the sum of the rows by outcome.",
    )


def accounted(key: dg.AssetKey, rows: Mapping[str, int]) -> dg.AssetCheckResult:
    """Whether it holds."""
    missing = guards.unaccounted(rows)
    return dg.AssetCheckResult(
        passed=missing == 0,
        check_name="every_row_is_accounted_for",
        asset_key=key,
        metadata={"unaccounted": missing},
    )
