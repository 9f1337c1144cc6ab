"""When a sync is called late."""

from datetime import timedelta

import pytest

from assets.freshness import freshness_of, longest_gap
from assets.rules.sync_file import parse_sync

SYNC = "sync: news\nsource: {table: people}\nemail: email\nconsent: {granted: agreed}\nlists: {include: [News]}\n"


@pytest.mark.parametrize(
    ("cron", "gap"),
    [
        pytest.param("0 * * * *", timedelta(hours=1), id="hourly"),
        pytest.param("*/15 * * * *", timedelta(minutes=15), id="every quarter"),
        pytest.param("30 6 * * *", timedelta(days=1), id="daily"),
        pytest.param("0 6 * * 1-5", timedelta(days=3), id="not at weekends"),
        pytest.param("0 6 1 * *", timedelta(days=31), id="monthly"),
    ],
)
def test_a_pause_that_the_schedule_foresees_is_not_late(cron: str, gap: timedelta) -> None:
    """A sync that rests at weekends is not late on Mondays."""
    assert longest_gap(cron) == gap


def test_a_scheduled_sync_is_late_after_two_runs_and_stale_after_four() -> None:
    """One failed run is mended by the next; nobody is called for it."""
    policy = freshness_of(parse_sync(SYNC + 'schedule: "0 * * * *"\n', path="news.yaml"))
    assert policy is not None
    assert (policy.warn_window.to_timedelta(), policy.fail_window.to_timedelta()) == (
        timedelta(hours=2),
        timedelta(hours=4),
    )


def test_a_sync_without_a_schedule_is_never_late() -> None:
    """It runs when somebody asks."""
    assert freshness_of(parse_sync(SYNC, path="news.yaml")) is None
