"""The journal: what we were about to do, are doing and have done, written before it is done.

Deliveries (one file of pending contacts on its way), their payloads and import jobs, the parts of each sync's
ledger, leases, exports in flight, and tombstones of erased people. Keyed hashes, ids and counts; never an
address or a name. What the states mean for a run is decided in `assets/delivery/loop.py`.

    planned ──► sending ──► submitted ──► finished     proven; its ledger part counts from here on
       ▲           │ │           └──────► failed       Mailtrap gave up, or its counts do not add up
       │           │ └─► refused                       nothing of it was accepted; its rows are rejections
       │           └─► unknown ──► finished | planned  the answer was lost: look first, then send again once
       └─ split    halves take over (413, or a refusal that names nobody)
"""

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa

from resources.database import create_tables, metadata, now_of, open_engine
from resources.errors import HeldError, JournalError, UnfinishedError
from resources.process import is_dead, this_process

PayloadState = Literal["planned", "sending", "submitted", "unknown", "finished", "failed", "refused", "split"]
IN_FLIGHT: tuple[PayloadState, ...] = ("sending", "submitted", "unknown")
UNSETTLED: tuple[PayloadState, ...] = ("planned", *IN_FLIGHT)
LEASE_SECONDS = 60.0

_deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("sync", sa.String(80), nullable=False),
    sa.Column("run_id", sa.String(80), nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),  # open | done | left
    sa.Column("facts", sa.Text, nullable=False),
    sa.Column("opened_at", sa.Double, nullable=False),
    sa.Column("closed_at", sa.Double),
    sa.Index("deliveries_open", "account", "state"),
)
_payloads = sa.Table(
    "payloads",
    metadata,
    sa.Column("id", sa.String(80), primary_key=True),
    sa.Column("delivery", sa.String(64), sa.ForeignKey("deliveries.id"), nullable=False),
    sa.Column("first_row", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("left_out", sa.Text, nullable=False),  # positions that Mailtrap refused by name
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("import_id", sa.BigInteger),
    sa.Column("body_sha256", sa.String(64)),
    sa.Column("body_bytes", sa.BigInteger),
    sa.Column("created_count", sa.BigInteger),
    sa.Column("updated_count", sa.BigInteger),
    sa.Column("over_limit_count", sa.BigInteger),
    sa.Column("sent_at", sa.Double),
    sa.Column("settled_at", sa.Double),
    sa.Column("note", sa.Text),
    sa.Index("payloads_delivery", "delivery", "state"),
)
_ledger_parts = sa.Table(
    "ledger_parts",
    metadata,
    sa.Column(
        "seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    sa.Column("sync", sa.String(80), nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("base", sa.Boolean, nullable=False),
    sa.Index("ledger_parts_sync", "sync", "seq"),
)
_leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.String(120), primary_key=True),
    sa.Column("holder", sa.String(160), nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
)
_keys = sa.Table(
    "keys",
    metadata,
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("sign", sa.String(64), nullable=False),
)
_exports = sa.Table(
    "exports_in_flight",
    metadata,
    sa.Column("account", sa.String(64), primary_key=True),
    sa.Column("filters", sa.String(64), primary_key=True),
    sa.Column("export_id", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
)
_events = sa.Table(
    "events",
    metadata,
    sa.Column("sync", sa.String(80), primary_key=True),
    sa.Column("event_hash", sa.String(32), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),  # sending | sent | ambiguous | refused | no_contact
    sa.Column("at", sa.Double, nullable=False),
)
_tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("address_hash", sa.String(32), primary_key=True),
    sa.Column("erased_at", sa.Double, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One file of pending contacts on its way to Mailtrap."""

    id: str
    account: str
    sync: str
    run_id: str
    path: str
    rows: int
    state: str
    facts: Mapping[str, Any]
    opened_at: float


@dataclass(frozen=True, slots=True)
class Payload:
    """Up to 50,000 contacts of a delivery as one import request."""

    id: str
    delivery: str
    first_row: int
    rows: int
    left_out: tuple[int, ...]
    state: PayloadState
    attempts: int
    import_id: int | None
    body_sha256: str | None
    body_bytes: int | None
    created_count: int | None
    updated_count: int | None
    over_limit_count: int | None
    sent_at: float | None
    settled_at: float | None
    note: str | None

    @property
    def sent_rows(self) -> int:
        """The rows that are in its body."""
        return self.rows - len(self.left_out)


@dataclass(frozen=True, slots=True)
class LedgerPart:
    """A Parquet file of a ledger; later parts overrule earlier ones."""

    seq: int
    path: str
    rows: int
    base: bool


@dataclass(slots=True)
class Lease:
    """The right to write, until somebody else has it; `fence` grows with every new holder."""

    name: str
    holder: str
    fence: int
    seconds: float
    _journal: "Journal" = field(repr=False)
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)

    def check(self) -> None:
        """Raise when the lease is ours no more: a paused run must not go on."""
        self._journal.check_lease(self)


class Journal:
    """The record in SQLite or PostgreSQL; every method is one transaction."""

    def __init__(
        self,
        engine: sa.Engine,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.engine, self._clock, self._sleep = engine, clock, sleep
        create_tables(engine)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    # Deliveries and payloads

    def open_delivery(
        self,
        *,
        account: str,
        sync: str,
        run_id: str,
        path: str,
        rows: int,
        facts: Mapping[str, Any],
        lease: Lease,
    ) -> Delivery:
        """Record a file of pending contacts before its first row is sent; the same file keeps its open delivery."""
        is_open = sa.and_(_deliveries.c.path == path, _deliveries.c.state == "open")
        with self._writing(lease) as connection:
            found = connection.execute(sa.select(_deliveries).where(is_open)).mappings().first()
            if found is not None:
                return _delivery(found)
            values = {
                "id": uuid.uuid4().hex,
                "account": account,
                "sync": sync,
                "run_id": run_id,
                "path": path,
                "rows": rows,
                "state": "open",
                "facts": json.dumps(dict(facts), sort_keys=True),
                "opened_at": self._clock(),
            }
            connection.execute(_deliveries.insert().values(**values))
            return _delivery(values)

    def open_deliveries(self, account: str) -> list[Delivery]:
        """The deliveries of an account that have not been closed, oldest first."""
        query = (
            sa.select(_deliveries)
            .where(_deliveries.c.account == account, _deliveries.c.state == "open")
            .order_by(_deliveries.c.opened_at, _deliveries.c.id)
        )
        with self._reading() as connection:
            return [_delivery(row) for row in connection.execute(query).mappings()]

    def deliveries(self, sync: str, *, latest: int = 500) -> list[Delivery]:
        """The newest deliveries of a sync, newest first."""
        query = sa.select(_deliveries).where(_deliveries.c.sync == sync)
        with self._reading() as connection:
            ordered = query.order_by(_deliveries.c.opened_at.desc()).limit(latest)
            return [_delivery(row) for row in connection.execute(ordered).mappings()]

    def close_delivery(self, delivery: Delivery, *, state: Literal["done", "left"], lease: Lease) -> None:
        """Nothing more will be sent of it: all settled (done), or its unsent rows will be offered anew (left)."""
        with self._writing(lease) as connection:
            connection.execute(
                _deliveries.update()
                .where(_deliveries.c.id == delivery.id)
                .values(state=state, closed_at=self._clock())
            )

    def plan_payload(self, delivery: Delivery, *, first_row: int, rows: int, lease: Lease) -> Payload:
        """Record the next payload of a delivery."""
        with self._writing(lease) as connection:
            return self._insert_payload(connection, delivery.id, first_row, rows, ())

    def payloads(self, delivery: Delivery, *, states: Sequence[PayloadState] = ()) -> list[Payload]:
        """The payloads of a delivery in the order of their rows."""
        query = sa.select(_payloads).where(_payloads.c.delivery == delivery.id)
        if states:
            query = query.where(_payloads.c.state.in_(states))
        with self._reading() as connection:
            found = connection.execute(query.order_by(_payloads.c.first_row, _payloads.c.id)).mappings()
            return [_payload(row) for row in found]

    def seconds_since_sent(self, payload: Payload) -> float:
        """How long ago the request was sent; 0 when it never was."""
        return 0.0 if payload.sent_at is None else self._clock() - payload.sent_at

    def mark(
        self,
        payload: Payload,
        state: PayloadState,
        *,
        lease: Lease,
        attempts: int | None = None,
        **facts: Any,
    ) -> Payload:
        """Move a payload to a state; facts are columns to set with it."""
        values: dict[str, Any] = {"state": state, **facts}
        if attempts is not None:
            values["attempts"] = attempts
        if "left_out" in values:
            values["left_out"] = json.dumps(sorted(values["left_out"]))
        if state == "sending":
            values["sent_at"] = self._clock()
        if state in ("finished", "failed", "refused", "split"):
            values["settled_at"] = self._clock()
        with self._writing(lease) as connection:
            return self._update_payload(connection, payload.id, values)

    def finish(self, payload: Payload, *, sync: str, part_path: str, lease: Lease, **counts: Any) -> Payload:
        """The receipt: the payload is finished and its ledger part counts, in one step."""
        values = {"state": "finished", "settled_at": self._clock(), **counts}
        with self._writing(lease) as connection:
            current = connection.execute(
                sa.select(_payloads.c.state).where(_payloads.c.id == payload.id)
            ).scalar_one()
            if current != "finished":
                connection.execute(
                    _ledger_parts.insert().values(
                        sync=sync, path=part_path, rows=payload.sent_rows, base=False
                    )
                )
            return self._update_payload(connection, payload.id, values)

    def split(self, payload: Payload, *, lease: Lease) -> tuple[Payload, Payload]:
        """Two halves take over from a payload that was not accepted as it was."""
        middle = payload.first_row + payload.rows // 2
        end = payload.first_row + payload.rows
        halves = ((payload.first_row, middle), (middle, end))
        with self._writing(lease) as connection:
            self._update_payload(connection, payload.id, {"state": "split", "settled_at": self._clock()})
            first, second = (
                self._insert_payload(
                    connection,
                    payload.delivery,
                    start,
                    stop - start,
                    tuple(each for each in payload.left_out if start <= each < stop),
                )
                for start, stop in halves
            )
        return first, second

    # The parts of a ledger

    def ledger_parts(self, sync: str) -> list[LedgerPart]:
        """The files that make up the ledger of a sync, oldest first; later ones overrule earlier ones."""
        query = sa.select(_ledger_parts).where(_ledger_parts.c.sync == sync).order_by(_ledger_parts.c.seq)
        with self._reading() as connection:
            return [_part(row) for row in connection.execute(query).mappings()]

    def add_ledger_part(
        self, sync: str, *, path: str, rows: int, lease: Lease, only_at: int | None = None
    ) -> bool:
        """One more part, that overrules what was there; `only_at`: unless parts were added after that one."""
        with self._writing(lease) as connection:
            if only_at is not None:
                if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
                    connection.execute(sa.text("lock table ledger_parts in share row exclusive mode"))
                newest = sa.select(sa.func.coalesce(sa.func.max(_ledger_parts.c.seq), 0))
                if connection.execute(newest.where(_ledger_parts.c.sync == sync)).scalar_one() != only_at:
                    return False
            connection.execute(_ledger_parts.insert().values(sync=sync, path=path, rows=rows, base=False))
            return True

    def replace_ledger_parts(
        self, sync: str, former: Sequence[LedgerPart], *, path: str, rows: int, lease: Lease
    ) -> None:
        """One file takes the place of several; parts that were added meanwhile stay and overrule it."""
        last = max(part.seq for part in former)
        with self._writing(lease) as connection:
            connection.execute(_ledger_parts.delete().where(_ledger_parts.c.seq.in_([p.seq for p in former])))
            connection.execute(
                _ledger_parts.insert().values(seq=last, sync=sync, path=path, rows=rows, base=True)
            )

    def make_base(self, parts: Sequence[LedgerPart], *, lease: Lease) -> None:
        """Let files count as a base as they are."""
        these = _ledger_parts.c.seq.in_([part.seq for part in parts])
        with self._writing(lease) as connection:
            connection.execute(_ledger_parts.update().where(these).values(base=True))

    # Leases

    @contextlib.contextmanager
    def lease(
        self,
        name: str,
        *,
        wait_seconds: float = 0.0,
        holder: str | None = None,
        seconds: float = LEASE_SECONDS,
        stop: threading.Event | None = None,
    ) -> Iterator[Lease]:
        """Hold a name alone, among all processes; waits for its holder, but never for a dead one.

        `stop` ends the waiting.
        """
        who = holder or f"{this_process()}:{uuid.uuid4().hex[:8]}"
        deadline = self._clock() + wait_seconds
        while (lease := self._take(name, who, seconds)) is None:
            if self._clock() >= deadline:
                raise HeldError(
                    f"Another run holds {name!r}.",
                    "Only one run at a time may do this, or people would be written twice.",
                    "Wait until it has ended, then run again; a holder that died is noticed by itself.",
                )
            self._sleep(min(0.2, max(0.01, deadline - self._clock())))
            if stop is not None and stop.is_set():
                raise UnfinishedError(
                    "The run was told to stop while another one was at work.",
                    "It had not begun to send.",
                    "Run again.",
                )
        beat = threading.Thread(
            target=self._renew_until, args=(lease, seconds), daemon=True, name=f"lease-{name}"
        )
        beat.start()
        try:
            yield lease
        finally:
            lease._stop.set()  # noqa: SLF001 - this module's own
            beat.join(timeout=5)
            with contextlib.suppress(JournalError):
                self._release(lease)

    def check_lease(self, lease: Lease) -> None:
        """Raise unless the lease is still ours."""
        with self._writing(lease):
            pass

    # The key

    def sign_of_key(self, sign: str) -> str:
        """What tells the key that this journal's hashes were made with; the first that is offered becomes it."""
        known = sa.select(_keys.c.sign).where(_keys.c.name == "hashes")
        with self._reading() as connection:
            found = connection.execute(known).scalar()
        if found is None:
            with contextlib.suppress(sa.exc.IntegrityError), self.engine.begin() as connection:
                connection.execute(_keys.insert().values(name="hashes", sign=sign))
            with self._reading() as connection:
                found = connection.execute(known).scalar_one()
        return str(found)

    # Exports in flight

    def remember_export(self, *, account: str, filters: str, export_id: int, asked_at: float) -> None:
        """Record an export that was asked for, so that a later run can fetch it instead of asking again."""
        with self._writing(None) as connection:
            connection.execute(
                _exports.delete().where(_exports.c.account == account, _exports.c.filters == filters)
            )
            connection.execute(
                _exports.insert().values(
                    account=account, filters=filters, export_id=export_id, started_at=asked_at
                )
            )

    def export_in_flight(self, *, account: str, filters: str) -> tuple[int, float] | None:
        """The id of such an export and when it was asked for."""
        query = sa.select(_exports.c.export_id, _exports.c.started_at).where(
            _exports.c.account == account, _exports.c.filters == filters
        )
        with self._reading() as connection:
            found = connection.execute(query).first()
        return None if found is None else (int(found[0]), float(found[1]))

    def forget_export(self, *, account: str, filters: str) -> None:
        """The export was fetched, or is gone."""
        with self._writing(None) as connection:
            connection.execute(
                _exports.delete().where(_exports.c.account == account, _exports.c.filters == filters)
            )

    # Events

    def begin_event(self, sync: str, event_hash: bytes, *, lease: Lease) -> None:
        """The intent, before the request: an event that was begun is never begun again by itself."""
        key = (_events.c.sync == sync, _events.c.event_hash == event_hash.hex())
        with self._writing(lease) as connection:
            connection.execute(_events.delete().where(*key))
            values = {"sync": sync, "event_hash": event_hash.hex(), "state": "sending", "at": self._clock()}
            connection.execute(_events.insert().values(**values))

    def settle_event(self, sync: str, event_hash: bytes, *, state: str | None) -> None:
        """What came of it; None when it certainly was not recorded, so that it can be begun again."""
        key = (_events.c.sync == sync, _events.c.event_hash == event_hash.hex())
        with self._writing(None) as connection:
            if state is None:
                connection.execute(_events.delete().where(*key))
            else:
                connection.execute(_events.update().where(*key).values(state=state, at=self._clock()))

    def give_up_events(self, sync: str, *, lease: Lease) -> int:
        """Events that a dead run had begun: whether Mailtrap has them nobody knows; says how many they are."""
        begun = sa.and_(_events.c.sync == sync, _events.c.state == "sending")
        with self._writing(lease) as connection:
            given_up = _events.update().where(begun).values(state="ambiguous", at=self._clock())
            return int(connection.execute(given_up).rowcount)

    def event_states(self, sync: str) -> Iterator[tuple[bytes, str, float]]:
        """Every event of a sync that was ever begun: its keyed hash, what came of it, and when."""
        query = sa.select(_events.c.event_hash, _events.c.state, _events.c.at).where(_events.c.sync == sync)
        with self._reading() as connection:
            for row in connection.execute(query).yield_per(10_000):
                yield bytes.fromhex(row[0]), str(row[1]), float(row[2])

    # Tombstones

    def bury(self, address_hashes: Sequence[bytes], *, state: str) -> None:
        """These people are erased: nothing may ever bring them back."""
        with self._writing(None) as connection:
            for each in address_hashes:
                changed = connection.execute(
                    _tombstones.update()
                    .where(_tombstones.c.address_hash == each.hex())
                    .values(state=state, erased_at=self._clock())
                ).rowcount
                if not changed:
                    connection.execute(
                        _tombstones.insert().values(
                            address_hash=each.hex(), erased_at=self._clock(), state=state
                        )
                    )

    def tombstones(self) -> dict[bytes, str]:
        """The keyed hashes of erased people, and how far the erasure of each has come."""
        with self._reading() as connection:
            found = connection.execute(sa.select(_tombstones.c.address_hash, _tombstones.c.state))
            return {bytes.fromhex(row[0]): str(row[1]) for row in found}

    def erasures(self) -> tuple[int, float]:
        """What differs whenever an erasure has come further: whoever reads it twice knows whether one did."""
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(_tombstones.c.erased_at), 0.0))
        with self._reading() as connection:
            people, moments = connection.execute(query.select_from(_tombstones)).one()
        return int(people), float(moments)

    # Inside

    def _take(self, name: str, holder: str, seconds: float) -> Lease | None:
        with self._writing(None) as connection:
            found = connection.execute(
                sa.select(_leases).where(_leases.c.name == name).with_for_update()
            ).first()
            now = self._now(connection)
            if found is None:
                try:
                    with connection.begin_nested():
                        connection.execute(
                            _leases.insert().values(
                                name=name, holder=holder, fence=1, expires_at=now + seconds
                            )
                        )
                except sa.exc.IntegrityError:  # somebody on another machine was quicker
                    return None
                return Lease(name, holder, 1, seconds, self)
            free = found.expires_at <= now or found.holder == "" or is_dead(found.holder)
            if not free:
                return None
            fence = int(found.fence) + 1
            connection.execute(
                _leases.update()
                .where(_leases.c.name == name)
                .values(holder=holder, fence=fence, expires_at=now + seconds)
            )
            return Lease(name, holder, fence, seconds, self)

    def _renew_until(self, lease: Lease, seconds: float) -> None:
        while not lease._stop.wait(seconds / 4):  # noqa: SLF001 - this module's own
            with contextlib.suppress(JournalError):
                if not self._renew(lease, seconds):
                    return

    def _renew(self, lease: Lease, seconds: float) -> bool:
        with self._writing(None) as connection:
            changed = connection.execute(
                _leases.update()
                .where(
                    _leases.c.name == lease.name,
                    _leases.c.fence == lease.fence,
                    _leases.c.holder == lease.holder,
                )
                .values(expires_at=self._now(connection) + seconds)
            )
            return changed.rowcount == 1

    def _release(self, lease: Lease) -> None:
        with self._writing(None) as connection:
            connection.execute(
                _leases.update()
                .where(_leases.c.name == lease.name, _leases.c.fence == lease.fence)
                .values(expires_at=0.0, holder="")
            )

    def _fenced(self, connection: sa.Connection, lease: Lease) -> None:
        """Raise unless the lease is ours; one that ran out and that nobody took is ours again from here on."""
        mine = sa.and_(
            _leases.c.name == lease.name, _leases.c.fence == lease.fence, _leases.c.holder == lease.holder
        )
        held = sa.select(_leases.c.expires_at).where(mine).with_for_update(read=True)
        expires_at = connection.execute(held).scalar()
        now = self._now(connection)
        if expires_at is not None and float(expires_at) > now:
            return
        renewed = _leases.update().where(mine).values(expires_at=now + lease.seconds)
        if connection.execute(renewed).rowcount != 1:
            raise JournalError(
                f"This run no longer holds {lease.name!r}.",
                "It was paused for too long and another run has taken over, so it stops here.",
                "Nothing is lost: the other run goes on where this one stopped.",
            )

    def _now(self, connection: sa.Connection) -> float:
        return now_of(connection, clock=self._clock)

    def _insert_payload(
        self, connection: sa.Connection, delivery: str, first_row: int, rows: int, left_out: tuple[int, ...]
    ) -> Payload:
        values = {
            "id": uuid.uuid4().hex,
            "delivery": delivery,
            "first_row": first_row,
            "rows": rows,
            "left_out": json.dumps(sorted(left_out)),
            "state": "planned",
            "attempts": 0,
        }
        connection.execute(_payloads.insert().values(**values))
        return self._payload_by_id(connection, str(values["id"]))

    def _update_payload(
        self, connection: sa.Connection, identifier: str, values: Mapping[str, Any]
    ) -> Payload:
        connection.execute(_payloads.update().where(_payloads.c.id == identifier).values(**values))
        return self._payload_by_id(connection, identifier)

    def _payload_by_id(self, connection: sa.Connection, identifier: str) -> Payload:
        return _payload(
            connection.execute(sa.select(_payloads).where(_payloads.c.id == identifier)).mappings().one()
        )

    @contextlib.contextmanager
    def _writing(self, lease: Lease | None) -> Iterator[sa.Connection]:
        with _translated(), self.engine.begin() as connection:
            if lease is not None:
                self._fenced(connection, lease)
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _translated(), self.engine.execution_options(reading=True).begin() as connection:
            yield connection


def open_journal(url: str, *, clock: Callable[[], float] = time.time) -> Journal:
    """The journal at CONTACTS_JOURNAL, with its tables made."""
    return Journal(open_engine(url), clock=clock)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise JournalError(
            f"The journal could not be read or written ({type(error).__name__}).",
            "Without it nothing may be sent; what was sent before is recorded.",
            "Check that CONTACTS_JOURNAL can be reached and has room, then run again: it goes on where it stopped.",
        ) from None


def _delivery(row: Mapping[Any, Any]) -> Delivery:
    return Delivery(
        id=row["id"],
        account=row["account"],
        sync=row["sync"],
        run_id=row["run_id"],
        path=row["path"],
        rows=int(row["rows"]),
        state=row["state"],
        facts=json.loads(row["facts"]),
        opened_at=float(row["opened_at"]),
    )


def _payload(row: Mapping[Any, Any]) -> Payload:
    values = dict(row)
    return Payload(**{**values, "left_out": tuple(json.loads(values["left_out"]))})


def _part(row: Mapping[Any, Any]) -> LedgerPart:
    return LedgerPart(seq=int(row["seq"]), path=row["path"], rows=int(row["rows"]), base=bool(row["base"]))
