"""The budget that all processes share: places in Mailtrap's windows, kept in the journal's database.

Who may go is decided in `budget.py`; here its facts are read and written, one short transaction at a time. Whoever
has to wait leaves a ticket, so that a later and less urgent request does not slip past. A process that dies leaves
nothing behind that does not expire: its tickets after seconds, its places after the longest that a request can take
and one window more.

Which clock: within one machine the time since boot, which nobody can set and all processes share; across machines
(PostgreSQL) the database's. Places that were taken under another clock, before a reboot, count as if taken just now.
"""

import contextlib
import os
import random as random_module
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from resources.database import create_tables, metadata, now_of, open_engine
from resources.errors import JournalError, UnavailableError
from resources.mailtrap.budget import (
    Grant,
    Lane,
    Occupancy,
    Wait,
    Window,
    ahead_of,
    closed_seconds,
    wait_seconds,
)

_LONGEST_NAP_SECONDS = 1.0
_TICKET_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 3600.0
_LONGEST_FLIGHT_SECONDS = 900.0
_LONGEST_CLOSED_SECONDS = 600.0

_windows = sa.Table(
    "request_windows",
    metadata,
    sa.Column("name", sa.String(160), primary_key=True),
    sa.Column(
        "turns", sa.BigInteger, nullable=False
    ),  # written first in every transaction: the lock of the window
    sa.Column("closed_until", sa.Double, nullable=False),
    sa.Column("epoch", sa.String(64), nullable=False),
)
_places = sa.Table(
    "request_places",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("window", sa.String(160), primary_key=True),
    sa.Column("free_at", sa.Double, nullable=False),
    sa.Column("epoch", sa.String(64), nullable=False),
    sa.Index("request_places_window", "window", "free_at"),
)
_tickets = sa.Table(
    "request_tickets",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("window", sa.String(160), primary_key=True),
    sa.Column("lane", sa.String(16), nullable=False),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("alive_until", sa.Double, nullable=False),
    sa.Column("epoch", sa.String(64), nullable=False),
)


class SharedClock(Protocol):
    """A clock that everyone who shares the database reads alike."""

    @property
    def epoch(self) -> str:
        """Which clock it is; times of different epochs cannot be compared."""

    def now(self, connection: sa.Connection) -> float:
        """Seconds since its own beginning."""


@dataclass(frozen=True, slots=True)
class MachineClock:
    """The time since this machine was started: no jump of the wall clock moves it."""

    epoch: str

    def now(self, connection: sa.Connection) -> float:  # noqa: ARG002
        """Seconds since boot."""
        return (
            time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
        )


@dataclass(frozen=True, slots=True)
class DatabaseClock:
    """The clock of the database server, for those who share no machine."""

    epoch: str = "database"

    def now(self, connection: sa.Connection) -> float:
        """Seconds since 1970, as the server sees it."""
        return now_of(connection)


def machine_clock() -> MachineClock:
    """The clock of this machine since it was started; another start is another clock."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        started = os.uname().nodename
    return MachineClock(started[:64])


class Meter:
    """The shared budget; safe to share between threads."""

    def __init__(
        self,
        engine: sa.Engine,
        *,
        clock: SharedClock | None = None,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random_module.random,
        longest_wait_seconds: float = _LONGEST_WAIT_SECONDS,
    ) -> None:
        self._engine = engine
        self._clock = clock or (machine_clock() if engine.dialect.name == "sqlite" else DatabaseClock())
        self._sleep, self._random = sleep, random
        self._longest_wait_seconds = longest_wait_seconds
        self._known: set[str] = set()

    def acquire(self, windows: Sequence[Window], *, lane: Lane, patience_seconds: float) -> Grant:
        """Wait for a place in all the windows, in turn; `UnavailableError` when that takes longer than an hour."""
        me = uuid.uuid4().hex
        waited, since = 0.0, None
        shortest = min(window.limit.seconds for window in windows)
        try:
            while True:
                with self._turn(windows) as turn:
                    since = turn.now if since is None else since
                    wait = turn.try_to_go(Wait(me, lane, since), patience_seconds=patience_seconds)
                if wait <= 0:
                    return _Place(self, me, windows)
                if waited > self._longest_wait_seconds:
                    raise _too_long(waited)
                nap = min(wait, _LONGEST_NAP_SECONDS, shortest / 20) + self._random() * 0.002
                self._sleep(nap)
                waited += nap
        except BaseException:
            self._forget(me)
            raise

    def close(self, window: Window, *, retry_after: float | None) -> None:
        """Nobody sends anything in this window for a while: Mailtrap answered 429."""
        seconds = closed_seconds(window.limit, retry_after=retry_after, chance=self._random())
        with contextlib.suppress(JournalError), self._turn([window]) as turn:
            turn.close(window, seconds)

    def settle(self, place: str, windows: Sequence[Window], *, sent: bool) -> None:
        """A request has its answer, or was never sent.

        A database that cannot be reached now must not cost us an answer: the place then stays taken for longer.
        """
        with contextlib.suppress(JournalError), self._turn(windows, alone=False) as turn:
            turn.settle(place, sent=sent)

    def in_use(self) -> dict[str, int]:
        """How many requests each window still counts; looks, and takes no place."""
        try:
            with self._engine.connect() as connection:
                counted = sa.and_(
                    _places.c.epoch == self._clock.epoch, _places.c.free_at > self._clock.now(connection)
                )
                rows = connection.execute(
                    sa.select(_windows.c.name, sa.func.count(_places.c.id))
                    .select_from(
                        sa.outerjoin(_windows, _places, sa.and_(_places.c.window == _windows.c.name, counted))
                    )
                    .group_by(_windows.c.name)
                ).all()
        except sa.exc.SQLAlchemyError as error:
            failed = type(error).__name__
        else:
            return {name: int(count) for name, count in rows}
        raise _unreadable(failed)

    def dispose(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def _forget(self, me: str) -> None:
        with contextlib.suppress(JournalError, sa.exc.SQLAlchemyError), self._engine.begin() as connection:
            connection.execute(sa.delete(_tickets).where(_tickets.c.id == me))
            connection.execute(sa.delete(_places).where(_places.c.id == me))

    @contextlib.contextmanager
    def _turn(self, windows: Sequence[Window], *, alone: bool = True) -> Iterator["_Turn"]:
        """A transaction; nobody else decides about these windows meanwhile, if it is to be `alone`."""
        ordered = sorted(windows, key=lambda window: window.name)  # always in one order: no deadlock
        try:
            self._introduce(ordered)
            with self._engine.begin() as connection:
                for window in ordered if alone else ():
                    mine = _windows.c.name == window.name
                    connection.execute(sa.update(_windows).where(mine).values(turns=_windows.c.turns + 1))
                now = self._clock.now(connection)
                yield _Turn(connection=connection, windows=ordered, now=now, epoch=self._clock.epoch)
        except sa.exc.SQLAlchemyError as error:
            failed = type(error).__name__
        else:
            return
        raise _unreadable(failed)

    def _introduce(self, windows: Sequence[Window]) -> None:
        for window in windows:
            if window.name in self._known:
                continue
            fresh = {"name": window.name, "turns": 0, "closed_until": 0.0, "epoch": self._clock.epoch}
            with contextlib.suppress(sa.exc.IntegrityError), self._engine.begin() as connection:
                known = sa.select(_windows.c.name).where(_windows.c.name == window.name)
                if connection.scalar(known) is None:
                    connection.execute(sa.insert(_windows).values(fresh))
            self._known.add(window.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the tables say of some windows."""

    places: Sequence[tuple[str, float, str]]
    """Window, when it falls free, and by which clock."""
    tickets: Sequence[sa.Row[Any]]
    closed: Sequence[sa.Row[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """What can be done in a transaction about some windows."""

    connection: sa.Connection
    windows: Sequence[Window]
    now: float
    epoch: str

    def try_to_go(self, me: Wait, *, patience_seconds: float) -> float:
        """Take a place in every window and return 0; or leave a ticket and return how long to wait."""
        seen = self._look()
        if self._is_untidy(seen):
            self._tidy()
            seen = self._look()
        places, waiting = self._occupied(seen), self._waiting(seen)
        wait = max(
            wait_seconds(
                places[window.name],
                lane=me.lane,
                ahead=ahead_of(me, waiting[window.name], now=self.now, window_seconds=window.limit.seconds),
                now=self.now,
            )
            for window in self.windows
        )
        has_ticket = any(row.id == me.ticket for row in seen.tickets)
        if wait <= 0:
            if has_ticket:
                self.connection.execute(sa.delete(_tickets).where(_tickets.c.id == me.ticket))
            self._take(me.ticket, min(patience_seconds, _LONGEST_FLIGHT_SECONDS))
        elif has_ticket:
            alive = {"alive_until": self.now + _TICKET_SECONDS}
            self.connection.execute(sa.update(_tickets).where(_tickets.c.id == me.ticket).values(alive))
        else:
            self._queue(me)
        return wait

    def settle(self, place: str, *, sent: bool) -> None:
        """A sent request keeps its place for one window more; one that was not sent frees it.

        Needs not be alone: whoever decides meanwhile takes the place for taken for longer than it is.
        """
        for window in self.windows:
            mine = sa.and_(_places.c.id == place, _places.c.window == window.name)
            if sent:
                until = {"free_at": self.now + window.limit.holds_seconds, "epoch": self.epoch}
                kept = self.connection.execute(sa.update(_places).where(mine).values(until)).rowcount
                if not kept:
                    # It was taken away while we slept; Mailtrap counts the request all the same.
                    anew = {"id": place, "window": window.name, **until}
                    self.connection.execute(sa.insert(_places).values(anew))
            else:
                self.connection.execute(sa.delete(_places).where(mine))

    def close(self, window: Window, seconds: float) -> None:
        """Let nobody go before so many seconds have passed; never sooner than was said before."""
        mine = _windows.c.name == window.name
        row = self.connection.execute(sa.select(_windows.c.closed_until, _windows.c.epoch).where(mine)).one()
        before = row.closed_until if row.epoch == self.epoch else 0.0
        until = {"closed_until": max(before, self.now + seconds), "epoch": self.epoch}
        self.connection.execute(sa.update(_windows).where(mine).values(until))

    def _look(self) -> _Seen:
        names = [window.name for window in self.windows]
        places = sa.select(_places.c.window, _places.c.free_at, _places.c.epoch).where(
            _places.c.window.in_(names)
        )
        return _Seen(
            places=[tuple(row) for row in self.connection.execute(places)],
            tickets=self.connection.execute(sa.select(_tickets).where(_tickets.c.window.in_(names))).all(),
            closed=self.connection.execute(sa.select(_windows).where(_windows.c.name.in_(names))).all(),
        )

    def _is_untidy(self, seen: _Seen) -> bool:
        """Whether anything is there that must not count, or more that has expired than that counts."""
        latest = {window.name: self._latest(window) for window in self.windows}
        latest_closing = {window.name: self._latest_closing(window) for window in self.windows}
        over = sum(free_at <= self.now for _, free_at, _ in seen.places)
        return (
            2 * over > len(seen.places)
            or any(epoch != self.epoch or free_at > latest[name] for name, free_at, epoch in seen.places)
            or any(
                row.epoch != self.epoch or not 0 < row.alive_until - self.now <= 2 * _TICKET_SECONDS
                for row in seen.tickets
            )
            or any(row.closed_until > latest_closing[row.name] for row in seen.closed)
        )

    def _latest(self, window: Window) -> float:
        """No place that is taken now falls free later."""
        return self.now + _LONGEST_FLIGHT_SECONDS + window.limit.holds_seconds

    def _latest_closing(self, window: Window) -> float:
        """No window that is closed now opens later."""
        return self.now + max(_LONGEST_CLOSED_SECONDS, 2 * window.limit.holds_seconds)

    def _tidy(self) -> None:
        """Drop what has expired; what was written under another clock counts as written now."""
        for window in self.windows:
            in_places, in_tickets = _places.c.window == window.name, _tickets.c.window == window.name
            elsewhen = sa.or_(_places.c.epoch != self.epoch, _places.c.free_at > self._latest(window))
            anew = {"free_at": self.now + window.limit.holds_seconds, "epoch": self.epoch}
            self.connection.execute(sa.update(_places).where(in_places, elsewhen).values(anew))
            self.connection.execute(sa.delete(_places).where(in_places, _places.c.free_at <= self.now))
            mine = sa.and_(
                _windows.c.name == window.name, _windows.c.closed_until > self._latest_closing(window)
            )
            self.connection.execute(sa.update(_windows).where(mine).values(closed_until=anew["free_at"]))
            dead = sa.or_(
                _tickets.c.epoch != self.epoch,
                _tickets.c.alive_until <= self.now,
                _tickets.c.alive_until > self.now + 2 * _TICKET_SECONDS,
            )
            self.connection.execute(sa.delete(_tickets).where(in_tickets, dead))

    def _occupied(self, seen: _Seen) -> Mapping[str, Occupancy]:
        free_at: dict[str, list[float]] = {window.name: [] for window in self.windows}
        for name, until, _ in seen.places:
            free_at[name].append(until)
        closed = {row.name: row.closed_until for row in seen.closed if row.epoch == self.epoch}
        return {
            window.name: Occupancy(window, free_at[window.name], closed.get(window.name, 0.0))
            for window in self.windows
        }

    def _waiting(self, seen: _Seen) -> Mapping[str, list[Wait]]:
        found: dict[str, list[Wait]] = {window.name: [] for window in self.windows}
        for row in seen.tickets:
            found[row.window].append(Wait(row.id, row.lane, row.since))
        return found

    def _take(self, place: str, patience_seconds: float) -> None:
        rows = [
            {
                "id": place,
                "window": window.name,
                "free_at": self.now + patience_seconds + window.limit.holds_seconds,
                "epoch": self.epoch,
            }
            for window in self.windows
        ]
        self.connection.execute(sa.insert(_places), rows)

    def _queue(self, me: Wait) -> None:
        rows = [
            {
                "id": me.ticket,
                "window": window.name,
                "lane": me.lane,
                "since": me.since,
                "alive_until": self.now + _TICKET_SECONDS,
                "epoch": self.epoch,
            }
            for window in self.windows
        ]
        self.connection.execute(sa.insert(_tickets), rows)


@dataclass(frozen=True, slots=True)
class _Place:
    meter: Meter
    id: str
    windows: Sequence[Window]

    def answered(self) -> None:
        """The place falls free one window from now."""
        self.meter.settle(self.id, self.windows, sent=True)

    def unsent(self) -> None:
        """The place is free at once."""
        self.meter.settle(self.id, self.windows, sent=False)


def open_meter(journal_url: str, *, sleep: Callable[[float], None] = time.sleep) -> Meter:
    """The budget that everyone shares who uses this journal."""
    engine = open_engine(journal_url)
    if engine.dialect.name == "sqlite":
        # Places need not survive a power cut, only a crash: after a cut there is a reboot, and another epoch.
        sa.event.listen(engine, "connect", _no_need_to_sync)
    create_tables(engine)
    return Meter(engine, sleep=sleep)


def _no_need_to_sync(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def _too_long(waited: float) -> UnavailableError:
    return UnavailableError(
        f"There was no place in Mailtrap's request limits for {waited:.0f} s.",
        "Other runs, or others who use the same account, take all of them.",
        "Run fewer things at once, or set the MAILTRAP_*_LIMIT settings to what the account's plan allows.",
    )


def _unreadable(reason: str) -> JournalError:
    return JournalError(
        f"The shared request budget could not be read ({reason}).",
        "Without it Mailtrap's limits could be overrun, so nothing was sent.",
        "Check that CONTACTS_JOURNAL can be reached and written to, then run again.",
    )
