"""A hundred people are erased from five days of history, with a kill in the middle; then everything tries to bring them back."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from assets import contacts, departures, events, requests
from assets.account import PROMPT
from assets.changes import Question, Search
from assets.delivery.settling import settle
from assets.drift import find_drift
from assets.exports import take_export
from assets.imports import send_pending
from assets.partitions import WHOLE, file_of
from assets.people import erasure
from assets.people.records import Person, everything, explained
from assets.preparation import prepare
from assets.rules.sync import DayPartition
from assets.source_rows import erased_people, extract
from resources import settings
from resources.journal import IN_FLIGHT
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.session import open_client
from resources.store.store import Store, open_store
from resources.warehouses import connect
from tests.assets import test_events
from tests.assets.deeds import DELETIONS, NOW, OURS, Scene, scene, traces
from tests.assets.proxy import Moment

DAYS = tuple(f"2026-01-0{number}" for number in range(1, 6))
BY_DAY = replace(OURS, source=replace(OURS.source, partition=DayPartition(date(2026, 1, 1))), verify="export")
OTHERS, ERASED = 40, 100
VICTIMS = [f"p{number}@müller.example" for number in range(ERASED)]
CANONICAL = [each.replace("müller", "xn--mller-kva") for each in VICTIMS]
SPELLINGS = (
    lambda text: text.upper(),
    lambda text: f" \t{text}\u00a0",
    lambda text: text.replace("müller", "XN--MLLER-KVA"),
    lambda text: text.replace("müller", "mu\u0308ller"),
    lambda text: f"Somebody <{text}>",
    lambda text: f"mailto:{text}",
    lambda text: text.replace("p", "p\u200b"),
)

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1200)]


class History:
    """A warehouse, a home and a Mailtrap with five days of history."""

    def __init__(self, found: Scene, folder: Path) -> None:
        self.scene, self.folder, self.runs = found, folder, 0
        self.warehouse = folder / "warehouse.duckdb"
        self.vault = folder / "vault"

    def source(self, *, spell: Any = str, plan: str = "free") -> None:
        """Everybody, every day, as the warehouse has them."""
        self.warehouse.unlink(missing_ok=True)
        addresses = [*map(spell, VICTIMS), *(f"q{number}@example.com" for number in range(OTHERS))]
        rows = [
            (
                f"{number}",
                address,
                True,
                f"N{number}",
                f"{plan}{day}",
                datetime.fromisoformat(f"{day}T08:00:00+00:00"),
            )
            for day in DAYS
            for number, address in enumerate(addresses)
        ]
        with duckdb.connect(str(self.warehouse)) as connection:
            table = pa.Table.from_pylist([dict(zip(("id", "email", "yes", "name", "plan", "at"), row, strict=True)) for row in rows])  # fmt: skip
            connection.register("rows", table)
            connection.execute("create table people as select * from rows")

    @contextmanager
    def at_work(self) -> Iterator[tuple[MailtrapClient, Store]]:
        """Client and store, as a run opens them."""
        known = settings.read(self.scene.environ | {"CONTACTS_TOMBSTONES": str(self.vault)})
        with (
            open_client(known) as client,
            open_store(known) as store,
        ):
            yield client, store

    def sync(self, days: Sequence[str], *, resend: bool = False, send: bool = True) -> dict[str, int]:
        """What a run of the sync does, step by step."""
        self.runs += 1
        run_id = f"day-{self.runs}"
        with self.at_work() as (client, store):
            warehouse = connect(f"duckdb:///{self.warehouse}")
            for day in days:
                extract(warehouse, store.lake, BY_DAY, partition=day, erased=erased_people(store))
                contacts.screen(store.lake, BY_DAY, partition=day, key=store.key, now=NOW)
            warehouse.close()
            departures.depart(client, store, BY_DAY, partitions=days, run_id=run_id)
            settle(client, store)
            question, lists = Question(client, store, BY_DAY), prepare(client, store, BY_DAY)
            Search(
                store=store, sync=BY_DAY, partitions=days, question=question, lists=lists, resend=resend,
                tables=store.lake,
            ).find(run_id)  # fmt: skip
            if not send:
                return {}
            return dict(send_pending(client, store, BY_DAY, partitions=days, run_id=run_id).rows)

    def export(self) -> None:
        """Mailtrap's contacts as Parquet: one more version."""
        with self.at_work() as (client, store):
            take_export(client, store, patience=PROMPT)

    def restore(self, *names: str) -> None:
        """These parts of the home are as they were before the erasure."""
        for name in names:
            current, kept = self.scene.home / name, self.folder / "backup" / name
            shutil.rmtree(current) if current.is_dir() else current.unlink(missing_ok=True)
            if kept.is_dir():
                shutil.copytree(kept, current)
            elif kept.exists():
                shutil.copy(kept, current)

    def back_up_amid(self, method: str, *, when: Moment) -> None:
        """At the next such request about an import: it is lost, or its answer is, and the backup is of that moment."""
        path = f"{method} /api/accounts/{self.scene.mailtrap.account.id}/contacts/imports"
        self.scene.proxy.arm(
            lambda: shutil.copytree(self.scene.home, self.folder / "backup"), at=1, when=when, matching=path
        )

    def nobody_is_back(self, how: str) -> None:
        """Mailtrap has none of them, and no request that could have made one has named one."""
        contacts_now = {each["email"] for each in self.scene.mailtrap.dump()["accounts"][0]["contacts"]}
        assert not contacts_now & set(CANONICAL), how
        journal = self.scene.mailtrap.journal
        assert [each for each in CANONICAL if journal.times_sent(each)] == [], how
        named = [entry for each in CANONICAL for entry in journal.naming(each)]
        assert {entry.method for entry in named} <= {"GET"}, how
        assert self.scene.resubscriptions() == 0, how


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """Five days synced, each followed by an export; a backup; then a hundred people erased, with a kill in the middle."""
    with scene(tmp_path / "home") as found:
        made = History(found, tmp_path)
        made.source()
        for day in DAYS:
            made.sync([day])
            made.export()
        (tmp_path / "erase.txt").write_text("\n".join(VICTIMS))
        shutil.copytree(found.home, tmp_path / "backup")
        assert found.run_killed("erase_file", at=150, when="after")
        assert found.run("erase_file", dies_at=60) != 0, "it dies a second time, while tables are rewritten"
        assert found.run("erase_file") == 0
        with made.at_work():
            pass  # CONTACTS_TOMBSTONES learns of them
        found.mailtrap.journal.clear()
        yield made


def test_a_hundred_people_are_gone_and_stay_gone(history: History) -> None:
    """By a source in any spelling, a backfill, a resend, an export, drift, events, requests, explain, access."""
    home = history.scene.home
    assert traces(home, *CANONICAL, *VICTIMS) == []
    history.nobody_is_back("erased")
    for spell in SPELLINGS:
        history.source(spell=spell, plan="pro")
        rows = history.sync(DAYS)
        assert rows["read"] == len(DAYS) * (ERASED + OTHERS)
        assert rows["erased"] + rows["rejected"] == len(DAYS) * ERASED
        history.nobody_is_back("another spelling")
    history.source(plan="vip")
    history.sync([DAYS[0]], resend=True)
    history.nobody_is_back("a backfill of an old day")
    history.export()
    with history.at_work() as (client, store):
        find_drift(client, store, BY_DAY, heal=True)
        history.nobody_is_back("drift")
        rows = [test_events.order(n) | {"email": each} for n, each in enumerate(VICTIMS)]
        with store.lake.writer(file_of(test_events.ORDERS, "source_rows", WHOLE), test_events.ROWS) as sink:
            sink.write(pa.Table.from_pylist(rows, test_events.ROWS))
        events.screen(store, test_events.ORDERS, WHOLE, now=NOW)
        assert (
            events.send(client, store, test_events.ORDERS, partitions=[WHOLE], run_id="e").rows["erased"]
            == ERASED
        )
        schema = pa.schema([("email", pa.string())])
        with store.lake.writer(file_of(DELETIONS, "source_rows", WHOLE), schema) as sink:
            sink.write(pa.table({"email": VICTIMS}, schema=schema))
        requests.carry_out(client, store, DELETIONS, partitions=[WHOLE], run_id="r")
        history.nobody_is_back("events and requests")
        person = Person.of(CANONICAL[0], key=store.key)
        warehouse = connect(f"duckdb:///{history.warehouse}")
        everything(client, store, person, syncs=[BY_DAY])
        explained(client, store, person, syncs=[(BY_DAY, warehouse)], now=datetime.now(UTC))
        warehouse.close()
    history.nobody_is_back("access and explain")
    history.sync(DAYS)
    history.nobody_is_back("after all of it")


@pytest.mark.parametrize(
    "parts", [("lake",), ("journal.db",), ("lake", "journal.db"), ("lake", "journal.db", "tombstones")]
)
def test_a_restored_backup_brings_nobody_back(history: History, parts: tuple[str, ...]) -> None:
    """Also when everything is restored: CONTACTS_TOMBSTONES is outside of the backup. `erase --again` cleans it."""
    for suffix in ("-wal", "-shm"):
        (history.scene.home / f"journal.db{suffix}").unlink(missing_ok=True)
    history.restore(*parts)
    history.source(plan="late")
    history.sync(DAYS, resend=True)
    history.nobody_is_back(f"restored {parts}")
    with history.at_work() as (client, store):
        erasure.erase_again(client, store, syncs=[BY_DAY], run_id="again")
    assert traces(history.scene.home, *CANONICAL, *VICTIMS) == []


@pytest.mark.parametrize(
    ("method", "when"),
    [("POST", "before"), ("POST", "after"), ("GET", "before")],
    ids=["unsent", "sent", "told"],
)
@pytest.mark.parametrize("tombstones", [(), ("tombstones",)], ids=["", "with tombstones"])
def test_what_a_backup_has_in_flight_brings_nobody_back(
    tmp_path: Path, tombstones: tuple[str, ...], method: str, when: Moment
) -> None:
    """A backup of a run that was sending them: what it began is taken up, and no request of any kind names them."""
    with scene(tmp_path / "home") as found:
        made = History(found, tmp_path)
        made.source()
        (tmp_path / "erase.txt").write_text("\n".join(VICTIMS))
        made.back_up_amid(method, when=when)
        made.sync(DAYS)
        assert found.proxy.struck.is_set()
        assert found.run("erase_file") == 0
        with made.at_work():
            pass  # CONTACTS_TOMBSTONES learns of them
        made.restore("lake", "journal.db", "journal.db-wal", "journal.db-shm", *tombstones)
        with made.at_work() as (client, store):
            open_now = store.journal.open_deliveries(str(client.account_id))
            assert [store.journal.payloads(each, states=IN_FLIGHT) for each in open_now] not in ([], [[]])
        found.mailtrap.journal.clear()
        made.source(plan="late")
        assert made.sync(DAYS)["accepted"] > 0
        made.nobody_is_back(f"in flight, restored {tombstones}")
        assert [each for each in CANONICAL if found.mailtrap.journal.naming(each)] == []
