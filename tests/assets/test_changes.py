"""What is pending is found while Mailtrap is asked whom to leave alone: sooner, and by its answer all the same."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets import changes, pending
from assets.account import UNSUBSCRIBED
from assets.changes import Question, Search, known_about, look_for_pending
from assets.contacts import screen
from assets.partitions import WHOLE, file_of
from assets.preparation import prepare
from assets.rules import comparison
from assets.rules.side_by_side import side_by_side
from assets.rules.sync import DayPartition
from resources.errors import UnavailableError
from tests.assets.world import ROWS, Row, World, people

ADDRESSES = [row["email"] for row in people(12)]
AWAY = ADDRESSES[9:]
"""The whole last batch; they were unsubscribed when Mailtrap was asked last."""
EVENTS: dict[str, Callable[[World], object]] = {
    "nothing": lambda world: None,
    "the first one leaves": lambda world: world.mailtrap.unsubscribe(ADDRESSES[0]),
    "the last one leaves": lambda world: world.mailtrap.unsubscribe(ADDRESSES[8]),
    "one comes back": lambda world: comes_back(world, AWAY[1]),
    "one leaves, one comes back": lambda world: (
        comes_back(world, AWAY[1]),
        world.mailtrap.unsubscribe(ADDRESSES[7]),
    ),
    "one is suppressed": lambda world: world.mailtrap.suppress(ADDRESSES[8]),
    "all leave": lambda world: world.mailtrap.unsubscribe(*ADDRESSES),
}


def comes_back(world: World, address: str) -> None:
    """They subscribed again, at Mailtrap."""
    world.mailtrap.account.unsubscribed.discard(address)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Twelve people whom Mailtrap has, screened into four batches; it was asked before, when three were unsubscribed."""
    made = World(tmp_path)
    made.mailtrap.seed({"lists": ["Newsletter"], "contacts": [{"email": each} for each in ADDRESSES]})
    made.mailtrap.unsubscribe(*AWAY)
    screened(made, people(12), WHOLE)
    known_about(made.client, made.store, made.sync)
    monkeypatch.setattr(pending, "side_by_side", partial(side_by_side, threads=1))
    made.mailtrap.advance(60)
    yield made
    made.close()


def screened(world: World, rows: list[Row], partition: str) -> None:
    """Accepted contacts in batches of three."""
    lake, sync = world.store.lake, world.sync
    with lake.writer(file_of(sync, "source_rows", partition), ROWS) as sink:
        sink.write(pa.Table.from_pylist(rows, ROWS))
    screen(lake, sync, partition=partition, key=world.store.key, now=datetime(2026, 6, 1, tzinfo=UTC))
    path = file_of(sync, "accepted_contacts", partition)
    accepted, facts = pa.Table.from_batches(lake.read(path)), lake.metadata(path)
    with lake.writer(path, accepted.schema, rows_per_group=3, metadata=facts) as sink:
        sink.write(accepted)


def searched(
    world: World, run_id: str, question: Question, *partitions: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The pending contacts and what is noted about them."""
    search = Search(
        store=world.store,
        sync=world.sync,
        partitions=partitions or [WHOLE],
        question=question,
        lists=prepare(world.client, world.store, world.sync),
        tables=world.store.lake,
    )
    found = search.find(run_id)
    rows = [row for batch in world.store.lake.read(found.path) for row in batch.to_pylist()]
    assert found.rows == len(rows)
    return rows, dict(found.by_partition)


def taking_at_most(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """So many steps of work fit into the time that Mailtrap takes."""

    def taking(steps: Iterator[object]) -> Any:
        fitting = itertools.islice(steps, count)
        return lambda _: deque(fitting, maxlen=0)

    monkeypatch.setattr(changes, "taking", taking)


def counting_comparisons(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files each comparison was of."""
    made: list[int] = []
    compare = comparison.compare

    def counted(*given: Any, **more: Any) -> Any:
        made.append(len(given[1]))
        return compare(*given, **more)

    monkeypatch.setattr(comparison, "compare", counted)
    return made


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("steps", [1, 3, 7])
def test_what_is_found_meanwhile_is_what_would_be_found_after(
    world: World, monkeypatch: pytest.MonkeyPatch, event: str, steps: int
) -> None:
    """However much of it was written before the answer came, and whatever the answer says."""
    EVENTS[event](world)
    taking_at_most(monkeypatch, steps)
    question = Question(world.client, world.store, world.sync)
    rows, counts = searched(world, "meanwhile", question)
    assert (rows, counts) == searched(world, "after", question)  # by an answer that is there
    withheld = world.mailtrap.account.unsubscribed | (
        {ADDRESSES[8]} if event == "one is suppressed" else set()
    )
    assert [row["email"] for row in rows] == [each for each in ADDRESSES if each not in withheld]
    assert counts[WHOLE]["pending"] + counts[WHOLE]["unsubscribed"] + counts[WHOLE]["suppressed"] == 12


@pytest.mark.parametrize(
    ("event", "steps", "comparisons"),
    [
        ("nothing", 0, 1),
        ("nothing", 7, 1),
        ("the last one leaves", 1, 2),  # nothing was written yet
        ("the last one leaves", 3, 2),  # nobody who was looked at is judged otherwise
        ("the last one leaves", 7, 3),
        ("the first one leaves", 3, 3),
        ("one comes back", 7, 3),
    ],
)
def test_it_is_done_again_only_where_it_must_be(
    world: World, monkeypatch: pytest.MonkeyPatch, event: str, steps: int, comparisons: int
) -> None:
    """Compared again where something else is known; written again where somebody is judged otherwise."""
    EVENTS[event](world)
    taking_at_most(monkeypatch, steps)
    made = counting_comparisons(monkeypatch)
    searched(world, "run", Question(world.client, world.store, world.sync))
    assert len(made) == comparisons


def test_who_comes_back_is_told_where_nobody_was_to_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what was known before, there was nothing to be written at all."""
    world.mailtrap.unsubscribe(*ADDRESSES)
    known_about(world.client, world.store, world.sync)
    comes_back(world, ADDRESSES[6])
    taking_at_most(monkeypatch, 7)
    rows, _ = searched(world, "run", Question(world.client, world.store, world.sync))
    assert [row["email"] for row in rows] == [ADDRESSES[6]]


def test_the_time_is_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is written before Mailtrap has answered."""
    written, wait = [], world.client.wait_for_export

    def waited(*given: Any, **more: Any) -> Any:
        found = wait(*given, **more)
        written.append(tables[0])
        return found

    tables = [0]
    contact_json = pending.payload.contact_json

    def counted(*given: Any, **more: Any) -> Any:
        tables[0] += 1
        return contact_json(*given, **more)

    monkeypatch.setattr(pending.payload, "contact_json", counted)
    monkeypatch.setattr(
        type(world.client), "wait_for_export", lambda _, *given, **more: waited(*given, **more)
    )
    look_for_pending(world.client, world.store, world.sync, partitions=[WHOLE], run_id="run")
    assert written == [3] and tables == [3]


@pytest.mark.parametrize("mode", ["insert", "update"])
def test_nothing_is_guessed_where_it_depends_on_whom_mailtrap_has(
    world: World, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    """An upsert tells everybody; an update only those who are there, which nobody knows before the answer."""
    world.sync = replace(world.sync, mode=mode)
    made = counting_comparisons(monkeypatch)
    rows, _ = searched(world, "run", Question(world.client, world.store, world.sync))
    assert len(made) == 1 and len(rows) == (0 if mode == "insert" else 9)


def test_nothing_is_done_ahead_of_a_large_comparison(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """To compare twice would take longer than what is won."""
    EVENTS["the first one leaves"](world)
    monkeypatch.setattr(changes, "COMPARED_AHEAD_AT_MOST", 11)
    made = counting_comparisons(monkeypatch)
    searched(world, "run", Question(world.client, world.store, world.sync))
    assert len(made) == 1


def test_a_damaged_table_of_the_last_time_heals(world: World) -> None:
    """It is only a guess: Mailtrap's answer replaces it, and nobody notices."""
    world.store.lake.write_bytes(UNSUBSCRIBED, b"PAR1 no table at all")
    rows, _ = searched(world, "run", Question(world.client, world.store, world.sync))
    assert [row["email"] for row in rows] == ADDRESSES[:9]


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("event", ["nothing", "the first one leaves", "one leaves, one comes back"])
def test_of_several_days_too(world: World, monkeypatch: pytest.MonkeyPatch, event: str, steps: int) -> None:
    """Several batches at a time are looked at before the first of them is written, over the end of a day."""
    days = ["2026-01-01", "2026-01-02"]
    partition = DayPartition(datetime(2026, 1, 1, tzinfo=UTC).date())
    world.wants(source=replace(world.sync.source, partition=partition))
    for day, of_day in zip(days, (slice(0, 5), slice(5, 12)), strict=True):
        screened(world, people(12)[of_day], day)
    EVENTS[event](world)
    monkeypatch.setattr(pending, "side_by_side", partial(side_by_side, threads=3))
    taking_at_most(monkeypatch, steps)
    question = Question(world.client, world.store, world.sync)
    found = searched(world, "meanwhile", question, *days)
    assert found == searched(world, "after", question, *days)
    assert {row["email"] for row in found[0]} == set(ADDRESSES) - world.mailtrap.account.unsubscribed


def test_nothing_is_left_when_mailtrap_cannot_say(world: World) -> None:
    """Also nothing unfinished: what was written meanwhile is gone, and nobody will send it."""
    world.store.lake.delete(UNSUBSCRIBED.replace("latest.parquet", "freshness.json"))  # of whatever age it is
    world.mailtrap.faults.add(
        {"action": {"do": "job", "fails": True}, "match": {"path": "/contacts/exports$"}, "times": None}
    )
    with pytest.raises(UnavailableError):
        look_for_pending(world.client, world.store, world.sync, partitions=[WHOLE], run_id="run")
    folder = Path(world.store.lake.root) / "people" / "pending_contacts"
    assert folder.exists() and not list(folder.iterdir())
