"""A plan is applied exactly, or refused before anything is done to anybody."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from assets.changes import Question, Search
from assets.contacts import screen
from assets.departures import depart
from assets.imports import send_pending
from assets.partitions import WHOLE, file_of
from assets.plans import Foreseen, PlanConfig, foresee, keep_to_plan
from assets.preparation import prepare
from assets.rules.sync import Lists
from resources.errors import GuardError
from resources.home import open_home
from resources.lake import Lake
from tests.assets.world import ROWS, Row, World, people

WRITING = {"POST", "PATCH", "PUT", "DELETE"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Thirty people with Mailtrap, of whom five have changed since and two say no."""
    world = World(tmp_path)
    world.run(people(30))
    return world


def now_in_the_source() -> list[Row]:
    """What the source says when the plan is made."""
    rows = [*people(25), *people(5, first=25, plan="pro", day=2)]
    for number in (3, 4):
        rows[number]["yes"] = False
    return rows


def screened(world: World, lake: Lake, rows: list[Row]) -> Lake:
    """These rows as accepted contacts in a lake."""
    with lake.writer(file_of(world.sync, "source_rows", WHOLE), ROWS) as sink:
        sink.write(pa.Table.from_pylist(rows, ROWS))
    screen(lake, world.sync, partition=WHOLE, key=world.store.key, now=datetime(2026, 6, 1, tzinfo=UTC))
    return lake


def plan(world: World, rows: list[Row], *, full: bool = False) -> Foreseen:
    """What would be done with these rows."""
    with world.store.lake.scratch() as folder:
        tables = screened(world, Lake(folder), rows)
        return foresee(world.client, world.store, world.sync, partitions=[WHOLE], tables=tables, resend=full)


def apply(world: World, rows: list[Row], digest: str, *, full: bool = False) -> None:
    """A run over these rows up to the point where it would begin to change something at Mailtrap."""
    screened(world, world.store.lake, rows)
    config = PlanConfig(plan_digest=digest, full_resync=full)
    keep_to_plan(world.client, world.store, world.sync, partitions=[WHOLE], config=config)


def written(world: World) -> int:
    """How many requests have changed something at Mailtrap; asking for an export does not."""
    every = (each.as_dict() for each in world.mailtrap.journal.entries)
    return sum(each["method"] in WRITING and not each["path"].endswith("/exports") for each in every)


def test_a_plan_is_kept_to_where_nothing_moved(world: World) -> None:
    """The digest does not hang on the moment, the order of rows, or where they lie; and looking changes nothing."""
    rows = now_in_the_source()
    before = written(world)
    promised = plan(world, rows)
    assert promised.leavers.num_rows == 2 and promised.found.rows == 5
    apply(world, rows[::-1], promised.digest)
    assert plan(world, rows).digest == promised.digest
    assert written(world) == before


def test_what_was_promised_is_what_happens(world: World) -> None:
    """Two people leave and five are told: as many as the plan said, although the leaving moves the ledger on."""
    rows = now_in_the_source()
    apply(world, rows, plan(world, rows).digest)
    depart(world.client, world.store, world.sync, partitions=[WHOLE], run_id="r")
    Search(
        store=world.store,
        sync=world.sync,
        partitions=[WHOLE],
        question=Question(world.client, world.store, world.sync),
        lists=prepare(world.client, world.store, world.sync),
        tables=world.store.lake,
    ).find("r")
    sent = send_pending(
        world.client, world.store, world.sync, partitions=[WHOLE], run_id="r", timing=world.timing
    )
    assert sent.rows["accepted"] == 5 and sent.rows["no_consent"] == 2


def test_lists_that_are_still_to_be_made_do_not_move_a_plan(tmp_path: Path) -> None:
    """The first plan of all, for an account without the list and the fields."""
    world = World(tmp_path)
    promised = plan(world, people(3))
    assert promised.seen.to_create_lists == ("Newsletter",)
    apply(world, people(3), promised.digest)


def _a_row_changed(_: World, rows: list[Row]) -> None:
    rows[7]["plan"] = "pro"


def _a_row_came(_: World, rows: list[Row]) -> None:
    rows.extend(people(1, first=99))


def _somebody_else_changed(_: World, rows: list[Row]) -> None:
    rows[25]["plan"], rows[7]["plan"] = "free", "pro"


def _consent_was_withdrawn(_: World, rows: list[Row]) -> None:
    rows[8]["yes"] = False


def _consent_came_back(_: World, rows: list[Row]) -> None:
    rows[3]["yes"] = True


def _the_ledger_advanced(world: World, _: list[Row]) -> None:
    world.run([*people(29), *people(1, first=29, plan="pro", day=2)])


def _the_sync_file_was_edited(world: World, _: list[Row]) -> None:
    world.sync = replace(world.sync, version="2")


def _other_lists_are_named(world: World, _: list[Row]) -> None:
    world.sync = replace(world.sync, lists=Lists(include=("Newsletter", "Other")))


def _a_list_was_made_anew(world: World, _: list[Row]) -> None:
    (newsletter,) = [each for each in world.client.lists() if each.name == "Newsletter"]
    world.client.delete_list(newsletter.id)
    world.client.create_list("Newsletter")


def _a_suppression_arrived(world: World, _: list[Row]) -> None:
    world.mailtrap.suppress("p26@example.com")


def _somebody_was_erased(world: World, _: list[Row]) -> None:
    world.store.journal.bury([b"0" * 16], state="done")


def _another_key(world: World, _: list[Row]) -> None:
    world.store = replace(world.store, home=open_home(world.folder / "home2", "another-key-" * 3))


@pytest.mark.parametrize(
    "move",
    [
        _a_row_changed, _a_row_came, _somebody_else_changed, _consent_was_withdrawn, _consent_came_back,
        _the_ledger_advanced, _the_sync_file_was_edited, _other_lists_are_named, _a_list_was_made_anew,
        _a_suppression_arrived, _somebody_was_erased, _another_key,
    ],
    ids=lambda move: move.__name__.strip("_"),
)  # fmt: skip
def test_a_plan_is_refused_when_anything_moved(
    world: World, move: Callable[[World, list[Row]], None]
) -> None:
    """Whatever it is that moved, nobody is told or taken away."""
    rows = now_in_the_source()
    promised = plan(world, rows)
    move(world, rows)
    before = written(world)
    with pytest.raises(GuardError, match="moved on") as caught:
        apply(world, rows, promised.digest)
    assert "Nothing was sent" in caught.value.meaning
    assert written(world) == before


def test_a_plan_of_everything_is_another_plan(world: World) -> None:
    """A plan of what changed does not allow sending everything again."""
    rows = now_in_the_source()
    with pytest.raises(GuardError):
        apply(world, rows, plan(world, rows).digest, full=True)
    apply(world, rows, plan(world, rows, full=True).digest, full=True)
