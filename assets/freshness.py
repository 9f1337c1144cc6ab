"""How old a sync's imports, and what is taken from Mailtrap, may become before the UI calls them stale.

Belongs here: from a schedule to a freshness policy. Not here: the schedule itself (`pipelines/schedules`).
"""

import itertools
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._utils.schedules import cron_string_iterator

from assets.rules.sync import Sync

MISSED_RUNS_WARN, MISSED_RUNS_FAIL = 2, 4
TICKS = 60
A_SUNDAY_NOON = datetime(2026, 1, 4, 12, tzinfo=UTC).timestamp()


def freshness_of(sync: Sync) -> dg.FreshnessPolicy | None:
    """A scheduled sync is late after two runs that did not succeed, and stale after four."""
    if sync.schedule is None:
        return None
    gap = longest_gap(sync.schedule)
    return dg.FreshnessPolicy.time_window(
        warn_window=gap * MISSED_RUNS_WARN, fail_window=gap * MISSED_RUNS_FAIL
    )


def freshness_of_takings() -> dg.FreshnessPolicy:
    """Tables that are taken from Mailtrap once a day are late after two days, and stale after a week.

    Not for suppressions and unsubscribed people: each sync looks them up anew, without a materialization.
    """
    return dg.FreshnessPolicy.time_window(warn_window=timedelta(days=2), fail_window=timedelta(days=7))


def longest_gap(cron: str) -> timedelta:
    """The longest time between two runs of a schedule, such as a weekend."""
    ticks = itertools.islice(cron_string_iterator(A_SUNDAY_NOON, cron, "UTC"), TICKS)
    return max((later - earlier for earlier, later in itertools.pairwise(ticks)), default=timedelta(days=1))
