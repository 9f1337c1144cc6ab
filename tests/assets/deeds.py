"""What is done one person at a time, in a process of its own that can be killed at each of its steps.

Belongs here: the deeds (unsubscribe, delete, carry out requests, send events, erase), the steps at which a process dies
by SIGKILL, the scene, and its digest. A step is a request (`proxy.py` strikes there), or the opening or renaming of a
file: the operating system's own words, heard by an audit hook, so that the code knows nothing of its death.
"""

import contextlib
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assets import contacts, departures, events, requests
from assets.account import OPT_OUTS_BY_US
from assets.delivery import ledger
from assets.partitions import WHOLE, file_of
from assets.people import erasure
from assets.rules import comparison
from assets.rules.sync import NOBODY, Limit, Source, Sync, Unsubscribes
from resources import settings
from resources.errors import ConnectorError
from resources.local_mailtrap.clock import real_clock
from resources.local_mailtrap.mailtrap import LocalMailtrap
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.session import open_client
from resources.store.store import Store, open_store
from tests.assets import test_events
from tests.assets.ordeal import FAST, FIELDS
from tests.assets.proxy import Moment, Proxy, proxied
from tests.assets.victims import Victims, settings_of
from tests.assets.world import KEY, ROWS, SYNC, Row, people, step_by_step

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PEOPLE, LEAVERS = 16, 5
ANY = replace(SYNC.guards, max_gone=Limit(share=1.0), max_rejected=Limit(share=1.0))
OURS = replace(SYNC, guards=ANY)
MIRROR = replace(OURS, mode="mirror", when_gone="delete")
DELETIONS = Sync(
    name="deletions", source=Source(table="deletions"), email="email", consent=NOBODY,
    unsubscribes=Unsubscribes("delete"), guards=ANY, version="1",
)  # fmt: skip
VICTIMS = tuple(f"p{number}@example.com" for number in range(LEAVERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a process is to do, and at which step it dies; 0: at none."""

    environ: Mapping[str, str]
    deed: str
    run_id: str
    dies_at: int
    count_to: Path


def work(errand: Errand) -> None:
    """Do it; the exit code is the command's."""
    steps = count_steps(errand.environ["CONTACTS_HOME"], dies_at=errand.dies_at)
    known = settings.read(errand.environ)
    code = 0
    try:
        with (
            open_client(known) as client,
            open_store(known) as store,
        ):
            DEEDS[errand.deed](client, store, errand.run_id)
    except ConnectorError as error:
        print(f"{errand.run_id}: {error}", file=sys.stderr)  # noqa: T201 - the process's last words
        code = error.exit_code
    errand.count_to.write_text(f"{len(steps)}")
    os._exit(code)


def count_steps(home: str, *, dies_at: int) -> list[str]:
    """Hears every file of ours that is opened for writing, or renamed; at the n-th of them this process is no more."""
    steps: list[str] = []

    def hear(event: str, told: tuple[Any, ...]) -> None:
        if event not in ("open", "os.rename") or not str(told[0]).startswith(home):
            return
        if event == "open" and not (isinstance(told[2], int) and told[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        steps.append(event)
        if len(steps) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)
    return steps


# The deeds


def screened(store: Store, sync: Sync, rows: list[Row]) -> None:
    """The rows in the lake, and screened."""
    with store.lake.writer(file_of(sync, "source_rows", WHOLE), ROWS) as sink:
        sink.write(pa.Table.from_pylist(rows, ROWS))
    contacts.screen(store.lake, sync, partition=WHOLE, key=store.key, now=NOW)


def unsubscribe(client: MailtrapClient, store: Store, run_id: str) -> None:
    """Some say no, and the consent of others cannot be shown any more."""
    rows = people(PEOPLE)
    for number in range(LEAVERS):
        rows[number]["yes"] = None if number % 2 else False
    screened(store, OURS, rows)
    departures.depart(client, store, OURS, partitions=[WHOLE], run_id=run_id)


def delete(client: MailtrapClient, store: Store, run_id: str) -> None:
    """Some are gone from a mirror; of these the even ones had unsubscribed at Mailtrap."""
    screened(store, MIRROR, people(PEOPLE - LEAVERS, first=LEAVERS))
    departures.depart(client, store, MIRROR, partitions=[WHOLE], run_id=run_id)


def carry_out(client: MailtrapClient, store: Store, run_id: str) -> None:
    """Some asked to be deleted, and so did somebody whom Mailtrap does not have."""
    schema = pa.schema([("email", pa.string())])
    with store.lake.writer(file_of(DELETIONS, "source_rows", WHOLE), schema) as sink:
        sink.write(pa.table({"email": [*VICTIMS, "stranger@example.com"]}, schema=schema))
    requests.carry_out(client, store, DELETIONS, partitions=[WHOLE], run_id=run_id)


def send_events(client: MailtrapClient, store: Store, run_id: str) -> None:
    """An order of each of some people."""
    rows = [test_events.order(number, who=5 + number) for number in range(LEAVERS)]
    with store.lake.writer(file_of(test_events.ORDERS, "source_rows", WHOLE), test_events.ROWS) as sink:
        sink.write(pa.Table.from_pylist(rows, test_events.ROWS))
    events.screen(store, test_events.ORDERS, WHOLE, now=NOW)
    events.send(client, store, test_events.ORDERS, partitions=[WHOLE], run_id=run_id)


def erase(client: MailtrapClient, store: Store, run_id: str) -> None:
    """Some are erased."""
    requested = erasure.Requested(VICTIMS, {each: each for each in VICTIMS}, ())
    erasure.erase(client, store, requested, syncs=[OURS], run_id=run_id)


def erase_file(client: MailtrapClient, store: Store, run_id: str) -> None:
    """The people of a file beside the home are erased."""
    requested = erasure.read_file(str(store.home.root.with_name("erase.txt")))
    erasure.erase(client, store, requested, syncs=[OURS], run_id=run_id)


def tell(client: MailtrapClient, store: Store, run_id: str) -> None:
    """Everybody is told about, as a sync does it."""
    step_by_step(client, store, OURS, rows={WHOLE: people(PEOPLE)}, run_id=run_id)


def tell_again(client: MailtrapClient, store: Store, run_id: str) -> None:
    """The source has them all, changed and newer, and everything is sent again."""
    rows = {WHOLE: people(PEOPLE, plan="pro", day=20)}
    step_by_step(client, store, OURS, rows=rows, run_id=run_id, resend=True)


DEEDS: dict[str, Callable[[MailtrapClient, Store, str], None]] = {
    each.__name__: each
    for each in (unsubscribe, delete, carry_out, send_events, erase, erase_file, tell, tell_again)
}


# The scene


@dataclass(slots=True)
class Scene:
    """A home, a Mailtrap, and a proxy between them that strikes at requests."""

    home: Path
    mailtrap: LocalMailtrap
    proxy: Proxy
    victims: Victims
    runs: int = 0
    steps: int = 0

    @property
    def environ(self) -> dict[str, str]:
        """The settings of its processes."""
        return settings_of(self.home, self.mailtrap, self.proxy, key=KEY)

    def run(self, deed: str, *, dies_at: int = 0) -> int:
        """A process that nothing strikes, unless it dies at a step; its exit code."""
        self.proxy.disarm()
        code = self.victims.end(self._begin(deed, dies_at=dies_at))
        with contextlib.suppress(OSError, ValueError):
            self.steps = int(self._counted.read_text())
        return code

    def run_killed(self, deed: str, *, at: int, when: Moment) -> bool:
        """A process that is killed at its n-th request; False when it had fewer."""
        return self.victims.killed_at_request(lambda: self._begin(deed), at=at, when=when)

    @property
    def _counted(self) -> Path:
        return self.home.with_name("steps")

    def _begin(self, deed: str, *, dies_at: int = 0) -> BaseProcess:
        self.runs += 1
        errand = Errand(
            environ=self.environ, deed=deed, run_id=f"{deed}-{self.runs}", dies_at=dies_at,
            count_to=self._counted,
        )  # fmt: skip
        return self.victims.begin(work, errand)

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        """What it has kept."""
        known = settings.read(self.environ)
        with open_store(known) as store:
            yield store

    def recorded(self) -> Counter[str]:
        """The events that Mailtrap has recorded."""
        return Counter(each["params"]["order"] for each in self.mailtrap.account.events)

    def resubscriptions(self) -> int:
        """How often `unsubscribed: false` was asked for."""
        return sum("resubscribe" in entry.notes for entry in self.mailtrap.journal.entries)

    def digest(self) -> Any:
        """What Mailtrap has, what we know of it, and who is kept out: without ids and times."""
        account = self.mailtrap.dump()["accounts"][0]
        theirs = sorted((c["email"], c["status"], len(c["list_ids"])) for c in account["contacts"])
        with self.store() as store:
            ours = {sync.name: told(store, sync) for sync in (OURS, DELETIONS)}
            kept_out = sorted(
                {
                    str(row)
                    for path in store.lake.list(OPT_OUTS_BY_US)
                    for batch in store.lake.read(path, ["address_hash"])
                    for row in batch["address_hash"].to_pylist()
                }
            )
            return theirs, ours, kept_out, sorted(store.journal.tombstones().items())


def told(store: Store, sync: Sync) -> list[tuple[str, bool]]:
    """The ledger: whom Mailtrap was told about, and whether it still holds them."""
    with (
        ledger.told(store.journal, store.lake, sync.name) as files,
        store.lake.scratch() as scratch,
        comparison.connect(scratch) as connection,
    ):
        query = f"select address_hash::varchar, fingerprint is null from ({comparison.told_sql(files)}) order by 1"
        found: list[tuple[str, bool]] = connection.sql(query).fetchall()
        return found


def traces(folder: Path, *words: str) -> list[str]:
    """The files below a folder that hold one of these words, Parquet decoded."""
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        is_table = path.suffix == ".parquet" and not path.name.startswith(".partial")
        content = str(pq.read_table(path).to_pylist()).encode() if is_table else path.read_bytes()
        found += [f"{path}: {word}" for word in words if word.encode() in content.lower()]
    return found


@contextlib.contextmanager
def scene(home: Path, *, begun: Path | None = None) -> Iterator[Scene]:
    """Everybody has been told about; `begun` is a home where that was done before."""
    mailtrap = LocalMailtrap(clock=real_clock())
    mailtrap.turn(**FAST)
    mailtrap.seed({"lists": ["Newsletter"], "fields": FIELDS})
    with mailtrap.running(), proxied(mailtrap.api_origin) as proxy:
        found = Scene(home, mailtrap, proxy, Victims(proxy))
        if begun is None:
            assert found.run("tell") == 0
        else:
            shutil.copytree(begun, home)
            mailtrap.seed(
                {
                    "contacts": [
                        {
                            "email": row["email"],
                            "fields": {"first_name": row["name"], "plan": row["plan"]},
                            "lists": ["Newsletter"],
                        }
                        for row in people(PEOPLE)
                    ]
                }
            )
        for number in (0, 2):  # their no would go with their contact
            mailtrap.unsubscribe(f"p{number}@example.com")
        mailtrap.journal.clear()
        try:
            yield found
        finally:
            found.victims.bury()
