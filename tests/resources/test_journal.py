"""The journal: intent before deed, one writer, nothing that a dead or paused process can spoil."""

import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from resources import settings
from resources.database import open_engine
from resources.errors import JournalError, SettingsError, UnfinishedError
from resources.journal import Delivery, Journal, Lease, open_journal
from resources.process import is_dead, this_process
from resources.store.store import Store, open_store
from tests import postgres


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Waiting takes no time here."""
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """Time as the test says."""
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    """A journal in a file."""
    opened = Journal(open_engine(f"sqlite:///{tmp_path}/journal.db"), clock=clock, sleep=clock.sleep)
    yield opened
    opened.close()


def delivery_of(journal: Journal, lease: Lease, path: str = "s/pending/r.parquet") -> Delivery:
    """A delivery of ten rows."""
    return journal.open_delivery(
        account="1", sync="s", run_id="r", path=path, rows=10, facts={"n": 1}, lease=lease
    )


def test_the_same_file_keeps_its_delivery(journal: Journal) -> None:
    """A run that is tried again goes on with what it had begun."""
    with journal.lease("account:1") as lease:
        first = delivery_of(journal, lease)
        assert delivery_of(journal, lease).id == first.id
        assert [each.id for each in journal.open_deliveries("1")] == [first.id]
        journal.close_delivery(first, state="done", lease=lease)
        assert journal.open_deliveries("1") == []


def test_a_receipt_finishes_the_payload_and_moves_the_ledger_in_one_step(journal: Journal) -> None:
    """And only once, however often the receipt comes."""
    with journal.lease("account:1") as lease:
        payload = journal.plan_payload(delivery_of(journal, lease), first_row=0, rows=10, lease=lease)
        payload = journal.mark(payload, "sending", lease=lease, attempts=1)
        for _ in range(2):
            payload = journal.finish(payload, sync="s", part_path="s/ledger/p", lease=lease, created_count=10)
        assert payload.state == "finished"
        assert [part.path for part in journal.ledger_parts("s")] == ["s/ledger/p"]


def test_halves_take_over_all_rows_and_what_was_left_out(journal: Journal) -> None:
    """Splitting loses no row and forgets no refusal."""
    with journal.lease("account:1") as lease:
        payload = journal.plan_payload(delivery_of(journal, lease), first_row=3, rows=7, lease=lease)
        payload = journal.mark(payload, "planned", lease=lease, left_out=[4, 8])
        first, second = journal.split(payload, lease=lease)
        assert (first.first_row, first.rows, first.left_out) == (3, 3, (4,))
        assert (second.first_row, second.rows, second.left_out) == (6, 4, (8,))


def test_parts_added_while_a_base_is_made_overrule_it(journal: Journal) -> None:
    """Merging must not lose what a concurrent run proved meanwhile."""
    with journal.lease("ledger:s") as lease:
        for name in ("a", "b"):
            journal.add_ledger_part("s", path=name, rows=1, lease=lease)
        seen = journal.ledger_parts("s")
        journal.add_ledger_part("s", path="c", rows=1, lease=lease)
        journal.replace_ledger_parts("s", seen, path="base", rows=2, lease=lease)
        assert [(part.path, part.base) for part in journal.ledger_parts("s")] == [
            ("base", True),
            ("c", False),
        ]
        journal.add_ledger_part("s", path="d", rows=1, lease=lease)
        assert [part.path for part in journal.ledger_parts("s")] == ["base", "c", "d"]


def test_only_one_holds_a_lease(journal: Journal) -> None:
    """The second one waits for as long as it may, then says so."""
    second = journal.lease("account:1", wait_seconds=3)
    with journal.lease("account:1"), pytest.raises(JournalError, match="Another run holds"):
        second.__enter__()
    with journal.lease("account:1"):
        pass


def test_who_waits_for_a_lease_can_be_told_to_stop(journal: Journal, clock: Clock) -> None:
    """A run that somebody ends in the UI does not sit out the hour of the one before it."""
    stop, began = threading.Event(), clock.now
    stop.set()
    with (
        journal.lease("account:1"),
        pytest.raises(UnfinishedError, match="told to stop"),
        journal.lease("account:1", wait_seconds=3600, stop=stop),
    ):
        pytest.fail("it was held twice")
    assert clock.now - began < 2


def test_a_paused_holder_can_do_nothing_any_more(journal: Journal, clock: Clock) -> None:
    """After its lease ran out and another took it, every write of the first is refused."""
    with journal.lease("account:1", seconds=60) as paused:
        payload = journal.plan_payload(delivery_of(journal, paused), first_row=0, rows=10, lease=paused)
        clock.now += 61
        with journal.lease("account:1") as other:
            assert other.fence == paused.fence + 1
            for attempt in (
                lambda: journal.mark(payload, "sending", lease=paused),
                lambda: journal.finish(payload, sync="s", part_path="x", lease=paused),
                paused.check,
            ):
                with pytest.raises(JournalError, match="no longer holds"):
                    attempt()
        assert journal.ledger_parts("s") == []


def test_an_expired_lease_that_nobody_took_is_taken_again(journal: Journal, clock: Clock) -> None:
    """A machine that slept goes on; from the check on, nobody else can take it for its time."""
    with journal.lease("account:1", seconds=60) as lease:
        clock.now += 61
        lease.check()
        clock.now += 30
        with pytest.raises(JournalError, match="Another run holds"), journal.lease("account:1"):
            pass


def test_a_dead_holder_is_noticed_at_once(tmp_path: Path) -> None:
    """SIGKILL leaves the lease in the file; the next run need not wait for it to run out."""
    url = f"sqlite:///{tmp_path}/journal.db"
    script = (
        "import os, signal\n"
        "from resources.journal import open_journal\n"
        f"with open_journal({url!r}).lease('account:1', seconds=3600):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -9
    journal = open_journal(url)
    with journal.lease("account:1") as lease:
        assert lease.fence == 2
    journal.close()


def test_many_threads_take_turns(tmp_path: Path) -> None:
    """Under contention every turn is alone, and everyone gets one."""
    journal = open_journal(f"sqlite:///{tmp_path}/journal.db")
    inside, most, turns = [0], [0], []

    def work() -> None:
        with journal.lease("account:1", wait_seconds=30):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            turns.append(1)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    journal.close()
    assert (most[0], len(turns)) == (1, 4)


def test_exports_in_flight_are_remembered(journal: Journal) -> None:
    """By account and filters, until they are fetched."""
    journal.remember_export(account="1", filters="f", export_id=7, asked_at=1.0)
    journal.remember_export(account="1", filters="f", export_id=8, asked_at=2.0)
    assert journal.export_in_flight(account="1", filters="f") == (8, 2.0)
    journal.forget_export(account="1", filters="f")
    assert journal.export_in_flight(account="1", filters="f") is None


def test_tombstones_stay(journal: Journal) -> None:
    """Burying twice changes the state, not the stone."""
    journal.bury([b"\1" * 16], state="begun")
    journal.bury([b"\1" * 16, b"\2" * 16], state="erased")
    assert journal.tombstones() == {b"\1" * 16: "erased", b"\2" * 16: "erased"}


def test_the_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """0600, also for the files that SQLite makes beside it."""
    former = os.umask(0)
    try:
        journal = open_journal(f"sqlite:///{tmp_path}/home/journal.db")
        journal.bury([b"\1" * 16], state="erased")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "home").iterdir()}
        journal.close()
    finally:
        os.umask(former)
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("url", ["mysql://x/y", "not a url", "duckdb:///x"])
def test_other_databases_are_refused_without_showing_the_url(url: str) -> None:
    """The URL may hold a password."""
    with pytest.raises(SettingsError) as caught:
        open_engine(url)
    assert url not in str(caught.value)


def test_a_journal_keeps_to_the_key_it_was_made_with(tmp_path: Path) -> None:
    """A machine with a key of its own would recognise nobody: it is told so before it reads a row."""
    places = {"CONTACTS_LAKE": str(tmp_path / "lake"), "CONTACTS_JOURNAL": f"sqlite:///{tmp_path}/journal.db"}

    def on(machine: str, **more: str) -> AbstractContextManager[Store]:
        return open_store(settings.read({**places, "CONTACTS_HOME": str(tmp_path / machine), **more}))

    with on("one", CONTACTS_KEY="k" * 32), on("two", CONTACTS_KEY="k" * 32):
        pass
    with (
        pytest.raises(SettingsError, match="Give every machine the same CONTACTS_KEY"),
        on("three"),
    ):
        pytest.fail("a key was made anew and taken")


def test_processes_of_another_namespace_are_not_called_dead() -> None:
    """Containers may share a host's name; their process ids mean nothing to each other."""
    here = this_process()
    assert not is_dead(here)
    assert is_dead(here.replace(f":{os.getpid()}:", ":999999999:"))
    host, _, rest = here.partition(":")
    assert not is_dead(f"{host}0:999999999:{rest.rpartition(':')[2]}")


@pytest.mark.proof
def test_machines_that_share_a_journal_in_postgresql_agree_on_time_and_on_who_is_first() -> None:
    """The server's clock counts, whatever a machine believes; and who comes second to a new lease only waits."""
    binaries = postgres.find_binaries()
    if binaries is None:
        pytest.skip(postgres.MISSING)
    with tempfile.TemporaryDirectory() as folder, postgres.running(Path(folder), binaries) as server:
        wrong = [Journal(open_engine(server.url()), clock=lambda: 0.0) for _ in range(2)]
        held: list[int] = []

        def take(journal: Journal) -> None:
            with journal.lease("account:1", wait_seconds=30, holder=f"elsewhere:{id(journal)}") as lease:
                lease.check()
                held.append(lease.fence)

        threads = [threading.Thread(target=take, args=(each,)) for each in wrong * 4]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(held) == list(range(1, 9))
        with wrong[0].lease("account:1", holder="elsewhere:0"):
            assert float(server.run("select max(expires_at) from leases")) > 1_700_000_000
        for each in wrong:
            each.close()
