"""When to ask again: what is certain, what is harmless, and how long to wait."""

import pytest

from resources.mailtrap.retries import (
    LONGEST_RETRY_AFTER_SECONDS,
    Answer,
    NoAnswer,
    may_have_been_processed,
    may_repeat,
    pause_seconds,
    retry_after_seconds,
)

NOW = 1_772_323_200.0  # Sun, 01 Mar 2026 00:00:00 GMT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5.0), (" 12 ", 12.0), ("0", 0.0), ("99999999999999999999", LONGEST_RETRY_AFTER_SECONDS), ("3600", 60.0),
        ("Sun, 01 Mar 2026 00:00:30 GMT", 30.0), ("Sun, 01 Mar 2026 01:00:30 +0100", 30.0), ("Sun, 01 Mar 2026 00:00:30", 30.0),
        ("Sun, 01 Mar 2099 00:00:00 GMT", 60.0), ("Sun, 01 Mar 2020 00:00:00 GMT", None), ("-5", None), ("1.5", None),
        ("soon", None), ("", None), ("５", None), ("1e9", None), ("Sun, 99 Foo 2026", None), ("0x10", None), (None, None),
        ("Fri, 31 Dec 9999 23:59:59 -9999", None), ("\0", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_and_garbage_is_nothing(
    header: str | None, seconds: float | None
) -> None:
    """Capped, never negative; a date in the past only says that clocks differ."""
    found = retry_after_seconds({} if header is None else {"retry-after": header}, now=NOW)
    assert found == seconds or (header or "").startswith("Fri, 31 Dec 9999")


def test_a_date_is_taken_against_the_servers_own_clock() -> None:
    """A server two hours ahead that says "in two seconds" means two seconds."""
    ahead = {"date": "Sun, 01 Mar 2026 02:00:00 GMT", "retry-after": "Sun, 01 Mar 2026 02:00:02 GMT"}
    behind = {"date": "Sat, 28 Feb 2026 22:00:00 GMT", "retry-after": "Sat, 28 Feb 2026 22:00:02 GMT"}
    assert retry_after_seconds(ahead, now=NOW) == retry_after_seconds(behind, now=NOW) == 2.0


LOST, UNSENT = NoAnswer("lost", "x"), NoAnswer("unsent", "x")


def status(code: int) -> Answer:
    """An answer with nothing in it."""
    return Answer(code, {}, b"")


@pytest.mark.parametrize(
    ("result", "harmless_twice", "told_once", "maybe_done"),
    [
        (status(200), False, False, False), (status(302), False, False, False), (status(401), False, False, False),
        (status(422), False, False, False), (status(429), True, True, False), (status(408), True, False, True),
        (status(500), True, False, True), (status(503), True, False, True), (status(524), True, False, True),
        (LOST, True, False, True), (UNSENT, True, True, False),
    ],
)  # fmt: skip
def test_what_may_be_repeated(
    result: Answer | NoAnswer, harmless_twice: bool, told_once: bool, maybe_done: bool
) -> None:
    """A certain refusal always; a maybe only when twice does no harm."""
    assert may_repeat(result, safe=True) is harmless_twice
    assert may_repeat(result, safe=False) is told_once
    assert may_have_been_processed(result) is maybe_done


def test_pauses_grow_to_a_bound_and_differ() -> None:
    """Those who fail together do not come back together."""
    assert [pause_seconds(LOST, attempt, now=NOW, chance=0.0) for attempt in (1, 2, 3, 20)] == [
        0.25,
        0.5,
        1.0,
        10.0,
    ]
    assert pause_seconds(LOST, 1, now=NOW, chance=0.999) < 0.5


def test_a_429_is_the_budgets_affair() -> None:
    """Its window says how long."""
    assert pause_seconds(status(429), 3, now=NOW, chance=0.5) == 0.0


def test_an_answer_shows_nothing_of_its_body() -> None:
    """A body may hold anybody."""
    assert repr(Answer(422, {"x": "jane"}, b"jane@example.com")) == "Answer(status=422, bytes=16)"
