"""How seldom a job needs to be asked about, and when it is over."""

import random

import pytest

from resources.mailtrap.polls import Pace, PollPlan
from resources.mailtrap.wire import Export, ImportJob


def polls_of(plan: PollPlan, *, rows: int, takes: float) -> int:
    """How often a job that takes so long is asked about."""
    waited, count = 0.0, 0
    while True:
        waited += plan.next_poll_seconds(rows=rows, waited_seconds=waited, polls=count)
        count += 1
        if waited >= takes:
            plan.learn(rows=rows, seconds=waited, polls=count)
            return count


@pytest.mark.parametrize(
    ("name", "takes"),
    [
        ("at once", lambda _: 0.05), ("a second", lambda _: 1.0), ("six seconds", lambda _: 6.0), ("a minute", lambda _: 60.0),
        ("five minutes", lambda _: 300.0), ("uneven", lambda dice: dice.uniform(20, 40)), ("a tail", lambda dice: 5 * dice.paretovariate(3)),
    ],
)  # fmt: skip
def test_a_large_sync_needs_at_most_2_3_requests_for_a_payload(name: str, takes) -> None:
    """One POST and its polls, over two hundred payloads whose jobs take as long as they like."""
    plan, dice, payloads = PollPlan(), random.Random(4), 200
    requests = sum(1 + polls_of(plan, rows=50_000, takes=takes(dice)) for _ in range(payloads))
    assert requests / payloads <= 2.3, f"{name}: {requests / payloads:.2f} requests for each payload"


def test_waiting_is_not_much_longer_than_the_job() -> None:
    """Seldom, but not late: in the mean within a quarter of what jobs take."""
    plan, late = PollPlan(), []
    for _ in range(200):
        waited, count = 0.0, 0
        while waited < 30.0:
            waited += plan.next_poll_seconds(rows=50_000, waited_seconds=waited, polls=count)
            count += 1
        plan.learn(rows=50_000, seconds=waited, polls=count)
        late.append(waited / 30.0)
    assert sum(late[20:]) / len(late[20:]) < 1.25


def first_found(*, payloads: int, takes: float, rows: int = 50_000) -> float:
    """When the first of several jobs that began together is found done, as a multiple of what it takes."""
    plan, waited, count = PollPlan(), 0.0, 0
    for _ in range(payloads):
        plan.next_poll_seconds(rows=rows, waited_seconds=0.0, polls=0)
    while waited < takes:
        waited += plan.next_poll_seconds(rows=rows, waited_seconds=waited, polls=count)
        count += 1
    return waited / takes


@pytest.mark.parametrize("takes", [30.0, 70.0, 100.0, 120.0, 200.0])
def test_where_there_are_many_the_first_is_found_soon(takes: float) -> None:
    """Nothing is known yet, and all the others wait for what it teaches; so do people for an export."""
    assert first_found(payloads=400, takes=takes) < 1.31
    assert first_found(payloads=1, takes=takes, rows=0) < 1.31
    assert first_found(payloads=1, takes=takes) < 2.51


def test_a_job_that_never_ends_says_nothing_about_others() -> None:
    """Once it is known how long jobs take."""
    plan = PollPlan()
    plan.learn(rows=50_000, seconds=2.0, polls=1)
    before = plan.next_poll_seconds(rows=50_000, waited_seconds=0.0, polls=0)
    for count in range(2, 20):
        plan.next_poll_seconds(rows=50_000, waited_seconds=30.0 * count, polls=count)
    assert plan.next_poll_seconds(rows=50_000, waited_seconds=0.0, polls=0) == before


def test_a_small_job_is_asked_about_soon() -> None:
    """Ten contacts do not wait for a minute."""
    assert PollPlan().next_poll_seconds(rows=10, waited_seconds=0.0, polls=0) < 1.1


def test_a_fixed_pace_is_kept() -> None:
    """CONTACTS_POLL_SECONDS."""
    plan = PollPlan(fixed_seconds=0.05)
    assert [plan.next_poll_seconds(rows=9, waited_seconds=9.0, polls=n) for n in (0, 1, 9)] == [0.05] * 3


def test_no_poll_is_planned_beyond_the_deadline() -> None:
    """Right at the deadline there is one last look."""
    plan = PollPlan(deadline_seconds=10.0)
    assert plan.next_poll_seconds(rows=50_000_000, waited_seconds=4.0, polls=0) == 6.0
    assert plan.next_poll_seconds(rows=1, waited_seconds=11.0, polls=3) == 0.0


@pytest.mark.parametrize(
    ("job", "waited", "verdict"),
    [
        (ImportJob(1, "finished"), 0.0, "done"), (ImportJob(1, "finished"), 9999.0, "done"), (ImportJob(1, "failed"), 0.0, "failed"),
        (ImportJob(1, "started"), 10.0, "wait"), (ImportJob(1, "unknown:queued"), 10.0, "wait"),
        (ImportJob(1, "started"), 3600.0, "overdue"), (ImportJob(1, "unknown:"), 3600.0, "overdue"),
        (None, 1.0, "wait"), (None, 60.0, "lost"), (Export(1, "finished", None), 1.0, "wait"), (Export(1, "finished", "u"), 1.0, "done"),
    ],
)  # fmt: skip
def test_what_a_poll_means(job: ImportJob | Export | None, waited: float, verdict: str) -> None:
    """Only `finished` is done and only `failed` is failed; a 404 is lost after a grace; then comes the deadline."""
    assert PollPlan().verdict(job, waited_seconds=waited) == verdict


def test_a_job_of_no_rows_teaches_nothing() -> None:
    """Exports have no size that we know."""
    assert Pace().after(rows=0, seconds=100.0, polls=9) == Pace()
