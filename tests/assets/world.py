"""A small world for tests of a delivery: rows, a store in a folder, a Mailtrap, and the steps of a sync in their order.

The steps are those of the assets, without Dagster: the same functions, called one after the other. Used in process on
virtual time (`World`), and by `tests/assets/driver.py` in a process of its own.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from assets.changes import look_for_pending
from assets.contacts import screen
from assets.delivery.loop import Timing
from assets.delivery.settling import settle
from assets.imports import send_pending
from assets.partitions import WHOLE, file_of
from assets.preparation import knowing_lists
from assets.rules.sync import Consent, FieldRule, Limit, Lists, Source, Sync
from assets.summary import Sent
from resources.database import open_engine
from resources.home import open_home
from resources.journal import Journal
from resources.lake import Lake
from resources.local_mailtrap.mailtrap import LocalMailtrap
from resources.mailtrap.budget import Unlimited
from resources.mailtrap.client import ClientSettings, MailtrapClient
from resources.store.store import Store

KEY = "k" * 32
SYNC = Sync(
    name="people",
    source=Source(table="people", key="id", updated_at="at"),
    email="email",
    consent=Consent("yes"),
    fields=(FieldRule("first_name", "name"), FieldRule("plan", "plan")),
    lists=Lists(include=("Newsletter",)),
    create=True,
    version="1",
)
ROWS = pa.schema(
    [
        ("id", pa.string()),
        ("email", pa.string()),
        ("yes", pa.bool_()),
        ("name", pa.string()),
        ("plan", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
    ]
)
Row = dict[str, Any]


def people(count: int, *, first: int = 0, plan: str = "free", day: int = 1) -> list[Row]:
    """So many people who agreed."""
    at = datetime(2026, 1, day, tzinfo=UTC)
    return [
        {"id": f"{n}", "email": f"p{n}@example.com", "yes": True, "name": f"N{n}", "plan": plan, "at": at}
        for n in range(first, first + count)
    ]


def step_by_step(
    client: MailtrapClient,
    store: Store,
    sync: Sync,
    *,
    rows: dict[str, list[Row]],
    run_id: str,
    resend: bool = False,
    timing: Timing | None = None,
    between: Callable[[], object] = lambda: None,
) -> Sent:
    """One run of a sync, as its assets do it; something may happen between its comparison and its imports."""
    partitions = tuple(rows)
    for partition, here in rows.items():
        with store.lake.writer(file_of(sync, "source_rows", partition), ROWS) as sink:
            sink.write(pa.Table.from_pylist(here, ROWS))
        screened = knowing_lists(client, sync)
        screen(store.lake, screened, partition=partition, key=store.key, now=datetime(2026, 6, 1, tzinfo=UTC))
    settle(client, store, timing=timing)
    look_for_pending(client, store, sync, partitions=partitions, run_id=run_id, resend=resend)
    between()
    return send_pending(client, store, sync, partitions=partitions, run_id=run_id, timing=timing)


@dataclass(slots=True)
class World:
    """Everything in one process, on virtual time."""

    folder: Path
    rows_per_payload: int = 50_000
    bytes_per_payload: int = 20_000_000
    deadline_seconds: float = 600.0
    sync: Sync = SYNC
    mailtrap: LocalMailtrap = field(default_factory=LocalMailtrap)
    runs: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    """Set: the run that follows is told to stop."""
    store: Store = field(init=False)
    client: MailtrapClient = field(init=False)

    def __post_init__(self) -> None:
        engine = open_engine(f"sqlite:///{self.folder}/journal.db")
        clock = self.mailtrap.clock
        self.store = Store(
            home=open_home(self.folder / "home", KEY),
            lake=Lake(self.folder / "lake"),
            journal=Journal(engine, clock=clock.time, sleep=clock.sleep),
            rows_per_payload=self.rows_per_payload,
            bytes_per_payload=self.bytes_per_payload,
            job_deadline_seconds=self.deadline_seconds,
        )
        self.client = self.new_client()

    def close(self) -> None:
        """Give files and connections back."""
        self.client.close()
        self.store.journal.close()

    def new_client(self, *, transport: httpx.BaseTransport | None = None) -> MailtrapClient:
        """A client for which waiting moves the clock of Mailtrap; `transport` may stand between the two."""
        mailtrap = self.mailtrap
        settings = ClientSettings(
            token=mailtrap.token,
            account_id=mailtrap.account.id,
            download_hosts=(mailtrap.storage_origin.partition("://")[2],),
            job_deadline_seconds=self.deadline_seconds,
        )
        return MailtrapClient(
            settings,
            Unlimited(mailtrap.advance),
            transport=transport or mailtrap.transport(),
            download_transport=mailtrap.transport(),
            clock=mailtrap.clock.time,
            monotonic=mailtrap.clock.time,
            sleep=mailtrap.advance,
            random=lambda: 0.5,
        )

    @property
    def timing(self) -> Timing:
        """Waiting that takes no time."""
        return Timing(clock=self.mailtrap.clock.time, sleep=self.mailtrap.clock.sleep, stop=self.stop)

    def run(
        self,
        rows: list[Row] | dict[str, list[Row]],
        *,
        resend: bool = False,
        between: Callable[[], object] = lambda: None,
    ) -> Sent:
        """A run over these rows, all of them or by partition."""
        self.runs += 1
        by_partition = rows if isinstance(rows, dict) else {WHOLE: rows}
        return step_by_step(
            self.client,
            self.store,
            self.sync,
            rows=by_partition,
            run_id=f"run-{self.runs}",
            resend=resend,
            timing=self.timing,
            between=between,
        )

    def wants(self, **changes: Any) -> None:
        """Change what the sync says."""
        guards = replace(self.sync.guards, max_rejected=Limit(share=1.0), max_gone=Limit(share=1.0))
        self.sync = replace(self.sync, **{"guards": guards, **changes})

    def imports(self) -> list[dict[str, Any]]:
        """The import requests that arrived, in order."""
        every = (each.as_dict() for each in self.mailtrap.journal.entries)
        return [e for e in every if e["method"] == "POST" and e["path"].endswith("/contacts/imports")]

    def members(self, name: str = "Newsletter") -> set[str]:
        """Who is in a list at Mailtrap."""
        account = self.mailtrap.dump()["accounts"][0]
        number = next((each["id"] for each in account["lists"] if each["name"] == name), None)
        return {each["email"] for each in account["contacts"] if number in each["list_ids"]}

    def triggers(self) -> Any:
        """How often people's automations were woken."""
        return self.mailtrap.dump()["accounts"][0]["triggers"]

    def contact(self, email: str) -> dict[str, Any]:
        """A contact as Mailtrap has them."""
        found = (e for e in self.mailtrap.dump()["accounts"][0]["contacts"] if e["email"] == email)
        return next(found)

    def states(self) -> Counter[str]:
        """How many payloads of all deliveries are in which state."""
        deliveries = self.store.journal.deliveries(self.sync.name)
        return Counter(p.state for each in deliveries for p in self.store.journal.payloads(each))


def conserved(sent: Sent | dict[str, int], **expected: int) -> bool:
    """Whether every row is counted once, and these counts are as expected."""
    rows = sent.rows if isinstance(sent, Sent) else sent
    told = {name: count for name, count in rows.items() if name != "read" and count}
    assert rows["read"] == sum(told.values()), rows
    assert told == {name: count for name, count in expected.items() if count}, rows
    return True


def problems(sent: Sent) -> Sequence[str]:
    """What a run says that went wrong."""
    return [each.happened for each in sent.told.problems]
