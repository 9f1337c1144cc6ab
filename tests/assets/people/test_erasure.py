"""Erasing people: deleted and read back, out of every table, and back by no way."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.account import refresh_knowledge
from assets.changes import Question, Search
from assets.contacts import screen
from assets.delivery import refusals
from assets.exports import take_export
from assets.imports import send_pending
from assets.partitions import WHOLE, file_of
from assets.people import erasure
from assets.people.erasure import Requested, erase, erase_again
from assets.preparation import prepare
from assets.rules.traces import hashes_of
from assets.source_rows import erased_people
from resources import tombstones
from resources.database import open_engine
from resources.errors import SettingsError, UnavailableError, UnfinishedError
from resources.journal import Journal
from tests.assets.world import KEY, ROWS, World, people

VICTIMS = tuple(f"p{n}@example.com" for n in range(0, 30, 3))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Thirty people with Mailtrap, and an export of them in the lake."""
    world = World(tmp_path)
    world.run(people(30))
    take_export(world.client, world.store)
    return world


def of(*addresses: str) -> Requested:
    """The request that a file with these lines would make."""
    return Requested(addresses, {each: each for each in addresses}, ())


def erased(world: World, *addresses: str, run_id: str = "erasure") -> dict[str, object]:
    """Erase and give the receipt."""
    return erase(
        world.client,
        world.store,
        of(*addresses),
        syncs=[world.sync],
        run_id=run_id,
        sleep=world.mailtrap.advance,
    )


def traces(folder: Path, *words: str) -> list[str]:
    """The files below a folder that hold one of these words, Parquet decoded."""
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        content = (
            str(pq.read_table(path).to_pylist()).encode() if path.suffix == ".parquet" else path.read_bytes()
        )
        found += [f"{path.name}: {word}" for word in words if word.encode() in content.lower()]
    return found


def test_erased_people_are_gone_at_mailtrap_and_from_every_table(world: World, tmp_path: Path) -> None:
    """Nothing in the lake or the journal names them, and Mailtrap answers 404; the others are untouched."""
    receipt = erased(world, *VICTIMS)
    assert receipt["at_mailtrap"] == {"deleted": 10, "not_there": 0}
    assert traces(tmp_path, *(f"{each}" for each in VICTIMS)) == []
    assert all(world.client.get_contact(each) is None for each in VICTIMS)
    assert len(world.members()) == 20
    assert traces(tmp_path, "p1@example.com")


def test_a_receipt_says_what_was_done_and_names_nobody(world: World) -> None:
    """It can be filed: hashes, numbers, and what stays elsewhere."""
    erased(world, *VICTIMS)
    kept = world.store.lake.read_bytes(erasure.receipt_path("erasure")).decode()
    assert not any(each in kept for each in VICTIMS)
    receipt = json.loads(kept)
    assert receipt["people"] == 10
    assert receipt["places"]["people/evidence"]["rows"] == 10
    assert any("suppressions" in each for each in receipt["stays_with_mailtrap"])


def test_a_source_that_still_has_them_brings_nobody_back(world: World, tmp_path: Path) -> None:
    """Whatever the case of the address, the day of the row or a full resend: counted as erased, never sent."""
    erased(world, "p3@example.com")
    rows = people(30, plan="pro", day=9)
    rows[3]["email"] = " P3@EXAMPLE.com "
    sent = world.run(rows, resend=True)
    assert sent.rows["erased"] == 1
    assert sent.rows["accepted"] == 29
    assert world.client.get_contact("p3@example.com") is None
    assert "p3@example.com" not in world.members()


def test_the_extract_of_an_erased_person_is_not_even_kept(world: World) -> None:
    """What is on the way from the warehouse is filtered by the tombstones, by hash."""
    erased(world, "p3@example.com")
    assert erased_people(world.store).hashes.to_pylist() == hashes_of(["p3@example.com"], KEY.encode())


def test_rejections_go_though_the_extract_that_named_their_rows_has_expired(world: World) -> None:
    """Rejections are kept for months, extracts for a day: a keyed hash says whose they are."""
    rows = people(30)
    rows[3]["name"] = rows[4]["name"] = "two\nlines"
    world.wants()
    world.run(rows)
    rejected, lake = file_of(world.sync, "rejections", WHOLE), world.store.lake
    assert lake.rows(rejected) == 2
    lake.delete(file_of(world.sync, "source_rows", WHOLE))
    for path in lake.list("people/evidence"):
        lake.delete(path)
    erased(world, "p3@example.com")
    left = [each for batch in lake.read(rejected) for each in batch["source_key"].to_pylist()]
    assert left == ["4"]


def test_what_mailtrap_refused_of_erased_people_is_forgotten_too(world: World) -> None:
    """Refusals outlive their delivery while the row stays as it is; a keyed hash says whose they are."""
    world.wants()
    two = ["p3@example.com", "p4@example.com"]
    refusal = {"do": "refuse_rows", "emails": two, "errors": {"email": ["is invalid"]}}
    world.mailtrap.fault(action=refusal, match={"method": "POST", "path": "/contacts/imports$"}, times=1)
    rows = people(30, plan="pro")
    assert [world.run(rows).rows["rejected"] for _ in range(2)] == [2, 2]
    erased(world, "p3@example.com")
    lake = world.store.lake
    batches = [batch for path in lake.list(refusals.folder("people")) for batch in lake.read(path)]
    assert [each for batch in batches for each in batch["source_key"].to_pylist()] == ["4"]
    left = world.run(rows).rows
    assert (left["erased"], left["rejected"], left["unchanged"]) == (1, 1, 28)


def test_a_killed_erasure_goes_on_where_it_stopped(world: World, tmp_path: Path) -> None:
    """Mailtrap fails in the middle: those who are deleted are not asked about again, and the end is the same."""
    rule = world.mailtrap.fault(
        action={"do": "answer", "status": 500, "json": {"errors": "x"}},
        match={"method": "DELETE", "nth": list(range(5, 60))},
        times=1000,
    )
    with pytest.raises(UnavailableError):
        erase(
            world.client,
            world.store,
            of(*VICTIMS),
            syncs=[world.sync],
            run_id="one",
            sleep=world.mailtrap.advance,
        )
    world.mailtrap.faults.remove(rule.id)
    assert set(world.store.journal.tombstones().values()) <= {"begun", "deleted"}
    assert world.run(people(30)).rows["erased"] == 10
    erased(world, *VICTIMS, run_id="two")
    assert traces(tmp_path, *VICTIMS) == []
    assert set(world.store.journal.tombstones().values()) == {"erased"}


def test_a_mailtrap_that_still_has_the_contact_is_not_believed(world: World) -> None:
    """Only a 404 proves it; until then nothing is cleaned and the erasure is not called done."""
    world.mailtrap.fault(
        action={"do": "answer", "status": 204, "text": ""}, match={"method": "DELETE"}, times=1000
    )
    with pytest.raises(UnfinishedError) as raised:
        erased(world, "p3@example.com")
    assert "example.com" not in str(raised.value)


def test_an_export_that_mailtrap_had_begun_before_does_not_bring_them_back(
    world: World, tmp_path: Path
) -> None:
    """The file still holds them; the table that we make of it does not."""
    erased(world, "p3@example.com")
    world.mailtrap.seed({"contacts": [{"email": "p3@example.com"}]})
    take_export(world.client, world.store)
    assert traces(tmp_path, "p3@example.com") == []


def test_suppressions_that_mailtrap_keeps_are_not_kept_here(world: World, tmp_path: Path) -> None:
    """They are withheld by their tombstone, so that their address need not be in the lake."""
    world.mailtrap.suppress("p3@example.com")
    erased(world, "p3@example.com")
    now = world.mailtrap.clock.time()
    refresh_knowledge(
        world.client,
        world.store.lake,
        world.store.journal,
        key=world.store.key,
        now=datetime.fromtimestamp(now, UTC),
    )
    assert traces(tmp_path, "p3@example.com") == []


def test_a_lost_journal_gets_its_tombstones_back(world: World) -> None:
    """They are kept beside it; with another key, whom nobody would be recognised by, nothing starts."""
    erased(world, "p3@example.com")
    fresh = Journal(open_engine("sqlite://"))
    assert tombstones.bring_together(world.store.home, fresh) == 1
    assert list(fresh.tombstones().values()) == ["erased"]
    other = type(world.store.home)(world.store.home.root, b"another key, another key, another")
    with pytest.raises(SettingsError, match="key"):
        tombstones.bring_together(other, fresh)
    fresh.close()


def test_a_restored_lake_is_cleaned_without_anybody_s_address(world: World, tmp_path: Path) -> None:
    """The step after a restore: everybody with a tombstone goes again, and the others stay."""
    shutil.copytree(tmp_path / "lake", tmp_path / "backup")
    erased(world, *VICTIMS)
    shutil.rmtree(tmp_path / "lake")
    shutil.copytree(tmp_path / "backup", tmp_path / "lake")
    shutil.rmtree(tmp_path / "backup")
    assert traces(tmp_path, *VICTIMS)
    before = len(world.mailtrap.journal.entries)
    receipt = erase_again(world.client, world.store, syncs=[world.sync], run_id="again")
    assert traces(tmp_path, *VICTIMS) == []
    assert traces(tmp_path, "p1@example.com")
    assert (receipt["people"], receipt["not_deleted_yet"]) == (10, 0)
    assert receipt["places"]["people/evidence"]["rows"] == 10
    assert len(world.mailtrap.journal.entries) == before, "nobody is asked about"


def test_an_erasure_that_was_never_finished_is_said_after_a_restore(world: World) -> None:
    """Only their file has their addresses, so only `erase --file` can delete them at Mailtrap."""
    erasure.begin(world.store, hashes_of(["p3@example.com"], world.store.key))
    receipt = erase_again(world.client, world.store, syncs=[world.sync], run_id="again")
    assert receipt["not_deleted_yet"] == 1


def test_pending_contacts_that_wait_to_be_sent_lose_them_too(world: World) -> None:
    """A run that was cut off between comparing and sending sends the others, and counts them as erased."""
    rows = people(30, plan="pro", day=5)
    store, sync = world.store, world.sync
    with store.lake.writer(file_of(sync, "source_rows", WHOLE), ROWS) as sink:
        sink.write(pa.Table.from_pylist(rows, ROWS))
    screen(store.lake, sync, partition=WHOLE, key=store.key, now=datetime(2026, 6, 1, tzinfo=UTC))
    Search(
        store=store, sync=sync, partitions=[WHOLE], question=Question(world.client, store, sync),
        lists=prepare(world.client, world.store, sync), tables=store.lake,
    ).find("late")  # fmt: skip
    erased(world, *VICTIMS)
    sent = send_pending(world.client, store, sync, partitions=[WHOLE], run_id="late", timing=world.timing)
    assert sent.rows["erased"] == 10
    assert sent.rows["accepted"] == 20
    assert sent.rows["read"] == 30
    assert all(world.client.get_contact(each) is None for each in VICTIMS)


def test_a_file_of_people_is_read_line_by_line(tmp_path: Path) -> None:
    """Good lines count, blank ones and comments do not, and others are named by their number alone."""
    file = tmp_path / "people.txt"
    file.write_text("# asked in May\n\nJane <JANE@x.example>\nnobody\njane@x.example\njoe@x.example\n")
    found = erasure.read_file(str(file))
    assert found.addresses == ("jane@x.example", "joe@x.example")
    assert found.unreadable_lines == (4,)
    with pytest.raises(SettingsError, match="cannot be read"):
        erasure.read_file(str(tmp_path / "none.txt"))
