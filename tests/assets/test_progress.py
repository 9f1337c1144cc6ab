"""How far a run has come, from the journal, and how long the rest will take."""

from pathlib import Path

import pytest

from assets.progress import in_one_line, of_delivery, told_meanwhile
from assets.rules.pace import in_words, seconds_left, waiting_seconds
from tests.assets.world import World, people


def test_a_delivery_says_how_far_it_has_come(tmp_path: Path) -> None:
    """Payloads are counted before they are cut; what is proven is proven by the journal."""
    world = World(tmp_path, rows_per_payload=10)
    world.run(people(25))
    [delivery] = world.store.journal.deliveries("people")
    found = of_delivery(world.store.journal, delivery, rows_per_payload=10, now=delivery.opened_at + 5)
    assert (found.rows, found.proven, found.payloads, found.payloads_done, found.under_way) == (
        25,
        25,
        3,
        3,
        0,
    )
    assert str(found) == "25 of 25 contacts proven; payload 3 of 3, 0 imports under way; 0 s left"
    assert found.facts["seconds_left"] == 0.0


@pytest.mark.parametrize(
    ("done", "waits", "left"),
    [
        pytest.param(0, 9.0, None, id="nobody knows yet"),
        pytest.param(50, 0.0, 10.0, id="as it went"),
        pytest.param(50, 90.0, 90.0, id="the limit is slower"),
        pytest.param(100, 90.0, 0.0, id="done"),
    ],
)
def test_the_time_left(done: int, waits: float, left: float | None) -> None:
    """The slower of how it went and what the account's limit allows."""
    assert seconds_left(done=done, rows=100, elapsed_seconds=10, waiting_seconds=waits) == left


def test_requests_beyond_what_is_left_wait_for_the_window() -> None:
    """The first ones go at once, the others at the rate of the limit."""
    assert waiting_seconds(150, left=200, per_window=200, window_seconds=60) == 0
    assert waiting_seconds(500, left=100, per_window=200, window_seconds=60) == 120
    assert [in_words(each) for each in (None, 5, 600, 9000)] == ["?", "5 s", "10 min", "2.5 h"]


def test_a_long_run_says_something_meanwhile(tmp_path: Path) -> None:
    """Lines come while the block runs, and not after."""
    world = World(tmp_path)
    world.run(people(3))
    said: list[str] = []
    with told_meanwhile(said.append, world.store.journal, "people", rows_per_payload=10, every_seconds=0.01):
        pass
    assert said == []  # what is settled is not under way


def test_the_end_is_one_line() -> None:
    """Numbers only, each place with rows named."""
    rows = {"read": 5, "accepted": 2, "no_consent": 3, "rejected": 0}
    run = {"rows": rows, "payloads": 1, "requests": 9, "seconds": 1.07}
    assert in_one_line("people", run) == (
        "people: 2 of 5 rows told to Mailtrap and proven; 3 no consent. 1 payloads, 9 requests, 1.1 s."
    )
