"""Places in windows, turns in the queue: decided without a clock, a database or a server."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.mailtrap.budget import (
    LANES,
    Limit,
    Limits,
    Occupancy,
    Wait,
    Window,
    ahead_of,
    closed_seconds,
    parse_limit,
    turn,
    wait_seconds,
)

WINDOW = Window("w", Limit(3, 60.0))


@pytest.mark.parametrize(("text", "limit"), [("200/60", Limit(200, 60)), (" 5 / 0.5 ", Limit(5, 0.5))])
def test_a_limit_is_read_as_it_is_written(text: str, limit: Limit) -> None:
    """requests/seconds, and back."""
    assert parse_limit(text) == limit
    assert parse_limit(str(limit)) == limit


@pytest.mark.parametrize(
    "text", ["", "200", "200/", "/60", "0/60", "200/0", "-1/60", "1e3/60", "200/60/1", "a/b", "200/nan"]
)
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    """With the form that is wanted."""
    with pytest.raises(ValueError, match="200/60"):
        parse_limit(text)


@pytest.mark.parametrize(
    ("free_at", "ahead", "wait"),
    [
        ([], 0, 0.0), ([110.0, 120.0], 0, 0.0), ([110.0, 120.0, 130.0], 0, 10.0), ([90.0, 110.0, 120.0], 0, 0.0),
        ([110.0, 120.0], 1, 10.0), ([130.0, 110.0, 120.0], 1, 20.0), ([110.0, 120.0, 130.0, 140.0], 0, 20.0), ([100.0] * 3, 0, 0.0),
    ],
)  # fmt: skip
def test_the_wait_is_until_a_place_falls_free_behind_those_ahead(
    free_at: list[float], ahead: int, wait: float
) -> None:
    """Three places, now is 100."""
    assert wait_seconds(Occupancy(WINDOW, free_at), lane="import", ahead=ahead, now=100.0) == wait


def test_a_closed_window_is_closed_for_all() -> None:
    """After a real 429, whatever we counted ourselves."""
    for lane in LANES:
        assert wait_seconds(Occupancy(WINDOW, [], closed_until=107.0), lane=lane, ahead=0, now=100.0) == 7.0


def test_two_in_a_hundred_places_are_kept_for_people() -> None:
    """Bulk work stops at 196 of 200; an erasure and an unsubscribe do not."""
    wide = Occupancy(Window("w", Limit(200, 60.0)), [150.0] * 196)
    assert wait_seconds(wide, lane="import", ahead=0, now=100.0) == 50.0
    assert wait_seconds(wide, lane="unsubscribe", ahead=0, now=100.0) == 0.0
    assert wait_seconds(wide, lane="erasure", ahead=0, now=100.0) == 0.0


def test_turns_are_by_lane_and_then_by_arrival() -> None:
    """erasure > unsubscribe > import > poll > event > export; first come first served among equals."""
    late = [Wait(f"{lane}-{since}", lane, since) for lane in reversed(LANES) for since in (99.0, 98.0)]
    order = sorted(late, key=lambda wait: turn(wait, now=100.0, window_seconds=60.0))
    assert [wait.ticket for wait in order] == [f"{lane}-{since}" for lane in LANES for since in (98.0, 99.0)]


def test_nobody_waits_for_ever_and_people_always_come_first() -> None:
    """An export that has waited for minutes passes a fresh import, but never an erasure."""
    old = Wait("old", "export", 0.0)
    fresh = [
        Wait("import", "import", 999.0),
        Wait("erasure", "erasure", 999.0),
        Wait("unsubscribe", "unsubscribe", 999.0),
    ]
    assert ahead_of(old, fresh, now=1000.0, window_seconds=60.0) == 2
    assert ahead_of(old, fresh, now=10.0, window_seconds=60.0) == 3


def test_a_429_closes_for_what_is_asked_or_for_the_whole_window() -> None:
    """Without Retry-After the window is known; a little chance keeps those who wait apart."""
    assert closed_seconds(Limit(200, 60.0), retry_after=None, chance=0.0) == pytest.approx(60.12)
    assert closed_seconds(Limit(200, 60.0), retry_after=5.0, chance=1.0) == pytest.approx(6.12)


def test_a_window_is_named_without_the_token() -> None:
    """The same token has the same name everywhere, and nobody can read it back."""
    limits = Limits()
    names = {
        limits.token_window("https://mailtrap.io", token).name for token in ("canary", "canary", "other")
    }
    assert len(names) == 2
    assert "canary" not in "".join(names)
    assert limits.contacts_window("a", 1) != limits.contacts_window("b", 1)


@given(st.integers(1, 12), st.integers(0, 2**32), st.floats(0.0, 8.0))
def test_whatever_the_latency_the_server_never_counts_more_than_the_limit(
    limit: int, seed: int, slowest: float
) -> None:
    """A law: a request arrives between its grant and its answer; no window by the server's clock holds too many."""
    dice = random.Random(seed)
    window = Window("w", Limit(limit, 10.0))
    now, places, arrivals = 0.0, [], []  # a place is [grant, answer]
    for _ in range(60):
        free_at = [answered + window.limit.holds_seconds for _granted, answered in places]
        # An answer that is still out keeps its place; its end is not known yet.
        known = [
            at if answered <= now else float("inf") for at, (_, answered) in zip(free_at, places, strict=True)
        ]
        wait = wait_seconds(Occupancy(window, known), lane="erasure", ahead=0, now=now)
        if wait == float("inf"):
            now = min(answered for _, answered in places if answered > now)
            continue
        now += wait
        if wait:
            continue
        answered = now + dice.uniform(0, slowest)
        places.append((now, answered))
        arrivals.append(dice.uniform(now, answered))
        now += dice.choice([0.0, 0.01, 0.5])
    arrivals.sort()
    for start in range(len(arrivals) - limit):
        assert arrivals[start + limit] - arrivals[start] >= 10.0
