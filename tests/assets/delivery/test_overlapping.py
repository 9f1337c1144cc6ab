"""Runs of the same sync beside each other: what one finds stays true while the other goes on."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.changes import look_for_pending
from assets.contacts import screen
from assets.delivery import ledger
from assets.imports import send_pending
from assets.partitions import WHOLE, file_of
from assets.pending import Pending
from assets.rules.sync import DayPartition, Lists
from assets.steady import steady
from resources.errors import UnfinishedError
from tests.assets.world import ROWS, Row, World, conserved, people


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose syncs go by day."""
    made = World(tmp_path)
    made.mailtrap.seed({"lists": ["Newsletter"]})
    made.wants(source=replace(made.sync.source, partition=DayPartition(date(2026, 1, 1))))
    try:
        yield made
    finally:
        made.close()


def screened(world: World, day: int, rows: list[Row]) -> str:
    """A day whose rows are there, and screened."""
    name = f"2026-01-0{day}"
    with world.store.lake.writer(file_of(world.sync, "source_rows", name), ROWS) as sink:
        sink.write(pa.Table.from_pylist(rows, ROWS))
    screen(
        world.store.lake,
        world.sync,
        partition=name,
        key=world.store.key,
        now=datetime(2026, 6, 1, tzinfo=UTC),
    )
    return name


def compared(world: World, day: str, *, run_id: str) -> Any:
    """The first half of a run."""
    return look_for_pending(world.client, world.store, world.sync, partitions=[day], run_id=run_id)


def sent(world: World, day: str, *, run_id: str) -> Any:
    """The second half of a run."""
    return send_pending(
        world.client, world.store, world.sync, partitions=[day], run_id=run_id, timing=world.timing
    )


def plan_of(world: World) -> str:
    """What Mailtrap has of the first person."""
    return str(world.contact("p0@example.com")["fields"]["plan"])


def test_a_date_does_not_move_on_over_what_another_run_told_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While day 2 finds that nothing has changed, day 3 tells something else: that stays in the ledger."""
    world.run({"2026-01-01": people(3)})
    day_2, day_3 = screened(world, 2, people(3, day=2)), screened(world, 3, people(3, plan="pro", day=3))
    compared(world, day_3, run_id="three")
    write, others = ledger.write_part, ["three"]

    def meanwhile(*given: Any, **more: Any) -> str:
        if others:
            sent(world, day_3, run_id=others.pop())
        return write(*given, **more)

    monkeypatch.setattr(ledger, "write_part", meanwhile)
    compared(world, day_2, run_id="two")
    assert plan_of(world) == "pro"
    assert conserved(world.run({"2026-01-03": people(3, plan="pro", day=3)}), unchanged=3)
    assert conserved(world.run({"2026-01-02": people(3, day=2)}), stale=3)


def test_a_day_that_an_older_one_overtook_while_it_waited_is_sent(world: World) -> None:
    """Day 3 says the same as day 1, so nothing is pending; then day 2 is told before it has the account."""
    world.run({"2026-01-01": people(3)})
    day_2, day_3 = screened(world, 2, people(3, plan="pro", day=2)), screened(world, 3, people(3, day=3))
    version = ledger.version(world.store.journal, world.sync.name)
    compared(world, day_2, run_id="two")
    assert sent(world, day_2, run_id="two").rows["accepted"] == 3
    found = compared(world, day_3, run_id="three")
    assert found.rows == 3
    world.store.lake.delete(found.path)
    # As it would have been, had day 3 been compared before day 2 was told.
    with world.store.lake.writer(found.path, pa.schema([("address_hash", pa.uuid())])) as sink:
        sink.note(
            "facts",
            f'{{"ledger": {version}, "resend": false, "partitions": ["{day_3}"], "erasures": [0, 0.0]}}',
        )
    assert conserved(sent(world, day_3, run_id="three"), accepted=3)
    assert plan_of(world) == "free"


def test_a_comparison_begins_again_when_another_run_makes_its_tables_anew(world: World) -> None:
    """What was read by position would belong to other people."""
    tries = []

    def work() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise IndexError
        return len(tries)

    versions = iter([{"a": 1.0}, {"a": 2.0}, {"a": 2.0}, {"a": 2.0}])
    assert steady(world.store.journal, work, written=lambda: next(versions)) == 2
    with pytest.raises(IndexError):
        steady(world.store.journal, lambda: [][1])


def test_tables_that_never_stand_still_end_a_run(world: World) -> None:
    """With words that say what to do."""
    moments = iter(range(100))
    with pytest.raises(UnfinishedError, match="rewritten"):
        steady(world.store.journal, lambda: 1, written=lambda: next(moments))


def test_a_screening_that_comes_in_between_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other run has two people more: they are counted and sent, and nobody is mistaken for somebody else."""
    world.wants(source=replace(world.sync.source, partition=None))
    screened_whole(world, people(5))
    compare, others = Pending.compare, [people(7)]

    def meanwhile(self: Pending, connection: Any, **known: Any) -> Any:
        found = compare(self, connection, **known)
        if others:
            screened_whole(world, others.pop())
        return found

    monkeypatch.setattr(Pending, "compare", meanwhile)
    look_for_pending(world.client, world.store, world.sync, partitions=[WHOLE], run_id="one")
    found = send_pending(
        world.client, world.store, world.sync, partitions=[WHOLE], run_id="one", timing=world.timing
    )
    assert conserved(found, accepted=7)
    assert len(world.members()) == 7


def screened_whole(world: World, rows: list[Row]) -> None:
    """The rows of a sync without partitions, screened."""
    with world.store.lake.writer(file_of(world.sync, "source_rows", WHOLE), ROWS) as sink:
        sink.write(pa.Table.from_pylist(rows, ROWS))
    screen(
        world.store.lake,
        world.sync,
        partition=WHOLE,
        key=world.store.key,
        now=datetime(2026, 6, 1, tzinfo=UTC),
    )


def test_people_of_several_days_leave_a_list_in_one_run(world: World) -> None:
    """One question for all days; nobody of one day is mistaken for somebody of another."""
    world.wants(lists=Lists(include=("Old", "Newsletter")))
    days = {f"2026-01-0{day}": people(3 + day, first=10 * day, day=day) for day in (1, 2, 3)}
    assert conserved(world.run(days), accepted=15)
    world.wants(lists=Lists(include=("Newsletter",)))
    changed = {name: [{**row, "plan": "pro"} for row in rows[1:]] + rows[:1] for name, rows in days.items()}
    world.run(changed)
    assert world.members("Old") == set() and len(world.members()) == 15
